"""One message, one transaction: on record once or not at all, whatever dies; every change shows in the chain."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, delete, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, col, select

from activities import record
from activities.decide import Rules
from activities.rows import table_of
from activities.settle import Message, RecordAway, Settled, Settling
from activities.states import States
from domain.case.command import Envelope, Outcome
from domain.case.event import Event, Position
from domain.values import SYSTEM
from infra import database
from infra.encryption import KeyRing
from infra.notice_tables import OutboxRow
from infra.tables import (
    CaseRow,
    ClockRow,
    CommandRow,
    QuarantineRow,
    StateRow,
    TaskRow,
    TimelineRow,
)
from infra.timeline import RecordAltered, decrypted_state, entry_of, folded
from tests.conftest import KEY
from tests.recorded import put_entries
from tests.story import ANNA, MONDAY, Story, in_force, referral

ROOT = Path(__file__).parents[2]
KEYS = KeyRing([KEY])
LISTS: tuple[type[SQLModel], ...] = (CaseRow, TaskRow, ClockRow, OutboxRow, TimelineRow)


@pytest_asyncio.fixture(loop_scope="session")
async def writing(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


def works(writing: Engine) -> Settling:
    return Settling(writing, Rules(in_force()), States(KEYS))


def opening(program: str = "complex-care") -> Envelope:
    body = {"case_id": "case-1", "tenant": "local", "program": program, "team": "north"}
    return Envelope(command_id="open", kind="open", body={**body, "referral": referral()}, actor=ANNA)


def note(number: int, text: str = "") -> Envelope:
    return Envelope(command_id=f"note-{number}", kind="add-note", body={"text": text or f"{number}"}, actor=ANNA)


def message(envelope: Envelope, known: Position | None = None, **more: Any) -> Message:
    given = {"tenant": "local", "case_id": "case-1", "now": MONDAY, **more}
    return Message(envelope=envelope, known=known or Position(), **given)


def settled(settling: Settling, envelope: Envelope, known: Position | None = None, **more: Any) -> Settled:
    return settling._in_one_go(message(envelope, known, **more)).settled


def rows(writing: Engine, model: type[SQLModel]) -> list[dict[str, Any]]:
    with writing.connect() as connection:
        found = connection.execute(table_of(model).select()).mappings().all()
    kept = ({k: v for k, v in row.items() if k not in ("recorded_at", "encrypted")} for row in found)
    return sorted(kept, key=lambda row: str(sorted(row.items(), key=lambda item: item[0])))


def broken_at(writing: Engine) -> int | None:
    """The first row whose hash is not what its content gives."""
    with writing.connect() as connection:
        found = connection.execute(table_of(TimelineRow).select().order_by("seq")).all()
    previous = ""
    for row in found:
        try:
            entry_of(KEYS, row)
        except RecordAltered:
            return int(row.seq)
        if row.previous != previous:
            return int(row.seq)
        previous = row.hash
    return None


async def test_a_message_settled_again_is_answered_from_the_record(writing: Engine) -> None:
    """Also by a worker that has just started, and by a run that is behind: it is told what it does not know."""
    first = settled(works(writing), opening())
    noted = settled(works(writing), note(1), first.known)
    again = settled(works(writing), note(1), first.known)
    assert again.outcome == noted.outcome
    assert again.entries == noted.entries
    assert again.known == noted.known
    assert settled(works(writing), note(1), noted.known).entries == ()
    assert [row["kind"] for row in rows(writing, TimelineRow)].count("note-added") == 1
    assert len(rows(writing, CommandRow)) == 2


async def test_a_run_that_has_just_begun_is_told_all_that_the_record_has(writing: Engine) -> None:
    """It was begun from nothing: the newest entries come with the answer, and the case with its first message."""
    settling = works(writing)
    first = settled(settling, opening())
    told = settled(settling, note(1), begins=True)
    assert [entry.seq for entry in told.entries] == list(range(1, first.known.seq + 2))
    assert told.case is not None
    assert told.case.seq == told.known.seq


async def test_a_record_that_is_behind_or_has_another_past_is_not_written_to(writing: Engine) -> None:
    """It was restored from an older copy: the case waits until somebody has healed it."""
    settling = works(writing)
    first = settled(settling, opening())
    with pytest.raises(record.RecordBehind):
        settled(settling, note(1), Position(seq=first.known.seq + 3, head="x"))
    with pytest.raises(record.RecordDiffers):
        settled(settling, note(1), Position(seq=first.known.seq, head="another"))
    noted = settled(settling, note(1), first.known)
    with pytest.raises(record.RecordDiffers):
        settled(settling, note(2), Position(seq=first.known.seq, head="another"))
    assert rows(writing, CaseRow)[0]["head"] == noted.known.head


async def test_a_fault_in_a_rule_leaves_the_command_set_aside_as_it_was_sent(
    writing: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be decided again after a fix; a tick comes back later and is set aside once."""

    class Bug(Exception):
        pass

    def broken(*_: object) -> None:
        raise Bug("may quote SECRET things")

    settling = works(writing)
    first = settled(settling, opening())
    monkeypatch.setattr("activities.decide.decide", broken)
    failed = settled(settling, note(1, "SECRET"), first.known)
    assert (failed.outcome.status, failed.outcome.error) == ("failed", "Bug")
    [kept] = rows(writing, QuarantineRow)
    assert b"SECRET" not in kept["envelope"]
    place = f"quarantine/{kept['case_id']}/{kept['command_id']}"
    assert Envelope.model_validate_json(KEYS.decrypted(kept["envelope"], place) or b"") == note(1, "SECRET")
    tick = Envelope(command_id="tick-2", kind="tick", body={}, actor=SYSTEM)
    for again, minutes in ((0, 1), (1, 2), (9, 10)):
        late = settled(settling, tick, failed.known, again=again)
        assert late.wake_at == MONDAY + timedelta(minutes=minutes)
    kinds = [row["kind"] for row in sorted(rows(writing, TimelineRow), key=lambda row: row["seq"])]
    assert kinds[first.known.seq :] == ["command-quarantined", "command-quarantined"]
    assert len(rows(writing, QuarantineRow)) == 1


