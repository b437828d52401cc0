"""Whether the system is well, for whoever asks."""

import asyncio
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select
from temporalio.service import RPCError

from api.problems import BODY_LIMIT
from api.system import System, SystemDep
from infra import watchdog

public = APIRouter(tags=["operations"], max_body_size=BODY_LIMIT)  # asked without a token
State = Literal["ok", "away"]


class Health(BaseModel):
    """`ok` when the record and the engine answer; while the record is away commands are queued.

    `degraded` asks for an operator, not for a restart: no worker is at work, a case should have woken or fails at
    every step, or cases run under a programme whose file is missing. `make doctor` names the cases.
    """

    status: Literal["ok", "degraded", "away"]
    record: State
    engine: State
    workers: int | None = Field(description="Workers at work in the last 12 seconds; null when nobody can tell")
    asleep: int | None = Field(description="Cases that should have woken and did not")
    failing: int | None = Field(description="Cases whose workflow tasks fail")
    missing: list[str] = Field(description="Programmes that open cases run under and the catalogue lacks")


@public.get("/healthz", responses={503: {"model": Health}})
async def healthz(parts: SystemDep, response: Response) -> Health:
    """Needs no token and says nothing about anybody."""
    now = datetime.now(UTC)
    record, engine, failing = await asyncio.gather(
        kept_of(parts, now), _engine(parts), watchdog.failing(parts.client)
    )
    status: Literal["ok", "degraded", "away"] = "ok" if record and engine == "ok" else "away"
    kept = record or Kept(workers=None, asleep=None, missing=[])
    if status == "ok" and (kept.workers == 0 or kept.asleep or failing or kept.missing):
        status = "degraded"
    response.status_code = 503 if status == "away" else 200
    answers: State = "ok" if record else "away"
    return Health(status=status, record=answers, engine=engine, failing=failing, **kept._asdict())


class Kept(NamedTuple):
    """What the record says of the system's health."""

    workers: int | None
    asleep: int | None
    missing: list[str]


async def kept_of(parts: System, now: datetime) -> Kept | None:
    """None when the record does not answer."""
    late = select(func.count()).select_from(watchdog.asleep(now, parts.settings).order_by(None).subquery())
    try:
        async with asyncio.timeout(2), parts.connection() as connection:
            workers = (await connection.execute(watchdog.workers(now))).scalars().all()
            asleep = (await connection.execute(late)).scalar_one()
            used = (await connection.execute(watchdog.versions_in_use())).all()
    except (SQLAlchemyError, OSError):
        return None
    there = [watchdog.programs_of(parts.rulebook), *workers]
    return Kept(len(workers), asleep, watchdog.missing_programs(used, there))


async def _engine(parts: System) -> State:
    try:
        async with asyncio.timeout(2):
            healthy = await parts.client.service_client.check_health()
    except (RPCError, RuntimeError, TimeoutError):
        return "away"
    return "ok" if healthy else "away"
