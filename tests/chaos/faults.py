"""What can go wrong around a running system, as things that are brought about and healed again.

Each says how long it lasts and within how many seconds of its healing a command must be acknowledged.
"""

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libfaketime
import psycopg
from temporalio.client import Client

from infra.temporal import workflow_id
from tests.chaos.parts import ROOT, Part, Plant
from workflows import messages

Act = Callable[[Plant, random.Random], Awaitable[None]]
ALIVE_SECONDS = 10.0


@dataclass(frozen=True)
class Fault:
    """`begin` brings it about, `end` heals it; `kills` is how many processes it kills with SIGKILL."""

    name: str
    begin: Act
    end: Act
    lasts: tuple[float, float] = (0.2, 1.5)
    alive_within: float = ALIVE_SECONDS
    kills: int = 0
    needs: Callable[[Plant], str] = field(default=lambda _: "")


async def nothing(plant: Plant, chance: random.Random) -> None:
    """Nothing to do."""


def some_worker(plant: Plant, chance: random.Random) -> Part:
    return chance.choice(plant.workers)


async def kill_worker(plant: Plant, chance: random.Random) -> None:
    plant.hurt = some_worker(plant, chance)
    await plant.hurt.kill()


async def start_hurt(plant: Plant, chance: random.Random) -> None:
    await plant.hurt.start()


async def kill_between_commit_and_answer(plant: Plant, chance: random.Random) -> None:
    """The engine stands still, so that what workers write to the record cannot be answered; then they die."""
    plant.engine.freeze()
    await asyncio.sleep(0.3)
    for worker in plant.workers:
        await worker.kill()
    plant.engine.thaw()


async def start_workers(plant: Plant, chance: random.Random) -> None:
    for worker in plant.workers:
        await worker.start()


async def kill_engine(plant: Plant, chance: random.Random) -> None:
    await plant.engine.kill()


async def start_engine(plant: Plant, chance: random.Random) -> None:
    await plant.start_engine()


async def freeze_engine(plant: Plant, chance: random.Random) -> None:
    plant.engine.freeze()


async def thaw_engine(plant: Plant, chance: random.Random) -> None:
    plant.engine.thaw()


async def kill_api(plant: Plant, chance: random.Random) -> None:
    await plant.api.kill()


async def start_api(plant: Plant, chance: random.Random) -> None:
    await plant.api.start()


async def lock_record(plant: Plant, chance: random.Random) -> None:
    """Another process holds the record: SQLite's write lock, or PostgreSQL's cases and timeline."""
    if plant.postgres is not None:
        plant.lock = await asyncio.to_thread(_lock_tables, plant.settings.database.replace("+psycopg", ""))
        return
    plant.lock = sqlite3.connect(plant.folder / "caseloom.db", isolation_level=None, timeout=30)
    plant.lock.execute("BEGIN IMMEDIATE")


def _lock_tables(address: str) -> psycopg.Connection:
    holder = psycopg.connect(address)  # in the order in which a message is settled: two orders would deadlock
    holder.execute("LOCK TABLE cases, timeline IN ACCESS EXCLUSIVE MODE")
    return holder


async def unlock_record(plant: Plant, chance: random.Random) -> None:
    if plant.lock is not None:
        plant.lock.rollback()
        plant.lock.close()


async def kill_record(plant: Plant, chance: random.Random) -> None:
    if plant.postgres is not None:
        await asyncio.to_thread(plant.postgres.kill)


async def start_record(plant: Plant, chance: random.Random) -> None:
    if plant.postgres is not None:
        await asyncio.to_thread(plant.postgres.start)


def server_of_its_own(plant: Plant) -> str:
    return "" if plant.postgres is not None else "SQLite has no server to kill: POSTGRES=1"


async def cut_network(plant: Plant, chance: random.Random) -> None:
    plant.network.cut()


async def mend_network(plant: Plant, chance: random.Random) -> None:
    plant.network.mend()


async def stop_workers(plant: Plant, chance: random.Random) -> None:
    for worker in plant.workers:
        await worker.stop()


