"""What goes wrong around a case: a bug in a rule, a database that is away, a worker that is killed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment

from domain.case.command import Draft
from domain.steps.contacts import AddNote
from domain.tick import Tick
from infra.settings import Settings
from tests.one_case import Desk
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


async def test_while_the_record_is_away_nothing_is_decided_and_no_history_grows(
    desk: Opener, engine: AsyncEngine
) -> None:
    """Another process holds the write lock: what comes waits durably, and each is applied once when it is back."""
    anna = desk()
    await anna.open()
    notes = [anna.envelope("add-note", text=f"note {n}") for n in range(6)]
    async with engine.connect() as holder:  # BEGIN IMMEDIATE: the lock is ours until we let go
        await holder.exec_driver_sql("SELECT 1")
        for note in notes:
            await anna.handle.signal(messages.SUBMIT_LATER, note)

        async def waits() -> bool:
            pending = (await anna.handle.describe()).raw_description.pending_activities
            return any(p.activity_type.name == "settle" and p.attempt > 2 for p in pending)

        await anna.until(waits, seconds=40)
        before = (await anna.handle.describe()).history_length
        assert await anna.waits(notes[0].command_id)
        assert await anna.outcome(notes[0].command_id) is None
        await anna.until(waits)
        assert (await anna.handle.describe()).history_length == before
        await holder.rollback()

    async def settled() -> bool:
        return (await anna.live()).waiting == 0

    await anna.until(settled, seconds=40)
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.kind for row in rows].count("note-added") == 6
    assert [row.data["text"] for row in rows[-6:]] == [f"note {n}" for n in range(6)]


async def test_a_case_whose_programme_is_missing_waits_until_its_file_is_back(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> None:
    """Somebody removed a file that cases run under: their commands wait, and are not set aside as faults."""
    anna = Desk(environment, settings, engine)
    async with worker(environment.client, settings, in_force(), engine.url):
        await anna.open()
    others = tuple(p for p in in_force().programs if p.program != "complex-care")
    note = anna.envelope("add-note", text="written meanwhile")
    async with worker(environment.client, settings, in_force().changed(programs=others), engine.url):
        await anna.handle.signal(messages.SUBMIT_LATER, note)

        async def waits() -> bool:
            pending = (await anna.handle.describe()).raw_description.pending_activities
            return any(p.last_failure.application_failure_info.type == "ProgramMissing" for p in pending)

        await anna.until(waits)
        assert await anna.outcome(note.command_id) is None
    async with worker(environment.client, settings, in_force(), engine.url):

        async def applied() -> bool:
            return await anna.outcome(note.command_id) is not None

        await anna.until(applied, seconds=40)
    assert [row.kind for row in await anna.timeline()][-1] == "note-added"
    assert (await anna.case()).quarantined == 0


async def test_a_new_run_carries_what_waits_for_the_record(desk: Opener, engine: AsyncEngine) -> None:
    """More comes than a run may hold while the record is away: nothing is lost over the continue-as-new."""
    anna = desk(history_events=20)
    await anna.open()
    async with engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        for n in range(30):
            await anna.handle.signal(messages.SUBMIT_LATER, anna.envelope("add-note", text=f"note {n}"))
        await holder.rollback()

    async def there() -> bool:
        return [row.kind for row in await anna.timeline()].count("note-added") == 30

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


def added_clock(timeline: list[Any], task_id: str) -> str:
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
