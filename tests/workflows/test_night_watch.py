"""A case that sleeps past its time is rung, and begins again from the record where the engine has lost it."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import Engine, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from deploy.doctor import examine
from infra import database
from infra.settings import Settings
from infra.tables import CaseRow, WakingRow
from tests.one_case import Desk
from tests.recorded import put_on_record
from tests.story import Story, in_force
from worker import post_night_watch, worker
from workflows.case import CaseLife
from workflows.messages import Life
from workflows.night_watch import NightWatch

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


async def asleep(environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings, run: bool) -> Desk:
    """A case whose task fell due ten minutes ago, and whose wake-up was lost; `run`: the engine still has it."""
    anna, now = Desk(environment, settings, engine), datetime.now(UTC)
    story = Story(now=now - timedelta(hours=1)).open(case_id=anna.case_id)
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    story.do("add-task", task="education", due_at=(now - timedelta(minutes=10)).isoformat())
    known = put_on_record(engine.url, settings, anna.case_id, story.timeline)
    if run:
        life = Life(tenant="local", case_id=anna.case_id, history_events=300, known=known)
        await environment.client.start_workflow(CaseLife.run, life, id=anna.id, task_queue=settings.task_queue)
    return anna


async def watch(client: Client, settings: Settings) -> int:
    name = f"watch-{uuid.uuid4().hex}"
    return await client.execute_workflow(NightWatch.run, id=name, task_queue=settings.task_queue)


@pytest.mark.parametrize("run", [True, False], ids=["still in the engine", "lost by the engine"])
async def test_a_case_whose_wake_up_was_lost_is_woken_and_notices_what_it_missed(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings, record: Engine, run: bool
) -> None:
    """Counted, and told by `make doctor`; a second round finds nothing to do."""
    anna = await asleep(environment, engine, settings, run)
    async with worker(environment.client, settings, in_force(), engine.url):
        assert await watch(environment.client, settings) == 1

        async def noticed() -> bool:
            return any(row.kind == "clock-missed" for row in await anna.timeline())

        await anna.until(noticed)
        assert await watch(environment.client, settings) == 0
        checks = {check.name: check for check in await examine(environment.client, record, settings)}
    assert checks["night watch"].cases == (anna.case_id,)
    assert checks["asleep"].well
    with record.connect() as connection:
        assert connection.execute(select(WakingRow.case_id)).scalars().all() == [anna.case_id]


async def test_a_case_that_cannot_be_rung_stands_in_nobodys_way(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings, record: Engine
) -> None:
    """The engine takes no id of such a length. The case behind it is woken; neither is rung every minute."""
    stuck = "c" * 2000
    anna = await asleep(environment, engine, settings, run=True)
    with record.begin() as connection:
        row = dict(connection.execute(select(CaseRow.__table__)).mappings().one())  # type: ignore[attr-defined]
        earlier = row["wakes_at"] - timedelta(days=1)
        connection.execute(insert(CaseRow).values({**row, "id": stuck, "wakes_at": earlier}))
    async with worker(environment.client, settings, in_force(), engine.url):
        assert await watch(environment.client, settings) == 2

        async def noticed() -> bool:
            return any(row.kind == "clock-missed" for row in await anna.timeline())

        await anna.until(noticed)
        assert await watch(environment.client, settings) == 0
        checks = {check.name: check for check in await examine(environment.client, record, settings)}
    assert checks["asleep"].cases == (stuck,)


async def test_the_engine_starts_the_night_watch_every_minute(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> None:
    """The worker posts it when it starts; a second worker changes nothing."""
    await post_night_watch(environment.client, settings)
    await post_night_watch(environment.client, settings)
    handle = environment.client.get_schedule_handle(f"night-watch-{settings.task_queue}")
    try:
        [interval] = (await handle.describe()).schedule.spec.intervals
        assert interval.every == timedelta(minutes=1)
        async with worker(environment.client, settings, in_force(), engine.url):
            await handle.trigger()
            anna = Desk(environment, settings, engine)

            async def ran() -> bool:
                return bool((await handle.describe()).info.recent_actions)

            await anna.until(ran)
    finally:
        await handle.delete()