async def test_a_state_beside_the_line_is_what_the_timeline_makes(writing: Engine) -> None:
    """It is encrypted; where it is missing or was changed by somebody, the timeline is folded."""
    settling = works(writing)
    first = settled(settling, opening())
    [kept] = rows(writing, StateRow)
    assert b"Patient" not in kept["state"]
    with writing.connect() as connection:
        case = folded(connection, KEYS, "case-1")
    assert decrypted_state(KEYS, kept["state"], kept["case_id"]) == case
    with writing.begin() as connection:
        connection.execute(update(StateRow).values(state=kept["state"][:-3] + b"xyz"))
    assert settled(works(writing), note(1), first.known).outcome.status == "applied"
    with writing.begin() as connection:
        connection.execute(delete(StateRow))
    assert settled(works(writing), note(2)).outcome.status == "applied"


async def test_written_entry_by_entry_or_all_at_once_the_lists_are_the_same(writing: Engine) -> None:
    """The lists are derived: however a timeline was cut, they say the same."""
    told = Story().planned("education")
    told.wait(days=20)
    told.do("complete-task", task_id=told.known.open_tasks[0].id)
    told.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    there = record.Standing()
    for entry in told.timeline:
        there = put_entries(writing, KEYS, "case-1", there, [entry])
    first = {model: rows(writing, model) for model in LISTS}
    with writing.begin() as connection:
        everything: list[type[SQLModel]] = [*LISTS, StateRow]
        for model in everything:
            connection.execute(delete(table_of(model)))
    put_entries(writing, KEYS, "case-1", record.Standing(), told.timeline)
    assert {model: rows(writing, model) for model in LISTS} == first
    states = {row["id"]: row["state"] for row in first[ClockRow]}
    assert {"kept", "running"} <= set(states.values())
    notices = [n for entry in told.timeline for n in entry.event.notices(told.known)]
    assert len(first[OutboxRow]) == len({(n.key, n.recipient) for n in notices})
    assert {row["recipient"] for row in first[OutboxRow]} == {"cm-anna", "senior-1", "sup-1", "dir-1"}


async def test_any_change_to_the_timeline_breaks_its_chain(writing: Engine) -> None:
    """Each row carries the hash of the one before and of all it says itself."""
    put_entries(writing, KEYS, "case-1", record.Standing(), Story().followed_up().timeline)
    assert broken_at(writing) is None
    with writing.begin() as connection:
        connection.execute(update(TimelineRow).where(col(TimelineRow.seq) == 5).values(actor="cm-ben"))
    assert broken_at(writing) == 5


