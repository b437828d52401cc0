"""Records what every later release must follow: `make histories`, for this version's paths and stories.

Each path of the loop is played on the real engine, time included, and its history kept as gzipped JSON,
encrypted under the tests' own key as the engine stores it. Timelines are kept with the case that they make.
"""

import asyncio
import gzip
import json
import tempfile
import tomllib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from infra import database, migrate, temporal
from infra.loopback import temporal_binary
from infra.settings import Settings
from tests.conftest import KEY
from tests.one_case import Desk, settle_and_lose
from tests.record_timelines import keep_timelines
from tests.story import BETTER, in_force
from worker import worker
from workflows import messages

HERE = Path(__file__).parent
VERSION = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["version"]
FOLDER = HERE / "histories" / VERSION


async def whole_life(desk: Desk) -> None:
    """Referral to sealed, with a reopening."""
    await desk.walk()
    await desk.do("evaluate-outcome", ratings=BETTER, summary="x")
    await desk.do("close", reason="moved")
    await desk.do("reopen-case", reason="x")
    await desk.do("close", reason="moved")
    await desk.forward(days=32)


async def climbing(desk: Desk) -> None:
    """A missed follow-up up to the director, acknowledged, kept late."""
    await desk.walk()
    await desk.forward(days=14)

    async def climbed() -> bool:
        case = await desk.case()
        return any(len(clock.climbs) >= 5 for clock in case.running)

    await desk.until(climbed)
    missed = next(clock for clock in (await desk.case()).running if len(clock.climbs) >= 5)
    await desk.do("acknowledge-escalation", escalation_id=missed.escalation_id)
    await desk.do("log-contact", mode="video", party="patient", reached=True, outcome="x")


async def many_runs(desk: Desk) -> None:
    """Continue-as-new under updates and signals; the first run is kept, to its end."""
    await desk.open()
    for n in range(12):
        note = desk.envelope("add-note", text=f"note {n}")
        if n % 3:
            await desk.update(note)
        else:
            await desk.handle.signal(messages.SUBMIT_LATER, note)


async def garbage(desk: Desk) -> None:
    """Unreadable and unknown signals, a late refusal, a command that no rule knows."""
    await desk.open()
    await desk.handle.signal(messages.SUBMIT_LATER, "not an envelope")
    await desk.handle.signal("no_such_signal", 7)
    await desk.handle.signal(messages.SUBMIT_LATER, desk.envelope("complete-screening", accepted=True))
    await desk.do("withdraw-consent") if (await desk.case()).consent else await desk.do(
        "record-consent", form="verbal"
    )
    await desk.do("withdraw-consent", reason="x")


async def refused_opening(desk: Desk) -> None:
    """A dead patient's referral."""
    body = {"source": "self", "reason": "x", "patient": {"reference": "p", "deceased": True}}
    await desk.open(wait=False, referral=body)


async def whole_care(desk: Desk) -> None:
    """A score with its alert, a crisis and its end, a discharge and an admission, a referral's whole loop."""
    await desk.walk(tier="low")
    await desk.do("record-score", instrument="phq-9", version="2001", answers={"q9": 2})
    await desk.do("raise-crisis", description="x")
    await desk.do("record-disposition", disposition="safe-at-home", note="x")
    now = datetime.now(UTC)
    await desk.do("end-crisis", follow_up_by=(now + timedelta(hours=24)).isoformat())
    home = {"event_id": "e1", "event": "discharge", "setting": "inpatient", "occurred_at": now.isoformat()}
    await desk.do("record-transition", **home)
    await desk.do("log-contact", mode="in-person", party="patient", reached=True, outcome="x")
    await desk.do("record-transition", **{**home, "event_id": "e2", "event": "admission"})
    body = {"type": "specialist", "recipient": "x", "reason": "y"}
    [referral] = (await desk.do("draft-referral", **body)).created
    for step, more in (("send", {}), ("accept", {}), ("complete", {"note": "x"})):
        await desk.do(f"{step}-referral", referral_id=referral, **more)
    await desk.do("close-referral-loop", referral_id=referral, report="x")
    await desk.do("sign-plan", signer="patient")
    await desk.do("reconcile-medications", medications=[{"name": "A"}], sources=["x"])
    await desk.do("request-approval", subject="closure", reason="goals-met")


async def set_back(desk: Desk) -> None:
    """The record holds what the engine does not know of: the run follows it."""
    await desk.open()
    await settle_and_lose(desk, *(desk.envelope("add-note", text=f"{n}") for n in range(2)))
    await desk.do("add-note", text="after")


async def record_away(desk: Desk) -> None:
    """Commands and a miss while the database is locked, settled when it is back."""
    await desk.walk()
    async with desk.engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        for n in range(2):
            await desk.handle.signal(messages.SUBMIT_LATER, desk.envelope("add-note", text=f"waits {n}"))

        async def waits() -> bool:
            return bool((await desk.handle.describe()).raw_description.pending_activities)

        await desk.until(waits)
        await holder.rollback()

    async def settled() -> bool:
        return (await desk.live()).waiting == 0

    await desk.until(settled, seconds=40)
    await desk.do("add-note", text="and on")


PATHS: dict[str, tuple[Callable[[Desk], Awaitable[None]], int]] = {
    "whole-life": (whole_life, 300),
    "climbing": (climbing, 300),
    "many-runs": (many_runs, 40),
    "garbage": (garbage, 300),
    "refused-opening": (refused_opening, 300),
    "whole-care": (whole_care, 1000),
    "set-back": (set_back, 300),
    "record-away": (record_away, 300),
}


async def main() -> None:
    """Record the paths that have no history yet; those of earlier releases stay as they are."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    keep_timelines(HERE / "timelines" / VERSION)
    switch = ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"]
    data_dir = Path(tempfile.mkdtemp())
    settings = Settings(data_dir=data_dir, task_queue="histories")
    await migrate.upgrade(settings.database)
    engine = database.connect(settings.database)
    async with (
        await WorkflowEnvironment.start_time_skipping_v2(
            ts_config=TimeSkippingConfig(enabled=False),
            dev_server_existing_path=temporal_binary(),
            dev_server_log_level="error",
            dev_server_extra_args=switch,
            plugins=[temporal.plugin([KEY], checked=True)],
        ) as environment,
        worker(environment.client, settings, in_force(), engine.url),
    ):
        for name, (play, events) in PATHS.items():
            if (FOLDER / f"{name}.json.gz").exists():
                continue
            desk = Desk(environment, settings, engine, history_events=events)
            await play(desk)
            await asyncio.sleep(1)  # let the last workflow task be written
            first = environment.client.get_workflow_handle(desk.id, run_id=desk.first_run)
            history = await first.fetch_history()
            kept = {"workflow_id": desk.handle.id, "history": json.loads(history.to_json())}
            packed = gzip.compress(json.dumps(kept).encode(), mtime=0)
            (FOLDER / f"{name}.json.gz").write_bytes(packed)
            print(f"{name}: {len(history.events)} events, {len(packed) // 1024} KiB")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
