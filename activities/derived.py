"""The derived rows of a case, made anew from its timeline."""

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, delete
from sqlmodel import SQLModel, col, select

from activities.rows import (
    CONTACT_LOGGED,
    add,
    clock_row,
    contact_row,
    item_row,
    lock_case,
    put,
    state_row,
    table_of,
    task_row,
)
from domain.case.case import Case
from domain.case.event import Entry
from domain.lines import Lines
from infra.encryption import KeyRing
from infra.item_tables import ItemRow
from infra.notice_tables import OutboxRow
from infra.notices import notice_row
from infra.tables import (
    CaseRow,
    ClockRow,
    ContactRow,
    StateRow,
    TaskRow,
)
from infra.timeline import beginning, decrypted_state, digest, entry_of, rows_of

Rows = list[dict[str, Any]]
DERIVED: tuple[type[SQLModel], ...] = (CaseRow, TaskRow, ClockRow, ItemRow, ContactRow, OutboxRow)
NOT_DERIVED = {"recorded_at", "wakes_at", "read_at"}  # when, until when a fault waits, what its reader has done


def digest_of(rows: Rows) -> str:
    """The same for the same rows in any order."""
    derived = [{k: str(v) for k, v in row.items() if k not in NOT_DERIVED} for row in rows]
    said = sorted(json.dumps(row, sort_keys=True) for row in derived)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def rebuild_case(connection: Connection, keys: KeyRing, case_id: str) -> dict[str, bool]:
    """Make the derived rows of one case anew; say for each table whether they were right before."""
    lock_case(connection, case_id)
    begun = beginning(connection, keys, case_id)
    timeline = rows_of(connection, case_id, begun.seq if begun else 0)
    entries = [entry_of(keys, row) for row in timeline]
    lines = (Lines.whole(begun, begun.opened_at) if begun else Lines()).then(entries)
    assert lines.case is not None
    before = {model: _rows(connection, model, case_id) for model in DERIVED}
    after = _made(keys, lines, entries, begun, before)
    if timeline:
        after[CaseRow][0]["head"] = timeline[-1].hash
    for model in DERIVED:
        key = CaseRow.id if model is CaseRow else table_of(model).c.case_id
        connection.execute(delete(table_of(model)).where(col(key) == case_id))
        add(connection, model, after[model])
    same = {str(m.__tablename__): digest_of(before[m]) == digest_of(after[m]) for m in DERIVED}
    return {**same, "states": _state_was_right(connection, keys, lines.case)}


def _state_was_right(connection: Connection, keys: KeyRing, case: Case) -> bool:
    """Keep the state anew; say whether the one that was there is what the timeline makes."""
    kept = connection.execute(select(StateRow.state).where(col(StateRow.case_id) == case.id)).scalar()
    before = decrypted_state(keys, kept, case.id) if kept else None
    put(connection, StateRow, [state_row(keys, case)])
    return before is not None and digest(before) == digest(case)


def _made(
    keys: KeyRing,
    lines: Lines,
    entries: list[Entry],
    begun: Case | None,
    before: dict[type[SQLModel], Rows],
) -> dict[type[SQLModel], Rows]:
    """The derived rows of a case as its timeline makes them, with what is not derived kept.

    Where entries are lost, so are the contacts and notices among them, but for those whose rows are still there.
    """
    assert lines.line is not None
    key = {"tenant": lines.line.tenant, "case_id": lines.line.id}
    known = before[CaseRow][0] if before[CaseRow] else {"recorded_at": lines.line.updated_at, "head": ""}
    lost = begun.seq if begun else 0
    older = [row for row in before[ContactRow] if row["seq"] <= lost]
    return {
        CaseRow: [{**known, **dict(lines.line)}],
        TaskRow: [task_row(keys, key, task) for task in lines.tasks.values()],
        ClockRow: [clock_row(keys, key, clock) for clock in lines.clocks.values()],
        ItemRow: [item_row(keys, key, item) for item in lines.items.values()],
        ContactRow: [*older, *(contact_row(key, entry) for entry in entries if entry.kind == CONTACT_LOGGED)],
        OutboxRow: _notices(keys, key, lines, before[OutboxRow], begun is not None),
    }


def _notices(keys: KeyRing, key: dict[str, str], lines: Lines, before: Rows, with_gap: bool) -> Rows:
    told = {(row["key"], row["recipient"]): row for row in before}
    made = {(n.key, n.recipient): notice_row(keys, key, n) for n in reversed(lines.notices)}
    for name, row in made.items():
        row["read_at"] = told[name]["read_at"] if name in told else None
    return list(({**told, **made} if with_gap else made).values())


def _rows(connection: Connection, model: type[SQLModel], case_id: str) -> Rows:
    table = table_of(model)
    mine = table.c.id if model is CaseRow else table.c.case_id
    return [dict(row) for row in connection.execute(table.select().where(mine == case_id)).mappings()]
