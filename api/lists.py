"""What supervisors and case managers look at: worklist, escalations, caseload. All of it SQL."""

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from api.identity import called_in
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, responses
from api.scope import LIST, WHOLE, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.programs.caseload import load
from domain.values import Opaque, Slug, YesNo
from infra import row_places
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["lists"], max_body_size=BODY_LIMIT)
BY_DEADLINE = Order([col(ClockRow.due_at), col(ClockRow.case_id), col(ClockRow.id)])
OPEN_STATES = ("running", "missed")


Named = TypeVar("Named", "WorkItem", "Escalation")


class WorkItem(BaseModel):
    """One promise to keep, most urgent first."""

    model_config = ConfigDict(from_attributes=True)

    case_id: str
    clock_id: str = Field(validation_alias="id")
    kind: str
    title: str
    about: str | None = Field(description="The task, where the promise is a task's")
    owner: str | None
    state: str
    due_at: datetime
    overdue_seconds: int = 0
    name: str | None = Field(default=None, description="By which the person is called")


class Escalation(BaseModel):
    """A missed promise that is still owed."""

    id: str
    case_id: str
    clock_id: str
    kind: str
    title: str
    owner: str | None
    due_at: datetime
    missed_at: datetime
    overdue_seconds: int
    told: str | None = Field(description="The rank that was told last")
    acknowledged_by: str | None
    lapses: int = Field(description="How often the cadence lapsed again since")
    name: str | None = Field(default=None, description="By which the person is called")


class Caseload(BaseModel):
    """What one case manager carries. `weight` sums the tiers' weights of her cases."""

    owner: str | None
    cases: int
    weight: float
    within_standard: bool = Field(description="Weight within `CASELOOM_CASELOAD_STANDARD`")
    within_most: bool = Field(description="Cases within `CASELOOM_CASELOAD_MOST`")
    open_tasks: int
    overdue: int
    escalations: int


@router.get("/worklist", responses=responses(401, 422))
async def worklist(
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    owner: Annotated[Opaque | None, Query(description="Somebody else's, within one's own scope")] = None,
    queue: Annotated[Slug | None, Query(description="The unclaimed tasks of a group instead")] = None,
) -> Page[WorkItem]:
    """What is to be done, by deadline: tasks, contacts, stages; or what waits in a group's queue."""
    mine = queue is None and owner in (None, who.sub)
    query = select(ClockRow).where(
        ClockRow.tenant == who.tenant,
        col(ClockRow.state).in_(OPEN_STATES),
        col(ClockRow.case_id).in_(select(CaseRow.id).where(visible(parts, who, LIST if mine else WHOLE))),
    )
    if queue is None:
        query = query.where(ClockRow.owner == (owner or who.sub))
    else:
        query = query.where(ClockRow.queue == queue)
    rows, following = await _by_deadline(parts, query, page)
    now = datetime.now(UTC)
    items = [WorkItem.model_validate(row) for row in rows]
    late = [item.model_copy(update={"overdue_seconds": _late(item.due_at, now)}) for item in items]
    return Page(items=await _named(parts, who, late), next=following)


@router.get("/escalations", responses=responses(401, 422))
async def escalations(
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    acknowledged: YesNo | None = None,
    owner: Opaque | None = None,
    team: Slug | None = None,
) -> Page[Escalation]:
    """The missed promises that are still owed, the longest overdue first."""
    within = visible(parts, who, LIST if owner == who.sub else WHOLE)
    theirs = select(CaseRow.id).where(within, CaseRow.overdue > 0)
    if team is not None:
        theirs = theirs.where(CaseRow.team == team)
    query = select(ClockRow).where(
        ClockRow.tenant == who.tenant, ClockRow.state == "missed", col(ClockRow.case_id).in_(theirs)
    )
    if acknowledged is not None:
        by = col(ClockRow.acknowledged_by)
        query = query.where(by.is_not(None) if acknowledged else by.is_(None))
    if owner is not None:
        query = query.where(ClockRow.owner == owner)
    rows, following = await _by_deadline(parts, query, page)
    now = datetime.now(UTC)
    return Page(items=await _named(parts, who, [_escalation(row, now) for row in rows]), next=following)


async def _named(parts: System, who: Principal, items: list[Named]) -> list[Named]:
    """The same with the names of the people whom they are about."""
    names = await called_in(parts, who, (item.case_id for item in items))
    return [item.model_copy(update={"name": names.get(item.case_id)}) for item in items]


@router.get("/caseload", responses=responses(401))
async def caseload(parts: SystemDep, who: PrincipalDep, team: Slug | None = None) -> list[Caseload]:
    """Cases, open tasks, overdue promises and open escalations of each case manager one may see."""
    query = (
        select_columns(
            col(CaseRow.owner),
            func.count(),
            func.sum(col(CaseRow.weight)),
            func.sum(col(CaseRow.open_tasks)),
            func.sum(col(CaseRow.overdue)),
            func.sum(col(CaseRow.escalated)),
        )
        .where(visible(parts, who, WHOLE))
        .where(func.lower(CaseRow.status) == "open")  # by their ids, not by all that are open
        .group_by(col(CaseRow.owner))
        .order_by(col(CaseRow.owner))
    )
    if team is not None:
        query = query.where(col(CaseRow.team) == team)
    async with parts.connection() as connection:
        rows = (await connection.execute(query)).all()
    return [_caseload(parts, *row) for row in rows]


def _caseload(
    parts: System, owner: str | None, cases: int, weight: float, open_tasks: int, overdue: int, escalations: int
) -> Caseload:
    limits = parts.settings
    judged = load(weight, cases, limits.caseload_standard, limits.caseload_most)
    return Caseload(
        owner=owner, open_tasks=open_tasks, overdue=overdue, escalations=escalations, **judged.model_dump()
    )


async def _by_deadline(
    parts: SystemDep, query: SelectOfScalar[ClockRow], page: PagingDep
) -> tuple[list[ClockRow], str | None]:
    async with parts.session() as session:
        rows = list((await session.exec(BY_DEADLINE.slice(query, page))).all())
    for row in rows:
        row.title = parts.keys.decrypted_text(row.title, row_places.clock(row.case_id, row.id))
    if len(rows) <= page.limit:
        return rows, None
    rows = rows[: page.limit]
    last = rows[-1]
    return rows, BY_DEADLINE.cursor(last.due_at, last.case_id, last.id)


def _late(due_at: datetime, now: datetime) -> int:
    return max(0, int((now - due_at).total_seconds()))


def _escalation(row: ClockRow, now: datetime) -> Escalation:
    return Escalation(
        id=f"{row.id}-missed",
        case_id=row.case_id,
        clock_id=row.id,
        kind=row.kind,
        title=row.title,
        owner=row.owner,
        due_at=row.due_at,
        missed_at=row.missed_at or row.due_at,
        overdue_seconds=_late(row.due_at, now),
        told=row.told,
        acknowledged_by=row.acknowledged_by,
        lapses=row.lapses,
    )
