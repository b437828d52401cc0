"""Backups come back older than what they belong to: it is found, it is healed, and nobody is told twice."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Engine, delete, func, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, col, select
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from activities.derived import DERIVED, digest_of
from activities.rows import table_of
from deploy import heal
from deploy.drift import Comparison, Finding
from deploy.rebuild import rebuild
from deploy.runs import histories
from domain.case.command import Draft, Envelope
from domain.steps.contacts import AddNote
from infra import database
from infra.encryption import KeyRing, ring_of
from infra.settings import Settings
from infra.tables import CaseRow, CommandRow, QuarantineRow, StateRow, TaskRow, TimelineRow
from infra.timeline import decrypted_state
from tests.one_case import Desk, forget
from workflows import messages

Opener = Callable[..., Desk]
Histories = Callable[[Client, str], AsyncIterator[WorkflowHistory]]


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


@pytest.fixture
def compare(environment: WorkflowEnvironment, record: Engine, settings: Settings) -> Callable[..., Any]:
    async def found(desk: Desk, mend: bool = False, over_gap: bool = False) -> Finding:
        """How this case stands; the server has cases of other tests as well."""
        comparison = Comparison(environment.client, record, settings, mend, over_gap)
        if desk.id in {w.id async for w in environment.client.list_workflows(f"WorkflowId = '{desk.id}'")}:
            return await comparison.compare(desk.id)
        return await comparison.lost(desk.case_id, "local")

    return found


@pytest.fixture
def keys(settings: Settings) -> KeyRing:
    return ring_of(settings)


def digests(record: Engine) -> dict[str, str]:
    """Of every table. What an entry says goes in by its own digest: encrypted twice it is not the same."""
    models: list[type[SQLModel]] = [*DERIVED, TimelineRow, CommandRow]
    with record.connect() as connection:
        rows = {m: connection.execute(table_of(m).select()).mappings().all() for m in models}
    said = {m: [{**row, "encrypted": row.get("digest")} for row in rows[m]] for m in models}
    return {str(m.__tablename__): digest_of(found) for m, found in said.items()}


def set_back(record: Engine, keys: KeyRing, case_id: str, seq: int) -> None:
    """Leave the record as a copy had it that was made after entry `seq`."""
    with record.begin() as connection:
        connection.execute(delete(TimelineRow).where(col(TimelineRow.seq) > seq))
        kept = connection.execute(select(CommandRow.command_id, CommandRow.outcome))
        late = [command_id for command_id, outcome in kept if outcome["seq"] > seq]
        connection.execute(delete(CommandRow).where(col(CommandRow.command_id).in_(late)))
        connection.execute(delete(QuarantineRow).where(col(QuarantineRow.command_id).in_(late)))
    rebuild(record, keys)


async def test_rebuilding_finds_the_same_rows_and_repairs_those_that_are_not(
    desk: Opener, record: Engine, keys: KeyRing
) -> None:
    """Equal by digest on both databases; a row that somebody changed or lost is made again."""
    anna = desk()
    await anna.walk()
    await anna.do("log-contact", mode="video", party="patient", reached=True, outcome="x")
    wrong = (await anna.timeline())[-1]
    logged = next(r.seq for r in await anna.timeline() if r.command_id == wrong.command_id)
    await anna.do("correct-entry", entry=logged, reason="another person's")
    await anna.forward(days=9)
    before = digests(record)
    assert not any(rebuild(record, keys).values())
    assert digests(record) == before
    with record.begin() as connection:
        connection.execute(update(CaseRow).values(stage="closure", head="x"))
        connection.execute(delete(TaskRow))
        connection.execute(delete(StateRow))
    repaired = rebuild(record, keys)
    assert repaired["cases"] == repaired["tasks"] == repaired["states"] == [anna.case_id]
    assert digests(record) == before
    await anna.do("add-note", text="and on")


async def test_a_record_restored_from_an_older_copy_is_healed_from_the_histories(
    desk: Opener, record: Engine, keys: KeyRing, compare: Callable[..., Any]
) -> None:
    """Over several continue-as-news, with a miss and rungs among what was lost; digests equal, nothing twice."""
    anna = desk(history_events=30)
    await anna.walk()
    await anna.forward(days=10)

    async def climbed() -> bool:
        return any(row.kind == "rung-climbed" for row in await anna.timeline())

    await anna.until(climbed)
    for n in range(6):
        await anna.do("add-note", text=f"note {n}")
    before = digests(record)
    assert (await compare(anna)).state == "agrees"
    set_back(record, keys, anna.case_id, 4)
    assert (await compare(anna)).state == "record behind"
    mended = await compare(anna, mend=True)
    assert mended.done.endswith("entries added to the record"), mended
    assert (await compare(anna)).state == "agrees"
    assert digests(record) == before
    await anna.do("add-note", text="and on")


async def test_a_command_that_was_set_aside_is_healed_with_what_it_said(
    desk: Opener, record: Engine, keys: KeyRing, compare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be decided again after a fix, though the record was restored from an older copy."""
    anna = desk()
    await anna.open()

    def broken(self: AddNote, draft: Draft) -> None:
        raise KeyError

    monkeypatch.setattr(AddNote, "decide", broken)
    sent = anna.envelope("add-note", text="to be decided again")
    assert (await anna.update(sent)).status == "failed"
    before = digests(record)
    set_back(record, keys, anna.case_id, 2)
    assert (await compare(anna, mend=True)).done
    assert digests(record) == before
    with record.connect() as connection:
        kept = connection.execute(table_of(QuarantineRow).select()).one()
    place = f"quarantine/{kept.case_id}/{kept.command_id}"
    assert Envelope.model_validate_json(keys.decrypted(kept.envelope, place) or b"") == sent


