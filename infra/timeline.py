"""Reads a case back from the record: its entries in order, and the case that they make."""

import hashlib
import json
from collections.abc import Iterator, Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, Row, bindparam
from sqlmodel import col, select

import domain.case.quarantine
import domain.commands  # noqa: F401 - so that every event is known, with those that no command brings about
from domain.case.case import Case
from domain.case.event import Entry, Timeline
from domain.values import Actor, Role
from infra.encryption import KeyRing
from infra.tables import SnapshotRow, StateRow, TimelineRow

GAP = "gap"


def entry_of(row: TimelineRow | Row[tuple[TimelineRow]]) -> Entry:
    """A timeline row as the event it records."""
    return Entry(
        seq=row.seq,
        at=row.at,
        kind=row.kind,
        actor=Actor(subject=row.actor, role=Role(row.actor_role)),
        command_id=row.command_id,
        data=row.data,
    )


def chain(previous: str, case_id: str, entry: Entry) -> str:
    """The hash of an entry: over all it says and the hash of the entry before it."""
    said = json.dumps([previous, case_id, entry.model_dump(mode="json")], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def digest(case: Case) -> str:
    """What tells whether two states of a case are the same."""
    return hashlib.sha256(case.model_dump_json().encode()).hexdigest()


def rows_of(connection: Connection, case_id: str, after: int = 0) -> Sequence[Row[tuple[TimelineRow]]]:
    """The timeline's rows of a case behind a number, in order."""
    mine = (col(TimelineRow.case_id) == case_id, col(TimelineRow.seq) > after)
    table = TimelineRow.__table__  # type: ignore[attr-defined]
    return connection.execute(select(table).where(*mine).order_by(col(TimelineRow.seq))).all()


def beginning(connection: Connection, case_id: str) -> Case | None:
    """The state that a fold begins with: none, or what was kept where entries before it are lost."""
    mine = (col(SnapshotRow.case_id) == case_id, col(SnapshotRow.reason) == GAP)
    query = select(SnapshotRow.state).where(*mine).order_by(col(SnapshotRow.seq).desc()).limit(1)
    found = connection.execute(query).first()
    return Case.model_validate(found[0]) if found else None


def timeline_of(connection: Connection, case_id: str) -> Timeline:
    """All that is on record of a case."""
    before = beginning(connection, case_id)
    rows = rows_of(connection, case_id, before.seq if before else 0)
    return Timeline(tuple(entry_of(row) for row in rows), before)


def states(connection: Connection, case_id: str) -> Iterator[tuple[Case | None, Entry, Case]]:
    """Every entry with the case before and after it."""
    before = beginning(connection, case_id)
    for row in rows_of(connection, case_id, before.seq if before else 0):
        entry = entry_of(row)
        after = entry.apply(before)
        yield before, entry, after
        before = after


_STATE = select(StateRow.state).where(
    col(StateRow.case_id) == bindparam("case_id"), col(StateRow.seq) == bindparam("seq")
)


def state(connection: Connection, keys: KeyRing, case_id: str, seq: int) -> Case | None:
    """The case as it is at its last entry, `seq`: from the state that was kept with that entry, else folded."""
    kept = connection.execute(_STATE, {"case_id": case_id, "seq": seq}).scalar()
    return (decrypted_state(keys, kept, case_id) if kept else None) or folded(connection, case_id)


def decrypted_state(keys: KeyRing, kept: bytes, case_id: str) -> Case | None:
    """A state that was kept of a case.

    None where it was changed since, is another case's, or is of a release that this one cannot read.
    """
    plain = keys.decrypted(kept, f"states/{case_id}")
    try:
        return Case.model_validate_json(plain) if plain else None
    except ValidationError:
        return None


def folded(connection: Connection, case_id: str) -> Case | None:
    """The case as the record makes it; None when the record has none."""
    last = beginning(connection, case_id)
    for _, _, after in states(connection, case_id):
        last = after
    return last
