"""Records the histories that every later release must replay: `make histories`, for this version's paths.

Each path of the loop is played on the real engine, time included, and its history kept as gzipped JSON,
encrypted under the tests' own key as the engine stores it.
"""

import asyncio
import gzip
import tempfile
import tomllib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from activities.record import Message, Recording
from domain.command import Moment
from domain.decide import decide
from domain.record import Page
from infra import database, migrate, temporal
from infra.loopback import temporal_binary
from infra.settings import Settings
from tests.conftest import KEY
from tests.desk import Desk
from tests.record_snapshots import STORIES, life
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
    await desk.do("request-approval", subject="closure")


async def set_back(desk: Desk) -> None:
    """The record holds what the engine does not know of: the case follows it."""
    await desk.open()
    writing = database.blocking(desk.engine.url)
    case, page = await desk.case(), Page()
    for n in range(2):
        note = desk.envelope("add-note", text=f"{n}")
        decision = decide(note, case, Moment(case.opened_at + timedelta(seconds=1), in_force()))
        page, after = page.followed(case, decision.entries)
        assert after is not None
        page, case = page.answered(decision.outcome), after
    message = Message(tenant="local", case_id=desk.case_id, page=page, by="another-run/9")
    await Recording(writing).record(message)
    writing.dispose()
    await desk.do("add-note", text="after")


async def record_away(desk: Desk) -> None:
    """Commands and a miss while the database is locked, then caught up with."""
    await desk.walk()
    async with desk.engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        await desk.do("add-note", text="unrecorded")
        await desk.do("add-note", text="unrecorded too")
        await holder.rollback()

    async def caught_up() -> bool:
        return (await desk.live()).unrecorded == 0

    await desk.until(caught_up, seconds=40)
    await desk.do("add-note", text="recorded")


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


def keep_snapshots(folder: Path) -> None:
    """Keep what a run of this release hands on, where it is not kept yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, told in STORIES.items():
        path = folder / f"{name}.json.gz"
        if not path.exists():
            path.write_bytes(gzip.compress(life(told()).model_dump_json().encode(), mtime=0))


async def main() -> None:
    """Record the paths that have no history yet; those of earlier releases stay as they are."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    keep_snapshots(HERE / "snapshots" / VERSION)
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
            packed = gzip.compress(history.to_json().encode(), mtime=0)
            (FOLDER / f"{name}.json.gz").write_bytes(packed)
            print(f"{name}: {len(history.events)} events, {len(packed) // 1024} KiB")
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
