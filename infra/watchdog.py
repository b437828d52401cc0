"""Finds what nothing else would tell of: cases asleep past their time or failing at every step, lost workers.

A case looks after its own promises; who looks after the case? The record knows when each case asked to be woken
and which workers are at work, and the engine knows which workflows fail their tasks.
"""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Select, delete
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from temporalio.client import Client
from temporalio.service import RPCError

from domain.programs.rulebook import Rulebook
from infra.erasure_tables import ErasureRow
from infra.screening_tables import ScreeningRow
from infra.settings import Settings
from infra.tables import BulkActionRow, CaseRow, WorkerRow

log = structlog.get_logger()
ABANDONED = timedelta(days=7)
GRACE = timedelta(minutes=2)
ASK_SECONDS = 2
FAILING = "ExecutionStatus = 'Running' AND TemporalReportedProblems IS NOT NULL"
BEAT_SECONDS = 4.0
AT_WORK = timedelta(seconds=12)  # three beats: a worker that is silent for longer is taken for gone
FORGOTTEN = timedelta(days=1)


def asleep(now: datetime, settings: Settings) -> Select[Any]:
    """The cases that should have woken by now, the longest asleep first: id, tenant, when."""
    latest = now - GRACE - timedelta(seconds=settings.jitter_seconds)
    wakes = col(CaseRow.wakes_at)
    found: Any = select(col(CaseRow.id), col(CaseRow.tenant), wakes)
    late: Select[Any] = found.where(wakes < latest).order_by(wakes)
    return late


def workers(now: datetime) -> Select[Any]:
    """The workers that were at work in the last seconds: the programmes that each has."""
    there: Any = select(col(WorkerRow.programs))
    found: Select[Any] = there.where(col(WorkerRow.seen_at) > now - AT_WORK)
    return found


def unfinished(now: datetime) -> Select[Any]:
    """The bulk actions that should go on and have not come on for a while: id, how many cases a minute."""
    found: Any = select(col(BulkActionRow.id), col(BulkActionRow.per_minute))
    slow = col(BulkActionRow.touched_at) < now - GRACE
    late: Select[Any] = found.where(col(BulkActionRow.status) == "running", slow)
    return late


def unfinished_erasures(now: datetime) -> Select[Any]:
    """The erasures that were confirmed a while ago and are not done."""
    found: Any = select(col(ErasureRow.id))
    late: Select[Any] = found.where(col(ErasureRow.status) == "running", col(ErasureRow.decided_at) < now - GRACE)
    return late


def unfinished_screenings(now: datetime) -> Select[Any]:
    """The screenings that should go on and have not come on for a while."""
    found: Any = select(col(ScreeningRow.id))
    slow = col(ScreeningRow.touched_at) < now - GRACE
    late: Select[Any] = found.where(col(ScreeningRow.status) == "running", slow)
    return late


def abandoned_screenings(now: datetime) -> Select[Any]:
    """The screenings for which nobody has sent, begun or gone on with anything for a week."""
    found: Any = select(col(ScreeningRow.id))
    waits = col(ScreeningRow.status).in_(("receiving", "stopped"))
    old: Select[Any] = found.where(waits, col(ScreeningRow.touched_at) < now - ABANDONED)
    return old


def versions_in_use() -> Select[Any]:
    """The programmes and versions that open cases run under."""
    found: Any = select(col(CaseRow.program), col(CaseRow.program_version))
    used: Select[Any] = found.where(col(CaseRow.status) == "open").distinct()
    return used


def programs_of(rulebook: Rulebook) -> list[str]:
    """The programmes and versions that a process was started with."""
    return [f"{program.program}-{program.version}" for program in rulebook.programs]


def missing_programs(used: Iterable[Any], there: Iterable[Collection[str]]) -> list[str]:
    """Of the versions that cases run under, those that a process does not have; `there` is what each has."""
    names = sorted(f"{row.program}-{row.program_version}" for row in used)
    everywhere = list(there)
    return [name for name in names if any(name not in programs for programs in everywhere)]


async def failing_cases(client: Client) -> list[str]:
    """The ids of the workflows that fail their tasks."""
    return [found.id async for found in client.list_workflows(FAILING)]


async def failing(client: Client) -> int | None:
    """How many workflows fail their tasks; None when the engine does not say in time."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return (await client.count_workflows(FAILING)).count
    except (RPCError, RuntimeError, TimeoutError):
        return None


class Heartbeat:
    """Writes down, every few seconds, that this worker is at work."""

    def __init__(self, engine: Engine, task_queue: str, build: str, programs: list[str]) -> None:
        self._engine, started = engine, datetime.now(UTC)
        self._row = {"task_queue": task_queue, "build": build, "programs": programs, "started_at": started}
        self._id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"[:64]

    async def beat(self, until: asyncio.Event) -> None:
        """Until told otherwise. A record that does not answer is tried again with the next beat."""
        while not until.is_set():
            try:
                await asyncio.to_thread(self._write)
            except (SQLAlchemyError, OSError) as fault:
                log.warning("heartbeat_failed", fault=type(fault).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await until.wait()

    def _write(self) -> None:
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            mine = WorkerRow.__table__.update().where(col(WorkerRow.id) == self._id)  # type: ignore[attr-defined]
            if connection.execute(mine.values(seen_at=now)).rowcount == 0:
                connection.execute(delete(WorkerRow).where(col(WorkerRow.seen_at) < now - FORGOTTEN))
                self._insert(connection, now)

    def _insert(self, connection: Connection, now: datetime) -> None:
        table = WorkerRow.__table__  # type: ignore[attr-defined]
        connection.execute(table.insert().values(id=self._id, seen_at=now, **self._row))

    def leave(self) -> None:
        """A worker that stops in order is not at work any more."""
        with self._engine.begin() as connection:
            connection.execute(delete(WorkerRow).where(col(WorkerRow.id) == self._id))
