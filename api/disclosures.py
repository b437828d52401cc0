"""The accounting of disclosures: who outside was told what of a person, when, for what and on which ground."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection, or_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.identity import names_of, with_persons
from api.pages import Page
from api.persons import PersonId, on_record
from api.problems import responses
from api.scope import WHOLE, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from domain.case.event import ENTERED_IN_ERROR
from domain.values import Instant, Role
from infra.tables import AuditRow, CaseRow, TimelineRow
from infra.timeline import entry_of

router = APIRouter(tags=["persons"])
KINDS = ("disclosure-recorded", "referral-sent", ENTERED_IN_ERROR)
SIX_YEARS = timedelta(days=6 * 366)  # 45 CFR 164.528(a)(1)
MOST = 2000
READ = ("at", "case_id", "actor", "action", "purpose")


class Disclosure(BaseModel):
    """One disclosure. `how` is by which way: a command's mode, `referral`, or what a system outside read here."""

    at: datetime
    case_id: str | None
    to: str
    what: str
    purpose: str | None
    ground: str | None
    matter: str | None = Field(default=None, description="The number of the order")
    how: str
    by: str
    labels: str = Field(description="The labels under which it stood, joined by commas")
    notice: str | None = Field(description="The notice that went with it")
    entered_in_error: bool = False


@router.get(
    "/persons/{person_id}/disclosures",
    responses=responses(401, 403, 404, 422, 503),
    response_model=Page[Disclosure],
)
async def list_disclosures(
    person_id: PersonId,
    parts: SystemDep,
    who: PrincipalDep,
    request: Request,
    first: Annotated[Instant | None, Query(description="From when on; left out, the last six years")] = None,
    last: Annotated[Instant | None, Query(description="Up to when; left out, now")] = None,
    format: Annotated[Format, Query()] = "json",
) -> Any:
    """What was told of her outside, the newest first, of the cases that one may read: for herself, when she asks.

    What was recorded or sent as a referral, and what systems and recipients outside have read here.
    """
    row, person = await on_record(parts, who, person_id)
    names = await with_persons(parts, who.tenant, lambda store: names_of(store, {row.id: person}))
    period = (first or datetime.now(UTC) - SIX_YEARS, last or datetime.now(UTC))
    async with parts.connection() as connection:
        hers = select(CaseRow.id).where(visible(parts, who, WHOLE), col(CaseRow.person_id).in_(names))
        cases = list((await connection.execute(hers)).scalars())
        found = await connection.run_sync(lambda c: _said(c, parts, cases, period))
        found += await connection.run_sync(lambda c: _read(c, who, cases, [*names], period))
    items = sorted(found, key=lambda one: one.at, reverse=True)
    return page_as(format, "disclosures", Page(items=items[:MOST]), Disclosure, request)


def _said(
    connection: Connection, parts: System, cases: list[str], period: tuple[datetime, datetime]
) -> list[Disclosure]:
    """What the timelines say, by when it was told."""
    table: Any = TimelineRow.__table__  # type: ignore[attr-defined]
    query = table.select().where(table.c.case_id.in_(cases), table.c.kind.in_(KINDS))
    rows = connection.execute(query.order_by(table.c.case_id, table.c.seq)).all()
    wrong = {(r.case_id, r.facts.get("of_command")) for r in rows if r.kind == ENTERED_IN_ERROR}
    said = (row for row in rows if row.kind != ENTERED_IN_ERROR)
    told = (_told(parts, row, (row.case_id, row.command_id) in wrong) for row in said)
    return [one for one in told if period[0] <= one.at <= period[1]]


def _told(parts: System, row: Any, in_error: bool) -> Disclosure:
    data: Any = entry_of(parts.keys, row).data
    common = {"case_id": row.case_id, "by": row.actor, "entered_in_error": in_error}
    if row.kind == "referral-sent":
        referral = data["referral"]
        said = {"to": referral["recipient"], "what": f"referral {referral['id']}", "purpose": "treatment"}
        return Disclosure(at=row.at, ground=None, how="referral", labels="", notice=None, **said, **common)
    return Disclosure(
        at=data["occurred_at"],
        to=data["to"],
        what="; ".join(data["what"]),
        purpose=data["purpose"],
        ground=data["ground"],
        matter=data.get("matter"),
        how=data["mode"],
        labels=", ".join(data["labels"]),
        notice=data.get("notice"),
        **common,
    )


def _read(
    connection: Connection, who: Principal, cases: list[str], names: list[str], period: tuple[datetime, datetime]
) -> list[Disclosure]:
    """What accounts outside have read: by a share of the consent over FHIR, or by the link of a referral."""
    about = or_(col(AuditRow.case_id).in_(cases), col(AuditRow.person_id).in_(names))
    query = select_columns(*(col(getattr(AuditRow, name)) for name in READ)).where(
        col(AuditRow.tenant) == who.tenant,
        col(AuditRow.role) == Role.INTEGRATOR.value,
        col(AuditRow.status) < 400,
        col(AuditRow.at).between(*period),
        about,
    )
    rows = connection.execute(query.order_by(col(AuditRow.at).desc()).limit(MOST)).all()
    return [
        Disclosure(
            at=row.at,
            case_id=row.case_id,
            to=row.actor,
            what=row.action,
            purpose=row.purpose,
            ground="consent",
            how="read here",
            by=row.actor,
            labels="",
            notice=None,
        )
        for row in rows
    ]
