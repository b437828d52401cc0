"""Whether the system is well, and its metrics for Prometheus."""

import asyncio
from typing import Literal

import httpx2
from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from temporalio.service import RPCError

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, System, SystemDep, require_role
from domain.values import Role
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["operations"], max_body_size=BODY_LIMIT)
State = Literal["ok", "away"]


class Health(BaseModel):
    """`ok` when the record and the engine answer; commands go on while the record is away."""

    status: State
    record: State
    engine: State


@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(parts: SystemDep, response: Response) -> Health:
    """Needs no token and says nothing about anybody."""
    record, engine = await asyncio.gather(_record(parts), _engine(parts))
    well: State = "ok" if record == engine == "ok" else "away"
    response.status_code = 200 if well == "ok" else 503
    return Health(status=well, record=record, engine=engine)


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
    meter = parts.runtime.metric_meter
    meter.create_gauge("caseloom_cases_open", "Open cases").set(cases)
    meter.create_gauge("caseloom_escalations_open", "Missed promises nobody has acknowledged").set(unanswered)
