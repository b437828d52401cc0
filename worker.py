"""The worker process: runs the workflows and activities. Composition root of everything but the API."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy import URL
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from activities.bulk_move import BulkMoving
from activities.decide import Deciding
from activities.record import Recording
from activities.settle import Settling
from domain.rulebook import Rulebook
from infra import catalog, database, logs, temporal
from infra.settings import Settings
from workflows import preflight
from workflows.bulk_move import BulkMoveWorkflow
from workflows.case import CaseWorkflow

log = structlog.get_logger()
STICKY = timedelta(seconds=3)  # how long a case waits for the worker that knows it, before any other may take it


@asynccontextmanager
async def worker(
    client: Client, settings: Settings, rulebook: Rulebook, record: str | URL
) -> AsyncIterator[Worker]:
    """A running worker for all that the task queue carries; `record` is the address of the database."""
    preflight.install(rulebook)
    engine, reading = database.blocking(record), database.blocking(record)
    deciding = Deciding(rulebook, reading, timedelta(seconds=settings.jitter_seconds))
    recording = Recording(engine)
    settling, moving = Settling(deciding, recording), BulkMoving(engine, client)
    try:
        async with Worker(
            client,
            task_queue=settings.task_queue,
            workflows=[CaseWorkflow, BulkMoveWorkflow],
            activities=[settling.settle, deciding.decide, recording.record, recording.recall, moving.ask_next],
            deployment_config=deployment(settings),
            sticky_queue_schedule_to_start_timeout=STICKY,
            max_workflow_task_external_storage_concurrency=1,  # there is no such storage: more only makes tasks
        ) as running:
            yield running
    finally:
        engine.dispose()
        reading.dispose()


def deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """With a deployment's name and build a case stays on the build it runs on until it continues as new.

    Without them nothing is annotated: a class that asks for versioning on a worker without it fails every task.
    """
    if not settings.worker_deployment_name:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment_name, settings.worker_build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


async def main() -> None:
    """Run until told to stop. Refuses to start with a broken catalogue."""
    settings = Settings()
    logs.configure(settings.log_format)
    try:
        rulebook = catalog.load()
    except catalog.CatalogError as fault:
        sys.exit(f"the catalogue cannot be used: {fault}")
    client = await temporal.connect(settings, temporal.runtime(settings.metrics_address))
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_default_executor(database.threads())
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with worker(client, settings, rulebook, settings.database):
        log.info("worker_started", task_queue=settings.task_queue, programs=len(rulebook.programs))
        await stop.wait()
    log.info("worker_stopped")


if __name__ == "__main__":
    asyncio.run(main())
