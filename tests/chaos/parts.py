"""The parts of a system as processes of their own, to be killed, frozen and started again."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import psycopg

from domain.values import Role
from infra import migrate, tokens
from infra.loopback import answers, free_port, temporal_binary
from infra.settings import Settings
from tests import postgres
from tests.chaos.proxy import Proxy

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


class NotWell(Exception):
    """A part did not come up, or did not come back, in time."""


class Part:
    """One process. It keeps its command and its port, so that it comes back where it was."""

    def __init__(self, name: str, command: tuple[str, ...], variables: dict[str, str], log: Path) -> None:
        self.name, self.command, self.variables, self.log = name, command, variables, log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **more: str) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.variables, **more},
                start_new_session=True,
            )

    def send(self, what: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, what)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL, also to one that is frozen."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM: what a deploy sends."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        self.send(how)
        if self.process is not None:
            await self.process.wait()


class Plant:
    """A whole system on loopback: the engine on a SQLite file, the record, workers, an API."""

    def __init__(self, folder: Path, database_url: str = "", workers: int = 1, **variables: str) -> None:
        self.folder = folder
        self.engine_port, self.api_port = free_port(), free_port()
        self.variables = {
            "CASELOOM_DATA_DIR": str(folder),
            "CASELOOM_LOG_FORMAT": "json",
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.engine_port}",
            "PYTHONPATH": str(ROOT),
            "CASELOOM_REQUESTS_PER_MINUTE": "1000000",
            **({"DATABASE_URL": database_url} if database_url else {}),
            **variables,
        }
        self.settings = Settings(
            data_dir=folder, DATABASE_URL=database_url, TEMPORAL_ADDRESS=self.variables["TEMPORAL_ADDRESS"]
        )
        self.engine = self._part("engine", *self._engine_command())
        self.workers = [self._part(f"worker-{n}", sys.executable, "worker.py") for n in range(1, workers + 1)]
        uvicorn = (sys.executable, "-m", "uvicorn", "api.app:app", "--host", "127.0.0.1", "--no-access-log")
        self.network = Proxy(self.engine_port)
        self.api = self._part("api", *uvicorn, "--port", str(self.api_port))
        self.api.variables = {**self.variables, "TEMPORAL_ADDRESS": f"127.0.0.1:{self.network.port}"}
        self.hurt = self.workers[0]
        self.lock: sqlite3.Connection | psycopg.Connection | None = None
        self.own_disk = False
        self.cases: list[str] = []
        self.garbage: dict[str, int] = {}
        self.postgres: postgres.Server | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def _engine_command(self) -> tuple[str, ...]:
        return (
            *(temporal_binary(), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"),
            *("--port", str(self.engine_port), "--ui-port", str(free_port()), "--headless"),
            *("--db-filename", str(self.folder / "temporal.db")),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"),
        )

    def _part(self, name: str, *command: str) -> Part:
        return Part(name, command, self.variables, self.folder / f"{name}.log")

    async def __aenter__(self) -> "Plant":
        await migrate.upgrade(self.settings.database)
        await self.start_engine()
        await self.network.__aenter__()
        for part in (*self.workers, self.api):
            await part.start()
        await self.well()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self.api, *self.workers, self.engine):
            part.thaw()
            await part.kill()
        await self.network.__aexit__()

    async def start_engine(self) -> None:
        await self.engine.start()
        await until(self._engine_answers, "the engine does not answer")

    async def _engine_answers(self) -> bool:
        return answers(self.engine_port)

    async def well(self, seconds: float = START_SECONDS) -> None:
        """Wait until the API says that it is well. Raises `NotWell`."""
        async with httpx2.AsyncClient(base_url=self.address, timeout=5) as http:

            async def healthy() -> bool:
                try:
                    return (await http.get("/healthz")).status_code == 200
                except httpx2.HTTPError:
                    return False

            await until(healthy, "the API is not well", seconds)

    def sign_in(self, subject: str, role: Role, *teams: str) -> dict[str, str]:
        token = tokens.issue(self.settings, subject, role, teams, "local")
        return {"Authorization": f"Bearer {token}"}


async def until(condition: Callable[[], Awaitable[bool]], otherwise: str, seconds: float = START_SECONDS) -> float:
    """Wait until an awaited condition holds; return the seconds it took. Raises `NotWell`."""
    began = time.monotonic()
    while not await condition():
        if time.monotonic() - began > seconds:
            raise NotWell(f"{otherwise} after {seconds:.0f} s")
        await asyncio.sleep(0.05)
    return time.monotonic() - began
