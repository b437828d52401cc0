"""The worker process: runs the workflows and activities. Composition root of everything but the API."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy import URL, Engine
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion, WorkflowIDConflictPolicy
from temporalio.worker import Worker, WorkerDeploymentConfig

from activities.bulk_action import Acting
from activities.decide import Rules
from activities.deliver import Delivering
from activities.erase import Erasing
from activities.night_watch import Watching
from activities.reach import Reach
from activities.screen import Screenings
from activities.settle import Settling
from activities.states import States
from activities.subscriptions import Subscriptions
from activities.webhooks import Webhooks
from domain.programs.rulebook import Rulebook
from infra import catalog, database, logs, temporal
from infra.encryption import index_key, ring_of
from infra.settings import Settings
from infra.watchdog import Heartbeat, programs_of
from workflows import messages, preflight
from workflows.bulk_action import BulkAction
from workflows.case import CaseLife
from workflows.delivery import Bell, Endpoint, Lane, Subscriber
from workflows.erasure import Erasure
from workflows.night_watch import NightWatch
from workflows.screening import Screening

log = structlog.get_logger()
STICKY = timedelta(seconds=3)  # how long a case waits for the worker that knows it, before any other may take it
A_ROUND = timedelta(minutes=1)


@asynccontextmanager
async def worker(
    client: Client, settings: Settings, rulebook: Rulebook, record: str | URL
) -> AsyncIterator[Worker]:
    """A running worker for all that the task queue carries; `record` is the address of the database."""
    states = States(ring_of(settings))
    preflight.install(rulebook, states.at)
    engine = database.blocking(record)
    settling = Settling(engine, Rules(rulebook, timedelta(seconds=settings.jitter_seconds)), states)
    reach = Reach(client, settings)
    webhooks = Webhooks(engine, states.keys, settings)
    subscriptions = Subscriptions(engine, states.keys, settings, rulebook)
    delivering = Delivering(engine, states.keys, client, settings, webhooks, subscriptions)
    acting, watching = Acting(engine, states.keys, reach), Watching(engine, states.keys, reach, settings)
    key = index_key(settings.index_key, settings.data_dir)
    erasing = Erasing(engine, states.keys, key, client)
    screenings = Screenings(engine, states.keys, key, rulebook)
    try:
        async with (
            at_work(engine, settings, programs_of(rulebook)),
            Worker(
                client,
                task_queue=settings.task_queue,
                workflows=[CaseLife, BulkAction, NightWatch, Bell, Lane, Endpoint, Subscriber, Erasure, Screening],
                activities=[
                    settling.settle,
                    acting.carry_on,
                    watching.ring_sleepers,
                    delivering.listen,
                    delivering.deliver,
                    webhooks.post_events,
                    subscriptions.notify,
                    erasing.erase,
                    screenings.screen,
                ],
                deployment_config=deployment(settings),
                sticky_queue_schedule_to_start_timeout=STICKY,
                max_workflow_task_external_storage_concurrency=1,  # there is none: more only makes tasks
            ) as running,
        ):
            yield running
    finally:
        await asyncio.to_thread(settling.close)
        engine.dispose()


@asynccontextmanager
async def at_work(engine: Engine, settings: Settings, programs: list[str]) -> AsyncIterator[None]:
    """Say in the record that a worker is at work, until it is not."""
    heartbeat = Heartbeat(engine, settings.task_queue, settings.worker_build_id, programs)
    stop = asyncio.Event()
    beating = asyncio.create_task(heartbeat.beat(stop))
    try:
        yield
    finally:
        stop.set()
        await beating
        with contextlib.suppress(SQLAlchemyError, OSError):
            await asyncio.to_thread(heartbeat.leave)


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


async def post_night_watch(client: Client, settings: Settings) -> None:
    """Have the engine start the night watch every minute. Asked again it changes nothing."""
    name = f"night-watch-{settings.task_queue}"
    action = ScheduleActionStartWorkflow(messages.NIGHT_WATCH_WORKFLOW, id=name, task_queue=settings.task_queue)
    plan = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=A_ROUND)]),
        policy=SchedulePolicy(catchup_window=A_ROUND),
    )
    with contextlib.suppress(ScheduleAlreadyRunningError):
        await client.create_schedule(name, plan)


async def hang_bell(client: Client, settings: Settings) -> None:
    """Have events and notices delivered. Asked again it changes nothing."""
    await client.start_workflow(
        messages.BELL_WORKFLOW,
        id=messages.bell(settings.task_queue),
        task_queue=settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


async def main() -> None:
    """Run until told to stop. Refuses to start with a broken catalogue."""
    settings = Settings()
    logs.configure(settings.log_format)
    try:
        rulebook = catalog.load()
    except catalog.CatalogError as fault:
        log.critical("catalogue_refused", faults=str(fault).split("\n"))
        sys.exit(1)
    client = await temporal.connect(settings, temporal.runtime(settings.metrics_address))
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_default_executor(database.threads())
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with worker(client, settings, rulebook, settings.database):
        await post_night_watch(client, settings)
        await hang_bell(client, settings)
        log.info("worker_started", task_queue=settings.task_queue, programs=len(rulebook.programs))
        await stop.wait()
    log.info("worker_stopped")


if __name__ == "__main__":
    asyncio.run(main())
