"""Reads a case back from the record: its entries in order, and the case that they make.

An entry is taken for one only as it was written: what was changed, moved or put in by hand is refused.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, bindparam
from sqlmodel import col, select

import domain.addressees.telling
import domain.case.quarantine
import domain.commands  # noqa: F401 - so that every event is known, with those that no command brings about
from domain.case.case import Case
from domain.case.event import Entry, Timeline
from domain.values import Actor, Role
from infra import row_places
from infra.encryption import KeyRing
from infra.tables import SnapshotRow, StateRow, TimelineRow

GAP = "gap"
FACTS = ("of_command", "stage", "clock_id")
AnyRow = TimelineRow | Row[tuple[TimelineRow]]


class RecordAltered(Exception):
    """A row of the record is not what was written there. The text names the row."""


def timeline_row(keys: KeyRing, key: dict[str, str], entry: Entry, previous: str) -> dict[str, Any]:
    """The row of an entry that follows the entry with the hash `previous`."""
    place = row_places.timeline(key["case_id"], entry.seq)
    row = {
        **key,
        "seq": entry.seq,
        "at": entry.at,
        "kind": entry.kind,
        "actor": entry.actor.subject,
        "actor_role": entry.actor.role,
        "command_id": entry.command_id,
        "facts": facts_of(entry.data),
        "encrypted": keys.encrypted(json.dumps(entry.data, ensure_ascii=False).encode(), place),
        "data": None,
        "digest": keys.digest(entry.data),
        "previous": previous,
    }
    return {**row, "hash": chain(keys, row)}


def facts_of(data: dict[str, Any]) -> dict[str, Any]:
    """What reports count in the database: ids and words of process, and nothing of the person."""
    facts = {name: data[name] for name in FACTS if name in data}
    return {**facts, "tell": data["climb"]["tell"]} if "climb" in data else facts


def chain(keys: KeyRing, row: Mapping[str, Any]) -> str:
    """The hash of an entry's row: over all it says, whose it is, and the hash of the entry before it.

    What happened goes in by its digest, so that a chain can be followed where the rest has been erased.
    """
    names = (
        "previous",
        "tenant",
        "case_id",
        "seq",
        "kind",
        "actor",
        "actor_role",
        "command_id",
        "facts",
        "digest",
    )
    return keys.digest([row["at"].astimezone(UTC).isoformat(), *(row[name] for name in names)])


def data_of(keys: KeyRing, case_id: str, seq: int, encrypted: bytes | None) -> dict[str, Any]:
    """What an entry says. Raises `RecordAltered`, `KeyMissing`."""
    plain = keys.decrypted(encrypted, row_places.timeline(case_id, seq)) if encrypted else None
    if plain is None:
        raise RecordAltered(f"entry {seq} of case {case_id} is not what was written")
    found: dict[str, Any] = json.loads(plain)
    return found


def entry_of(keys: KeyRing, row: AnyRow) -> Entry:
    """A timeline row as the event it records. Raises `RecordAltered`, `KeyMissing`."""
    data = data_of(keys, row.case_id, row.seq, row.encrypted)
    said = row.model_dump() if isinstance(row, TimelineRow) else dict(row._mapping)
    if row.digest != keys.digest(data) or row.hash != chain(keys, said):
        raise RecordAltered(f"entry {row.seq} of case {row.case_id} is not what was written")
    actor = Actor(subject=row.actor, role=Role(row.actor_role))
    return Entry(seq=row.seq, at=row.at, kind=row.kind, actor=actor, command_id=row.command_id, data=data)


def digest(case: Case) -> str:
    """What tells whether two states of a case are the same."""
    return hashlib.sha256(case.model_dump_json().encode()).hexdigest()


def rows_of(connection: Connection, case_id: str, after: int = 0) -> Sequence[Row[tuple[TimelineRow]]]:
    """The timeline's rows of a case behind a number, in order."""
    mine = (col(TimelineRow.case_id) == case_id, col(TimelineRow.seq) > after)
    table = TimelineRow.__table__  # type: ignore[attr-defined]
    return connection.execute(select(table).where(*mine).order_by(col(TimelineRow.seq))).all()


def beginning(connection: Connection, keys: KeyRing, case_id: str) -> Case | None:
    """The state that a fold begins with: none, or what was kept where entries before it are lost."""
    mine = (col(SnapshotRow.case_id) == case_id, col(SnapshotRow.reason) == GAP)
    query = (
        select(SnapshotRow.seq, SnapshotRow.encrypted).where(*mine).order_by(col(SnapshotRow.seq).desc()).limit(1)
    )
    if (found := connection.execute(query).first()) is None:
        return None
    plain = keys.decrypted(found.encrypted, row_places.snapshot(case_id, found.seq)) if found.encrypted else None
    if plain is None:
        raise RecordAltered(f"the state kept of case {case_id} at {found.seq} is not what was written")
    return Case.model_validate_json(plain)


def timeline_of(connection: Connection, keys: KeyRing, case_id: str) -> Timeline:
    """All that is on record of a case."""
    before = beginning(connection, keys, case_id)
    rows = rows_of(connection, case_id, before.seq if before else 0)
    return Timeline(tuple(entry_of(keys, row) for row in rows), before)


def states(connection: Connection, keys: KeyRing, case_id: str) -> Iterator[tuple[Case | None, Entry, Case]]:
    """Every entry with the case before and after it."""
    before = beginning(connection, keys, case_id)
    for row in rows_of(connection, case_id, before.seq if before else 0):
        entry = entry_of(keys, row)
        after = entry.apply(before)
        yield before, entry, after
        before = after


_STATE = select(StateRow.state).where(
    col(StateRow.case_id) == bindparam("case_id"), col(StateRow.seq) == bindparam("seq")
)


def state(connection: Connection, keys: KeyRing, case_id: str, seq: int) -> Case | None:
    """The case as it is at its last entry, `seq`: from the state that was kept with that entry, else folded."""
    kept = connection.execute(_STATE, {"case_id": case_id, "seq": seq}).scalar()
    return (decrypted_state(keys, kept, case_id) if kept else None) or folded(connection, keys, case_id)


def decrypted_state(keys: KeyRing, kept: bytes, case_id: str) -> Case | None:
    """A state that was kept of a case.

    None where it was changed since, is another case's, or is of a release that this one cannot read.
    """
    plain = keys.decrypted(kept, row_places.state(case_id))
    try:
        return Case.model_validate_json(plain) if plain else None
    except ValidationError:
        return None


def folded(connection: Connection, keys: KeyRing, case_id: str) -> Case | None:
    """The case as the record makes it; None when the record has none."""
    last = beginning(connection, keys, case_id)
    for _, _, after in states(connection, keys, case_id):
        last = after
    return last
