"""Health says what an operator must look at, and says it within seconds."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.tables import WorkerRow
from infra.watchdog import BEAT_SECONDS, programs_of
from tests.office import Office
from tests.story import in_force

EVERYTHING = programs_of(in_force())
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def health(office: Office) -> dict[str, Any]:
    found: dict[str, Any] = (await office.http.get("/healthz")).json()
    return found


async def test_without_a_worker_the_system_is_degraded_fifteen_seconds_after_it_died(
    quiet_office: Office, engine: AsyncEngine
) -> None:
    """One that was heard a beat ago is at work, one that has been silent for longer is gone; so says doctor."""
    assert (await health(quiet_office))["workers"] == 0
    now = datetime.now(UTC)
    for name, silent in (("at-work", BEAT_SECONDS), ("killed", 14.0)):
        row = {"id": name, "task_queue": "q", "build": "", "programs": EVERYTHING, "started_at": now}
        async with engine.begin() as connection:
            seen = now - timedelta(seconds=silent)
            await connection.execute(insert(WorkerRow).values(**row, seen_at=seen))
    found = await health(quiet_office)
    assert (found["status"], found["workers"]) == ("ok", 1)


async def test_a_worker_that_runs_is_counted_and_one_that_stops_in_order_is_not(office: Office) -> None:
    async def at_work() -> bool:
        found = await health(office)
        return (found["status"], found["workers"]) == ("ok", 1)

    await office.until(at_work)


async def test_a_programme_that_only_a_worker_lacks_is_named(office: Office, engine: AsyncEngine) -> None:
    """Its file was gone when that worker was started again; the API still has what it read."""
    await office.open()
    newest = f"complex-care-{in_force().latest('complex-care').version}"
    now, there = datetime.now(UTC), [name for name in EVERYTHING if name != newest]
    row = {"id": "restarted", "task_queue": "q", "build": "", "programs": there}
    async with engine.begin() as connection:
        await connection.execute(insert(WorkerRow).values(**row, started_at=now, seen_at=now))
    found = await health(office)
    assert (found["status"], found["missing"]) == ("degraded", [newest])


async def test_a_programme_that_cases_run_under_and_the_catalogue_lacks_is_named(office: Office) -> None:
    """Degraded, with the version's name: its cases' commands wait until the file is back."""
    await office.open()
    others = tuple(p for p in in_force().programs if p.program != "complex-care")
    office.app.state.system = dataclasses.replace(office.parts, rulebook=in_force().changed(programs=others))

    async def at_work() -> bool:
        return bool((await health(office))["workers"])

    await office.until(at_work)
    found = await health(office)
    newest = in_force().latest("complex-care").version
    assert (found["status"], found["missing"]) == ("degraded", [f"complex-care-{newest}"])