async def fill_disk(plant: Plant, chance: random.Random) -> None:
    """Not a byte is left for either database."""
    filler = plant.folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass


async def free_disk(plant: Plant, chance: random.Random) -> None:
    (plant.folder / "filler").unlink(missing_ok=True)


def disk_of_its_own(plant: Plant) -> str:
    return "" if plant.own_disk else "needs a small disk of its own: mounting one takes root"


async def put_clock_off(plant: Plant, chance: random.Random) -> None:
    """A worker's machine is two hours ahead; the engine and the API are not."""
    plant.hurt = some_worker(plant, chance)
    await plant.hurt.kill()
    library = next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))
    await plant.hurt.start(LD_PRELOAD=str(library), FAKETIME="+2h", FAKETIME_DONT_FAKE_MONOTONIC="1")


async def put_clock_right(plant: Plant, chance: random.Random) -> None:
    await plant.hurt.kill()
    await plant.hurt.start()


async def send_garbage(plant: Plant, chance: random.Random) -> None:
    """Wrong types, no arguments, unknown names, half an envelope, to cases at work."""
    client = await Client.connect(f"127.0.0.1:{plant.engine_port}")
    for case_id in chance.sample(plant.cases, min(4, len(plant.cases))):
        handle: Any = client.get_workflow_handle(workflow_id("local", case_id))
        envelope = {"command_id": uuid.UUID(int=chance.getrandbits(128)).hex, "kind": "add-note"}
        for name, args in (
            (messages.SUBMIT_LATER, [17]),
            (messages.SUBMIT_LATER, []),
            (messages.SUBMIT_LATER, [envelope]),
            (messages.SUBMIT_LATER, [json.dumps(envelope), "twice"]),
            ("no_such_signal", [{"a": "b"}]),
        ):
            await handle.signal(name, args=args)
            plant.garbage[case_id] = plant.garbage.get(case_id, 0) + 1


async def deploy_badly(plant: Plant, chance: random.Random) -> None:
    """A release whose loop no running case can follow replaces every worker."""
    await stop_workers(plant, chance)
    for worker in plant.workers:
        good = worker.command
        worker.command = (good[0], "-m", "tests.chaos.bad_worker")
        await worker.start()
        worker.command = good


async def roll_back(plant: Plant, chance: random.Random) -> None:
    """Start the good release again, and mend what the bad one has written into runs of its own."""
    await stop_workers(plant, chance)
    await start_workers(plant, chance)
    command = (sys.executable, "-m", "deploy.drift", "--heal")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, **plant.variables}, stdout=-3, stderr=-3
    )
    await process.wait()


FAULTS = (
    Fault("worker killed", kill_worker, start_hurt, kills=1),
    Fault("worker killed between commit and answer", kill_between_commit_and_answer, start_workers, kills=2),
    Fault("engine killed", kill_engine, start_engine, kills=1),
    Fault("engine frozen", freeze_engine, thaw_engine, lasts=(2, 6)),
    Fault("API killed before its answer", kill_api, start_api, kills=1),
    Fault("record locked", lock_record, unlock_record, lasts=(5, 15)),
    Fault("record killed", kill_record, start_record, lasts=(2, 8), kills=1, needs=server_of_its_own),
    Fault("network cut between API and engine", cut_network, mend_network, lasts=(1, 5)),
    Fault("workers away", stop_workers, start_workers, lasts=(3, 8)),
    Fault("disk full", fill_disk, free_disk, lasts=(2, 5), alive_within=20, needs=disk_of_its_own),
    Fault("a machine's clock two hours off", put_clock_off, put_clock_right, lasts=(4, 8), kills=2),
    Fault("garbage sent to cases", send_garbage, nothing),
    Fault("bad deploy, rolled back", deploy_badly, roll_back, lasts=(4, 8), alive_within=30),
)


def named(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def mount(folder: Path, megabytes: int) -> bool:
    """Give a folder a disk of its own, so that it can be full; False where this machine does not allow it."""
    if os.geteuid() != 0:
        return False
    command = ("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    subprocess.run(("umount", "-l", str(folder)), capture_output=True, check=False)
