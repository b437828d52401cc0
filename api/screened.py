"""Who was found by a screening: a lead opens a case for her, says why not, or looks again later."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, exists, func, or_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.cases import NewCase, refer_as
from api.identity import by_identifiers, open_in, referred, with_persons
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.screening_decisions import ACCEPTING, as_before, decide, resolved
from api.screenings import within_reach
from api.submission import CommandResult, Wish, untried
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.case import Referral, Source
from domain.programs.policies import Tier
from domain.steps.population import Finding
from domain.values import Instant, Line, Opaque, Slug, Text
from infra import row_places
from infra.screening_tables import ScreenedRow, ScreeningRow
from infra.tables import CaseRow

router = APIRouter(tags=["case finding"], max_body_size=BODY_LIMIT)
FoundId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
MOST_POINTS_FIRST = Order([col(ScreenedRow.points), col(ScreenedRow.id)], descending=True)
REFUSALS = responses(401, 403, 404, 409, 422, 503)
MOST_REASON = 4000
Row = Any


class FoundPerson(BaseModel):
    """Somebody who may need the programme, and why."""

    id: str
    screening_id: str
    program: Slug
    team: Slug
    name: str | None
    birth_date: str | None
    person_id: str | None = Field(description="Who she is, where she is on record already")
    tier: Tier
    points: int
    at_least: bool = Field(description="Something is not known: the tier may be higher")
    reasons: list[str]
    missing: list[Line] = Field(description="What nobody knows of her and the tier depends on")
    snoozed_by: Opaque | None
    until: datetime | None


class AcceptFound(BaseModel):
    """Who takes the case; the screening's team unless given. Who she is, where a 409 has asked that."""

    model_config = ConfigDict(extra="forbid")

    team: Slug | None = None
    owner: Opaque | None = None
    target_group: Slug | None = None
    person_id: Opaque | None = None
    is_new: bool = False


