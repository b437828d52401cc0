"""What changes while somebody looks: a stream that says only that something has, and the page asks again.

One look a second at the record serves all streams of the process; nothing of a case travels in it.
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
from infra.notice_tables import OutboxRow
from infra.tables import CaseRow

router = APIRouter()
EVERY_SECONDS = 1.0
LONGEST_SECONDS = 15 * 60  # the browser opens it again, and with it whoever is signed in is looked at again
OVERLAP = timedelta(seconds=5)  # a row is there a little after the time that it says
BEAT = 15


@router.get("/live", name="work")
async def stream(request: Request, guest: GuestDep) -> StreamingResponse:
    """Names of what has changed for this person: `work` for her lists, `notices` for her notices."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_changes(request, guest), media_type="text/event-stream", headers=headers)


async def _changes(request: Request, guest: Guest) -> AsyncIterator[str]:
    parts: System = request.app.state.system
    ends_at, beat = time.monotonic() + LONGEST_SECONDS, time.monotonic()
    before = await _marks(parts, guest)
    yield "retry: 2000\n\n"
    while time.monotonic() < ends_at and not await request.is_disconnected():
        await asyncio.sleep(EVERY_SECONDS)
        now = await _marks(parts, guest)
        for name in [name for name, mark in now.items() if before.get(name) != mark]:
            yield f"event: {name}\ndata: {name}\n\n"
        before = now
        if time.monotonic() - beat > BEAT:
            beat = time.monotonic()
            yield ": still here\n\n"


async def _marks(parts: System, guest: Guest) -> dict[str, str]:
    """What would be different had something changed: the newest of her cases, and of her notices."""
    who, since = guest.who, datetime.now(UTC) - timedelta(days=1)
    cases = select(func.max(CaseRow.recorded_at), func.count()).where(
        visible(parts, who, LIST), col(CaseRow.recorded_at) > since - OVERLAP
    )
    told = select(func.max(OutboxRow.created_at), func.count()).where(
        col(OutboxRow.tenant) == who.tenant, col(OutboxRow.recipient) == who.sub, col(OutboxRow.created_at) > since
    )
    try:
        async with parts.connection() as connection:
            work = (await connection.execute(cases)).one()
            notices = (await connection.execute(told)).one()
    except (SQLAlchemyError, OSError):
        return {}
    return {"work": str(tuple(work)), "notices": str(tuple(notices))}
