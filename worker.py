"""The worker process: runs the workflows and activities. Composition root of everything but the API."""

import asyncio
import signal

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.worker import Worker

from activities.decide import Deciding
from activities.record import Recording
from domain.rulebook import Rulebook
from infra import catalog, database, logs, temporal
from infra.settings import Settings
from workflows import preflight
from workflows.case import CaseWorkflow

log = structlog.get_logger()


def worker(client: Client, settings: Settings, rulebook: Rulebook, engine: AsyncEngine) -> Worker:
    """A worker for all that the task queue carries."""
    preflight.install(rulebook)
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=[CaseWorkflow],
        activities=[Deciding(rulebook, engine).decide, Recording(engine).record],
    )


async def main() -> None:
    """Run until told to stop. Refuses to start with a broken catalogue."""
    settings = Settings()
    logs.configure(settings.log_format)
    rulebook = catalog.load()
    engine = database.connect(settings.database)
    client = await temporal.connect(settings, temporal.runtime(settings.metrics_address))
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with worker(client, settings, rulebook, engine):
        log.info("worker_started", task_queue=settings.task_queue, programs=len(rulebook.programs))
        await stop.wait()
    await engine.dispose()
    log.info("worker_stopped")


if __name__ == "__main__":
    asyncio.run(main())
