"""Does a big case answer as fast as a new one? `make bench`; the ratio of the medians, over HTTP.

Two cases on one server, asked in turns: one with 200 open tasks and more than 2,000 events, one just followed up.
Every command goes the whole way: HTTP, engine, decision, record, answer.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.runtime import Runtime
from temporalio.testing import WorkflowEnvironment

from activities.record import Message, Recording
from api.system import System
from domain.record import Page
from infra import database, migrate, temporal
from infra.loopback import temporal_binary
from infra.settings import Settings
from infra.temporal import workflow_id
from infra.tokens import Verifier
from tests.conftest import KEY
from tests.office import Office
from tests.story import Story, in_force
from worker import worker
from workflows.messages import CASE_WORKFLOW, Life

TASKS, EVENTS, ROUNDS, REPEATS = 200, 2000, 60, 3
LIMIT = 1.3
console = Console()


async def timed(office: Office, case_id: str, kind: str, **body: object) -> float:
    start = time.perf_counter()
    await office.do(case_id, kind, **body)
    return (time.perf_counter() - start) * 1000


async def grow(office: Office, engine: AsyncEngine, settings: Settings) -> tuple[str, int, int]:
    """Start a case that has lived for years: played against the domain, written into the record, then begun."""
    case_id = uuid.uuid4().hex
    story = Story(now=datetime.now(UTC) - timedelta(hours=1)).open(case_id=case_id)
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    story.assess("high").do("agree-plan", **story.plan("education"))
    while len(story.known.open_tasks) < TASKS:
        story.do("add-task", task="education")
    while story.known.seq < EVENTS:
        story.do("add-note", text="a note of a long case")
    page, before = Page(), None
    for entry in story.timeline:
        after = entry.apply(before)
        page, before = page.told(before, entry, after), after
    writing = database.blocking(engine.url)
    await Recording(writing).record(Message(tenant="local", case_id=case_id, page=page))
    writing.dispose()
    life = Life(tenant="local", case_id=case_id, history_events=settings.history_events, case=story.known)
    life = life.changed(wake_at=story.wake_at())
    await office.environment.client.start_workflow(
        CASE_WORKFLOW, life, id=workflow_id("local", case_id), task_queue=settings.task_queue
    )
    return case_id, len(story.known.open_tasks), story.known.seq


async def state(office: Office, case_id: str) -> dict:  # type: ignore[type-arg]
    found: dict = (await office.get("dir-1", f"/cases/{case_id}")).json()["case"]  # type: ignore[type-arg]
    return found


async def compare(office: Office, new: str, big: str) -> dict[str, list[float]]:
    """The times of the same commands on both cases, in turns."""
    times: dict[str, list[float]] = {"new": [], "big": []}
    for _ in range(ROUNDS):
        for name, case_id in (("new", new), ("big", big)):
            times[name].append(await timed(office, case_id, "add-note", text="a note"))
            tasks = (await state(office, case_id))["tasks"]
            if len(tasks) < (TASKS if name == "big" else 1):
                await office.do(case_id, "add-task", task="education")
                tasks = (await state(office, case_id))["tasks"]
            times[name].append(await timed(office, case_id, "complete-task", task_id=tasks[-1]["id"]))
    return times


async def measure(folder: Path) -> int:
    settings = Settings(data_dir=folder, task_queue=f"q-{uuid.uuid4().hex[:8]}", metrics_address="127.0.0.1:1")
    url = f"sqlite+aiosqlite:///{folder / 'record.db'}"
    await migrate.upgrade(url)
    engine = database.connect(url)
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(),
        dev_server_log_level="error",
        plugins=[temporal.plugin([KEY])],
    )
    async with environment:
        parts = System(
            settings=settings,
            rulebook=in_force(),
            engine=engine,
            client=environment.client,
            verifier=Verifier(settings),
            runtime=Runtime.default(),
        )
        async with worker(environment.client, settings, in_force(), engine), Office(parts, environment) as office:
            await office.hire()
            new = await office.open(owner="cm-anna")
            await office.walk(new)
            big, tasks, events = await grow(office, engine, settings)
            console.print(f"The big case has {tasks} open tasks and {events} events.")
            runs = [await compare(office, new, big) for _ in range(REPEATS)]
    await engine.dispose()
    return show(runs, tasks, events)


def show(runs: list[dict[str, list[float]]], tasks: int, events: int) -> int:
    """Print the table, write the JSON; 1 when the ratio is above the limit."""
    table = Table(title="A command of a big case against one of a new case, milliseconds over HTTP")
    for column in ("run", "new p50", "big p50", "ratio"):
        table.add_column(column, justify="right")
    ratios = []
    for number, run in enumerate(runs, 1):
        new, big = statistics.median(run["new"]), statistics.median(run["big"])
        ratios.append(big / new)
        table.add_row(str(number), f"{new:.1f}", f"{big:.1f}", f"{big / new:.2f}")
    console.print(table)
    ratio = statistics.median(ratios)
    spread = [round(min(ratios), 3), round(max(ratios), 3)]
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    found = {"ratio": round(ratio, 3), "spread": spread, "limit": LIMIT, "tasks": tasks, "events": events}
    (results / "case_size.json").write_text(json.dumps(found, indent=2) + "\n")
    console.print(f"ratio {ratio:.2f} (from {spread[0]} to {spread[1]}), at most {LIMIT}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.exit(asyncio.run(measure(Path(name))))
