"""What goes wrong around a case: a bug in a rule, a database that is away, a worker that is killed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.command import Draft
from domain.contacts import AddNote
from domain.tick import Tick
from infra.settings import Settings
from tests.desk import Desk

Opener = Callable[..., Desk]
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


class Bug(Exception):
    """A fault that a rule might have."""


async def test_a_bug_in_a_rule_fails_that_one_command_and_the_case_goes_on(
    desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome says so, it is set aside on record, and the next command is applied."""
    anna = desk()
    await anna.open()

    def broken(self: AddNote, draft: Draft) -> None:
        raise Bug("the text of a fault may quote SECRET things")

    monkeypatch.setattr(AddNote, "decide", broken)
    outcome = await anna.update(anna.envelope("add-note", text="poison"))
    assert (outcome.status, outcome.error) == ("failed", "Bug")
    monkeypatch.undo()
    await anna.do("add-note", text="fine")
    rows = await anna.timeline()
    assert [row.kind for row in rows][-2:] == ["command-quarantined", "note-added"]
    assert "SECRET" not in str(rows[-2].data)
    assert (await anna.case()).quarantined == 1


async def test_a_tick_that_fails_is_tried_again_and_set_aside_once(
    desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The miss is noticed late, but it is noticed; the case never stops looking after itself."""
    anna = desk()
    await anna.walk()
    good, faults = Tick.decide, [0]

    def broken(self: Tick, draft: Draft) -> None:
        if faults[0] < 3:
            faults[0] += 1
            raise Bug
        good(self, draft)

    monkeypatch.setattr(Tick, "decide", broken)
    await anna.forward(days=9)

    async def noticed() -> bool:
        return any(row.kind == "clock-missed" for row in await anna.timeline())

    await anna.until(noticed)
    kinds = [row.kind for row in await anna.timeline()]
    assert kinds.count("command-quarantined") == 1
    assert faults == [3]


async def test_while_the_database_is_away_commands_go_on_and_it_is_caught_up_with(
    desk: Opener, engine: AsyncEngine
) -> None:
    """Another process holds the write lock; nothing waits for it, nothing is lost, nothing is twice."""
    anna = desk()
    await anna.open()
    async with engine.connect() as holder:  # BEGIN IMMEDIATE: the lock is ours until we let go
        await holder.exec_driver_sql("SELECT 1")
        for n in range(6):
            await anna.do("add-note", text=f"note {n}")
        live = await anna.live()
        assert live.unrecorded == 6
        assert live.case is not None
        assert live.case.seq == 8
        await holder.rollback()

    async def caught_up() -> bool:
        return (await anna.live()).unrecorded == 0

    await anna.until(caught_up, seconds=40)
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, 9))


async def test_a_case_does_not_end_before_its_last_event_is_recorded(desk: Opener, engine: AsyncEngine) -> None:
    """Continue-as-new carries what the database does not have."""
    anna = desk(history_events=20)
    await anna.open()
    async with engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        for n in range(8):
            await anna.do("add-note", text=f"note {n}")
        await holder.rollback()

    async def there() -> bool:
        return len(await anna.timeline()) == 10

    await anna.until(there, seconds=40)
    assert (await anna.handle.describe()).run_id != anna.first_run


async def test_a_worker_killed_again_and_again_loses_nothing_and_does_nothing_twice(
    environment_address: str, engine: AsyncEngine, settings: Settings, tmp_path: Path, keys: str
) -> None:
    """kill -9 while commands arrive; callers repeat under the same id until they are answered."""
    from temporalio.client import Client
    from temporalio.testing import WorkflowEnvironment

    from infra import temporal
    from infra.encryption import load_keys

    plugin = temporal.plugin(load_keys(keys, tmp_path))
    client = await Client.connect(environment_address, plugins=[plugin])
    anna = Desk(WorkflowEnvironment.from_client(client), settings, engine)
    variables = {
        **os.environ,
        "TEMPORAL_ADDRESS": environment_address,
        "CASELOOM_TASK_QUEUE": settings.task_queue,
        "CASELOOM_DATA_DIR": str(tmp_path),
        "CASELOOM_ENCRYPTION_KEYS": keys,
        "DATABASE_URL": engine.url.render_as_string(hide_password=False),
    }

    async def start() -> asyncio.subprocess.Process:
        quiet = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(
            sys.executable, "worker.py", cwd=ROOT, env=variables, stdout=quiet, stderr=quiet
        )

    worker = await start()
    try:
        await anna.open()
        sent = 0
        for _ in range(3):
            notes = [anna.envelope("add-note", text=f"note {sent + n}") for n in range(10)]
            sent += 10
            answers = [asyncio.create_task(anna.update(note)) for note in notes]
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            worker.send_signal(signal.SIGKILL)
            await worker.wait()
            worker = await start()
            assert {a.status for a in await asyncio.gather(*answers)} == {"applied"}

        async def all_recorded() -> bool:
            return len(await anna.timeline()) == sent + 2

        await anna.until(all_recorded, seconds=40)
        rows = await anna.timeline()
        texts = [row.data["text"] for row in rows if row.kind == "note-added"]
        assert sorted(texts) == sorted(f"note {n}" for n in range(sent))
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
