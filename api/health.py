"""Whether the system is well, and its metrics for Prometheus."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

import httpx2
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from temporalio.service import RPCError

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, System, SystemDep, require_role
from domain.values import Role
from infra import watchdog
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["operations"], max_body_size=BODY_LIMIT)
State = Literal["ok", "away"]


class Health(BaseModel):
    """`ok` when the record and the engine answer; commands go on while the record is away.

    `degraded` asks for an operator, not for a restart: no worker asks for work, a case should have woken, or a
    case fails at every step. `make doctor` names the cases.
    """

    status: Literal["ok", "degraded", "away"]
    record: State
    engine: State
    workers: int | None = Field(description="Workers that asked for work lately; null when nobody can tell")
    asleep: int | None = Field(description="Cases that should have woken and did not")
    failing: int | None = Field(description="Cases whose workflow tasks fail")


@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(parts: SystemDep, response: Response) -> Health:
    """Needs no token and says nothing about anybody."""
    now = datetime.now(UTC)
    record, engine, found, asleep = await asyncio.gather(
        _record(parts), _engine(parts), watchdog.ask(parts.client, parts.settings, now), _asleep(parts, now)
    )
    status: Literal["ok", "degraded", "away"] = "ok" if record == engine == "ok" else "away"
    if status == "ok" and (found.workers == 0 or asleep or found.failing):
        status = "degraded"
    response.status_code = 503 if status == "away" else 200
    return Health(status=status, record=record, engine=engine, asleep=asleep, **vars(found))


@router.get("/metrics", responses=responses(401, 403, 503))
async def metrics(parts: SystemDep, who: PrincipalDep) -> Response:
    """Counts of ours and of Temporal's SDK in this process, over all tenants, for a director or an auditor.

    The worker serves its own at `CASELOOM_METRICS_ADDRESS`: commands by outcome, clocks missed, record lag.
    """
    require_role(who, Role.DIRECTOR, Role.AUDITOR)
    await _measure(parts)
    try:
        async with httpx2.AsyncClient() as http:
            found = await http.get(f"http://{parts.settings.metrics_address}/metrics", timeout=3)
    except httpx2.HTTPError:
        raise Refusal(503, "MetricsUnavailable", "the SDK's metrics do not answer") from None
    return Response(found.text, media_type="text/plain; version=0.0.4")


async def _record(parts: System) -> State:
    try:
        async with asyncio.timeout(2), parts.connection() as connection:
            await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError):
        return "away"
    return "ok"


async def _asleep(parts: System, now: datetime) -> int | None:
    query = select(func.count()).select_from(watchdog.asleep(now, parts.settings).order_by(None).subquery())
    try:
        async with asyncio.timeout(2), parts.session() as session:
            return (await session.exec(query)).one()
    except (SQLAlchemyError, OSError):
        return None


async def _engine(parts: System) -> State:
    try:
        async with asyncio.timeout(2):
            healthy = await parts.client.service_client.check_health()
    except (RPCError, RuntimeError, TimeoutError):
        return "away"
    return "ok" if healthy else "away"


async def _measure(parts: System) -> None:
    async with parts.session() as session:
        cases = (await session.exec(select(func.count()).where(CaseRow.status == "open"))).one()
        missed = select(func.count()).where(ClockRow.state == "missed")
        unanswered = (await session.exec(missed.where(col(ClockRow.acknowledged_by).is_(None)))).one()
        quarantined = (await session.exec(select(func.count()).where(CaseRow.quarantined > 0))).one()
    meter, now = parts.runtime.metric_meter, datetime.now(UTC)
    found, asleep = await watchdog.ask(parts.client, parts.settings, now), await _asleep(parts, now)
    meter.create_gauge("caseloom_cases_quarantined", "Cases where something was set aside").set(quarantined)
    for name, value, says in (
        ("caseloom_cases_asleep", asleep, "Cases that should have woken and did not"),
        ("caseloom_cases_failing", found.failing, "Cases whose workflow tasks fail"),
        ("caseloom_workers", found.workers, "Workers that asked for work lately"),
    ):
        if value is not None:
            meter.create_gauge(name, says).set(value)
    meter.create_gauge("caseloom_cases_open", "Open cases").set(cases)
    meter.create_gauge("caseloom_escalations_open", "Missed promises nobody has acknowledged").set(unanswered)
