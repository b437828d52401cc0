"""Does it stay as fast? Long cases against new ones, big cases against small ones, many cases against few."""

import asyncio
import statistics

from benchmarks.grown import begin, old, young
from benchmarks.report import Report
from benchmarks.stage import Stage, side_by_side, timed

PEOPLE = 8


async def _in_turns(stage: Stage, first: str, second: str, times: int) -> tuple[float, float]:
    """The medians of a note to one case and to another, each after the other, in milliseconds."""
    one, two = [], []
    for _ in range(times):
        one.append(await timed(stage.do(first, "add-note", text="x")))
        two.append(await timed(stage.do(second, "add-note", text="x")))
    return statistics.median(one), statistics.median(two)


async def long_case(stage: Stage, report: Report, times: int, repeats: int) -> None:
    """A case with two thousand commands behind it against one with twenty."""
    ratio = report.ratio("the 2,000th command of a case against the 20th", 1.2, "at most")
    new = await begin(stage, old(0, 20))
    points: list[tuple[float, float]] = []
    for events in (20, 200, 2000):
        aged = await begin(stage, old(0, events))
        for repetition in range(repeats if events == 2000 else 1):
            base, cost = await _in_turns(stage, new, aged, times)
            if events == 2000:
                ratio.note(cost, base)
            if repetition == 0:
                points.append((events, cost))
    report.growth["a command, by events of its case"] = points


async def big_case(stage: Stage, report: Report, times: int, repeats: int) -> None:
    """A case with 200 open tasks against one with 10."""
    ratio = report.ratio("a case with 200 tasks against one with 10", 1.3, "at most")
    small = await begin(stage, old(10, 100))
    points: list[tuple[float, float]] = []
    for tasks in (10, 50, 200):
        big = await begin(stage, old(tasks, 100))
        for repetition in range(repeats if tasks == 200 else 1):
            base, cost = await _in_turns(stage, small, big, times)
            if tasks == 200:
                ratio.note(cost, base)
            if repetition == 0:
                points.append((tasks, cost))
    report.growth["a command, by open tasks of its case"] = points


async def many_cases(stage: Stage, report: Report, sizes: tuple[int, ...], times: int) -> None:
    """The command rate while many cases are open and asleep against the rate while few are."""
    ratio = report.ratio(f"command rate with {sizes[-1]:,} open cases against {sizes[0]}", 0.8, "at least")
    ids = [await begin(stage, young()) for _ in range(PEOPLE)]
    opened, points, first = PEOPLE, list[tuple[float, float]](), 0.0

    async def note(number: int) -> None:
        await stage.do(ids[number], "add-note", text="x")

    for size in sizes:
        gate = asyncio.Semaphore(16)

        async def one(gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                await begin(stage, young())

        await asyncio.gather(*(one() for _ in range(size - opened)))
        opened = size
        rate = statistics.median([await side_by_side(note, PEOPLE, times) for _ in range(3)])
        first = first or rate
        points.append((size, 1000 / rate))
    ratio.note(rate, first)
    report.growth["a command, by open cases"] = points