class DeclineFound(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(examples=["Is in the health plan's own programme"])


class SnoozeFound(BaseModel):
    model_config = ConfigDict(extra="forbid")

    until: Instant
    reason: Text | None = None


@router.get("/screened", responses=responses(401, 403, 422, 503))
async def list_screened(
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    screening_id: Annotated[
        Opaque | None, Query(description="Of one screening; else of all of one's teams")
    ] = None,
    tier: Tier | None = None,
    show: Annotated[Literal["open", "snoozed"], Query(description="Whom to decide on, or look at later")] = "open",
) -> Page[FoundPerson]:
    """Whom somebody has to decide on, the most points first."""
    now = datetime.now(UTC)
    wanted = [*_of_leads(who), _waits(now) if show == "open" else _sleeps(now)]
    wanted += [col(ScreenedRow.screening_id) == screening_id] if screening_id else []
    wanted += [col(ScreenedRow.tier) == tier] if tier else []
    query = select(ScreenedRow, ScreeningRow).join(
        ScreeningRow, col(ScreeningRow.id) == col(ScreenedRow.screening_id)
    )
    async with parts.session() as session:
        rows: list[Row] = list((await session.exec(MOST_POINTS_FIRST.slice(query.where(*wanted), page))).all())  # type: ignore[arg-type]
    items = [_found(parts, *row) for row in rows[: page.limit]]
    last = items[-1] if len(rows) > page.limit else None
    return Page(items=items, next=MOST_POINTS_FIRST.cursor(last.points, last.id) if last else None)


@router.get("/screened/{found_id}", responses=responses(401, 403, 404, 409, 503))
async def read_screened(found_id: FoundId, parts: SystemDep, who: PrincipalDep) -> FoundPerson:
    """One of those on whom somebody has to decide."""
    return _found(parts, *await _of_id(parts, who, found_id))


def _of_leads(who: Principal) -> list[ColumnElement[bool]]:
    there = (col(ScreenedRow.tenant) == who.tenant, col(ScreenedRow.result) == "proposed")
    return [*within_reach(who), col(ScreeningRow.status) != "discarded", *there]


def undecided_for(who: Principal) -> Select[Any]:
    """How many wait for this lead to decide on."""
    joined: Any = (
        select_columns(func.count())
        .select_from(ScreenedRow)
        .join(ScreeningRow, col(ScreeningRow.id) == col(ScreenedRow.screening_id))
    )
    found: Select[Any] = joined.where(*_of_leads(who), _waits(datetime.now(UTC)))
    return found


def _waits(now: datetime) -> ColumnElement[bool]:
    """Nobody has decided, or it is time to look again, or an acceptance was begun and no case has come of it."""
    decision = col(ScreenedRow.decision)
    opened = exists().where(col(CaseRow.id) == col(ScreenedRow.case_id))
    over = and_(decision == "snoozed", col(ScreenedRow.until) <= now)
    return or_(decision.is_(None), over, and_(decision == ACCEPTING, ~opened))


def _undecided() -> ColumnElement[bool]:
    return or_(col(ScreenedRow.decision).is_(None), col(ScreenedRow.decision).in_(("snoozed", ACCEPTING)))


def _sleeps(now: datetime) -> ColumnElement[bool]:
    return and_(col(ScreenedRow.decision) == "snoozed", col(ScreenedRow.until) > now)


def _found(parts: System, row: ScreenedRow, screening: ScreeningRow) -> FoundPerson:
    found = _opened(parts, row)
    return FoundPerson(
        **row.model_dump(include={"id", "screening_id", "person_id", "tier", "points", "at_least", "until"}),
        program=screening.program,
        team=screening.team,
        name=found.person.called,
        birth_date=found.person.birth_date,
        reasons=list(found.screened.reasons),
        missing=list(found.screened.missing),
        snoozed_by=row.decided_by if row.decision == "snoozed" else None,
    )


def _opened(parts: System, row: ScreenedRow) -> Finding:
    """Raises 409 where it cannot be read any more."""
    plain = parts.keys.decrypted(row.sealed, row_places.screened(row.id)) if row.sealed is not None else None
    if plain is None:
        raise Refusal(409, "Unreadable", "what was found cannot be read any more; decline it")
    return Finding.model_validate_json(plain)


async def _to_decide_on(parts: System, who: Principal, found_id: str) -> ScreenedRow:
    """Raises 404, and 409 for somebody for whom a case was, or is being, opened."""
    row, _ = await _of_id(parts, who, found_id)
    if row.decision == ACCEPTING:
        row = await resolved(parts, who, row)
    if row.decision == "accepted":
        raise Refusal(409, "Decided", "a case was opened for her")
    return row


async def _of_id(parts: System, who: Principal, found_id: str) -> tuple[ScreenedRow, ScreeningRow]:
    """Raises 404 for somebody who is not for this lead to decide on, or on whom somebody else has decided."""
    own = and_(col(ScreenedRow.decision) == "accepted", col(ScreenedRow.decided_by) == who.sub)
    query = (
        select(ScreenedRow, ScreeningRow)
        .join(ScreeningRow, col(ScreeningRow.id) == col(ScreenedRow.screening_id))
        .where(col(ScreenedRow.id) == found_id, *_of_leads(who), or_(_undecided(), own))
    )
    async with parts.session() as session:
        row = (await session.exec(query)).first()
    if row is None:
        raise Refusal(404, "NotFound", "nobody of this id waits for you; somebody may have decided")
    return row[0], row[1]


@router.post("/screened/{found_id}/accept", status_code=201, responses=REFUSALS)
async def accept_screened(
    found_id: FoundId, wanted: AcceptFound, parts: SystemDep, who: PrincipalDep, response: Response
) -> CommandResult:
    """Open a case for her. Asked again it is the same case; 409 `PersonMaybeKnown` names who she may be.

    Nobody else can decide on her meanwhile; what is refused leaves her to be decided on as before.
    """
    row, screening = await _of_id(parts, who, found_id)
    if row.decision == ACCEPTING:
        row = await resolved(parts, who, row)
    if row.decision == "accepted":
        return await as_before(parts, who, row, response)
    finding = _opened(parts, row)
    await _require_not_enrolled(parts, who, row, screening, finding)
    case_id = await untried(parts, who.tenant, f"{who.tenant}/screened/{row.id}")
    row = await decide(parts, who, row, ACCEPTING, None, case_id=case_id.hex)
    new = _referral(screening, finding, wanted, row.person_id)
    try:
        result = await refer_as(parts, who, case_id, new, Wish(key=f"screened/{row.id}"), response)
    except Refusal as refusal:
        if refusal.status < 500:
            await decide(parts, who, row, None, None)
        raise
    if result.status != "queued":
        await decide(parts, who, row, "accepted", None, case_id=case_id.hex)
    return result


def _referral(screening: ScreeningRow, finding: Finding, wanted: AcceptFound, person_id: str | None) -> NewCase:
    screened = finding.screened
    reasons = "; ".join(screened.reasons)
    said = f"Found by a screening: {screened.tier} risk, {screened.points} points ({reasons})"[:MOST_REASON]
    return NewCase(
        program=screening.program,
        referral=Referral(source=Source(screening.source), reason=said, patient=finding.patient),
        person=finding.person,
        person_id=wanted.person_id or person_id,
        is_new=wanted.is_new,
        team=wanted.team or screening.team,
        owner=wanted.owner,
        target_group=wanted.target_group,
    )


async def _require_not_enrolled(
    parts: System, who: Principal, row: ScreenedRow, screening: ScreeningRow, finding: Finding
) -> None:
    """Raises 409 for somebody who has come into the programme since she was found."""
    known_by = (referred(finding.patient.reference), *finding.person.identifiers)
    ids = await with_persons(parts, who.tenant, lambda store: list(by_identifiers(store, known_by)))
    for person_id in dict.fromkeys((*ids, *([row.person_id] if row.person_id else []))):
        if await open_in(parts, who.tenant, person_id, screening.program):
            detail = (
                "she has an open case of this programme by now; decline, or refer her yourself for a second one"
            )
            raise Refusal(409, "AlreadyEnrolled", detail)


@router.post("/screened/{found_id}/decline", status_code=204, responses=REFUSALS)
async def decline_screened(found_id: FoundId, why: DeclineFound, parts: SystemDep, who: PrincipalDep) -> None:
    """Open no case. Later screenings leave her out, unless she has more points then."""
    row = await _to_decide_on(parts, who, found_id)
    await decide(parts, who, row, "declined", why.reason)


@router.post("/screened/{found_id}/snooze", status_code=204, responses=REFUSALS)
async def snooze_screened(found_id: FoundId, when: SnoozeFound, parts: SystemDep, who: PrincipalDep) -> None:
    """Look at her again from then on; until then later screenings leave her out, unless she has more points."""
    if when.until <= datetime.now(UTC):
        raise Refusal(422, "NotToCome", "name a time that is to come")
    row = await _to_decide_on(parts, who, found_id)
    await decide(parts, who, row, "snoozed", when.reason, until=when.until)
