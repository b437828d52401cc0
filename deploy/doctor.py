"""`make doctor`: looks at the whole system and says what is not well, which cases it is about, and what to do."""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from temporalio.client import Client

from deploy import running
from infra import database, temporal, watchdog
from infra.settings import Settings
from infra.tables import CaseRow

SHOWN = 10
console = Console(stderr=True)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `remedy` says what to do where it is not well."""

    name: str
    well: bool
    says: str
    remedy: str = ""
    cases: tuple[str, ...] = ()


async def examine(client: Client | None, engine: Engine, settings: Settings) -> list[Check]:
    """All checks, the ground first."""
    now = datetime.now(UTC)
    return [*_record(engine, settings, now), *await _engine(client, settings, now)]


def _record(engine: Engine, settings: Settings, now: datetime) -> list[Check]:
    try:
        with engine.connect() as connection:
            late = connection.execute(watchdog.asleep(now, settings)).all()
            odd = list(connection.execute(select(CaseRow.id).where(col(CaseRow.quarantined) > 0)).scalars())
            number = connection.execute(select(func.count()).where(col(CaseRow.status) == "open")).scalar_one()
    except SQLAlchemyError:
        return [Check("record", False, "does not answer", "start the database; commands go on meanwhile")]
    since = f", the first at {late[0].wakes_at:%F %H:%M}Z" if late else ""
    return [
        Check("record", True, f"{number} open cases"),
        Check(
            "asleep",
            not late,
            f"{len(late)} cases should have woken{since}",
            "see that a worker runs; then `make drift`: the engine may have lost them",
            tuple(row.id for row in late),
        ),
        Check(
            "quarantined",
            not odd,
            f"{len(odd)} cases have something set aside",
            "read their timelines; the cases go on",
            tuple(odd),
        ),
    ]


async def _engine(client: Client | None, settings: Settings, now: datetime) -> list[Check]:
    if client is None:
        away = f"does not answer at {settings.temporal_address}"
        return [Check("engine", False, away, "`make up`, or start the Temporal server")]
    found = await watchdog.ask(client, settings, now)
    names = await watchdog.failing_cases(client) if found.failing else []
    return [
        Check("engine", found.failing is not None, "answers" if found.failing is not None else "does not answer"),
        Check("workers", bool(found.workers), f"{found.workers} ask for work", "start `python worker.py`"),
        Check(
            "failing",
            not names,
            f"{len(names)} cases fail at every step",
            "their worker's log says why; roll the release back, then `make drift HEAL=1`",
            tuple(name.rsplit("-", 1)[1] for name in names),
        ),
    ]


def show(checks: list[Check]) -> int:
    table = Table("check", "", "says", "what to do", "cases")
    for check in checks:
        mark = "[green]well[/]" if check.well else "[red]not well[/]"
        cases = " ".join(check.cases[:SHOWN]) + (" …" if len(check.cases) > SHOWN else "")
        table.add_row(check.name, mark, check.says, "" if check.well else check.remedy, cases)
    console.print(table)
    return int(not all(check.well for check in checks))


async def main() -> int:
    settings = running.settings()
    engine = database.blocking(settings.database)
    try:
        client = await temporal.connect(settings)
    except RuntimeError:
        client = None
    try:
        return show(await examine(client, engine, settings))
    finally:
        engine.dispose()


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
