"""Moving running cases to another version of their programme: what it would do, and many at a time."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import col

from api.bulk_actions import BulkActionView, Wanted, begin
from api.commands import CaseId
from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.system import PrincipalDep, SystemDep
from domain.steps.version_move import ClockMove, MoveToProgramVersion, obstacles, preview_of, version_of
from domain.values import Slug, Text
from infra.tables import CaseRow

router = APIRouter(tags=["programme versions"], max_body_size=BODY_LIMIT)


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


EXAMPLE = {"program": "complex-care", "from_version": 1, "to_version": 2, "reason": "In force from July"}


@router.get("/cases/{case_id}/program-move/{version}", responses=responses(401, 403, 404, 422, 503))
async def preview_move(case_id: CaseId, version: int, parts: SystemDep, who: PrincipalDep) -> MovePreview:
    """Which promises of a case would move, from when to when, and what stands in the way. Changes nothing."""
    case = (await read_case(parts, who, case_id, "preview-move")).case
    new = version_of(parts.rulebook, case.program, version)
    missing = obstacles(case, new)
    clocks = [] if missing else list(preview_of(case, parts.rulebook, version, datetime.now(UTC)))
    return MovePreview(
        case_id=case_id, from_version=case.program_version, to_version=version, missing=missing, clocks=clocks
    )


@router.post("/program-moves", status_code=202, responses=responses(401, 403, 422, 503))
async def begin_program_move(
    new: Annotated[NewBulkMove, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> BulkActionView:
    """Move the open cases of a version at a bounded pace. Each decides for itself and may refuse."""
    if new.from_version == new.to_version:
        raise Refusal(422, "SameVersion", "give two different versions")
    for version in (new.from_version, new.to_version):
        version_of(parts.rulebook, new.program, version)
    wanted = Wanted(
        command=MoveToProgramVersion.kind,
        body={"version": new.to_version, "reason": new.reason},
        cases=[
            col(CaseRow.program) == new.program,
            col(CaseRow.program_version) == new.from_version,
            col(CaseRow.status) == "open",
        ],
        request=new.model_dump(),
        per_minute=new.per_minute,
    )
    return await begin(parts, who, wanted, wish.key, response)
