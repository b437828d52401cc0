"""What goes wrong around a case: a bug in a rule, a database that is away, a worker that is killed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from domain.command import Draft
from domain.contacts import AddNote
from domain.tick import Tick
from infra.settings import Settings
from infra.tables import CommandRow, TimelineRow
from tests.desk import Desk
from tests.story import in_force
from worker import worker
from workflows import messages

Opener = Callable[..., Desk]
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


class Bug(Exception):
    """A fault that a rule might have."""


async def test_a_bug_in_a_rule_fails_that_one_command_and_the_case_goes_on(
    desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome says so, it is set aside on record, and the next command is applied."""
    anna = desk()
    await anna.open()

    def broken(self: AddNote, draft: Draft) -> None:
        raise Bug("the text of a fault may quote SECRET things")

    monkeypatch.setattr(AddNote, "decide", broken)
    outcome = await anna.update(anna.envelope("add-note", text="poison"))
    assert (outcome.status, outcome.error) == ("failed", "Bug")
    monkeypatch.undo()
    await anna.do("add-note", text="fine")
    rows = await anna.timeline()
    assert [row.kind for row in rows][-2:] == ["command-quarantined", "note-added"]
    assert "SECRET" not in str(rows[-2].data)
    assert (await anna.case()).quarantined == 1


async def test_a_tick_that_fails_is_tried_again_and_set_aside_once(
    desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The miss is noticed late, but it is noticed; the case never stops looking after itself."""
    anna = desk()
    await anna.walk()
    good, faults = Tick.decide, [0]

    def broken(self: Tick, draft: Draft) -> None:
        if faults[0] < 3:
            faults[0] += 1
            raise Bug
        good(self, draft)

    monkeypatch.setattr(Tick, "decide", broken)
    await anna.forward(days=9)

    async def noticed() -> bool:
        return any(row.kind == "clock-missed" for row in await anna.timeline())

    await anna.until(noticed)
    kinds = [row.kind for row in await anna.timeline()]
    assert kinds.count("command-quarantined") == 1
    assert faults == [3]


async def test_while_the_database_is_away_commands_go_on_and_it_is_caught_up_with(
    desk: Opener, engine: AsyncEngine
) -> None:
    """Another process holds the write lock; nothing waits for it, nothing is lost, nothing is twice."""
    anna = desk()
    await anna.open()
    async with engine.connect() as holder:  # BEGIN IMMEDIATE: the lock is ours until we let go
        await holder.exec_driver_sql("SELECT 1")
        for n in range(6):
            await anna.do("add-note", text=f"note {n}")
        live = await anna.live()
        assert live.unrecorded == 6
        assert live.case is not None
        assert live.case.seq == 8
        await holder.rollback()

    async def caught_up() -> bool:
        return (await anna.live()).unrecorded == 0

    await anna.until(caught_up, seconds=40)
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, 9))


async def test_a_sealed_case_does_not_end_before_its_last_event_is_recorded(
    desk: Opener, engine: AsyncEngine
) -> None:
    """The window is over while the database is away; what is sent then is still answered."""
    anna = desk()
    await anna.walk()
    await anna.do("close", reason="moved")
    async with engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        passing = asyncio.create_task(anna.forward(days=32))  # time stands still while an activity is tried again

        async def sealed() -> bool:
            return (await anna.case()).sealed

        await anna.until(sealed)
        assert (await anna.handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert await anna.refused("add-note", text="too late") == "CaseSealed"
        late = anna.envelope("add-note", text="too late, by signal")
        await anna.handle.signal(messages.SUBMIT_LATER, late)
        await holder.rollback()

    async def over() -> bool:
        return (await anna.handle.describe()).status is WorkflowExecutionStatus.COMPLETED

    await anna.until(over, seconds=40)
    await passing
    assert (await anna.timeline())[-1].kind == "case-sealed"
    async with engine.connect() as connection:
        kept = (await connection.execute(select(CommandRow).where(CommandRow.command_id == late.command_id))).one()
    assert kept.status == "refused"


async def test_a_new_run_carries_what_the_database_does_not_have(desk: Opener, engine: AsyncEngine) -> None:
    """Continue-as-new in the middle of an outage loses nothing."""
    anna = desk(history_events=20)
    await anna.open()
    async with engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        for n in range(8):
            await anna.do("add-note", text=f"note {n}")
        await holder.rollback()

    async def there() -> bool:
        return len(await anna.timeline()) == 10

    await anna.until(there, seconds=40)
    assert (await anna.handle.describe()).run_id != anna.first_run


async def test_a_tick_that_has_failed_for_days_is_still_tried_again(
    desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After sixty faults as after six: the delay has a ceiling, and the case answers all the while."""
    anna = desk(program="demo", tick_faults=60)
    await anna.walk(tier="low")

    def broken(self: Tick, draft: Draft) -> None:
        raise Bug

    monkeypatch.setattr(Tick, "decide", broken)
    await anna.forward(minutes=35)
    await anna.do("add-note", text="still here")
    monkeypatch.undo()
    await anna.forward(minutes=12)

    async def noticed() -> bool:
        return any(row.kind == "clock-missed" for row in await anna.timeline())

    await anna.until(noticed)
    kinds = [row.kind for row in await anna.timeline()]
    assert kinds.index("note-added") < kinds.index("clock-missed")


async def test_a_rung_waits_until_the_directory_can_be_read(desk: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rung climbed while nobody can be found would tell nobody, for ever."""
    anna = desk(program="demo")
    await anna.walk(tier="moderate")

    def away(*_: object) -> object:
        raise OSError("the database is away")

    monkeypatch.setattr("activities.decide.directory", away)
    await anna.forward(minutes=12)
    assert not [row for row in await anna.timeline() if row.kind == "rung-climbed"]
    assert (await anna.case()).quarantined == 0
    monkeypatch.undo()
    await anna.forward(minutes=10)

    async def climbed() -> bool:
        return any(row.kind == "rung-climbed" for row in await anna.timeline())

    await anna.until(climbed)


def added_clock(timeline: list[TimelineRow], task_id: str) -> str:
    """The id of a task's clock."""
    started = [row.data["clock"] for row in timeline if row.kind == "clock-started"]
    return next(str(clock["id"]) for clock in started if clock.get("about") == task_id)


async def test_what_is_overdue_is_noticed_before_a_late_command_settles_it(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> None:
    """Workers away past a deadline, a completion waiting for them: first the miss, then kept late."""
    anna = Desk(environment, settings, engine)
    async with worker(environment.client, settings, in_force(), engine.url):
        await anna.walk()
        due = datetime.now(UTC) + timedelta(seconds=4)
        added = await anna.do("add-task", task="follow-up-call", due_at=due.isoformat())
    task_id = added.created[0]
    await anna.handle.signal(messages.SUBMIT_LATER, anna.envelope("complete-task", task_id=task_id))

    async def overdue() -> bool:
        return datetime.now(UTC) > due + timedelta(seconds=1)

    await anna.until(overdue)
    async with worker(environment.client, settings, in_force(), engine.url):

        async def completed() -> bool:
            done = [row.data["task_id"] for row in await anna.timeline() if row.kind == "task-completed"]
            return task_id in done

        await anna.until(completed)
    clock_id = added_clock(await anna.timeline(), task_id)
    kinds = [row.kind for row in await anna.timeline() if row.data.get("clock_id") == clock_id]
    assert kinds.index("clock-missed") < kinds.index("clock-kept")
