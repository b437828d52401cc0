"""`make chaos SEED=… MINUTES=…`: a whole system under load, while faults come and go; then everything is checked.

The seed is printed and gives the same order of faults and commands again. What the run leaves behind (operation
log, logs of the parts, both databases) stays in the folder it names when something did not hold.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table
from temporalio.client import Client

from deploy.drift import WELL, Comparison
from infra import database, temporal
from tests import postgres
from tests.chaos.checker import Checker, asleep, unknowns, views
from tests.chaos.faults import FAULTS, Fault, mount, named, unmount
from tests.chaos.herd import Stampede, stampede
from tests.chaos.ops import OperationLog
from tests.chaos.parts import Plant, until
from tests.chaos.workload import Workload

PEOPLE, CASES, DEMO_CASES = 10, 24, 6  # the demo programme's promises fall due in seconds: its ladders climb
QUIET_SECONDS, SPREAD_SECONDS = 60.0, 60
console = Console(stderr=True)


@dataclass
class Findings:
    """What a run came to."""

    seed: int
    operations: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    rounds: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def slowest(self) -> float:
        return max((seconds for _, seconds in self.rounds), default=0.0)


class Run:
    """One run: a plant, a workload, faults in an order that the seed gives."""

    def __init__(self, plant: Plant, seed: int, log: OperationLog, patience: float) -> None:
        self.plant, self.log, self.chance, self.patience = plant, log, random.Random(seed), patience
        self.findings = Findings(seed)

    async def strike(self, workload: Workload, fault: Fault) -> None:
        """Bring one fault about, heal it, and see that a command is acknowledged in time."""
        if reason := fault.needs(self.plant):
            self.findings.skipped[fault.name] = reason
            return
        await fault.begin(self.plant, self.chance)
        await asyncio.sleep(self.chance.uniform(*fault.lasts))
        await fault.end(self.plant, self.chance)
        self.findings.kills += fault.kills
        within = fault.alive_within * self.patience
        try:
            seconds = await workload.alive(within)
        except TimeoutError:
            self.findings.faults.append(f"{fault.name}: no command acknowledged in {within:.0f} s")
            seconds = within
        self.findings.rounds.append((fault.name, seconds))

    async def go(self, workload: Workload, faults: list[Fault], until_time: float) -> None:
        """Work through the faults, again and again in another order, until the time is over; once at least."""
        working = asyncio.create_task(workload.run(PEOPLE))
        first = True
        while first or time.monotonic() < until_time:
            for fault in self.chance.sample(faults, len(faults)):
                await asyncio.sleep(self.chance.uniform(0.5, 2.5))
                await self.strike(workload, fault)
                self._say(fault)
                if not first and time.monotonic() > until_time:
                    break
            first = False
        workload.stopping = True
        await working

    def _say(self, fault: Fault) -> None:
        counts = self.log.count()
        console.print(
            f"[dim]{time.strftime('%H:%M:%S')}[/] {fault.name}: "
            f"{counts.get('acknowledged', 0)} acknowledged, {self.findings.kills} kills so far"
        )

    async def check(self, workload: Workload) -> None:
        """Heal everything, wait until all is quiet, and hold the three views against one another."""
        await self.plant.well()
        self.findings.faults += [
            f"case {case_id} does not answer any more" for case_id in await workload.last_words()
        ]
        engine = database.blocking(self.plant.settings.database)
        client = await temporal.connect(self.plant.settings)
        comparison = Comparison(client, engine, self.plant.settings, mend=False, over_gap=False)

        async def quiet() -> bool:
            return not asleep(engine) and all(f.state in WELL for f in await comparison.run())

        try:
            await until(quiet, "the cases and the record do not agree", QUIET_SECONDS)
        except Exception as fault:
            self.findings.faults += [str(fault), *await views(comparison)]
        checker = Checker(engine, comparison.healing.keys, self.log)
        self.findings.faults += [*checker.faults(), *asleep(engine)]
        self.findings.faults += await unknowns(workload, self.log, checker.applied)
        self.findings.faults += await self._garbage(client, checker)
        self.findings.faults += workload.contradictions
        if not workload.reads:
            self.findings.faults.append("no case was ever read")
        self.findings.operations = self.log.count()
        engine.dispose()

    async def _garbage(self, client: Client, checker: Checker) -> list[str]:
        """Every unreadable message is on record in its case, once, where people see it."""
        faults = []
        for case_id, sent in self.plant.garbage.items():
            found = sum(row.kind == "message-unreadable" for row in checker.timelines[case_id])
            if found != sent:
                faults.append(f"case {case_id}: {sent} unreadable messages sent, {found} set aside")
        return faults


async def chaos(
    seed: int,
    minutes: float,
    names: list[str],
    own_disk: bool,
    on_postgres: postgres.Server | None = None,
    patience: float = 1,
) -> Findings:
    """A whole run in a folder of its own; the folder stays when something did not hold.

    `patience`: how many times longer than by itself a command may take to be acknowledged after a fault.
    """
    scratch = Path(tempfile.mkdtemp(prefix="caseloom-chaos-"))
    folder = scratch / "plant"  # the operation log is not on the disk that gets full
    folder.mkdir()
    mounted = own_disk and mount(folder, 512)
    chosen = [named(name) for name in names] or list(FAULTS)
    log = OperationLog(scratch / "ops.jsonl")
    url = postgres.by_psycopg(postgres.create(on_postgres.address, f"chaos{seed}")) if on_postgres else ""
    plant = Plant(folder, url, workers=2, CASELOOM_HISTORY_EVENTS="100")
    plant.own_disk, plant.postgres = mounted, on_postgres
    run = Run(plant, seed, log, patience)
    try:
        async with plant, Workload(plant, log, run.chance) as workload:
            await workload.hire()
            await workload.open_cases(CASES - DEMO_CASES)
            await workload.open_cases(DEMO_CASES, "demo")
            await run.go(workload, chosen, time.monotonic() + minutes * 60)
            await run.check(workload)
    finally:
        log.close()
        kept = Path(tempfile.gettempdir()) / f"caseloom-chaos-seed-{seed}"
        if run.findings.faults or not run.findings.operations:
            shutil.copytree(scratch, kept, dirs_exist_ok=True)
            console.print(f"kept: {kept}")
        if mounted:
            unmount(folder)
        shutil.rmtree(scratch, ignore_errors=True)
    return run.findings


def show(findings: Findings) -> int:
    """The tables of a run; 1 when something did not hold."""
    table = Table(
        "fault", "times", "first acknowledged after, s: median", "slowest", title=f"seed {findings.seed}"
    )
    for name in Counter(name for name, _ in findings.rounds):
        times = sorted(seconds for found, seconds in findings.rounds if found == name)
        table.add_row(name, str(len(times)), f"{times[len(times) // 2]:.2f}", f"{times[-1]:.2f}")
    console.print(table)
    for name, reason in findings.skipped.items():
        console.print(f"[yellow]not done:[/] {name}: {reason}")
    counts = ", ".join(f"{number} {became}" for became, number in sorted(findings.operations.items()))
    console.print(f"{counts}; {findings.kills} kills; slowest return {findings.slowest:.1f} s")
    for fault in findings.faults[:40]:
        console.print(f"[red]{fault}[/]")
    verdict = (
        f"[red]{len(findings.faults)} things did not hold[/]" if findings.faults else "[green]everything held[/]"
    )
    console.print(f"{verdict}   replay: make chaos SEED={findings.seed}")
    return int(bool(findings.faults))


def show_herd(found: Stampede) -> int:
    console.print(
        f"{found.climbed} of {found.size} climbed, the last {found.last_after:.1f} s after the deadline; "
        f"{found.asked} commands meanwhile, p95 {found.p95:.2f} s"
    )
    for fault in found.faults:
        console.print(f"[red]{fault}[/]")
    return int(bool(found.faults))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="gives the same run again; else by chance")
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults come and go (2)")
    parser.add_argument("--fault", action="append", default=[], choices=[fault.name for fault in FAULTS])
    parser.add_argument("--postgres", action="store_true", help="the record on PostgreSQL, which can be killed")
    parser.add_argument("--herd", type=int, default=0, help="instead: so many promises due in one second")
    given = parser.parse_args()
    chosen_seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    console.print(f"seed {chosen_seed}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if given.herd:
        code = show_herd(asyncio.run(stampede(given.herd, SPREAD_SECONDS)))
    else:
        with postgres.server() if given.postgres else contextlib.nullcontext() as server:
            code = show(asyncio.run(chaos(chosen_seed, given.minutes, given.fault, True, server)))
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
