"""`make rebuild`: folds the timeline into every derived table again, case by case, and says what it changed.

The timeline and the outcomes of commands are the record; cases, tasks, clocks, contacts and notices are derived
from it. The digest of each derived table, before and after, tells whether they were what the timeline says.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Connection, Engine, delete
from sqlmodel import SQLModel, col, select

from activities.record import add, contact_row, lock_case, put, table_of
from domain.event import Entry
from domain.record import Page
from infra import database
from infra.settings import Settings
from infra.tables import CaseRow, ClockRow, ContactRow, OutboxRow, TaskRow, TimelineRow
from infra.timeline import states

DERIVED: tuple[type[SQLModel], ...] = (CaseRow, TaskRow, ClockRow, ContactRow, OutboxRow)
NOT_DERIVED = {"recorded_at", "written_by", "read_at"}  # when, by which task, and what its reader has done
console = Console(stderr=True)


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
    """The derived rows of a case as its timeline makes them, with what is not derived kept."""
    page, entries = _page(connection, case_id)
    assert page.case is not None
    key = {"tenant": page.case.tenant, "case_id": case_id}
    known = before[CaseRow][0] if before[CaseRow] else {"recorded_at": page.case.updated_at, "written_by": ""}
    yield [{**known, **dict(page.case)}]
    yield [{**key, **dict(task)} for task in page.tasks]
    yield [{**key, **dict(clock)} for clock in page.clocks]
    yield [contact_row(key, entry) for entry in entries if entry.kind == "contact-logged"]
    read = {(row["key"], row["recipient"]): row["read_at"] for row in before[OutboxRow]}
    notices = {(n.key, n.recipient): n for n in reversed(page.notices)}
    yield [{**key, **dict(n), "read_at": read.get(name)} for name, n in notices.items()]


def _page(connection: Connection, case_id: str) -> tuple[Page, list[Entry]]:
    """The whole timeline as one page, its entries beside it."""
    page, entries = Page(), list[Entry]()
    for before, entry, after in states(connection, case_id):
        page = page.told(before, entry, after).changed(entries=())
        entries.append(entry)
    return page, entries


def _rows(connection: Connection, model: type[SQLModel], case_id: str) -> list[dict[str, Any]]:
    table = table_of(model)
    mine = table.c.id if model is CaseRow else table.c.case_id
    return [dict(row) for row in connection.execute(table.select().where(mine == case_id)).mappings()]


def rebuild(engine: Engine) -> dict[str, list[str]]:
    """Rebuild every case in a transaction of its own; return for each table the cases that it changed."""
    with engine.connect() as connection:
        named = select(col(TimelineRow.case_id)).distinct().order_by(col(TimelineRow.case_id))
        cases: list[str] = list(connection.execute(named).scalars())
    changed: dict[str, list[str]] = {str(model.__tablename__): [] for model in DERIVED}
    for case_id in track(cases, "Folding timelines", console=console, transient=True):
        with engine.begin() as connection:
            for table, same in rebuild_case(connection, case_id).items():
                if not same:
                    changed[table].append(case_id)
    console.print(f"{len(cases)} cases folded.")
    return changed


def show(changed: dict[str, list[str]]) -> int:
    table = Table("table", "digest", "cases that were not what their timeline says")
    for name, cases in changed.items():
        table.add_row(name, "[red]changed" if cases else "[green]equal", " ".join(cases[:10]))
    console.print(table)
    return int(any(changed.values()))


def main() -> int:
    engine = database.blocking(Settings().database)
    try:
        return show(rebuild(engine))
    finally:
        engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
