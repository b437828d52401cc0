"""Writes the record: timeline, derived rows and notices of one page, in one transaction, once."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import SQLModel, col, select
from temporalio import activity

from domain.command import Outcome
from domain.event import Entry
from domain.record import Page
from domain.values import Value
from infra.tables import (
    CaseRow,
    ClockRow,
    CommandRow,
    ContactRow,
    OutboxRow,
    TaskRow,
    TimelineRow,
)


class RecordGap(Exception):
    """The database lacks entries before this page: it was restored from an older copy."""


class Message(Value):
    """A page and the case it belongs to, by ids only."""

    tenant: str
    case_id: str
    page: Page


class Recording:
    """Holds the connection to the record."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn(name="record")
    async def record(self, message: Message) -> None:
        """Write a page. Writing it again changes nothing, and an older page never overwrites a newer one.

        Raises `RecordGap` when the timeline in the database ends before the page begins.
        """
        _measure(message.page)
        async with self._engine.begin() as connection:
            await _write(connection, message)


async def _write(connection: AsyncConnection, message: Message) -> None:
    page, key = message.page, {"tenant": message.tenant, "case_id": message.case_id}
    if connection.dialect.name == "postgresql":  # one writer a case at a time; SQLite has one in any case
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(message.case_id))))
    last = await _append(connection, key, page.entries)
    await _add(connection, CommandRow, (_command(key, o) for o in page.outcomes))
    await _add(connection, ContactRow, (_contact(key, e) for e in page.entries if e.kind == "contact-logged"))
    await _add(connection, OutboxRow, ({**key, **dict(n), "read_at": None} for n in page.notices))
    if page.case is None or page.case.seq < last:
        return
    case = {**dict(page.case), "recorded_at": datetime.now(UTC)}
    await _put(connection, CaseRow, [case])
    await _put(connection, TaskRow, ({**key, **dict(t)} for t in page.tasks))
    await _put(connection, ClockRow, ({**key, **dict(c)} for c in page.clocks))


def _measure(page: Page) -> None:
    """How far the record is behind: the age of the oldest event it lacks, said at every attempt to write it."""
    if page.entries and activity.in_activity():
        lag = (datetime.now(UTC) - page.entries[0].at).total_seconds()
        gauge = activity.metric_meter().create_gauge_float(
            "caseloom_record_lag_seconds", "Age of the oldest event that was to be written", "s"
        )
        gauge.set(max(0.0, lag))


async def _append(connection: AsyncConnection, key: dict[str, str], entries: tuple[Entry, ...]) -> int:
    """Add to the timeline what it does not have yet; return the number of its last entry."""
    where = col(TimelineRow.case_id) == key["case_id"]
    query = select(TimelineRow.seq, TimelineRow.hash).where(where).order_by(col(TimelineRow.seq).desc())
    newest = (await connection.execute(query.limit(1))).first()
    last, previous = (newest[0], newest[1]) if newest else (0, "")
    rows = []
    for entry in entries:
        if entry.seq <= last:
            continue
        if entry.seq != last + 1:
            raise RecordGap(f"entry {entry.seq} follows {last}")
        row = _timeline(key, entry, previous)
        rows.append(row)
        last, previous = entry.seq, row["hash"]
    await _add(connection, TimelineRow, rows)
    return last


def chain(previous: str, case_id: str, entry: Entry) -> str:
    """The hash of an entry: over all it says and the hash of the entry before it."""
    said = json.dumps([previous, case_id, entry.model_dump(mode="json")], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def _timeline(key: dict[str, str], entry: Entry, previous: str) -> dict[str, Any]:
    return {
        **key,
        "seq": entry.seq,
        "at": entry.at,
        "kind": entry.kind,
        "actor": entry.actor.subject,
        "actor_role": entry.actor.role,
        "command_id": entry.command_id,
        "data": entry.data,
        "previous": previous,
        "hash": chain(previous, key["case_id"], entry),
    }


def _command(key: dict[str, str], outcome: Outcome) -> dict[str, Any]:
    said = outcome.model_dump(mode="json")
    named = {name: getattr(outcome, name) for name in ("command_id", "kind", "fingerprint", "status", "at")}
    return {**key, **named, "outcome": said}


def _contact(key: dict[str, str], entry: Entry) -> dict[str, Any]:
    contact: Any = entry.data["contact"]
    kept = {name: contact[name] for name in ("mode", "party", "reached", "sensitivity")}
    occurred_at = datetime.fromisoformat(contact["occurred_at"])
    return {**key, "seq": entry.seq, **kept, "occurred_at": occurred_at, "logged_by": entry.actor.subject}


async def _add(connection: AsyncConnection, model: type[SQLModel], rows: Iterable[dict[str, Any]]) -> None:
    """Insert the rows that are not there yet."""
    for row in rows:
        await connection.execute(_insert(connection, model).values(row).on_conflict_do_nothing())


async def _put(connection: AsyncConnection, model: type[SQLModel], rows: Iterable[dict[str, Any]]) -> None:
    """Insert or replace rows by primary key."""
    table = _table(model)
    keys = [column.name for column in table.primary_key]
    for row in rows:
        changed = {name: value for name, value in row.items() if name not in keys}
        statement = _insert(connection, model).values(row)
        await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def _insert(connection: AsyncConnection, model: type[SQLModel]) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(_table(model))


def _table(model: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(model.__tablename__)]