def test_whoever_reads_the_record_knows_every_event() -> None:
    """Operators' tools fold timelines without the workflow: what it alone writes must be known there too."""
    asked = "import infra.timeline; from domain.case.event import Event; print(*Event.kinds)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    ours = {kind for kind, event in Event.kinds.items() if event.__module__.startswith("domain.")}
    assert ours - set(said.stdout.split()) == set()
    assert {"command-quarantined", "message-unreadable", "case-restored"} <= ours


class Run:
    """A case's run as its workflow keeps it: how far it knows the timeline, and what waits."""

    def __init__(self) -> None:
        self.known, self.inbox = Position(), [opening("demo")]


class LostTasks(RuleBasedStateMachine):
    """Tasks are lost after their commit, runs begin anew and are set back, people repeat: everything once."""

    template: Path

    @initialize()
    def begin(self) -> None:
        self.file = self.template.with_name(f"lost-{id(self)}.db")
        shutil.copyfile(self.template, self.file)
        self.writing = database.blocking(f"sqlite:///{self.file}")
        self.run, self.copies, self.now = Run(), list[Run](), MONDAY
        self.acknowledged: dict[str, Outcome] = {}
        self.settling = works(self.writing)

    def teardown(self) -> None:
        if hasattr(self, "writing"):
            self.writing.dispose()
            self.file.unlink()

    def _settle(self, envelope: Envelope) -> Settled:
        return settled(self.settling, envelope, self.run.known, now=self.now)

    @rule(number=st.integers(0, 5))
    def somebody_sends_or_repeats(self, number: int) -> None:
        if all(waiting.command_id != f"note-{number}" for waiting in self.run.inbox):
            self.run.inbox.append(note(number))

    @precondition(lambda self: self.run.inbox)
    @rule()
    def a_message_is_settled_and_answered(self) -> None:
        answer = self._settle(self.run.inbox[0])
        envelope = self.run.inbox.pop(0)
        self.run.known = answer.known
        first = self.acknowledged.setdefault(envelope.command_id, answer.outcome)
        assert first == answer.outcome

    @precondition(lambda self: self.run.inbox)
    @rule()
    def a_task_is_lost_after_its_commit(self) -> None:
        self._settle(self.run.inbox[0])

    @precondition(lambda self: self.run.inbox)
    @rule()
    def a_transaction_fails(self) -> None:
        def broken(*_: object) -> None:
            raise OSError

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(RecordAway):
            patch.setattr(record, "write_lines", broken)
            self._settle(self.run.inbox[0])  # nothing of it is on record

    @rule(minutes=st.integers(1, 30), lost=st.booleans())
    def time_passes(self, minutes: int, lost: bool) -> None:
        self.now += timedelta(minutes=minutes)
        tick = Envelope(command_id=f"tick-{self.run.known.seq}", kind="tick", body={}, actor=SYSTEM)
        answer = self._settle(tick)
        if not lost:
            self.run.known = answer.known

    @rule()
    def another_worker_takes_over(self) -> None:
        """It knows no case yet; and the run continues as new with what it carries."""
        self.settling = works(self.writing)

    @rule()
    def the_engine_is_copied(self) -> None:
        self.copies.append(deepcopy(self.run))

    @precondition(lambda self: self.copies)
    @rule()
    def the_engine_is_set_back(self) -> None:
        self.run = deepcopy(self.copies[-1])

    @invariant()
    def everything_is_there_once_and_in_order(self) -> None:
        if not hasattr(self, "writing"):
            return
        with self.writing.connect() as connection:
            there = connection.execute(table_of(TimelineRow).select().order_by("seq")).all()
            known = connection.execute(select(CommandRow.command_id, CommandRow.outcome)).all()
        assert [row.seq for row in there] == list(range(1, len(there) + 1))
        texts = [entry_of(KEYS, row).data["text"] for row in there if row.kind == "note-added"]
        assert len(texts) == len(set(texts))
        outcomes = {row.command_id: Outcome.model_validate(row.outcome) for row in known}
        assert {name: outcomes.get(name) for name in self.acknowledged} == self.acknowledged
        assert all(outcome.status == "applied" for outcome in outcomes.values())
        missed = [row.facts["clock_id"] for row in there if row.kind == "clock-missed"]
        assert len(missed) == len(set(missed))
        assert broken_at(self.writing) is None


def test_settled_and_lost_at_any_point_everything_is_on_record_once(migrated_sqlite: Path) -> None:
    LostTasks.template = migrated_sqlite
    LostTasks.TestCase.settings = settings(
        max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    LostTasks.TestCase("runTest").runTest()
