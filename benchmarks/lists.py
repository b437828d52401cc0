"""The lists that people look at, over a hundred thousand cases and a million tasks, on both databases.

Asked over the API's own routes, in process. Every statement that they send is then explained: a plan that reads a
whole table is a fault, however fast it was.
"""

import random
import statistics
import tempfile
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlmodel import SQLModel
from temporalio.runtime import Runtime

from activities.rows import table_of
from api.system import System
from benchmarks import pages
from benchmarks.report import Report
from infra import database, migrate, temporal
from infra.encryption import index_key, ring_of
from infra.settings import Settings
from infra.tables import CaseRow, ClockRow, TaskRow
from infra.tokens import Verifier
from tests import postgres
from tests.office import Office
from tests.story import in_force

NOW = datetime.now(UTC)
BATCH, CASES_EACH, TASKS_EACH, TEAM_OF = 5000, 20, 10, 25
OF_ANNA = 100  # cases of hers at least, each with three open promises
LIMIT_MS, ASKED, LARGEST, END_LIMIT = 50.0, 25, 200, 1.2
WHOLE = ("/caseload",)  # lists that are no pages
BIG = ("cases", "tasks", "clocks")
LISTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("cm-anna", "/work", {}),
    ("cm-anna", "/work", {"group": "waiting"}),
    ("sup-1", "/work", {"group": "escalated"}),
    ("sup-1", "/work", {"group": "unowned"}),
    ("cm-anna", "/worklist", {}),
    ("cm-anna", "/worklist", {"queue": "intake"}),
    ("cm-anna", "/cases", {}),
    ("sup-1", "/worklist", {"owner": "cm-anna"}),
    ("sup-1", "/escalations", {"acknowledged": False}),
    ("sup-1", "/cases", {"overdue": True, "sort": "next_due_at"}),
    ("sup-1", "/cases", {"quarantined": True}),
    ("sup-1", "/caseload", {}),
    ("dir-1", "/escalations", {}),
    ("dir-1", "/cases", {"status": "open"}),
)


