"""What the program costs against the engine alone, on the same server, in turns."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy

from benchmarks.bare import QUEUE, Bare, BareTimer
from benchmarks.grown import begin, due_case
from benchmarks.report import Report
from benchmarks.stage import Stage, cpu_seconds, one_after_another, side_by_side, timed
from infra.tables import TimelineRow

PEOPLE, A_TURN = 8, 10


async def commands(stage: Stage, report: Report, times: int, repeats: int) -> None:
    """`complete-task` over HTTP against an update that does nothing: alone, and with eight people at once.

    In turns of ten, so that a case has about as many open tasks as people give it, not as the benchmark needs.
    """
    rate = report.ratio("complete-task: throughput against the floor", 0.7, "at least")
    speed = report.ratio("complete-task: p50 against the floor", 1.5, "at most")
    cases = [await stage.ready() for _ in range(PEOPLE)]
    await stage.start_bare(PEOPLE)
    tasks: list[list[str]] = [[] for _ in cases]
    parts = {"engine": stage.plant.engine, "worker": stage.plant.workers[0], "API": stage.plant.api}

    async def floor(number: int) -> None:
        await stage.bare[number].execute_update(Bare.touch)

    async def ours(number: int) -> None:
        await stage.do(cases[number], "complete-task", task_id=tasks[number].pop())

    async def stock(number: int) -> None:
        for _ in range(A_TURN):
            tasks[number] += (await stage.do(cases[number], "add-task", task="education"))["created"][:1]

    spent = dict.fromkeys(parts, 0.0)
    turns = repeats * times // A_TURN
    for _ in range(turns):
        await stock(0)
        slow = await one_after_another(lambda _: timed(floor(0)), A_TURN)
        speed.note(await one_after_another(lambda _: timed(ours(0)), A_TURN), slow)
        await asyncio.gather(*(stock(n) for n in range(PEOPLE)))
        bare = await side_by_side(floor, PEOPLE, A_TURN)
        before = {name: cpu_seconds(part) for name, part in parts.items()}
        rate.note(await side_by_side(ours, PEOPLE, A_TURN), bare)
        for name, part in parts.items():
            spent[name] += cpu_seconds(part) - before[name]
    for name, seconds in spent.items():
        report.figures[f"{name}: CPU ms a command"] = seconds * 1000 / (PEOPLE * A_TURN * turns)
    report.figures["updates a second: floor"] = rate.middle("beside")
    report.figures["commands a second: HTTP, two cores"] = rate.middle("ours")
    report.figures["p50 ms: floor"] = speed.middle("beside")
    report.figures["p50 ms: command over HTTP"] = speed.middle("ours")


async def openings(stage: Stage, report: Report, times: int, repeats: int) -> None:
    """Opening a case over HTTP against starting a workflow with an update that does nothing."""
    rate = report.ratio("opening a case: throughput against a bare update with start", 0.6, "at least")

    async def floor(_: int) -> None:
        start: Any = WithStartWorkflowOperation(
            Bare.run,
            id=f"bare-{uuid.uuid4().hex}",
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        await stage.client.execute_update_with_start_workflow(Bare.touch, start_workflow_operation=start)

    async def ours(_: int) -> None:
        await stage.open()

    for _ in range(repeats):
        bare = await side_by_side(floor, PEOPLE, times)
        rate.note(await side_by_side(ours, PEOPLE, times), bare)
    report.figures["openings a second: HTTP, two cores"] = rate.raw[-1]["ours"]


async def reading(stage: Stage, report: Report, times: int, repeats: int) -> None:
    """Reading one case over HTTP against asking a workflow that knows one number."""
    speed = report.ratio("GET /cases/{id}: p50 against a bare query", 0.8, "at most")
    case_id = await stage.ready()
    await stage.start_bare(1)

    async def floor(_: int) -> float:
        return await timed(stage.bare[0].query(Bare.count))

    async def ours(_: int) -> float:
        return await timed(stage.read(case_id))

    for _ in range(repeats):
        slow = await one_after_another(floor, times)
        speed.note(await one_after_another(ours, times), slow)


async def herd(stage: Stage, report: Report, size: int, repeats: int) -> None:
    """So many promises due in one second, none spread, against as many bare timers: until the last is done."""
    ratio = report.ratio(f"{size} clocks due at once: until the last climbed, against bare timers", 2.5, "at most")
    for _ in range(repeats):
        wake_at = time.time() + 5 + size / 25
        timers = [
            await stage.client.start_workflow(
                BareTimer.run, wake_at, id=f"timer-{uuid.uuid4().hex}", task_queue=QUEUE
            )
            for _ in range(size)
        ]
        late = await asyncio.gather(*(timer.result() for timer in timers))
        floor = max(late)
        due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=8 + size / 12)
        stories = [due_case(due_at) for _ in range(size)]
        for story in stories:
            await begin(stage, story)
        ours = await _all_climbed(stage, [story.known.id for story in stories], due_at)
        ratio.note(ours, floor, size=size)


async def _all_climbed(stage: Stage, case_ids: list[str], due_at: datetime) -> float:
    """Seconds from the deadline until every case has its miss and its first rung on record."""
    wanted = set(case_ids)
    deadline = time.time() + 600
    while time.time() < deadline:
        rows = stage.rows(TimelineRow, "rung-climbed")
        climbed = {row.case_id for row in rows} & wanted
        if climbed == wanted:
            last: datetime = max(row.at for row in rows if row.case_id in wanted)
            return max(0.001, (last - due_at).total_seconds())
        await asyncio.sleep(0.5)
    raise TimeoutError(f"only {len(climbed)} of {len(wanted)} climbed")
