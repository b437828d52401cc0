"""Whose work is whose: weighted caseload, assignment by load, and many cases at once."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import func, or_
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.commands import REFUSALS, CaseId
from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.scope import require_case, visible
from api.submission import CommandResult, Wish, answer, command_id, submit
from api.system import Principal, PrincipalDep, System, SystemDep, require_role
from domain.command import LEADS
from domain.ownership import HandOver, ReassignCase
from domain.values import Opaque, Role, Slug, Text
from infra.tables import CaseRow, StaffRow, TaskRow

router = APIRouter(tags=["assignment"], max_body_size=BODY_LIMIT)
MOST_AT_ONCE = 100
CARRY = (Role.CASE_MANAGER, Role.SENIOR)


class Assign(BaseModel):
    """Give a case to whoever of the team carries least. The weights are the tiers' of each programme."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = "assigned by weighted caseload"
    licence: Slug | None = Field(default=None, description="Only people with this licence")


class Reassign(BaseModel):
    """Give the open cases of one person to another one, or each to whoever carries least."""

    model_config = ConfigDict(extra="forbid")

    owner: Opaque
    to: Opaque | None = Field(default=None, description="Left out: each case to whoever of its team carries least")
    reason: Text


class Reassigned(BaseModel):
    """What became of one case."""

    case_id: str
    to: str | None
    status: str
    detail: str | None = None


class ReassignedAll(BaseModel):
    """What became of each; ask again while `left` is above zero."""

    results: list[Reassigned]
    left: int


@router.post("/cases/{case_id}/assign", responses=REFUSALS)
async def assign(
    case_id: CaseId,
    wanted: Annotated[Assign, Body()],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> CommandResult:
    """Give the case to the active, present member of its team with the lowest weighted caseload."""
    require_role(who, *LEADS)
    at = command_id(who, case_id, wish.key)
    known = (await require_case(parts, who, case_id, at)).outcome
    if known is not None and known.kind == ReassignCase.kind:  # repeated: the person was chosen the first time
        return answer(case_id, known, response)
    case = (await read_case(parts, who, case_id)).case
    kept_out = {*case.excluded, *((case.owner,) if case.owner else ())}
    person = await lightest(parts, who.tenant, case.team, kept_out, wanted.licence)
    body: dict[str, JsonValue] = {"owner": person, "reason": wanted.reason}
    return await submit(parts, who, case_id, ReassignCase.kind, body, wish, response)


async def lightest(parts: System, tenant: str, team: str, kept_out: set[str], licence: str | None = None) -> str:
    """The member of a team who carries the least weight, and of those the first by name. Raises 409 for nobody."""
    load = (
        select_columns(col(CaseRow.owner), func.sum(col(CaseRow.weight)).label("weight"))
        .where(col(CaseRow.tenant) == tenant, col(CaseRow.status) == "open")
        .group_by(col(CaseRow.owner))
        .subquery()
    )
    query = (
        select_columns(col(StaffRow.subject), col(StaffRow.licences))
        .outerjoin(load, load.c.owner == col(StaffRow.subject))
        .where(col(StaffRow.tenant) == tenant, col(StaffRow.team) == team, col(StaffRow.active))
        .where(col(StaffRow.role).in_(CARRY))
        .where(or_(col(StaffRow.absent_until).is_(None), col(StaffRow.absent_until) <= datetime.now(UTC)))
        .order_by(func.coalesce(load.c.weight, 0), col(StaffRow.subject))
    )
    async with parts.connection() as connection:
        rows = (await connection.execute(query)).all()
    for subject, licences in rows:
        if subject not in kept_out and (licence is None or licence in licences):
            return str(subject)
    raise Refusal(409, "NobodyToTakeIt", "nobody else of the team is active, present and not excluded")


@router.post("/caseload/reassign", responses=responses(401, 403, 422))
async def reassign_all(
    wanted: Annotated[Reassign, Body()], parts: SystemDep, who: PrincipalDep, wish: WishDep
) -> ReassignedAll:
    """Give up to 100 open cases of one person away; clocks and tasks go on. Repeat it until nothing is left."""
    require_role(who, Role.SUPERVISOR, Role.DIRECTOR)
    open_ones = (visible(who), CaseRow.owner == wanted.owner, CaseRow.status == "open")
    async with parts.session() as session:
        rows = list((await session.exec(select(CaseRow).where(*open_ones).order_by(col(CaseRow.id)))).all())
    results = [await _reassign(parts, who, row, wanted, wish) for row in rows[:MOST_AT_ONCE]]
    return ReassignedAll(results=results, left=max(0, len(rows) - MOST_AT_ONCE))


async def _reassign(parts: System, who: Principal, row: CaseRow, wanted: Reassign, wish: Wish) -> Reassigned:
    try:
        to = wanted.to or await lightest(parts, who.tenant, row.team or "", {wanted.owner})
        body: dict[str, JsonValue] = {"owner": to, "reason": wanted.reason}
        done = await submit(
            parts, who, row.id, ReassignCase.kind, body, Wish(key=wish.key and f"{wish.key}/{to}"), Response()
        )
    except Refusal as refusal:
        return Reassigned(case_id=row.id, to=None, status="refused", detail=refusal.problem.code)
    return Reassigned(case_id=row.id, to=to, status=done.status)


async def hand_over(parts: System, who: Principal, person: str) -> None:
    """Queue, durably, that all a person holds goes to those above.

    Asked again it changes nothing more: a case in which the person holds nothing any longer is left as it is.
    """
    body: dict[str, JsonValue] = {"person": person, "reason": "no longer active in the staff directory"}
    held = select(TaskRow.case_id).where(
        TaskRow.tenant == who.tenant,
        TaskRow.assignee == person,
        col(TaskRow.status).not_in(("completed", "cancelled")),
    )
    mine = (col(CaseRow.owner) == person) | col(CaseRow.id).in_(held)
    open_ones = (CaseRow.tenant == who.tenant, CaseRow.status == "open", mine)
    async with parts.session() as session:
        cases = list((await session.exec(select(CaseRow.id).where(*open_ones))).all())
    for case_id in cases:
        await submit(parts, who, case_id, HandOver.kind, body, Wish(later=True), Response())
