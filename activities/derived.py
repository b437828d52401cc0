"""The derived rows of a case, made anew from its timeline."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, delete
from sqlmodel import SQLModel, col

from activities.rows import add, contact_row, lock_case, put, table_of
from domain.case import Case
from domain.event import Entry
from domain.record import Page
from infra.tables import CaseRow, ClockRow, ContactRow, OutboxRow, TaskRow
from infra.timeline import beginning, entry_of, rows_of

DERIVED: tuple[type[SQLModel], ...] = (CaseRow, TaskRow, ClockRow, ContactRow, OutboxRow)
NOT_DERIVED = {"recorded_at", "written_by", "read_at"}  # when, by which task, and what its reader has done


def digest(rows: list[dict[str, Any]]) -> str:
    """The same for the same rows in any order."""
    derived = [{k: str(v) for k, v in row.items() if k not in NOT_DERIVED} for row in rows]
    said = sorted(json.dumps(row, sort_keys=True) for row in derived)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def rebuild_case(connection: Connection, case_id: str) -> dict[str, bool]:
    """Make the derived rows of one case anew; say for each table whether they were right before."""
    lock_case(connection, case_id)
    before = {model: _rows(connection, model, case_id) for model in DERIVED}
    after = dict(zip(DERIVED, _made(connection, case_id, before), strict=True))
    for model in DERIVED:
        key = CaseRow.id if model is CaseRow else table_of(model).c.case_id
        connection.execute(delete(table_of(model)).where(col(key) == case_id))
        (put if model is CaseRow else add)(connection, model, after[model])
    return {str(m.__tablename__): digest(before[m]) == digest(after[m]) for m in DERIVED}


def _made(
    connection: Connection, case_id: str, before: dict[type[SQLModel], list[dict[str, Any]]]
) -> Iterator[list[dict[str, Any]]]:
    """The derived rows of a case as its timeline makes them, with what is not derived kept.

    Where entries are lost, so are the contacts and notices among them, but for those whose rows are still there.
    """
    begun = beginning(connection, case_id)
    page, entries = _page(connection, case_id, begun)
    assert page.case is not None
    key = {"tenant": page.case.tenant, "case_id": case_id}
    known = before[CaseRow][0] if before[CaseRow] else {"recorded_at": page.case.updated_at, "written_by": ""}
    yield [{**known, **dict(page.case)}]
    yield [{**key, **dict(task)} for task in page.tasks]
    yield [{**key, **dict(clock)} for clock in page.clocks]
    lost = begun.seq if begun else 0
    older = [row for row in before[ContactRow] if row["seq"] <= lost]
    yield [*older, *(contact_row(key, entry) for entry in entries if entry.kind == "contact-logged")]
    told = {(row["key"], row["recipient"]): row for row in before[OutboxRow]}
    notices = {(n.key, n.recipient): {**key, **dict(n), "read_at": None} for n in reversed(page.notices)}
    for name, row in notices.items():
        row["read_at"] = told[name]["read_at"] if name in told else None
    yield list(({**told, **notices} if begun else notices).values())


def _page(connection: Connection, case_id: str, begun: Case | None) -> tuple[Page, list[Entry]]:
    """The whole timeline as one page, its entries beside it."""
    page = Page.of(begun, begun.opened_at) if begun else Page()
    entries = [entry_of(row) for row in rows_of(connection, case_id, begun.seq if begun else 0)]
    return page.followed(begun, entries)[0], entries


def _rows(connection: Connection, model: type[SQLModel], case_id: str) -> list[dict[str, Any]]:
    table = table_of(model)
    mine = table.c.id if model is CaseRow else table.c.case_id
    return [dict(row) for row in connection.execute(table.select().where(mine == case_id)).mappings()]
