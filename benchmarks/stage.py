"""One engine, one record, one worker, one API as in production, and the engine's own floor beside them."""

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from temporalio.client import Client, WorkflowHandle

from activities.rows import table_of
from benchmarks.bare import QUEUE, Bare
from domain.values import Role
from infra import database, temporal
from infra.encryption import KeyRing, ring_of
from infra.tables import TimelineRow
from infra.timeline import entry_of
from tests.chaos.parts import Part, Plant
from tests.chaos.workload import STAFF
from tests.story import referral

BODY = {"program": "complex-care", "referral": referral(), "team": "north", "owner": "cm-anna"}
Measure = Callable[[int], Awaitable[float]]


def decrypted(keys: KeyRing, row: Any) -> TimelineRow:
    """A row of the timeline with what it says in `data`. Raises `RecordAltered`."""
    return TimelineRow(**{**row._mapping, "data": entry_of(keys, row).data})


class Stage:
    """What the benchmarks act on: HTTP as a case manager, and the bare engine by its client."""

    def __init__(
        self, plant: Plant, bare_worker: Part | None, client: Client, case_client: Client, http: httpx2.AsyncClient
    ) -> None:
        self.plant, self.client, self.case_client, self.http = plant, client, case_client, http
        self.bare_worker = bare_worker
        self.anna = plant.sign_in("cm-anna", Role.CASE_MANAGER, "north")
        self.bare: list[WorkflowHandle[Any, Any]] = []
        self.record = database.blocking(plant.settings.database)
        self.keys = ring_of(plant.settings)

    async def hire(self) -> None:
        director = self.plant.sign_in("dir-1", Role.DIRECTOR)
        for subject, role, supervisor in STAFF:
            body = {"name": subject, "role": role, "team": "north", "supervisor": supervisor}
            (await self.http.put(f"/staff/{subject}", json=body, headers=director)).raise_for_status()

    async def open(self) -> str:
        """Open a case over HTTP; return its id."""
        answer = await self.http.post("/cases", json=BODY, headers=self.anna)
        answer.raise_for_status()
        return str(answer.json()["case_id"])

    async def ready(self) -> str:
        """A case in which tasks may be added and completed: screened in, nothing else."""
        case_id = await self.open()
        await self.do(case_id, "record-consent", form="verbal")
        await self.do(case_id, "complete-screening", accepted=True)
        return case_id

    async def read(self, case_id: str) -> None:
        """Read a case over HTTP."""
        (await self.http.get(f"/cases/{case_id}", headers=self.anna)).raise_for_status()

    async def do(self, case_id: str, kind: str, **body: Any) -> dict[str, Any]:
        """Send a command until it is applied."""
        headers = {**self.anna, "Idempotency-Key": uuid.uuid4().hex}
        path = f"/cases/{case_id}/commands/{kind}"
        while True:
            answer = await self.http.post(path, json=body, headers=headers)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
            if answer.status_code not in (202, 503):
                answer.raise_for_status()

    def rows(self, model: type[TimelineRow], kind: str) -> list[Any]:
        """The timeline's rows of a kind."""
        with database.reading(self.record).connect() as connection:
            found = connection.execute(table_of(model).select().where(table_of(model).c.kind == kind))
            return [decrypted(self.keys, row) for row in found]

    def checkpoint(self) -> None:
        """Let what SQLite has in its write-ahead logs reach the files, so that they can be measured."""
        for name in ("caseloom.db", "temporal.db"):
            with sqlite3.connect(self.plant.folder / name) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def settled(self) -> None:
        """Wait until the worker has nothing to do."""
        worker = self.plant.workers[0]
        while True:
            before = cpu_seconds(worker)
            await asyncio.sleep(1)
            if cpu_seconds(worker) - before < 0.05:
                return

    async def start_bare(self, number: int) -> None:
        """Bare workflows, each with one update behind it."""
        self.bare = [await self.one_bare() for _ in range(number)]
        for handle in self.bare:
            await handle.execute_update(Bare.touch)

    async def one_bare(self) -> WorkflowHandle[Any, Any]:
        return await self.client.start_workflow(Bare.run, id=f"bare-{uuid.uuid4().hex}", task_queue=QUEUE)


@asynccontextmanager
async def stage(database_url: str = "", **variables: str) -> AsyncIterator[Stage]:
    """Start all of it in a folder of its own; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="caseloom-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        plant = Plant(folder, database_url, 1, **variables)
        plant.api.variables = plant.variables  # without the proxy by which chaos cuts the network
        async with plant:
            bare = Part("bare", (sys.executable, "-m", "benchmarks.bare"), plant.variables, folder / "bare.log")
            await bare.start()
            client = await Client.connect(plant.variables["TEMPORAL_ADDRESS"])
            try:
                case_client = await temporal.connect(plant.settings)
                async with httpx2.AsyncClient(base_url=plant.address, timeout=60) as http:
                    found = Stage(plant, bare, client, case_client, http)
                    await found.hire()
                    yield found
            finally:
                await bare.kill()


async def timed(acting: Awaitable[Any]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await acting
    return (time.perf_counter() - began) * 1000


async def one_after_another(act: Measure, times: int) -> float:
    """The median of so many acts, in milliseconds."""
    return statistics.median([await act(n) for n in range(times)])


async def side_by_side(act: Callable[[int], Awaitable[Any]], people: int, times: int) -> float:
    """Acts a second when so many people act at once, each on a case of her own."""

    async def person(number: int) -> None:
        for _ in range(times):
            await act(number)

    began = time.perf_counter()
    await asyncio.gather(*(person(n) for n in range(people)))
    return people * times / (time.perf_counter() - began)


def cpu_seconds(part: Part) -> float:
    """The processor time that a part has used."""
    assert part.process is not None
    fields = Path(f"/proc/{part.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(part: Part) -> int:
    """The bytes of memory that a part holds."""
    assert part.process is not None
    status = Path(f"/proc/{part.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024
