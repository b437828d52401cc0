"""The record of one case: how far it goes, and what one more message adds to it, within a transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, update
from sqlmodel import col, select

from activities.rows import (
    CONTACT_LOGGED,
    add,
    clock_row,
    command_row,
    contact_row,
    feed_row,
    item_row,
    put,
    quarantine_row,
    state_row,
    task_row,
)
from domain.case.case import Case
from domain.case.command import Decision, Envelope, Outcome
from domain.case.event import Entry, Position
from domain.lines import Lines
from domain.tick import Tick
from infra.encryption import KeyRing
from infra.event_types import event_types
from infra.item_tables import ItemRow
from infra.notice_tables import DeliveryRow, OutboxRow
from infra.notices import delivery_row, notice_row
from infra.tables import (
    CaseRow,
    ClockRow,
    CommandRow,
    ContactRow,
    QuarantineRow,
    StateRow,
    TaskRow,
    TimelineRow,
)
from infra.timeline import entry_of, rows_of, timeline_row
from infra.webhook_tables import FeedRow

MOST_TOLD = 200
_CASE = col(CaseRow.id) == bindparam("case_id")
_COMMAND = (
    col(CommandRow.case_id) == bindparam("case_id"),
    col(CommandRow.command_id) == bindparam("command_id"),
)
_LOOK = select(  # asked at every message: building it takes longer than its answer
    select(CaseRow.seq).where(_CASE).scalar_subquery(),
    select(CaseRow.head).where(_CASE).scalar_subquery(),
    select(CommandRow.outcome).where(*_COMMAND).scalar_subquery(),
)
_HASH = select(TimelineRow.hash).where(
    col(TimelineRow.case_id) == bindparam("case_id"), col(TimelineRow.seq) == bindparam("seq")
)


class Standing(NamedTuple):
    """A case on record, None before it was opened, and where its timeline ends."""

    case: Case | None = None
    at: Position = Position()


class RecordBehind(Exception):
    """The record ends before what the case's run knows: it was restored from an older copy (`make drift`)."""


class RecordDiffers(Exception):
    """The record has another past than the case's run knows (`make drift` says which case)."""


def look(connection: Connection, case_id: str, command_id: str) -> tuple[Position, Outcome | None]:
    """How far the record of a case goes, and what became of a command; the case must be locked."""
    row = connection.execute(_LOOK, {"case_id": case_id, "command_id": command_id}).one()
    seq, head, outcome = row
    return Position(seq=seq or 0, head=head or ""), Outcome.model_validate(outcome) if outcome else None


def news(connection: Connection, keys: KeyRing, case_id: str, known: Position, at: Position) -> tuple[Entry, ...]:
    """What the record has behind a position; of very much only the newest.

    Raises `RecordBehind`, `RecordDiffers` where that position is none of its own.
    """
    if known.seq > at.seq:
        raise RecordBehind
    if known.seq:
        there = at.head
        if known.seq < at.seq:
            there = connection.execute(_HASH, {"case_id": case_id, "seq": known.seq}).scalar() or ""
        if known.head not in ("", there):
            raise RecordDiffers
    if known.seq == at.seq:
        return ()
    return tuple(entry_of(keys, row) for row in rows_of(connection, case_id, max(known.seq, at.seq - MOST_TOLD)))


def write(
    connection: Connection,
    keys: KeyRing,
    key: dict[str, str],
    envelope: Envelope,
    before: Standing,
    decision: Decision,
) -> Standing:
    """Write what a message brought about: timeline, lists, notices, state, outcome. Returns where it ends."""
    after = write_entries(connection, keys, key, before, decision.entries)
    if envelope.kind == Tick.kind:  # it is sent by time itself and leaves no outcome
        _wakes_again(connection, key["case_id"], decision.wake_at)
        return after
    add(connection, CommandRow, [command_row(key, decision.outcome, envelope.actor.subject)])
    if decision.outcome.status == "failed":
        add(connection, QuarantineRow, [quarantine_row(key, keys, envelope, decision.outcome)])
    return after


def write_entries(
    connection: Connection,
    keys: KeyRing,
    key: dict[str, str],
    before: Standing,
    entries: Sequence[Entry],
) -> Standing:
    """Add entries to a timeline that ends at `before`, with the lists and the state that follow from them."""
    if not entries:
        return before
    lines, at = Lines(before.case).then(entries), before.at
    rows = []
    for entry in entries:
        rows.append(timeline_row(keys, key, entry, at.head))
        at = Position(seq=entry.seq, head=rows[-1]["hash"])
    add(connection, TimelineRow, rows)
    assert lines.line is not None
    program = lines.line.program
    add(connection, FeedRow, (feed_row(key, entry, program) for entry in entries if entry.kind in event_types()))
    write_lines(connection, keys, key, lines, at)
    add(connection, ContactRow, [contact_row(key, entry) for entry in entries if entry.kind == CONTACT_LOGGED])
    assert lines.case is not None
    put(connection, StateRow, [state_row(keys, lines.case)])
    return Standing(lines.case, at)


def write_lines(connection: Connection, keys: KeyRing, key: dict[str, str], lines: Lines, at: Position) -> None:
    """Put a case's line and those of its tasks, promises, other items and notices into the lists."""
    now = datetime.now(UTC)
    own: dict[str, Any] = {**dict(lines.line or ()), "head": at.head, "recorded_at": now}
    put(connection, CaseRow, [own])
    put(connection, TaskRow, (task_row(keys, key, line) for line in lines.tasks.values()))
    put(connection, ClockRow, (clock_row(keys, key, line) for line in lines.clocks.values()))
    put(connection, ItemRow, (item_row(keys, key, line) for line in lines.items.values()))
    add(connection, OutboxRow, (notice_row(keys, key, notice) for notice in lines.notices))
    add(connection, DeliveryRow, (delivery_row(key, notice) for notice in lines.notices))


_WAKES = update(CaseRow).where(_CASE).values(wakes_at=bindparam("wake_at"))


def _wakes_again(connection: Connection, case_id: str, wake_at: datetime | None) -> None:
    """Write down when a case asks for attention next; a tick that failed comes back later than it was due."""
    connection.execute(_WAKES, {"case_id": case_id, "wake_at": wake_at})
