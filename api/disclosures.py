"""The accounting of disclosures: who outside was told what of a person, when, for what and on which ground."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection, or_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.fhir_read import GIVEN
from api.identity import names_of, with_persons
from api.pages import Page
from api.persons import PersonId, on_record
from api.problems import Refusal, responses
from api.scope import WHOLE, Seen, require_case, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from domain.case.event import ENTERED_IN_ERROR, label_of
from domain.steps.disclosures import PART2, PART2_NOTICE
from domain.values import Instant, Role, Sensitivity
from infra.tables import AuditRow, CaseRow, TimelineRow
from infra.timeline import entry_of

router = APIRouter(tags=["persons"])
KINDS = ("disclosure-recorded", "referral-sent", "consent-recorded", ENTERED_IN_ERROR)
SIX_YEARS = timedelta(days=6 * 366)  # 45 CFR 164.528(a)(1)
MOST = 2000
READ = ("at", "case_id", "actor", "action")
BY_LINK = "partner-referral"


class Disclosure(BaseModel):
    """One disclosure. `how` is by which way: a command's mode, `referral`, or what a system outside read here.

    Of one under a label that is not this reader's only that there is one is told: `withheld` is the label.
    """

    at: datetime
    case_id: str | None
    to: str | None
    what: str | None
    purpose: str | None
    ground: str | None
    matter: str | None = Field(default=None, description="The number of the order")
    how: str
    by: str
    labels: str = Field(description="The labels under which it stood, joined by commas")
    notice: str | None = Field(description="The notice that went with it")
    withheld: str | None = None
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
    seen = {case_id: await require_case(parts, who, case_id, action="read-timeline") for case_id in cases}
    async with parts.connection() as connection:
        found, readers = await connection.run_sync(lambda c: _said(c, parts, who, seen, period))
        looks = await connection.run_sync(lambda c: _read(c, who, cases, [*names], period))
    if seen:  # who may read none of her cases learns of no look at them
        found += [_looked(parts, who, seen, row, _share_of(readers, row)) for row in looks]
    if len(found) > MOST:
        raise Refusal(422, "TooMuch", f"more than {MOST} in this period; ask for a shorter one")
    items = sorted(found, key=lambda one: one.at, reverse=True)
    return page_as(format, "disclosures", Page(items=items), Disclosure, request)


Period = tuple[datetime, datetime]
Readers = list[tuple[datetime, str, dict[str, Any]]]  # when, in which case, the share that named an account


def _said(
    connection: Connection, parts: System, who: Principal, seen: dict[str, Seen], period: Period
) -> tuple[list[Disclosure], Readers]:
    """What the timelines say, by when it was told; and who the accounts are that read by consent."""
    table: Any = TimelineRow.__table__  # type: ignore[attr-defined]
    query = table.select().where(table.c.case_id.in_(list(seen)), table.c.kind.in_(KINDS))
    rows = connection.execute(query.order_by(table.c.case_id, table.c.seq)).all()
    wrong = {(r.case_id, r.facts.get("of_command")) for r in rows if r.kind == ENTERED_IN_ERROR}
    readers, told = Readers(), list[Disclosure]()
    for row in rows:
        data: Any = entry_of(parts.keys, row).data
        if row.kind == "consent-recorded":
            readers += [(row.at, row.case_id, share) for share in data.get("shares", ()) if share.get("reader")]
        elif row.kind != ENTERED_IN_ERROR:
            label, ways = label_of(data), seen[row.case_id].reaches
            hers = row.actor == who.sub or parts.policy.reads(who.role, label, ways)
            in_error = (row.case_id, row.command_id) in wrong
            told.append(_told(row, data, in_error) if hers else _withheld(row, data, label, in_error))
    return [one for one in told if period[0] <= one.at <= period[1]], readers


def _withheld(row: Any, data: Any, label: Sensitivity, in_error: bool) -> Disclosure:
    """That there is one, and under which label."""
    nothing: dict[str, Any] = dict.fromkeys(("to", "what", "purpose", "ground", "notice"))
    said = {"at": data["occurred_at"], "case_id": row.case_id, "by": row.actor, "how": "withheld"}
    return Disclosure(**nothing, **said, labels=label, withheld=label, entered_in_error=in_error)


def _told(row: Any, data: Any, in_error: bool) -> Disclosure:
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
    connection: Connection, who: Principal, cases: list[str], names: list[str], period: Period
) -> Sequence[Any]:
    """What accounts outside were given to read: over FHIR by a share of the consent, or by a referral's link."""
    about = or_(col(AuditRow.case_id).in_(cases), col(AuditRow.person_id).in_(names))
    given = or_(col(AuditRow.action).startswith(GIVEN), col(AuditRow.action) == BY_LINK)
    query = select_columns(*(col(getattr(AuditRow, name)) for name in READ)).where(
        col(AuditRow.tenant) == who.tenant,
        col(AuditRow.role) == Role.INTEGRATOR.value,
        col(AuditRow.status) < 400,
        col(AuditRow.at).between(*period),
        given,
        about,
    )
    return connection.execute(query.order_by(col(AuditRow.at).desc()).limit(MOST + 1)).all()


def _share_of(readers: Readers, row: Any) -> dict[str, Any]:
    """The share by which an account read then, in that case or in any where the look was at the person."""
    held = (
        share
        for at, case_id, share in sorted(readers, key=lambda one: one[0])
        if share["reader"] == row.actor and at <= row.at and row.case_id in (None, case_id)
    )
    return next(iter(deque(held, maxlen=1)), {})


def _looked(parts: System, who: Principal, seen: dict[str, Seen], row: Any, share: dict[str, Any]) -> Disclosure:
    """One look from outside: what was given, to whom and for what by the share that named the account then."""
    by_link = row.action == BY_LINK
    what, _, said = ("referral" if by_link else row.action.removeprefix(GIVEN)).partition(".")
    labels = [label for label in Sensitivity if label.value in said.split(".")]
    where = [seen[row.case_id]] if row.case_id in seen else list(seen.values())
    hers = all(parts.policy.reads(who.role, label, one.reaches) for label in labels for one in where)
    strictest = labels[-1].value if labels else None
    return Disclosure(
        at=row.at,
        case_id=row.case_id,
        to=(share.get("with_whom") or row.actor) if hers else None,
        what=what if hers else None,
        purpose=share.get("purpose") if hers else None,
        ground="consent" if hers else None,
        how="link" if by_link else "read here",
        by=row.actor if hers else "",
        labels=", ".join(labels),
        notice=PART2_NOTICE if any(label in PART2 for label in labels) and hers else None,
        withheld=None if hers else strictest,
    )
