"""Once a minute: rings the cases that slept past their time, and writes down that it had to; goes on with bulk
actions, erasures and screenings, and with queued commands that the engine has lost.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Engine, delete
from sqlmodel import col, select
from temporalio import activity
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.queued import opened, undecided
from activities.reach import Reach
from activities.rows import add
from domain.case.event import Position
from infra import watchdog
from infra.checkpoints import Checkpoints
from infra.encryption import KeyRing, index_key
from infra.screenings import discard, let_go_of_opened
from infra.settings import Settings
from infra.tables import CaseRow, WakingRow
from workflows import messages

log = structlog.get_logger()
MOST_A_ROUND, KEPT = 300, timedelta(days=30)
AT_ONCE = 20
RUNG = timedelta(minutes=10)  # a case that a ring did not wake is rung again after this


class Watching:
    """Holds the record, which knows when each case asked to be woken, and the engine, to ring it."""

    def __init__(self, engine: Engine, keys: KeyRing, reach: Reach, settings: Settings) -> None:
        self._engine, self._keys, self._reach, self._settings = engine, keys, reach, settings
        key = index_key(settings.index_key, settings.data_dir)
        self._checkpoints = Checkpoints(settings.checkpoints_folder, key)

    @activity.defn(name="ring_sleepers")
    async def ring_sleepers(self) -> int:
        """Ring the cases that sleep past their time, the longest asleep first; return how many there were.

        One that the engine does not run any more begins again from the record. One that cannot be rung, or that a
        ring did not wake, stands in nobody's way: it is passed over for a while.
        """
        now = datetime.now(UTC)
        await asyncio.to_thread(self._checkpoint, now)
        await self._go_on(now)
        await asyncio.to_thread(self._discard, now)
        few = asyncio.Semaphore(AT_ONCE)
        left = await asyncio.to_thread(self._undecided, now)
        await asyncio.gather(*(self._send_again(row, few) for row in left))
        late = await asyncio.to_thread(self._late, now)
        await asyncio.gather(*(self._ring(row, few) for row in late))
        if late:
            await asyncio.to_thread(self._note, late, now)
            activity.metric_meter().create_counter(
                "caseloom_cases_rung", "Cases that slept past their time and were woken by the night watch"
            ).add(len(late))
        return len(late)

    async def _ring(self, row: Any, few: asyncio.Semaphore) -> None:
        async with few:
            await self._reach.wake(row.tenant, row.id, Position(seq=row.seq, head=row.head), messages.RING)

    async def _send_again(self, row: Any, few: asyncio.Semaphore) -> None:
        if (envelope := opened(self._keys, row)) is None:
            return
        known = Position(seq=row.seq, head=row.head)
        async with few:
            await self._reach.wake(row.tenant, row.case_id, known, messages.SUBMIT_LATER, envelope)

    def _undecided(self, now: datetime) -> list[Any]:
        with self._engine.begin() as connection:
            return undecided(connection, now, MOST_A_ROUND)

    async def _go_on(self, now: datetime) -> None:
        """Begin again what the engine does not carry on: it was set back, or it was never begun."""
        for workflow, name, args in await asyncio.to_thread(self._unfinished, now):
            with contextlib.suppress(WorkflowAlreadyStartedError, *messages.UNKNOWN):
                await self._reach.client.start_workflow(
                    workflow, args=args, id=name, task_queue=self._settings.task_queue
                )

    def _unfinished(self, now: datetime) -> list[tuple[str, str, list[Any]]]:
        """Workflow, id and arguments of each bulk action, erasure and screening that should go on and does not."""
        with self._engine.connect() as connection:
            actions = connection.execute(watchdog.unfinished(now)).all()
            erasures = connection.execute(watchdog.unfinished_erasures(now)).all()
            screenings = connection.execute(watchdog.unfinished_screenings(now)).all()
        return [
            *((messages.BULK_ACTION_WORKFLOW, messages.bulk_action(r.id), [r.id, r.per_minute]) for r in actions),
            *((messages.ERASURE_WORKFLOW, messages.erasure(r.id), [r.id]) for r in erasures),
            *((messages.SCREENING_WORKFLOW, messages.screening(r.id), [r.id]) for r in screenings),
        ]

    def _discard(self, now: datetime) -> None:
        """Let go of what was received of a population that nobody goes on with, and of people who have a case."""
        with self._engine.begin() as connection:
            let_go_of_opened(connection)
            for row in connection.execute(watchdog.abandoned_screenings(now)).all():
                discard(connection, row.id, now)

    def _checkpoint(self, now: datetime) -> None:
        """Keep how far everything is; a full disk beside the database stops nobody, and is logged."""
        try:
            with self._engine.connect() as connection:
                self._checkpoints.write(connection, now)
        except OSError as fault:
            log.error("no_checkpoint", fault=type(fault).__name__)

    def _late(self, now: datetime) -> list[Any]:
        asleep = watchdog.asleep(now, self._settings).add_columns(col(CaseRow.seq), col(CaseRow.head))
        rung = select(WakingRow.case_id).where(col(WakingRow.at) > now - RUNG)
        fresh = asleep.where(col(CaseRow.id).not_in(rung)).limit(MOST_A_ROUND)
        with self._engine.connect() as connection:
            return list(connection.execute(fresh).all())

    def _note(self, late: list[Any], now: datetime) -> None:
        rows = [{"case_id": r.id, "tenant": r.tenant, "at": now, "should_have": r.wakes_at} for r in late]
        with self._engine.begin() as connection:
            connection.execute(delete(WakingRow).where(col(WakingRow.at) < now - KEPT))
            add(connection, WakingRow, rows)
