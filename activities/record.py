"""Writes the record: timeline, derived rows and notices of one page, in one transaction, once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, bindparam, delete, update
from sqlmodel import col, select
from temporalio import activity

from activities.derived import rebuild_case
from activities.rows import add, command_row, contact_row, lock_case, put, snapshot, timeline_row
from domain.case import Case
from domain.command import Outcome
from domain.deadlines import wake_at
from domain.event import Entry
from domain.record import Page
from domain.values import Instant, Value
from infra.database import reading, writers
from infra.tables import (
    CaseRow,
    ClockRow,
    CommandRow,
    ContactRow,
    OutboxRow,
    SnapshotRow,
    TaskRow,
    TimelineRow,
)
from infra.timeline import GAP, SEALED, chain, entry_of, folded, rows_of

log = structlog.get_logger()
MOST_RECALLED = 200
_NEWEST = (  # these two are asked at every command: building them takes longer than their answers
    select(TimelineRow.seq, TimelineRow.hash)
    .where(col(TimelineRow.case_id) == bindparam("case_id"))
    .order_by(col(TimelineRow.seq).desc())
    .limit(1)
)
_KNOWN = select(CommandRow.outcome).where(
    col(CommandRow.case_id) == bindparam("case_id"), col(CommandRow.command_id) == bindparam("command_id")
)


class RecordGap(Exception):
    """The database lacks entries before this page: it was restored from an older copy."""


class RecordAhead(Exception):
    """The database has other entries in the place of this page's: the case follows them (decision 0012)."""


class Message(Value):
    """A page and the case it belongs to, by ids only. `by` says which task of which run wrote it.

    `decided` says that history has the page's decisions already: it is caught up with.
    """

    tenant: str
    case_id: str
    page: Page
    by: str = ""
    decided: bool = False


class Recall(Value):
    """A case that the record knows better, and the commands whose outcomes are wanted in any case."""

    case_id: str
    command_ids: tuple[str, ...] = ()
    since: int = 0


class Recalled(Value):
    """The case as the record has it: its state, its newest outcomes, its entries since the one asked for (the
    newest of them, where they are many), and which task of which run wrote last.
    """

    case: Case | None
    wake_at: Instant | None
    outcomes: tuple[Outcome, ...]
    entries: tuple[Entry, ...] = ()
    written_by: str = ""


class Recording:
    """Holds the connection to the record."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._threads = engine, writers(engine)

    @activity.defn(name="record")
    async def record(self, message: Message) -> None:
        """Write a page. Writing it again changes nothing, and an older page never overwrites a newer one.

        Raises `RecordGap` when the timeline in the database ends before the page begins, and `RecordAhead`
        when it has something else in the page's place.
        """
        _measure(message.page)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._write, message)

    @activity.defn(name="recall")
    async def recall(self, wanted: Recall) -> Recalled:
        """Read a case back from the record."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._recall, wanted)

    def _write(self, message: Message) -> None:
        with self._engine.begin() as connection:
            write(connection, message)

    def _recall(self, wanted: Recall) -> Recalled:
        with reading(self._engine).connect() as connection:
            return recalled(connection, wanted.case_id, wanted.command_ids, wanted.since)


def recalled(connection: Connection, case_id: str, command_ids: tuple[str, ...] = (), since: int = 0) -> Recalled:
    """What the record knows of a case, with the outcomes of these commands in any case."""
    case = folded(connection, case_id)
    last = select(CaseRow.written_by).where(col(CaseRow.id) == case_id)
    newest = rows_of(connection, case_id, max(since, case.seq - MOST_RECALLED) if case else 0)
    return Recalled(
        case=case,
        wake_at=wake_at(case) if case else None,
        outcomes=_outcomes(connection, case_id, command_ids),
        entries=tuple(entry_of(row) for row in newest),
        written_by=connection.execute(last).scalar() or "",
    )


def write(connection: Connection, message: Message) -> None:
    """Write a page within a transaction; see `Recording.record`.

    What a lost task of the same run has left in the page's place gives way to a page whose decisions history
    has: they may have been answered while the record was away, and the lost ones never were.
    """
    lock_case(connection, message.case_id)
    if not message.decided:
        _write(connection, message)
        return
    try:
        with connection.begin_nested():
            _write(connection, message)
    except RecordAhead:
        if not _of_lost_task(connection, message) or _answered_before(connection, message):
            raise
        _drop_tail(connection, message)
        _write(connection, message)
        rebuild_case(connection, message.case_id)


def _write(connection: Connection, message: Message) -> None:
    page, key = message.page, {"tenant": message.tenant, "case_id": message.case_id}
    last = _append(connection, key, page.entries)
    _answer(connection, [command_row(key, o) for o in page.outcomes])
    add(connection, ContactRow, [contact_row(key, e) for e in page.entries if e.kind == "contact-logged"])
    add(connection, OutboxRow, ({**key, **dict(n), "read_at": None} for n in page.notices))
    if page.case is None:
        mine = update(CaseRow).where(col(CaseRow.id) == message.case_id)
        connection.execute(mine.values(written_by=message.by))
        return
    if page.case.seq < last:
        return
    written = {"recorded_at": datetime.now(UTC), "written_by": message.by}
    put(connection, CaseRow, [{**dict(page.case), **written}])
    put(connection, TaskRow, ({**key, **dict(t)} for t in page.tasks))
    put(connection, ClockRow, ({**key, **dict(c)} for c in page.clocks))
    if page.sealed is not None:
        add(connection, SnapshotRow, [snapshot(page.sealed, SEALED, page.case.updated_at)])


