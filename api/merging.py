"""Merging two cases of one person, and undoing it: one command about both, which holds in both or in neither."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict

from api.commands import REFUSALS, CaseId
from api.headers import WishDep
from api.problems import BODY_LIMIT
from api.scope import require_case
from api.submission import CommandResult, submit
from api.system import PrincipalDep, SystemDep
from domain.steps.merge import MergeCase, UndoMerge
from domain.values import Opaque, Text

router = APIRouter(tags=["merging"], max_body_size=BODY_LIMIT)


class MergeRequest(BaseModel):
    """The case whose work is taken in, and why the two are one person's."""

    model_config = ConfigDict(extra="forbid")

    case_id: Opaque
    reason: Text


class UndoRequest(BaseModel):
    """The case that goes on by itself again."""

    model_config = ConfigDict(extra="forbid")

    case_id: Opaque


@router.post("/cases/{case_id}/merge", responses=REFUSALS)
async def merge(
    case_id: CaseId,
    wanted: Annotated[MergeRequest, Body()],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> CommandResult:
    """Take the open tasks and running clocks of another case of the person into this one.

    Both cases change in one transaction: the other is laid by and its work is taken in, or nothing happens.
    """
    await require_case(parts, who, wanted.case_id, action=MergeCase.kind)
    return await submit(parts, who, case_id, MergeCase.kind, wanted.model_dump(mode="json"), wish, response)


@router.post("/cases/{case_id}/undo-merge", responses=REFUSALS)
async def undo_merge(
    case_id: CaseId,
    wanted: Annotated[UndoRequest, Body()],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> CommandResult:
    """Give the other case its work back, as it stands now; it goes on by itself."""
    await require_case(parts, who, wanted.case_id, action=UndoMerge.kind)
    return await submit(parts, who, case_id, UndoMerge.kind, wanted.model_dump(mode="json"), wish, response)
