"""The kernel on the real engine: strict order, exactly once, durable signals, time, continue-as-new."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from temporalio.client import WorkflowExecutionStatus

from domain.programs.program import Stage
from infra.tables import CommandRow
from tests.one_case import Desk, forget
from workflows import messages
from workflows.messages import Life

Opener = Callable[..., Desk]


async def test_a_case_walks_to_follow_up_and_every_event_is_on_record(desk: Opener) -> None:
    """On both databases: the timeline has no gap and ends where the workflow is."""
    anna = desk()
    await anna.walk()
    case = await anna.case()
    assert case.stage is Stage.FOLLOW_UP
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, case.seq + 1))
    assert (await anna.live()).seq == case.seq


async def test_a_refused_command_costs_no_history(desk: Opener) -> None:
    """The validator looks ahead: nothing is written for what would be refused."""
    anna = desk()
    await anna.open()
    before = (await anna.handle.describe()).history_length
    assert await anna.refused("complete-screening", accepted=True) == "ConsentMissing"
    assert await anna.refused("cancel-task", task_id="t9", reason="x") == "UnknownTask"
    assert (await anna.handle.describe()).history_length == before


async def test_a_missed_follow_up_climbs_from_owner_to_supervisor_by_itself(desk: Opener) -> None:
    """Days pass and nobody touches the case; each rung fires once and the next contact is promised."""
    anna = desk()
    await anna.walk()
    await anna.climb("contact", "supervisor")
    case = await anna.case()
    missed = next(c for c in case.running if c.missed_at)
    tells = [climb.tell.value for climb in missed.climbs]
    assert tells[:4] == ["owner", "owner", "senior", "supervisor"]
    assert all(climb.at >= climb.planned_at for climb in missed.climbs)
    assert sum(c.kind == "contact" for c in case.running) == 2
    await anna.do("log-contact", mode="telephone", party="patient", reached=True, outcome="fine")
    kept = [row.data for row in await anna.timeline() if row.kind == "clock-kept"][-2:]
    assert sorted(row["late_by"] > 0 for row in kept) == [False, True]


async def test_the_same_command_many_times_is_applied_once_even_across_continue_as_new(desk: Opener) -> None:
    """Each of twenty notes is sent four times, as update and as signal, while runs are forty events long."""
    anna = desk(history_events=40)
    await anna.open()
    notes = [anna.envelope("add-note", text=f"note {n}") for n in range(20)]

    async def send(note_and_way: tuple[int, int]) -> None:
        note, way = notes[note_and_way[0]], note_and_way[1]
        if way:
            await anna.handle.signal(messages.SUBMIT_LATER, note)
        else:
            assert (await anna.update(note)).status == "applied"

    for start in range(0, 20, 4):
        pairs = [(n, way) for n in range(start, start + 4) for way in (0, 1, 0, 1)]
        await asyncio.gather(*(send(pair) for pair in pairs))

    async def all_there() -> bool:
        return [row.kind for row in await anna.timeline()].count("note-added") >= 20

    await anna.until(all_there)
    rows = await anna.timeline()
    texts = [row.data["text"] for row in rows if row.kind == "note-added"]
    assert sorted(texts) == sorted(f"note {n}" for n in range(20))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    first = await anna.handle.describe()
    assert first.raw_description.workflow_execution_info.first_run_id != first.run_id


async def test_a_known_id_answers_its_first_outcome_whatever_is_sent_under_it(desk: Opener) -> None:
    """Also after continue-as-new, where the server has forgotten the id."""
    anna = desk(history_events=20)
    await anna.open()
    once = anna.envelope("add-note", command_id="key-1", text="first")
    first = await anna.update(once)
    for n in range(6):
        await anna.do("add-note", text=f"filler {n}")
    other = await anna.update(anna.envelope("add-note", command_id="key-1", text="second"))
    assert other == first  # whoever asks sees by its fingerprint that it is not hers
    assert await anna.update(once) == first


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_garbage_wrong_typed_and_unknown_signals_are_set_aside_and_the_case_goes_on(desk: Opener) -> None:
    """Nobody can stop a case by sending it something unreadable."""
    anna = desk()
    await anna.open()
    await anna.handle.signal("submit_later", "not an envelope")
    await anna.handle.signal("submit_later", {"command_id": "x", "kind": 7})
    await anna.handle.signal("no_such_signal", "hello")
    await anna.handle.signal("submit_later")
    await anna.handle.signal("submit_later", args=[1, 2])
    await anna.do("add-note", text="still alive")

    async def all_set_aside() -> bool:
        return (await anna.case()).quarantined == 5

    await anna.until(all_set_aside)
    assert sum(row.kind == "message-unreadable" for row in await anna.timeline()) == 5


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_tick_that_somebody_sends_is_settled_like_any_message_and_the_case_goes_on(desk: Opener) -> None:
    """It is not taken for the case's own; what waits behind it is settled."""
    anna = desk()
    await anna.open()
    sent = anna.envelope("tick")
    await anna.handle.signal(messages.SUBMIT_LATER, sent)
    await anna.do("add-note", text="still alive")
    assert not await anna.waits(sent.command_id)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_late_refusal_of_a_signal_is_its_recorded_outcome(desk: Opener) -> None:
    """A signal cannot be refused; the refusal is what can be asked for later."""
    anna = desk()
    await anna.open()
    illegal = anna.envelope("complete-screening", accepted=True)
    await anna.handle.signal(messages.SUBMIT_LATER, illegal)

    async def answered() -> bool:
        return await anna.outcome(illegal.command_id) is not None

    await anna.until(answered)
    outcome = await anna.outcome(illegal.command_id)
    assert outcome is not None
    assert (outcome.status, outcome.error) == ("refused", "ConsentMissing")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_refused_opening_leaves_no_case_and_ends_its_workflow(desk: Opener, engine: AsyncEngine) -> None:
    """A dead patient's referral: refused, on record as refused, and over."""
    anna = desk()
    opening = await anna.open(
        wait=False, referral={"source": "self", "reason": "x", "patient": {"reference": "p", "deceased": True}}
    )

    async def over() -> bool:
        return (await anna.handle.describe()).status is WorkflowExecutionStatus.COMPLETED

    await anna.until(over)
    assert await anna.timeline() == []
    async with engine.connect() as connection:
        kept = (await connection.execute(select(CommandRow.outcome))).scalar_one()
    assert (kept["command_id"], kept["error"]) == (opening.command_id, "PatientDeceased")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_closed_case_stays_through_its_window_and_then_completes(desk: Opener) -> None:
    """Reopening is a command like any other until the window is over."""
    anna = desk()
    await anna.walk()
    await anna.do("close", reason="moved")
    await anna.do("reopen-case", reason="moved back")
    await anna.do("close", reason="moved")
    await anna.forward(days=32)

    async def over() -> bool:
        return (await anna.handle.describe()).status is WorkflowExecutionStatus.COMPLETED

    await anna.until(over)
    assert (await anna.timeline())[-1].kind == "case-sealed"


async def test_the_same_garbage_to_a_run_that_began_again_is_set_aside_again(desk: Opener) -> None:
    """Its number begins anew with the run; what was set aside before must not be taken for it."""
    anna = desk()
    await anna.open()

    async def set_aside(count: int) -> None:
        async def there() -> bool:
            return [row.kind for row in await anna.timeline()].count("message-unreadable") == count

        await anna.until(there)

    await anna.handle.signal("no_such_signal", "hello")
    await set_aside(1)
    await forget(anna.environment, anna.id)
    life = Life(tenant="local", case_id=anna.case_id, history_events=300, known=await anna.position())
    await messages.wake(anna.environment.client, anna.id, anna.settings.task_queue, life, messages.RING)
    await anna.handle.signal("no_such_signal", "hello")
    await set_aside(2)