def population(cases: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]]:
    """Cases of five thousand people in two hundred teams at the full size; Anna is one of them."""
    chance = random.Random(1)
    owners = max(2, cases // CASES_EACH)
    for number in range(cases):
        owner = 0 if number < OF_ANNA else number % owners
        who = "cm-anna" if owner == 0 else f"cm-{owner}"
        team = "north" if owner < TEAM_OF else f"team-{owner // TEAM_OF}"
        case_id = uuid.UUID(int=chance.getrandbits(128)).hex
        missed = chance.random() < 0.05
        yield _case(case_id, who, team, number, missed), *_work(case_id, who, chance, missed)


def _case(case_id: str, who: str, team: str, number: int, missed: bool) -> dict[str, Any]:
    at = NOW - timedelta(minutes=number)
    return {
        "id": case_id,
        "tenant": "local",
        "program": "complex-care",
        "program_version": 2,
        "seq": 40,
        "stage": "follow-up",
        "status": "open" if number % 5 else "closed",
        "owner": who,
        "team": team,
        "tier": "high",
        "weight": 1.0,
        "in_crisis": False,
        "opened_at": at,
        "opened_by": "ehr-1",
        "updated_at": at,
        "recorded_at": at,
        "person_id": f"Patient/{number}",
        "next_due_at": NOW + timedelta(minutes=number % 10_000),
        "wakes_at": NOW + timedelta(minutes=number % 10_000),
        "head": "",
        "sealed": False,
        "open_tasks": 3,
        "overdue": int(missed),
        "escalated": int(missed),
        "quarantined": int(number % 1000 == 0),
    }


def _work(
    case_id: str, who: str, chance: random.Random, missed: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Three open tasks and seven completed ones, each with its clock; one in a hundred waits in a queue."""
    tasks, clocks = [], []
    for n in range(TASKS_EACH):
        is_open, queued = n < 3, chance.random() < 0.01
        state = ("missed" if missed and n == 0 else "running") if is_open else "kept"
        due = NOW + timedelta(minutes=chance.randrange(-5000, 20_000))
        of_case = {"case_id": case_id, "tenant": "local", "queue": "intake" if queued else None}
        tasks.append({**of_case, **_task(n, None if queued else who, is_open)})
        clocks.append({**of_case, **_clock(n, who, state, due)})
    return tasks, clocks


def _task(number: int, assignee: str | None, is_open: bool) -> dict[str, Any]:
    said = {"type": "education", "title": "Educate", "category": "education", "assignee": assignee}
    return {**said, "id": f"t{number}", "clock_id": f"c{number}", "status": "ready" if is_open else "completed"}


def _clock(number: int, owner: str, state: str, due: datetime) -> dict[str, Any]:
    said = {"kind": "task", "title": "Educate", "about": f"t{number}", "policy": "tasks.education.clock"}
    return {
        **said,
        "id": f"c{number}",
        "owner": owner,
        "state": state,
        "due_at": due,
        "missed_at": due if state == "missed" else None,
        "told": "owner" if state == "missed" else None,
        "settled_at": due if state == "kept" else None,
        "late_by": 0 if state == "kept" else None,
    }


def fill(engine: Engine, cases: int) -> None:
    batches: dict[type[SQLModel], list[dict[str, Any]]] = {CaseRow: [], TaskRow: [], ClockRow: []}

    def flush(connection: Connection) -> None:
        for model, rows in batches.items():
            if rows:
                connection.execute(table_of(model).insert(), rows)
                rows.clear()

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET statement_timeout = 0"))
        for case, tasks, clocks in population(cases):
            batches[CaseRow].append(case)
            batches[TaskRow] += tasks
            batches[ClockRow] += clocks
            if len(batches[TaskRow]) >= BATCH:
                flush(connection)
        flush(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


@asynccontextmanager
async def office_over(url: str, folder: Path) -> AsyncIterator[Office]:
    """The API over this database; its engine is not there, and no list needs it."""
    settings = Settings(
        data_dir=folder,
        DATABASE_URL=url,
        TEMPORAL_ADDRESS="127.0.0.1:1",
        hosts="caseloom.test",
        requests_per_minute=1_000_000,
    )
    parts = System(
        settings=settings,
        rulebook=in_force(),
        engine=database.connect(settings.database),
        client=await temporal.connect(settings, lazy=True),
        verifier=Verifier(settings),
        runtime=Runtime.default(),
        keys=ring_of(settings),
        index_key=index_key(settings.index_key, settings.data_dir),
    )
    async with Office(parts, None) as office:  # type: ignore[arg-type]
        yield office
    await parts.close()


class Asked:
    """One list as one person asks for it."""

    def __init__(self, office: Office, person: str, path: str, wanted: dict[str, Any]) -> None:
        self.office, self.person, self.path, self.wanted = office, person, path, wanted

    async def page(self, cursor: str | None = None, limit: int | None = None) -> tuple[float, str | None]:
        """The milliseconds that a page took, and the cursor of the next one."""
        more = {name: value for name, value in (("cursor", cursor), ("limit", limit)) if value is not None}
        began = time.perf_counter()
        answer = await self.office.get(self.person, self.path, **self.wanted, **more)
        took = (time.perf_counter() - began) * 1000
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return took, found.get("next") if isinstance(found, dict) else None

    async def first_pages(self) -> list[float]:
        """The milliseconds of each page that somebody sees who turns the pages over from the first one."""
        times: list[float] = []
        cursor = None
        for _ in range(ASKED):
            took, cursor = await self.page(cursor)
            times.append(took)
        return times

    async def near_the_end(self) -> str | None:
        """The cursor of a full page near the end; None for a list of few pages."""
        cursors = deque[str](maxlen=2)
        _, cursor = await self.page(limit=LARGEST)
        while cursor is not None:
            cursors.append(cursor)
            _, cursor = await self.page(cursor, LARGEST)
        return cursors[0] if len(cursors) == 2 else None

    async def in_turns(self, *cursors: str | None) -> list[float]:
        """The medians of some pages, each asked for after the other, again and again."""
        rounds = [[(await self.page(cursor))[0] for cursor in cursors] for _ in range(ASKED)]
        return [statistics.median(times) for times in zip(*rounds, strict=True)]


def scans(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """The steps of a plan that read a big table, or an index of it, from one end to the other."""
    if connection.dialect.name == "sqlite":
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        return [step for step in plan if step.startswith("SCAN") and _big(step)]
    connection.exec_driver_sql("SET enable_seqscan = off")  # a small table is read whole though it has an index
    said = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
    steps = [step for step in said.split("->") if "Scan" in step and " on " in step and _big(step)]
    return [step.strip() for step in steps if "Cond:" not in step]


def _big(step: str) -> bool:
    return any(f" {name}" in step for name in BIG)


async def ask(report: Report, asked: Asked, title: str) -> None:
    """Its p95, and a page near its end against its first one."""
    await asked.first_pages()  # warm
    times = await asked.first_pages()
    worst = sorted(times)[int(len(times) * 0.95)]
    report.ratio(f"{title}: p95 ms", LIMIT_MS, "at most").note(worst, 1.0)
    report.figures[f"{title}: p50 ms"] = statistics.median(times)
    if asked.path not in WHOLE and (end := await asked.near_the_end()):
        deep = report.ratio(f"{title}: a page near the end against the first", END_LIMIT, "at most")
        deep.note(*await asked.in_turns(end, None))


async def ask_all(report: Report, url: str, name: str, cases: int) -> None:
    """Every list on one database: its p95, its last page against its first, its plans."""
    with tempfile.TemporaryDirectory() as folder:
        async with office_over(url, Path(folder)) as office:
            said: dict[str, Any] = {}
            event.listen(
                office.parts.engine.sync_engine,
                "before_cursor_execute",
                lambda c, cursor, statement, parameters, context, many: said.__setitem__(statement, parameters),
            )
            for person, path, wanted in LISTS:
                title = f"{name} {cases:,}: {person} {path} {' '.join(wanted)}".strip()
                await ask(report, Asked(office, person, path, wanted), title)
            await pages.today(report, office, f"{name} {cases:,}: Today at the desk")
            with database.blocking(office.parts.engine.url).connect() as connection:
                found = [s for q, p in said.items() if q.startswith("SELECT") for s in scans(connection, q, p)]
            ratio = report.ratio(f"{name}: statements whose plan reads a whole table", 0, "at most")
            ratio.note(len(found), 1.0)
            for step in found:
                report.figures[f"{name}: {step}"] = 1


async def both(report: Report, cases: int) -> None:
    """SQLite and PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/record.db"
        await migrate.upgrade(url)
        engine = database.blocking(url)
        fill(engine, cases)
        engine.dispose()
        await ask_all(report, url, "SQLite", cases)
    with postgres.server() as found:
        plain = postgres.create(found.address, "lists")
        url = postgres.by_psycopg(plain)
        await migrate.upgrade(url)
        engine = database.blocking(url)
        fill(engine, cases)
        engine.dispose()
        await ask_all(report, plain, "PostgreSQL", cases)
