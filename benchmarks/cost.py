"""What one command leaves behind and needs: events, bytes, rows, transitions; memory and cold start of a case."""

import asyncio
import statistics

from sqlalchemy import func
from sqlmodel import SQLModel, select

from activities.derived import DERIVED
from activities.rows import table_of
from benchmarks.bare import Bare
from benchmarks.grown import begin, young
from benchmarks.report import Report
from benchmarks.stage import Stage, resident, timed
from infra.database import reading
from infra.tables import CommandRow, TimelineRow
from infra.temporal import workflow_id
from worker import STICKY

TABLES: tuple[type[SQLModel], ...] = (*DERIVED, TimelineRow, CommandRow)


def rows(stage: Stage) -> int:
    with reading(stage.record).connect() as connection:
        return sum(connection.execute(select(func.count()).select_from(table_of(t))).scalar_one() for t in TABLES)


def bytes_of(stage: Stage, name: str) -> int:
    return sum(path.stat().st_size for path in stage.plant.folder.glob(f"{name}*"))


async def of_commands(stage: Stage, report: Report, number: int) -> None:
    """So many notes to one case: what grows, by command."""
    case_id = await begin(stage, young())
    await stage.do(case_id, "add-note", text="first")
    handle = stage.case_client.get_workflow_handle(workflow_id("local", case_id))
    stage.checkpoint()
    before = await handle.describe(), rows(stage), bytes_of(stage, "caseloom.db"), bytes_of(stage, "temporal.db")
    history = before[0].raw_description.workflow_execution_info
    for n in range(number):
        await stage.do(case_id, "add-note", text=f"a note of some length, number {n}, as people write them")
    stage.checkpoint()
    after = (await handle.describe()).raw_description.workflow_execution_info
    report.figures["history events a command"] = (after.history_length - history.history_length) / number
    size = report.ratio("history bytes a command, against 2,000", 1.0, "at most")
    size.note((after.history_size_bytes - history.history_size_bytes) / number, 2000)
    report.figures["state transitions a command"] = (
        after.state_transition_count - history.state_transition_count
    ) / number
    report.figures["record rows a command"] = (rows(stage) - before[1]) / number
    report.figures["record bytes a command (SQLite)"] = (bytes_of(stage, "caseloom.db") - before[2]) / number
    report.figures["engine bytes a command (SQLite)"] = (bytes_of(stage, "temporal.db") - before[3]) / number


async def of_memory(stage: Stage, report: Report, number: int) -> None:
    """The worker's memory for each case that it keeps in its cache."""
    before = resident(stage.plant.workers[0])
    for _ in range(number):
        await begin(stage, young())
    await stage.settled()
    held = (resident(stage.plant.workers[0]) - before) / number / 1024
    report.figures["KiB of worker memory a cached case"] = held


async def of_cold_starts(stage: Stage, report: Report, number: int) -> None:
    """Workers that know nothing are asked: read a history, replay it, decide, answer; beside a bare update."""
    ratio = report.ratio("a cold case: p50 against a cold bare update", 2.0, "at most")
    ids = [await begin(stage, young()) for _ in range(number)]
    await stage.start_bare(number)
    for case_id, handle in zip(ids, stage.bare, strict=True):
        for n in range(20):
            await stage.do(case_id, "add-note", text=f"{n}")
            await handle.execute_update(Bare.touch)
    warm = [await timed(stage.do(case_id, "add-note", text="warm")) for case_id in ids]
    assert stage.bare_worker is not None
    for part in (stage.plant.workers[0], stage.bare_worker):
        await part.stop()
        await part.start()
    await stage.do(await begin(stage, young()), "add-note", text="the worker is up")
    await (await stage.one_bare()).execute_update(Bare.touch)
    await asyncio.sleep(STICKY.total_seconds() + 1)  # nobody waits for the workers that are gone any more
    cold = sorted([await timed(stage.do(case_id, "add-note", text="cold")) for case_id in ids])
    bare = sorted([await timed(handle.execute_update(Bare.touch)) for handle in stage.bare])
    ratio.note(statistics.median(cold), statistics.median(bare))
    report.figures["ms a command: warm case, p50"] = statistics.median(warm)
    report.figures["ms a command: cold case (about 200 events), p50"] = statistics.median(cold)
    report.figures["ms a command: cold case, p95"] = cold[int(len(cold) * 0.95)]
