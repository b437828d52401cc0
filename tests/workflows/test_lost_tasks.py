"""A task is lost after the record has its message: whoever comes next finds it there, once."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment

from activities.settle import Message, RecordAway, Settling, _Result
from domain.case.command import Envelope
from infra.settings import Settings
from tests.one_case import Desk, settle_and_lose
from tests.story import in_force
from worker import worker
from workflows import messages

Opener = Callable[..., Desk]
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_a_command_that_a_lost_task_has_settled_is_answered_as_it_was_settled(desk: Opener) -> None:
    """Its sender repeats it and is answered from the record; the run learns of it and goes on behind it."""
    anna = desk()
    await anna.open()
    note = anna.envelope("add-note", text="once")
    [lost] = await settle_and_lose(anna, note)
    assert (await anna.live()).seq == lost.known.seq - 1
    assert await anna.update(note) == lost.outcome
    assert (await anna.live()).seq == lost.known.seq
    await anna.do("add-note", text="and on")
    rows = await anna.timeline()
    assert [row.data["text"] for row in rows if row.kind == "note-added"] == ["once", "and on"]


async def test_commands_of_a_lost_task_in_another_order_keep_the_order_of_the_record(desk: Opener) -> None:
    """First noted b, then a; the case is asked for a, then b."""
    anna = desk()
    await anna.open()
    a, b = (anna.envelope("add-note", text=text) for text in ("a", "b"))
    await settle_and_lose(anna, b, a)
    assert (await anna.update(a)).seq == (await anna.update(b)).seq + 1
    assert [row.data.get("text") for row in await anna.timeline()][-2:] == ["b", "a"]


async def test_a_run_that_is_behind_the_record_refuses_nothing_by_what_it_knows(
    desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consent is on record; a worker that remembers the case without it lets the record decide."""
    anna = desk()
    await anna.open()
    before = await anna.case()
    await settle_and_lose(anna, anna.envelope("record-consent", form="verbal"))
    monkeypatch.setattr("workflows.preflight._in_force", [(in_force(), lambda head: before)])
    seen = (await anna.position()).seq
    accepted = anna.envelope("complete-screening", accepted=True)
    assert (await anna.update(accepted.changed(seen=seen))).status == "applied"


async def test_a_case_set_back_goes_on_from_the_record_and_nobody_is_told_twice(
    desk: Opener, environment: WorkflowEnvironment
) -> None:
    """The engine came back from an older copy; the contact was logged since: its old deadline passes unmissed."""
    anna = desk()
    await anna.walk()
    due = min(clock.due_at for clock in (await anna.case()).running if clock.kind == "contact")
    call = anna.envelope("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    await settle_and_lose(anna, call, later=timedelta(days=1))
    case = await anna.case()
    promised = min(clock.due_at for clock in case.running if clock.kind == "contact")
    assert promised > due
    await environment.fast_forward(anna.handle, due - case.opened_at + timedelta(minutes=5))

    async def followed() -> bool:
        return (await anna.live()).seq == (await anna.case()).seq

    await anna.until(followed)
    missed = [row for row in await anna.timeline() if row.kind == "clock-missed" and row.at < promised]
    assert missed == []
    assert (await anna.case()).quarantined == 0


async def test_a_command_repeated_after_many_others_is_answered_as_the_first_time(desk: Opener) -> None:
    """Its outcome has long left the run; the record knows it for ever."""
    anna = desk(history_events=200)
    await anna.open()
    first = anna.envelope("add-note", text="the first")
    outcome = await anna.update(first)
    for n in range(60):
        await anna.do("add-note", text=f"{n}")
    assert await anna.update(first) == outcome
    await anna.do("add-note", text="and on")
    assert sum(row.data.get("text") == "the first" for row in await anna.timeline()) == 1


def losing_every_third(settled: list[str]) -> Callable[[Settling, Message], _Result]:
    """Settles every message on record; every third answer is lost on its way back, as with a dying worker."""
    good = Settling._in_one_go

    def settle(self: Settling, message: Message) -> _Result:
        result = good(self, message)
        settled.append(message.envelope.command_id)
        if len(settled) % 3 == 0:
            raise RecordAway("lost")
        return result

    return settle


async def test_answers_lost_under_load_repeats_signals_ticks_and_new_runs_apply_everything_once(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command is sent as update and as signal, the demo's promises fall due in seconds, runs are short."""
    settled: list[str] = []
    monkeypatch.setattr(Settling, "_in_one_go", losing_every_third(settled))
    anna = Desk(environment, settings, engine, program="demo", history_events=40)
    async with worker(environment.client, settings, in_force(), engine.url):
        await anna.walk(tier="moderate")
        notes = [anna.envelope("add-note", text=f"{n}") for n in range(20)]

        async def send(note: Envelope, way: int) -> None:
            if way:
                await anna.handle.signal(messages.SUBMIT_LATER, note)
            else:
                assert (await anna.update(note)).status == "applied"

        pairs: list[Any] = [send(note, way) for note in notes for way in (0, 1, 0)]
        await asyncio.gather(*pairs)
        await anna.forward(minutes=20)

        async def missed() -> bool:
            return any(row.kind == "clock-missed" for row in await anna.timeline())

        await anna.until(missed)
    rows = await anna.timeline()
    assert len(settled) > 40
    texts = [row.data["text"] for row in rows if row.kind == "note-added"]
    assert sorted(texts) == sorted(f"{n}" for n in range(20))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    told = [(row.data["clock_id"], row.kind) for row in rows if row.kind == "clock-missed"]
    assert len(told) == len(set(told))