async def test_a_case_waits_for_what_its_record_lost_and_goes_on_when_that_is_healed(
    desk: Opener, record: Engine, keys: KeyRing, compare: Callable[..., Any]
) -> None:
    """Nothing is decided on a record that is behind; what came meanwhile is applied behind what was put back."""
    anna = desk()
    await anna.walk()
    set_back(record, keys, anna.case_id, 3)
    note = anna.envelope("add-note", text="while the record is behind")
    await anna.handle.signal(messages.SUBMIT_LATER, note)

    async def waits() -> bool:
        pending = (await anna.handle.describe()).raw_description.pending_activities
        return any(p.last_failure.application_failure_info.type == "RecordBehind" for p in pending)

    await anna.until(waits)
    assert (await compare(anna, mend=True)).done

    async def there() -> bool:
        return [row.data.get("text") for row in await anna.timeline()][-1:] == ["while the record is behind"]

    await anna.until(there, seconds=40)
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert (await compare(anna)).state == "agrees"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_no_history_has_any_more_is_said_and_gone_over_only_when_asked(
    desk: Opener, record: Engine, keys: KeyRing, compare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest run is left, as after the retention: entries are lost, the state they led to is not."""
    anna = desk(history_events=30)
    await anna.walk()
    for n in range(10):
        await anna.do("add-note", text=f"note {n}")
    known = await anna.case()
    monkeypatch.setattr(heal, "histories", newest_only(histories))
    set_back(record, keys, anna.case_id, 2)
    assert "in no history" in (await compare(anna, mend=True)).done
    await compare(anna, mend=True, over_gap=True)
    assert await anna.case() == known
    await anna.do("add-note", text="and on")
    assert (await compare(anna)).state == "agrees"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_case_whose_past_differs_waits_until_it_is_begun_again_from_the_record(
    desk: Opener, record: Engine, keys: KeyRing, compare: Callable[..., Any]
) -> None:
    """Somebody exchanged its last entry: nothing is decided on it by itself, and what waits is not lost."""
    anna = desk()
    await anna.open()
    with record.begin() as connection:
        last = select(func.max(TimelineRow.seq)).scalar_subquery()
        connection.execute(update(TimelineRow).where(col(TimelineRow.seq) == last).values(hash="another"))
        connection.execute(update(CaseRow).values(head="another"))
    note = anna.envelope("add-note", text="waits")
    await anna.handle.signal(messages.SUBMIT_LATER, note)
    assert (await compare(anna)).state == "differs"
    assert (await compare(anna, mend=True)).done == "begun again from the record"

    async def applied() -> bool:
        return await anna.outcome(note.command_id) is not None

    await anna.until(applied)
    assert (await compare(anna)).state == "agrees"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_case_that_the_engine_lost_is_begun_again_from_the_record(
    desk: Opener, compare: Callable[..., Any], environment: WorkflowEnvironment
) -> None:
    """It knows its state, its promises and the outcomes of its commands."""
    anna = desk()
    await anna.walk()
    note = anna.envelope("add-note", text="once")
    first = await anna.update(note)
    known = await anna.case()
    await forget(environment, anna.id)
    assert (await compare(anna)).state == "not in the engine"
    assert (await compare(anna, mend=True)).done == "begun again from the record"
    assert await anna.case() == known
    assert await anna.update(note) == first
    await anna.forward(days=10)

    async def missed() -> bool:
        return any(row.kind == "clock-missed" for row in await anna.timeline())

    await anna.until(missed)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_sealed_case_is_whole_without_the_engine(
    desk: Opener, record: Engine, keys: KeyRing, environment: WorkflowEnvironment
) -> None:
    """Its state is on record before its workflow completes, and is what its timeline makes."""
    anna = desk()
    await anna.walk()
    await anna.do("close", reason="moved")
    await anna.forward(days=32)

    async def sealed() -> bool:
        return (await anna.case()).sealed

    await anna.until(sealed)
    with record.connect() as connection:
        row = connection.execute(table_of(StateRow).select()).one()
    assert decrypted_state(keys, row.state, row.case_id) == await anna.case()


def newest_only(all_of_them: Histories) -> Histories:
    """The histories of a case as an engine has them that has forgotten all closed runs."""

    async def found(client: Client, workflow_id: str) -> AsyncIterator[WorkflowHistory]:
        async for history in all_of_them(client, workflow_id):
            yield history
            return

    return found