def earlier_task(written_by: str, by: str) -> bool:
    """Whether the first of two tasks was tried before the second one of the same run."""
    (run, _, length), (of_run, _, of_length) = written_by.rpartition("/"), by.rpartition("/")
    return run == of_run and int(length or 0) <= int(of_length or 0)


def _of_lost_task(connection: Connection, message: Message) -> bool:
    last = select(CaseRow.written_by).where(col(CaseRow.id) == message.case_id)
    return earlier_task(connection.execute(last).scalar() or "", message.by)


def _answered_before(connection: Connection, message: Message) -> bool:
    """Whether a command of the page was applied before the page begins: it was repeated, and must not be twice."""
    page = message.page
    wanted = [outcome.command_id for outcome in page.outcomes]
    mine = (col(CommandRow.case_id) == message.case_id, col(CommandRow.command_id).in_(wanted))
    known = connection.execute(select(CommandRow.outcome).where(*mine)).scalars()
    begins = page.entries[0].seq if page.entries else None
    return any(o["status"] == "applied" and (begins is None or o["seq"] < begins) for o in known)


def _drop_tail(connection: Connection, message: Message) -> None:
    """Take back what was written and never answered: entries from the page's first on, and their outcomes."""
    page, mine = message.page, col(TimelineRow.case_id) == message.case_id
    known = {outcome.command_id for outcome in page.outcomes}
    if page.entries:
        tail = rows_of(connection, message.case_id, page.entries[0].seq - 1)
        known |= {row.command_id for row in tail}
        connection.execute(delete(TimelineRow).where(mine, col(TimelineRow.seq) >= page.entries[0].seq))
    log.error("lost_task_taken_back", case_id=message.case_id, commands=len(known))
    of_case = col(CommandRow.case_id) == message.case_id
    connection.execute(delete(CommandRow).where(of_case, col(CommandRow.command_id).in_(known)))


def _measure(page: Page) -> None:
    """How far the record is behind: the age of the oldest event it lacks, said at every attempt to write it."""
    if page.entries and activity.in_activity():
        lag = (datetime.now(UTC) - page.entries[0].at).total_seconds()
        gauge = activity.metric_meter().create_gauge_float(
            "caseloom_record_lag_seconds", "Age of the oldest event that was to be written", "s"
        )
        gauge.set(max(0.0, lag))


def _append(connection: Connection, key: dict[str, str], entries: tuple[Entry, ...]) -> int:
    """Add to the timeline what it does not have yet; return the number of its last entry."""
    newest = connection.execute(_NEWEST, {"case_id": key["case_id"]}).first()
    last, previous = (newest[0], newest[1]) if newest else (0, "")
    if not entries:
        return last
    if entries[0].seq <= last:
        _same(connection, key["case_id"], entries)
    rows = []
    for entry in entries:
        if entry.seq <= last:
            continue
        if entry.seq != last + 1:
            previous = _over_gap(connection, key["case_id"], entry.seq, last)
        row = timeline_row(key, entry, previous)
        rows.append(row)
        last, previous = entry.seq, row["hash"]
    add(connection, TimelineRow, rows)
    return last


def _over_gap(connection: Connection, case_id: str, seq: int, last: int) -> str:
    """The digest that an entry follows where what lies before it is lost and an operator has said so.

    Raises `RecordGap` otherwise.
    """
    mine = (col(SnapshotRow.case_id) == case_id, col(SnapshotRow.seq) == seq - 1, col(SnapshotRow.reason) == GAP)
    kept = connection.execute(select(SnapshotRow.digest).where(*mine)).scalar()
    if kept is None:
        raise RecordGap(f"entry {seq} follows {last}")
    return str(kept)


def _same(connection: Connection, case_id: str, entries: tuple[Entry, ...]) -> None:
    """Raises `RecordAhead` unless what the record has of these entries is what they say."""
    by_seq = {entry.seq: entry for entry in entries}
    for row in rows_of(connection, case_id, entries[0].seq - 1):
        entry = by_seq.get(row.seq)
        if entry is not None and chain(row.previous, case_id, entry) != row.hash:
            raise RecordAhead


def _answer(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keep the outcomes. Raises `RecordAhead` where the record knows another outcome of the same command."""
    unknown = []
    for row in rows:
        wanted = {"case_id": row["case_id"], "command_id": row["command_id"]}
        known = connection.execute(_KNOWN, wanted).scalar()
        if known is None:
            unknown.append(row)
        elif known != row["outcome"]:
            raise RecordAhead
    add(connection, CommandRow, unknown)


def _outcomes(connection: Connection, case_id: str, command_ids: tuple[str, ...]) -> tuple[Outcome, ...]:
    """The newest outcomes of a case and those of the wanted commands, oldest first."""
    mine = col(CommandRow.case_id) == case_id
    order = (col(CommandRow.at).desc(), col(CommandRow.command_id))
    newest = select(CommandRow.outcome).where(mine).order_by(*order).limit(MOST_RECALLED)
    asked = select(CommandRow.outcome).where(mine, col(CommandRow.command_id).in_(command_ids))
    rows = [*connection.execute(newest).scalars(), *connection.execute(asked).scalars()]
    found = {outcome.command_id: outcome for outcome in map(Outcome.model_validate, rows)}
    return tuple(sorted(found.values(), key=lambda outcome: (outcome.at, outcome.command_id)))
