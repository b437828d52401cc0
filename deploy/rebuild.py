"""`make rebuild`: folds the timeline into every derived table again, case by case, and says what it changed.

The timeline and the outcomes of commands are the record; cases, tasks, clocks, contacts and notices are derived
from it. The digest of each derived table, before and after, tells whether they were what the timeline says.
"""

import sys

from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine
from sqlmodel import col, select

from activities.derived import DERIVED, rebuild_case
from infra import database
from infra.settings import Settings
from infra.tables import TimelineRow

console = Console(stderr=True)


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
