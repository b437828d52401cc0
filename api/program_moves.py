"""Moving running cases to another version of their programme: what it would do, and many at a time."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func
from sqlmodel import select
from temporalio.service import RPCError, RPCStatusCode

from api.commands import CaseId
from api.problems import BODY_LIMIT, Refusal, not_found, responses
from api.reading import read_case
from api.system import PrincipalDep, System, SystemDep, require_role
from domain.moving import BulkMove, ClockMove, obstacles, preview_of, version_of
from domain.values import Role, Slug, Text
from infra.tables import CaseRow
from workflows import messages

router = APIRouter(tags=["programme versions"], max_body_size=BODY_LIMIT)
ASK_SECONDS = 3
MoveId = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


class MovePreview(BaseModel):
    """What the move would do to one case. With anything in `missing` it is refused."""

    case_id: str
    from_version: int
    to_version: int
    missing: list[str]
    clocks: list[ClockMove]


class NewBulkMove(BaseModel):
    """Which cases are moved, and how many a minute."""

    model_config = ConfigDict(extra="forbid")

    program: Slug
    from_version: int
    to_version: int
    reason: Text
    per_minute: int = Field(default=60, ge=1, le=600)


class BulkMoveView(BaseModel):
    """A bulk move. `remaining` are the open cases still under the old version, asked or not."""

    id: str
    status: str
    asked: int
    remaining: int


EXAMPLE = {"program": "complex-care", "from_version": 1, "to_version": 2, "reason": "In force from July"}


@router.get("/cases/{case_id}/program-move/{version}", responses=responses(401, 403, 404, 422, 503))
async def preview_move(case_id: CaseId, version: int, parts: SystemDep, who: PrincipalDep) -> MovePreview:
    """Which promises of a case would move, from when to when, and what stands in the way. Changes nothing."""
    require_role(who, Role.SENIOR, Role.SUPERVISOR, Role.DIRECTOR)
    case = (await read_case(parts, who, case_id)).case
    new = version_of(parts.rulebook, case.program, version)
    missing = obstacles(case, new)
    clocks = [] if missing else list(preview_of(case, parts.rulebook, version, datetime.now(UTC)))
    return MovePreview(
        case_id=case_id, from_version=case.program_version, to_version=version, missing=missing, clocks=clocks
    )


@router.post("/program-moves", status_code=202, responses=responses(401, 403, 422, 503))
async def begin_bulk_move(
    new: Annotated[NewBulkMove, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> BulkMoveView:
    """Move the open cases of a version at a bounded pace. Each decides for itself and may refuse."""
    require_role(who, Role.DIRECTOR)
    if new.from_version == new.to_version:
        raise Refusal(422, "SameVersion", "give two different versions")
    for version in (new.from_version, new.to_version):
        version_of(parts.rulebook, new.program, version)
    move = BulkMove(id=uuid.uuid4().hex[:12], tenant=who.tenant, actor=who.actor, **new.model_dump())
    try:
        await parts.client.start_workflow(
            messages.BULK_MOVE_WORKFLOW, move, id=_name(who.tenant, move.id), task_queue=parts.settings.task_queue
        )
    except (RPCError, RuntimeError):
        detail = "it may or may not have begun: look at `remaining` of the version before you try again"
        raise Refusal(503, "OutcomeUnknown", detail, {"Retry-After": "5"}) from None
    return await _view(parts, move)


@router.get("/program-moves/{move_id}", responses=responses(401, 403, 404, 503))
async def read_bulk_move(move_id: MoveId, parts: SystemDep, who: PrincipalDep) -> BulkMoveView:
    """How far a bulk move is."""
    require_role(who, Role.DIRECTOR, Role.SUPERVISOR, Role.AUDITOR)
    return await _look(parts, who.tenant, move_id)


@router.post("/program-moves/{move_id}/stop", responses=responses(401, 403, 404, 503))
async def stop_bulk_move(move_id: MoveId, parts: SystemDep, who: PrincipalDep) -> BulkMoveView:
    """Ask no more cases. Those that have moved stay moved; `undo-program-move` takes one back."""
    require_role(who, Role.DIRECTOR)
    try:
        await parts.client.get_workflow_handle(_name(who.tenant, move_id)).signal(messages.STOP)
    except RPCError as fault:
        raise _away(fault) from None
    return await _look(parts, who.tenant, move_id)


def _name(tenant: str, move_id: str) -> str:
    return f"bulk-move-{tenant}-{move_id}"


async def _look(parts: System, tenant: str, move_id: str) -> BulkMoveView:
    handle: Any = parts.client.get_workflow_handle(_name(tenant, move_id))
    try:
        async with asyncio.timeout(ASK_SECONDS):
            move: BulkMove = await handle.query(messages.PROGRESS, result_type=BulkMove)
    except (RPCError, TimeoutError) as fault:
        raise _away(fault) from None
    return await _view(parts, move)


async def _view(parts: System, move: BulkMove) -> BulkMoveView:
    still = select(func.count()).where(
        CaseRow.tenant == move.tenant,
        CaseRow.program == move.program,
        CaseRow.program_version == move.from_version,
        CaseRow.status == "open",
    )
    async with parts.session() as session:
        remaining = (await session.exec(still)).one()
    return BulkMoveView(id=move.id, status=move.state.status, asked=move.state.asked, remaining=remaining)


def _away(fault: Exception) -> Refusal:
    if isinstance(fault, RPCError) and fault.status is RPCStatusCode.NOT_FOUND:
        return not_found()
    return Refusal(503, "EngineUnavailable", "the move does not answer now; ask again", {"Retry-After": "2"})
