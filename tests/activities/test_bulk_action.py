"""A bulk action goes on past the cases that do not answer, and leaves its command with each of them once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col
from temporalio.api.enums.v1 import EventType
from temporalio.testing import WorkflowEnvironment

from activities import bulk_action
from activities.bulk_action import Acting, Progress
from activities.reach import Reach
from api.bulk_actions import Wanted, write_down
from api.system import Principal
from domain.steps.ownership import ReassignCase
from domain.values import Role
from infra import database
from infra.encryption import ring_of
from infra.settings import Settings
from infra.tables import BulkActionRow, BulkItemRow, CaseRow, StaffRow
from tests.one_case import Desk
from tests.recorded import put_on_record
from tests.story import Story, in_force
from worker import worker
from workflows.case import CaseLife
from workflows.messages import Life

ACTION = "00000000000000ab"
SUPERVISOR = Principal(sub="sup-1", role=Role.SUPERVISOR, teams=("north",), tenant="local")


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


async def opened(environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings) -> Desk:
    """A case on record and in the engine, at which no worker is at work."""
    desk = Desk(environment, settings, engine)
    story = Story(now=datetime.now(UTC) - timedelta(hours=1)).open(case_id=desk.case_id)
    known = put_on_record(engine.url, settings, desk.case_id, story.timeline)
    life = Life(tenant="local", case_id=desk.case_id, history_events=300, known=known)
    await environment.client.start_workflow(CaseLife.run, life, id=desk.id, task_queue=settings.task_queue)
    return desk


def begin(record: Engine, settings: Settings) -> None:
    wanted = Wanted(ReassignCase.kind, {"owner": "cm-ben", "reason": "x"}, [col(CaseRow.tenant) == "local"], {})
    with record.begin() as connection:
        ben = {"subject": "cm-ben", "tenant": "local", "name": "Ben", "role": Role.CASE_MANAGER, "team": "north"}
        connection.execute(insert(StaffRow).values(**ben))
        write_down(connection, ring_of(settings), SUPERVISOR, wanted, ACTION)


async def left_with(desk: Desk) -> int:
    """How often a command was left with a case."""
    signalled = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return sum([event.event_type == signalled async for event in desk.handle.fetch_history_events()])


async def test_a_case_that_does_not_answer_is_left_the_command_once_and_the_others_are_asked_first(
    environment: WorkflowEnvironment,
    engine: AsyncEngine,
    settings: Settings,
    record: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Round after round asks the next ones; once a worker is there, all are settled, each once."""
    monkeypatch.setattr(bulk_action, "SECONDS", 0.5)
    desks = [await opened(environment, engine, settings) for _ in range(3)]
    begin(record, settings)
    acting = Acting(record, ring_of(settings), Reach(environment.client, settings))
    rounds = [await acting.carry_on(ACTION, 2) for _ in range(4)]
    assert [found.asked for found in rounds] == [2, 1, 0, 0]
    assert all(found.running for found in rounds)
    assert [await left_with(desk) for desk in desks] == [1, 1, 1]
    async with worker(environment.client, settings, in_force(), engine.url):
        for desk in desks:

            async def settled(asked: Desk = desk) -> bool:
                return await asked.outcome(f"{ACTION}.{asked.case_id}") is not None

            await desk.until(settled)
        assert await acting.carry_on(ACTION, 2) == Progress(running=False, asked=0)
    assert [(await desk.case()).owner for desk in desks] == ["cm-ben"] * 3
    with record.connect() as connection:
        assert set(connection.execute(select(col(BulkItemRow.status))).scalars()) == {"applied"}
        assert connection.execute(select(col(BulkActionRow.status))).scalars().all() == ["done"]


async def test_a_case_that_the_engine_lost_after_it_was_left_the_command_is_asked_again(
    environment: WorkflowEnvironment,
    engine: AsyncEngine,
    settings: Settings,
    record: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten minutes later; the case begins again from the record, and the list of cases is finished."""
    monkeypatch.setattr(bulk_action, "SECONDS", 0.5)
    desk = await opened(environment, engine, settings)
    begin(record, settings)
    acting = Acting(record, ring_of(settings), Reach(environment.client, settings))
    assert (await acting.carry_on(ACTION, 2)).asked == 1
    await desk.handle.terminate()
    with record.begin() as connection:
        later = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(update(BulkItemRow).values(ask_again_at=later))
    monkeypatch.setattr(bulk_action, "SECONDS", 5.0)
    async with worker(environment.client, settings, in_force(), engine.url):
        assert (await acting.carry_on(ACTION, 2)).asked == 1

        async def settled() -> bool:
            return await desk.outcome(f"{ACTION}.{desk.case_id}") is not None

        await desk.until(settled)
        assert await acting.carry_on(ACTION, 2) == Progress(running=False, asked=0)
    assert (await desk.case()).owner == "cm-ben"
