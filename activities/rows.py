"""The rows of the record, made of what happened, and how they are inserted on either database."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, select

from domain.case.case import Case
from domain.case.command import Envelope, Outcome
from domain.case.event import Entry
from domain.items import ItemLine
from domain.lines import ClockLine, TaskLine
from infra import row_places
from infra.encryption import KeyRing
from infra.timeline import digest

CONTACT_LOGGED = "contact-logged"


def lock_case(connection: Connection, case_id: str) -> None:
    """One writer a case at a time; SQLite has one in any case."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(case_id))))


def snapshot(keys: KeyRing, case: Case, reason: str, at: datetime) -> dict[str, Any]:
    """The row that keeps a case as it was at its last event."""
    kept = {"case_id": case.id, "tenant": case.tenant, "seq": case.seq, "reason": reason, "at": at}
    encrypted = keys.encrypted(case.model_dump_json().encode(), row_places.snapshot(case.id, case.seq))
    return {**kept, "state": None, "encrypted": encrypted, "digest": digest(case)}


def state_row(keys: KeyRing, case: Case) -> dict[str, Any]:
    """The row that keeps the state of a case beside its line."""
    state = keys.encrypted(case.model_dump_json().encode(), row_places.state(case.id))
    return {"case_id": case.id, "seq": case.seq, "state": state}


def task_row(keys: KeyRing, key: dict[str, str], task: TaskLine) -> dict[str, Any]:
    title = keys.encrypted_text(task.title, row_places.task(key["case_id"], task.id))
    return {**key, **dict(task), "title": title}


def clock_row(keys: KeyRing, key: dict[str, str], clock: ClockLine) -> dict[str, Any]:
    return {
        **key,
        **dict(clock),
        "title": keys.encrypted_text(clock.title, row_places.clock(key["case_id"], clock.id)),
    }


def item_row(keys: KeyRing, key: dict[str, str], item: ItemLine) -> dict[str, Any]:
    place = row_places.item(key["case_id"], item.kind, item.id)
    return {**key, **dict(item), "title": keys.encrypted_text(item.title, place) if item.title else None}


def feed_row(key: dict[str, str], entry: Entry, program: str) -> dict[str, Any]:
    """The row of an event that others may hear of; its place in their order is given later."""
    return {**key, "seq": entry.seq, "kind": entry.kind, "program": program, "at": entry.at, "position": None}


def command_row(key: dict[str, str], outcome: Outcome, actor: str) -> dict[str, Any]:
    """The row of an outcome; `actor` is who sent the command."""
    said = outcome.model_dump(mode="json")
    named = {name: getattr(outcome, name) for name in ("command_id", "kind", "fingerprint", "status", "at")}
    return {**key, **named, "actor": actor, "outcome": said}


def quarantine_row(key: dict[str, str], keys: KeyRing, envelope: Envelope, outcome: Outcome) -> dict[str, Any]:
    """The row of a command that met a fault of ours."""
    named = {"command_id": envelope.command_id, "kind": envelope.kind, "fault": outcome.error, "at": outcome.at}
    place = row_places.quarantined(key["case_id"], envelope.command_id)
    return {**key, **named, "envelope": keys.encrypted(envelope.model_dump_json().encode(), place)}


def contact_row(key: dict[str, str], entry: Entry) -> dict[str, Any]:
    """The row of a logged contact."""
    contact: Any = entry.data["contact"]
    kept = {name: contact[name] for name in ("mode", "party", "reached", "sensitivity")}
    occurred_at = datetime.fromisoformat(contact["occurred_at"])
    return {**key, "seq": entry.seq, **kept, "occurred_at": occurred_at, "logged_by": entry.actor.subject}


def add(connection: Connection, model: type[SQLModel], rows: Iterable[dict[str, Any]]) -> None:
    """Insert the rows that are not there yet."""
    if found := list(rows):
        connection.execute(_adding(connection.dialect.name, model), found)


def put(connection: Connection, model: type[SQLModel], rows: Iterable[dict[str, Any]]) -> None:
    """Insert or replace rows by primary key; a column that is written once stays as it was."""
    if found := list(rows):
        connection.execute(_putting(connection.dialect.name, model), found)


@cache
def _adding(dialect: str, model: type[SQLModel]) -> Any:
    return _insert(dialect, model).on_conflict_do_nothing()


@cache
def _putting(dialect: str, model: type[SQLModel]) -> Any:
    statement, table = _insert(dialect, model), table_of(model)
    keys = [column.name for column in table.primary_key]
    once = {*keys, *(column.name for column in table.columns if column.info.get("once"))}
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in once}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _insert(dialect: str, model: type[SQLModel]) -> Any:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table_of(model))


def table_of(model: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(model.__tablename__)]
