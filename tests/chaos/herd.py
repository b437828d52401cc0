"""`make chaos HERD=1000`: so many promises due in the same second, while people go on working.

Each must climb once, none early, all within two minutes; a command in between takes less than two seconds at p95.
"""

import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
from rich.console import Console

from benchmarks.grown import begin, due_case, young
from benchmarks.stage import Stage
from infra import temporal
from infra.tables import TimelineRow
from tests.chaos.parts import Plant

ALL_WITHIN, P95_WITHIN = 120.0, 2.0
PEOPLE = 3
console = Console(stderr=True)


@dataclass
class Stampede:
    """What became of a herd."""

    size: int
    climbed: int = 0
    last_after: float = 0.0
    p95: float = 0.0
    asked: int = 0
    faults: list[str] = field(default_factory=list)


async def stampede(size: int, spread: int) -> Stampede:
    """Begin the cases, wait for the second they are due in, watch; they are woken over `spread` seconds."""
    with tempfile.TemporaryDirectory(prefix="caseloom-herd-", ignore_cleanup_errors=True) as name:
        async with Plant(Path(name), workers=2, CASELOOM_JITTER_SECONDS=str(spread)) as plant:
            client = await temporal.connect(plant.settings)
            async with httpx2.AsyncClient(base_url=plant.address, timeout=60) as http:
                stage = Stage(plant, None, client, client, http)
                await stage.hire()
                return await _watch(stage, size, timedelta(seconds=spread))


async def _watch(stage: Stage, size: int, spread: timedelta) -> Stampede:
    found = Stampede(size)
    due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=max(12, size / 7))
    others = [await begin(stage, young()) for _ in range(PEOPLE)]
    ids = {await begin(stage, due_case(due_at), spread) for _ in range(size)}
    if datetime.now(UTC) > due_at:
        found.faults.append("this machine was too slow to begin the cases before they were due")
    await asyncio.sleep(max(0.0, (due_at - datetime.now(UTC)).total_seconds()))
    console.print(f"{size} promises are due now: {due_at:%H:%M:%S}Z")
    times: list[float] = []
    working = [asyncio.create_task(_work(stage, case_id, times)) for case_id in others]
    until = time.monotonic() + ALL_WITHIN
    while time.monotonic() < until and len(_climbs(stage, ids)) < size:
        await asyncio.sleep(1)
    for person in working:
        person.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    _judge(stage, found, ids, due_at)
    found.asked, found.p95 = len(times), sorted(times)[int(len(times) * 0.95)]
    if found.p95 > P95_WITHIN:
        found.faults.append(f"a command took {found.p95:.1f} s at p95 meanwhile")
    return found


async def _work(stage: Stage, case_id: str, times: list[float]) -> None:
    """A person at work: a note every half second."""
    while True:
        began = time.monotonic()
        await stage.do(case_id, "add-note", text="while the herd runs")
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.5)


def _climbs(stage: Stage, ids: set[str]) -> dict[str, datetime]:
    """When each case of the herd told the first person after its miss."""
    missed = {(row.case_id, row.data["clock_id"]) for row in stage.rows(TimelineRow, "clock-missed")}
    climbs = [row for row in stage.rows(TimelineRow, "rung-climbed") if row.case_id in ids]
    return {row.case_id: row.at for row in climbs if (row.case_id, row.data["clock_id"]) in missed}


def _judge(stage: Stage, found: Stampede, ids: set[str], due_at: datetime) -> None:
    climbs = _climbs(stage, ids)
    found.climbed = len(climbs)
    found.last_after = max(((at - due_at).total_seconds() for at in climbs.values()), default=0.0)
    missed = [row for row in stage.rows(TimelineRow, "clock-missed") if row.case_id in ids]
    rungs = Counter(
        (row.case_id, row.data["clock_id"], row.data["climb"]["round"], row.data["climb"]["rung"])
        for row in stage.rows(TimelineRow, "rung-climbed")
        if row.case_id in ids
    )
    if len(climbs) < len(ids):
        found.faults.append(f"{len(ids) - len(climbs)} cases had not climbed after {ALL_WITHIN:.0f} s")
    if early := [row for row in missed if row.at < due_at]:
        found.faults.append(f"{len(early)} were missed early")
    if len(missed) != len({(row.case_id, row.data["clock_id"]) for row in missed}) or max(rungs.values()) > 1:
        found.faults.append("something happened twice")
