"""Metrics for Prometheus: counts of ours beside those of Temporal's SDK. What each means for an operator says
`docs/runbook.md`; none has an id or a name in it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from fastapi import APIRouter, Response
from sqlalchemy import ColumnElement, exists, func
from sqlmodel import SQLModel, col, select

from api.health import kept_of
from api.problems import Refusal, responses
from api.system import PrincipalDep, System, SystemDep
from infra import watchdog
from infra.erasure_tables import ErasureRow
from infra.inbound_tables import InboundRow
from infra.notice_tables import DeliveryRow
from infra.tables import BulkActionRow, CaseRow, ClockRow, CommandRow, QueuedRow
from infra.webhook_tables import EndpointRow

router = APIRouter(tags=["operations"])
LATE, SILENT = timedelta(minutes=10), timedelta(hours=1)  # as `make doctor` has it


@dataclass(frozen=True)
class Gauge:
    """How many rows there are of what a name stands for."""

    name: str
    says: str
    model: type[SQLModel]
    where: tuple[ColumnElement[bool], ...]


def gauges(now: datetime) -> tuple[Gauge, ...]:
    """All that is counted in the record, at a time."""
    same = (
        col(CommandRow.case_id) == col(QueuedRow.case_id),
        col(CommandRow.command_id) == col(QueuedRow.command_id),
    )
    silent = col(EndpointRow.disabled).is_not(None) | (col(EndpointRow.failing_since) < now - SILENT)
    waiting, asked = col(InboundRow.state) == "waiting", col(InboundRow.state) == "open"
    return (
        Gauge("caseloom_cases_open", "Open cases", CaseRow, (col(CaseRow.status) == "open",)),
        Gauge(
            "caseloom_escalations_open",
            "Missed promises nobody has acknowledged",
            ClockRow,
            (col(ClockRow.state) == "missed", col(ClockRow.acknowledged_by).is_(None)),
        ),
        Gauge(
            "caseloom_cases_quarantined",
            "Cases where something was set aside",
            CaseRow,
            (col(CaseRow.quarantined) > 0,),
        ),
        Gauge(
            "caseloom_commands_undecided",
            "Commands answered 202 that are not decided yet",
            QueuedRow,
            (~exists().where(*same),),
        ),
        Gauge(
            "caseloom_notices_late",
            "Notices that should have left the house ten minutes ago",
            DeliveryRow,
            (col(DeliveryRow.next_at) < now - LATE,),
        ),
        Gauge("caseloom_webhooks_silent", "Endpoints that have taken nothing for an hour", EndpointRow, (silent,)),
        Gauge(
            "caseloom_inbound_late",
            "Messages of feeds that have waited for ten minutes to be worked off",
            InboundRow,
            (waiting, col(InboundRow.received_at) < now - LATE),
        ),
        Gauge("caseloom_inbound_open", "Messages of feeds that wait for a person", InboundRow, (asked,)),
        Gauge(
            "caseloom_bulk_actions_late",
            "Bulk actions that have not come on for minutes",
            BulkActionRow,
            (col(BulkActionRow.status) == "running", col(BulkActionRow.touched_at) < now - watchdog.GRACE),
        ),
        Gauge(
            "caseloom_erasures_late",
            "Erasures that were confirmed minutes ago and are not done",
            ErasureRow,
            (col(ErasureRow.status) == "running", col(ErasureRow.decided_at) < now - watchdog.GRACE),
        ),
    )


@router.get("/metrics", responses=responses(401, 403, 503))
async def metrics(parts: SystemDep, who: PrincipalDep) -> Response:
    """Counts of ours and of Temporal's SDK in this process, over all tenants, for a director or an auditor.

    The worker serves its own at `CASELOOM_METRICS_ADDRESS`: commands by outcome, clocks missed, cases rung, mails.
    """
    await _measure(parts)
    try:
        async with httpx2.AsyncClient() as http:
            found = await http.get(f"http://{parts.settings.metrics_address}/metrics", timeout=3)
    except httpx2.HTTPError:
        raise Refusal(503, "MetricsUnavailable", "the SDK's metrics do not answer") from None
    return Response(found.text, media_type="text/plain; version=0.0.4")


async def _measure(parts: System) -> None:
    meter, now = parts.runtime.metric_meter, datetime.now(UTC)
    async with parts.connection() as connection:
        for gauge in gauges(now):
            query: Any = select(func.count()).select_from(gauge.model).where(*gauge.where)
            meter.create_gauge(gauge.name, gauge.says).set((await connection.execute(query)).scalar_one())
    failing, kept = await watchdog.failing(parts.client), await kept_of(parts, now)
    for name, value, says in (
        ("caseloom_cases_asleep", kept and kept.asleep, "Cases that should have woken and did not"),
        ("caseloom_cases_failing", failing, "Cases whose workflow tasks fail"),
        (
            "caseloom_engine_away",
            int(failing is None),
            "1 while the engine does not answer",
        ),
        ("caseloom_workers", kept and kept.workers, "Workers at work in the last seconds"),
        (
            "caseloom_programs_missing",
            kept and len(kept.missing),
            "Programmes that cases run under and no file has",
        ),
    ):
        if value is not None:
            meter.create_gauge(name, says).set(value)
