"""`make rebuild`: folds the timeline into every derived table again, case by case, and says what it changed.

The timeline and the outcomes of commands are the record; cases, tasks, clocks, contacts and notices are derived
from it. The digest of each derived table, before and after, tells whether they were what the timeline says.
"""

import sys

from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine
from sqlmodel import col, select

from activities.derived import DERIVED, rebuild_case
from deploy import running
from deploy.console import console as shown
from deploy.console import id_column, ids
from infra.encryption import KeyRing, ring_of
from infra.erasure_tables import ErasedCaseRow
from infra.tables import TimelineRow

SHOWN = 10
console = shown()


def rebuild(engine: Engine, keys: KeyRing) -> dict[str, list[str]]:
    """Rebuild every case in a transaction of its own; return for each table the cases that it changed."""
    with engine.connect() as connection:
        gone = select(ErasedCaseRow.case_id)
        there = select(col(TimelineRow.case_id)).where(col(TimelineRow.case_id).not_in(gone))
        named = there.distinct().order_by(col(TimelineRow.case_id))
        cases: list[str] = list(connection.execute(named).scalars())
    changed: dict[str, list[str]] = {
        name: [] for name in (*(str(model.__tablename__) for model in DERIVED), "states")
    }
    for case_id in track(cases, "Folding timelines", console=console, transient=True):
        with engine.begin() as connection:
            for table, same in rebuild_case(connection, keys, case_id).items():
                if not same:
                    changed[table].append(case_id)
    console.print(f"{len(cases)} cases folded.")
    return changed


def show(changed: dict[str, list[str]]) -> int:
    table = Table("table", "digest", id_column("cases that were not what their timeline says"))
    for name, cases in changed.items():
        more = [f"and {len(cases) - SHOWN} more"] if len(cases) > SHOWN else []
        table.add_row(name, "[red]changed" if cases else "[green]equal", ids([*cases[:SHOWN], *more]))
    console.print(table)
    return int(any(changed.values()))


def main() -> int:
    settings = running.settings()
    keys = ring_of(settings)
    with running.record(settings) as engine:
        return show(rebuild(engine, keys))


if __name__ == "__main__":
    sys.exit(main())
