"""When the record has something else than a case has just decided, the case follows the record."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment

from activities.record import Recording
from infra import database
from tests.desk import Desk, write_ahead
from workflows import messages

Opener = Callable[..., Desk]


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    """One of them is enough, but where a table must be locked against readers too."""
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def recording(engine: AsyncEngine) -> AsyncIterator[Recording]:
    writing = database.blocking(engine.url)
    yield Recording(writing)
    writing.dispose()


async def test_a_command_that_a_lost_task_has_recorded_is_answered_as_it_was_recorded(
    desk: Opener, recording: Recording
) -> None:
    """Decided twice, recorded once: the first decision holds, and nothing is flagged."""
    anna = desk()
    await anna.open()
    note = anna.envelope("add-note", text="once")
    recorded = await write_ahead(anna, recording, note)
    outcome = await anna.update(note)
    assert (outcome.status, outcome.seq) == ("applied", recorded.seq)
    rows = await anna.timeline()
    assert [row.data["text"] for row in rows if row.kind == "note-added"] == ["once"]
    assert await anna.case() == recorded
    await anna.do("add-note", text="and on")
    assert [row.seq for row in await anna.timeline()] == list(range(1, recorded.seq + 2))


async def test_commands_of_a_lost_task_in_another_order_keep_the_recorded_order(
    desk: Opener, recording: Recording
) -> None:
    """First noted b, then a; the case is asked for a, then b."""
    anna = desk()
    await anna.open()
    a, b = (anna.envelope("add-note", text=text) for text in ("a", "b"))
    await write_ahead(anna, recording, b, a)
    assert (await anna.update(a)).seq == (await anna.update(b)).seq + 1
    assert [row.data.get("text") for row in await anna.timeline()][-2:] == ["b", "a"]


async def test_a_case_set_back_follows_the_record_and_says_so(desk: Opener, recording: Recording) -> None:
    """The engine came back from an older copy: what others had been answered stays, and the case is flagged."""
    anna = desk()
    await anna.open()
    notes = [anna.envelope("add-note", text=f"{n}") for n in range(3)]
    known = await write_ahead(anna, recording, *notes, by=f"{anna.first_run}/1000")
    outcome = await anna.do("add-note", text="after the restore")
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.kind for row in rows][-5:] == ["note-added"] * 3 + ["case-restored", "note-added"]
    assert rows[-2].data == {"others": 3}
    assert outcome.seq == known.seq + 2
    assert (await anna.case()).quarantined == 1


async def test_a_case_set_back_is_not_escalated_again(
    desk: Opener, recording: Recording, environment: WorkflowEnvironment
) -> None:
    """The contact was logged after the copy was made: time passes the old deadline and nobody is told."""
    anna = desk()
    await anna.walk()
    due = min(clock.due_at for clock in (await anna.case()).running if clock.kind == "contact")
    call = anna.envelope("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    case = await write_ahead(anna, recording, call, later=timedelta(days=1), by="another-run/7")
    promised = min(clock.due_at for clock in case.running if clock.kind == "contact")
    assert promised > due
    await environment.fast_forward(anna.handle, due - case.opened_at + timedelta(minutes=5))

    async def followed() -> bool:
        return any(row.kind == "case-restored" for row in await anna.timeline())

    await anna.until(followed)
    missed = [row for row in await anna.timeline() if row.kind == "clock-missed" and row.at < promised]
    assert missed == []


async def test_a_command_repeated_after_two_hundred_others_is_answered_as_the_first_time(desk: Opener) -> None:
    """Its outcome has left the case; the record knows it, and the case goes on behind it."""
    anna = desk(history_events=200)
    await anna.open()
    first = anna.envelope("add-note", text="the first")
    outcome = await anna.update(first)
    for n in range(210):
        await anna.do("add-note", text=f"{n}")
    assert await anna.update(first) == outcome
    await anna.do("add-note", text="and on")
    assert sum(row.data.get("text") == "the first" for row in await anna.timeline()) == 1


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
async def test_what_comes_while_the_case_reads_the_record_is_answered_as_well(
    desk: Opener, recording: Recording
) -> None:
    """The record is slow: commands and unreadable messages that come meanwhile wait, and are not lost."""
    anna = desk(history_events=60)
    await anna.open()
    await write_ahead(anna, recording, anna.envelope("add-note", text="on record"), by=f"{anna.first_run}/1000")
    note, queued = anna.envelope("add-note", text="meanwhile"), anna.envelope("add-note", text="queued meanwhile")
    async with anna.engine.begin() as holder:
        await holder.exec_driver_sql("LOCK TABLE timeline IN ACCESS EXCLUSIVE MODE")
        await anna.handle.signal(messages.FOLLOW_RECORD)

        async def reading() -> bool:
            pending = (await anna.handle.describe()).raw_description.pending_activities
            return any(activity.activity_type.name == "recall" for activity in pending)

        await anna.until(reading)
        answered = asyncio.create_task(anna.update(note))
        await anna.handle.signal(messages.SUBMIT_LATER, queued)
        await anna.handle.signal("no_such_signal")
    assert (await answered).status == "applied"
    await anna.do("add-note", text="and on")
    rows = await anna.timeline()
    texts = [row.data["text"] for row in rows if row.kind == "note-added"]
    assert sorted(texts) == ["and on", "meanwhile", "on record", "queued meanwhile"]
    assert sum(row.kind == "message-unreadable" for row in rows) == 1
