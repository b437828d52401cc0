"""Whether the system is well, and its metrics for Prometheus."""

import asyncio
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import httpx2
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from temporalio.service import RPCError

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, System, SystemDep
from infra import watchdog
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["operations"], max_body_size=BODY_LIMIT)
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
        _record(parts, now), _engine(parts), watchdog.failing(parts.client)
    )
    status: Literal["ok", "degraded", "away"] = "ok" if record and engine == "ok" else "away"
    kept = record or Kept(workers=None, asleep=None, missing=[])
    if status == "ok" and (kept.workers == 0 or kept.asleep or failing or kept.missing):
        status = "degraded"
    response.status_code = 503 if status == "away" else 200
    answers: State = "ok" if record else "away"
    return Health(status=status, record=answers, engine=engine, failing=failing, **kept._asdict())


@router.get("/metrics", responses=responses(401, 403, 503))
async def metrics(parts: SystemDep, who: PrincipalDep) -> Response:
    """Counts of ours and of Temporal's SDK in this process, over all tenants, for a director or an auditor.

    The worker serves its own at `CASELOOM_METRICS_ADDRESS`: commands by outcome, clocks missed, cases rung.
    """
    await _measure(parts)
    try:
        async with httpx2.AsyncClient() as http:
            found = await http.get(f"http://{parts.settings.metrics_address}/metrics", timeout=3)
    except httpx2.HTTPError:
        raise Refusal(503, "MetricsUnavailable", "the SDK's metrics do not answer") from None
    return Response(found.text, media_type="text/plain; version=0.0.4")


class Kept(NamedTuple):
    """What the record says of the system's health."""

    workers: int | None
    asleep: int | None
    missing: list[str]


async def _record(parts: System, now: datetime) -> Kept | None:
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


async def _measure(parts: System) -> None:
    async with parts.session() as session:
        cases = (await session.exec(select(func.count()).where(CaseRow.status == "open"))).one()
        missed = select(func.count()).where(ClockRow.state == "missed")
        unanswered = (await session.exec(missed.where(col(ClockRow.acknowledged_by).is_(None)))).one()
        quarantined = (await session.exec(select(func.count()).where(CaseRow.quarantined > 0))).one()
    meter, now = parts.runtime.metric_meter, datetime.now(UTC)
    failing, kept = await watchdog.failing(parts.client), await _record(parts, now)
    meter.create_gauge("caseloom_cases_quarantined", "Cases where something was set aside").set(quarantined)
    for name, value, says in (
        ("caseloom_cases_asleep", kept and kept.asleep, "Cases that should have woken and did not"),
        ("caseloom_cases_failing", failing, "Cases whose workflow tasks fail"),
        ("caseloom_workers", kept and kept.workers, "Workers at work in the last seconds"),
    ):
        if value is not None:
            meter.create_gauge(name, says).set(value)
    meter.create_gauge("caseloom_cases_open", "Open cases").set(cases)
    meter.create_gauge("caseloom_escalations_open", "Missed promises nobody has acknowledged").set(unanswered)
