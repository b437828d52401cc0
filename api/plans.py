"""What differs between two versions of a care plan, part by part."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, JsonValue
from sqlmodel import col

from api.commands import CaseId
from api.pages import MOST_SEQ, Paging
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import require_case
from api.system import PrincipalDep, SystemDep
from api.timeline import NEWEST_FIRST, entries_of, shown
from domain.case.plan_parts import Part, Plan, changed_parts
from infra.tables import TimelineRow

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)
KINDS = ("plan-agreed", "plan-amended", "plan-revised")
LOOKED_AT = 200


class PlanVersion(BaseModel):
    """A plan as it was written once."""

    version: int
    seq: int
    by: str
    reason: str | None = None


class PartChanged(BaseModel):
    """A part that is new, is gone, or says something else than before."""

    part: Literal["problems", "goals", "interventions", "barriers", "strengths"]
    id: str | None
    change: Literal["added", "removed", "changed"]
    before: dict[str, JsonValue] | None = None
    after: dict[str, JsonValue] | None = None
    fields: list[str] = Field(default=[], description="Which of its fields say something else")


class PlanChanges(BaseModel):
    """What differs between two versions of the plan."""

    before: PlanVersion
    after: PlanVersion
    changed: list[PartChanged]


Version = Annotated[int | None, Query(ge=1, lt=MOST_SEQ)]


@router.get("/cases/{case_id}/plans/changes", responses=responses(401, 404, 409, 422, 503))
async def read_plan_changes(
    case_id: CaseId, parts: SystemDep, who: PrincipalDep, before: Version = None, after: Version = None
) -> PlanChanges:
    """Two versions of the plan side by side, as each was written last; left out: the last and the one before."""
    seen = await require_case(parts, who, case_id, action="read-plans")
    page = Paging(limit=LOOKED_AT, after=None)
    rows, marks = await entries_of(parts, who, case_id, NEWEST_FIRST, page, col(TimelineRow.kind).in_(KINDS))
    found: dict[int, tuple[PlanVersion, Plan]] = {}
    for item in (shown(parts, who, seen, row, marks) for row in rows):
        if item.withheld is None:
            plan = Plan.model_validate(item.data["plan"])
            reason: Any = item.data.get("reason")
            said = PlanVersion(version=plan.version, seq=item.seq, by=item.actor, reason=reason)
            found.setdefault(plan.version, (said, plan))
    later = after or max(found, default=0)
    earlier = before or max((version for version in found if version < later), default=0)
    if later not in found or earlier not in found:
        raise Refusal(409, "NothingToCompare", f"there are these versions: {', '.join(map(str, sorted(found)))}")
    changed = [_changed(*one) for one in changed_parts(found[earlier][1], found[later][1])]
    return PlanChanges(before=found[earlier][0], after=found[later][0], changed=changed)


def _changed(collection: Any, old: Part | None, new: Part | None) -> PartChanged:
    said = [part.model_dump(mode="json", exclude_none=True) if part else None for part in (old, new)]
    both = old is not None and new is not None
    fields = [n for n in type(old).model_fields if getattr(old, n) != getattr(new, n)] if old and both else []
    change: Any = "changed" if old and new else "removed" if old else "added"
    part_id = next(part.id for part in (old, new) if part is not None)
    return PartChanged(part=collection, id=part_id, change=change, before=said[0], after=said[1], fields=fields)
