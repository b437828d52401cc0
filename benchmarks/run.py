"""`make bench` (about five minutes) and `make bench-full`: every cost as a ratio within one run.

The floor is the engine itself: an update whose handler runs one local activity that does nothing, a bare start, a
bare timer. Both run on the same server in turns. Results lie in `benchmarks/results/`; the exit code is 1 when a
limit was not kept.
"""

import argparse
import asyncio
import os
import sys

import structlog
from rich.console import Console

from benchmarks import cost, floor, growth, lists, persons, population
from benchmarks.report import Report
from benchmarks.stage import stage

console = Console(stderr=True)


async def bench(full: bool) -> int:
    report = Report()
    try:
        await measure(report, full)
    finally:  # what was measured before a fault is kept
        code = report.show("full" if full else "short")
    return code


async def measure(report: Report, full: bool) -> None:
    """Everything, one after the other."""
    times, repeats = (60, 5) if full else (20, 3)
    async with stage(CASELOOM_JITTER_SECONDS="0") as found:
        with console.status("") as status:
            status.update("commands against the floor …")
            await floor.commands(found, report, times, repeats)
            status.update("openings …")
            await floor.openings(found, report, times, repeats)
            status.update("reading …")
            await floor.reading(found, report, 3 * times, repeats)
            status.update("growth …")
            await growth.long_case(found, report, times, repeats)
            await growth.big_case(found, report, times, repeats)
            status.update("events, bytes, memory, cold starts …")
            await cost.of_commands(found, report, times)
            await cost.of_memory(found, report, 200 if full else 30)
            await cost.of_cold_starts(found, report, 60 if full else 8)
            status.update("a population …")
            await population.screening(found, report, 100_000 if full else 3_000)
            status.update("a herd …")
            await floor.herd(found, report, 1000 if full else 80, 3 if full else 1)
            status.update("many open cases …")
            await growth.many_cases(found, report, (100, 1000, 20_000) if full else (40, 160), times)
    with console.status("lists …"):
        await lists.both(report, 100_000 if full else 5_000)
    with console.status("people …"):
        await persons.both(report, 1_000_000 if full else 10_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the sizes that the limits speak of; takes two hours")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    code = asyncio.run(bench(given.full))
    sys.stdout.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
