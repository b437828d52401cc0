"""What changes while somebody looks: a stream that says only that something has, and the page asks again.

One look a second at the record serves all streams of the process; only when there is something new it is looked at
whose that is. Nothing of a case travels in it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from api.scope import LIST, visible
from api.system import System
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT
from infra.notice_tables import OutboxRow
from infra.tables import CaseRow

router = APIRouter(max_body_size=FORM_LIMIT)
EVERY_SECONDS = 1.0
LONGEST_SECONDS = 15 * 60  # the browser opens it again, and with it whoever is signed in is looked at again
OVERLAP = timedelta(seconds=5)  # a row is there a little after the time that it says
BEAT, MOST = 15, 500


@router.get("/live", name="work")
async def stream(request: Request, guest: GuestDep) -> StreamingResponse:
    """Names of what has changed for this person: `work` for her lists, `notices` for her notices."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_changes(request, guest), media_type="text/event-stream", headers=headers)


class Looks:
    """One look at the record a second for all streams of the process: which cases and whose notices are new."""

    def __init__(self, parts: System) -> None:
        self._parts, self._at, self._before = parts, float("-inf"), datetime.now(UTC) - OVERLAP
        self._looking = asyncio.Lock()
        self.round, self.cases, self.recipients = 0, list[tuple[str, str]](), frozenset[tuple[str, str]]()

    async def look(self) -> int:
        """Look again unless that was done within the second; the number of the look that this is."""
        async with self._looking:
            if time.monotonic() - self._at >= EVERY_SECONDS:
                self._at = time.monotonic()
                await self._read()
        return self.round

    async def _read(self) -> None:
        since, now = self._before - OVERLAP, datetime.now(UTC)
        cases = select(col(CaseRow.tenant), col(CaseRow.id)).where(col(CaseRow.recorded_at) > since).limit(MOST)
        told = select(col(OutboxRow.tenant), col(OutboxRow.recipient)).where(col(OutboxRow.created_at) > since)
        try:
            async with self._parts.connection() as connection:
                self.cases = [(row.tenant, row.id) for row in (await connection.execute(cases)).all()]
                rows = (await connection.execute(told.distinct().limit(MOST))).all()
        except (SQLAlchemyError, OSError):
            return
        self.recipients = frozenset((row.tenant, row.recipient) for row in rows)
        self._before, self.round = now, self.round + 1


_LOOKS: dict[int, Looks] = {}


async def _changes(request: Request, guest: Guest) -> AsyncIterator[str]:
    parts: System = request.app.state.system
    looks = _LOOKS.setdefault(id(parts), Looks(parts))
    ends_at, beat, seen, told = time.monotonic() + LONGEST_SECONDS, time.monotonic(), await looks.look(), ""
    yield "retry: 2000\n\n"
    while time.monotonic() < ends_at and not await request.is_disconnected():
        await asyncio.sleep(EVERY_SECONDS)
        number = await looks.look()
        if number != seen and (mark := await _mine(parts, guest, looks)) != told:
            told = mark
            yield "event: work\ndata: work\n\n"
        seen = number
        if time.monotonic() - beat > BEAT:
            beat = time.monotonic()
            yield ": still here\n\n"


async def _mine(parts: System, guest: Guest, looks: Looks) -> str:
    """What of the news is hers: it is told once, however many looks overlap on it."""
    who = guest.who
    theirs = [case_id for tenant, case_id in looks.cases if tenant == who.tenant]
    if not theirs and (who.tenant, who.sub) not in looks.recipients:
        return ""
    query = select(col(CaseRow.id), col(CaseRow.seq)).where(visible(parts, who, LIST), col(CaseRow.id).in_(theirs))
    told = select(func.count()).where(
        col(OutboxRow.tenant) == who.tenant, col(OutboxRow.recipient) == who.sub, col(OutboxRow.read_at).is_(None)
    )
    try:
        async with parts.connection() as connection:
            cases = (await connection.execute(query)).all()
            notices = (await connection.execute(told)).scalar_one()
    except (SQLAlchemyError, OSError):
        return ""
    return str((sorted((row.id, row.seq) for row in cases), notices)) if cases or notices else ""
