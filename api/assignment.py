"""Whose work is whose: weighted caseload, assignment by load, and many cases at once."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import or_
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.bulk_actions import BulkActionView, Wanted, begin
from api.commands import REFUSALS, CaseId
from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.scope import WHOLE, require_case, visible
from api.submission import CommandResult, answer, command_id, submit
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.steps.ownership import HandOver, ReassignCase
from domain.values import Opaque, Slug, Text
from infra.caseload import lightest
from infra.tables import CaseRow, TaskRow

router = APIRouter(tags=["assignment"], max_body_size=BODY_LIMIT)


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
    at = command_id(parts.index_key, who, case_id, wish.key)
    known = (await require_case(parts, who, case_id, at, "assign")).outcome
    if known is not None and known.kind == ReassignCase.kind:  # repeated: the person was chosen the first time
        return answer(case_id, known, response)
    case = (await read_case(parts, who, case_id, "assign")).case
    kept_out = {*case.excluded, *((case.owner,) if case.owner else ())}
    async with parts.connection() as connection:
        now = datetime.now(UTC)
        person = await connection.run_sync(
            lambda c: lightest(c, who.tenant, case.team, now, kept_out, wanted.licence)
        )
    if person is None:
        raise Refusal(409, "NobodyToTakeIt", "nobody else of the team is active, present and not excluded")
    body: dict[str, JsonValue] = {"owner": person, "reason": wanted.reason}
    return await submit(parts, who, case_id, ReassignCase.kind, body, wish, response)


@router.post("/caseload/reassign", status_code=202, responses=responses(401, 403, 422, 503))
async def reassign_all(
    wanted: Annotated[Reassign, Body()], parts: SystemDep, who: PrincipalDep, wish: WishDep, response: Response
) -> BulkActionView:
    """Give the open cases of one person away; clocks and tasks go on. Ask at `Location` how far it is."""
    body: dict[str, JsonValue] = {"reason": wanted.reason}
    if wanted.to is not None:
        body["owner"] = wanted.to
    its_own = [visible(parts, who, WHOLE), col(CaseRow.owner) == wanted.owner, col(CaseRow.status) == "open"]
    request = wanted.model_dump()
    action = Wanted(ReassignCase.kind, body, its_own, request, to_lightest=wanted.to is None)
    return await begin(parts, who, action, wish.key, response)


def handing_over(parts: System, who: Principal, person: str) -> Wanted:
    """All that a person holds goes to those above, in the cases that `who` may see; the rest is a director's.

    A case in which she holds nothing is left as it is.
    """
    holds = select_columns(col(TaskRow.case_id)).where(
        col(TaskRow.tenant) == col(CaseRow.tenant),
        col(TaskRow.assignee) == person,
        col(TaskRow.status).not_in(("completed", "cancelled")),
    )
    mine = or_(col(CaseRow.owner) == person, col(CaseRow.id).in_(holds))
    body: dict[str, JsonValue] = {"person": person, "reason": "no longer active in the staff directory"}
    return Wanted(HandOver.kind, body, [visible(parts, who, WHOLE), col(CaseRow.status) == "open", mine], body)
