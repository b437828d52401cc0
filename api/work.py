"""What somebody owes, in one list: tasks, promises, approvals, signatures, offers, reviews, escalations."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Select, and_, case, exists, false, func, or_
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import col

from api.duty import Duty
from api.inbound import unplaced_for
from api.owed import DUE, Days, Group, Owed, items_of, owed
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, responses
from api.proposals import waiting_for
from api.scope import LIST, WHOLE, visible
from api.screened import undecided_for
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from domain.clocks.clock import RANK_OF_ROLE, Rank
from domain.values import Opaque, Slug, Zone
from infra.notice_tables import OutboxRow
from infra.tables import CaseRow, ClockRow, StaffRow

router = APIRouter(tags=["lists"], max_body_size=BODY_LIMIT)
BY_DEADLINE = Order([col(ClockRow.due_at), col(ClockRow.case_id), col(ClockRow.id)])
OPEN = ("running", "missed")
DUTY_CASE = aliased(CaseRow)  # also where promises are counted without their cases
LEADS = tuple(RANK_OF_ROLE)
NOBODY = "none"
HANDED_OVER = timedelta(hours=1)  # whoever comes next has to read what she finds before she can answer it
OWN = (None, *DUE, "on-hold")


class Counts(BaseModel):
    """How much there is of each group; from `proposals` on each has a list of its own."""

    overdue: int = 0
    today: int = 0
    week: int = 0
    later: int = 0
    on_hold: int = 0
    waiting: int = 0
    escalated: int = 0
    unowned: int = 0
    covering: int = 0
    on_duty: int = 0
    proposals: int = 0
    inbound: int = 0
    screened: int = 0
    unread: int = 0


class Work(Page[Owed]):
    """A page of what somebody owes, by deadline; with the first one how much there is in all."""

    counts: Counts | None


class Me(BaseModel):
    """Who is signed in, and what waits for her."""

    subject: str
    role: str
    teams: tuple[str, ...]
    tenant: str
    on_duty: tuple[Duty, ...] = Field(description="For which teams one is on duty now, and until when")
    counts: Counts


class Notified(BaseModel):
    """A notice about something, and whether it was read."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    recipient: str
    why: str | None
    created_at: datetime
    read_at: datetime | None


class WorkFilter(BaseModel):
    """Which of it: left out, everything that is due of one's own."""

    group: Group | None = Field(default=None, description="One group; left out: all that is due")
    owner: Opaque | None = Field(default=None, description="Somebody else's; `none`: nobody's")
    scope: Literal["own", "all"] = Field(default="own", description="`all`: whoever owes it, where you may see it")
    queue: Slug | None = Field(default=None, description="What waits in a group's queue instead")
    kind: Slug | None = None
    program: Slug | None = None
    tier: Slug | None = None
    team: Slug | None = None
    due_from: datetime | None = None
    due_before: datetime | None = None
    format: Format = "json"
    zone: Zone | None = Field(default=None, description="Whose days `today` and `week` are; left out: your team's")


@router.get("/work", responses=responses(401, 403, 422, 503), response_model=Work)
async def work(
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    wanted: Annotated[WorkFilter, Query()],
    request: Request,
) -> Any:
    """What you owe, the most urgent first: overdue, today, in seven days, later.

    `group=waiting` is what others owe in your cases, `on-hold` what rests until a day, `escalated` what climbed to
    you, `unowned` what nobody answers for in the cases of your teams, `covering` what you cover for others,
    `on-duty` what cannot wait until an hour after your turn in the cases of the teams for which you are on duty.
    """
    counted = page.after is None and wanted.format == "json" and not _wide(wanted)
    found = await page_of(parts, who, page, wanted, counted)
    return page_as(wanted.format, "work", found, Owed, request)


async def page_of(parts: System, who: Principal, page: PagingDep, wanted: WorkFilter, counted: bool) -> Work:
    """A page of what somebody owes; `counted` with how much there is of each group."""
    days, of = Days(datetime.now(UTC), zone_for(parts, who, wanted.zone)), wanted.owner or who.sub
    query: Any = owed(_cases(parts, who, of, "unowned" if wanted.queue or _wide(wanted) else wanted.group))
    query = query.where(*_chosen(days, who, of, wanted), *_filters(wanted))
    async with parts.connection() as connection:
        rows = (await connection.execute(BY_DEADLINE.slice(query, page))).all()
    items = await items_of(parts, who, rows[: page.limit], days, wanted.group)
    last = rows[page.limit - 1] if len(rows) > page.limit else None
    following = BY_DEADLINE.cursor(last.due_at, last.case_id, last.id) if last is not None else None
    counts = await counts_of(parts, who, of, days) if counted else None
    return Work(items=items, next=following, counts=counts)


@router.get("/me", responses=responses(401, 503))
async def me(parts: SystemDep, who: PrincipalDep) -> Me:
    """Who you are here, and how much waits for you."""
    days = Days(datetime.now(UTC), zone_for(parts, who, None))
    counts = await counts_of(parts, who, who.sub, days)
    said = {"role": who.role, "teams": who.teams, "tenant": who.tenant, "on_duty": who.duties}
    return Me(subject=who.sub, counts=counts, **said)


async def notices_of(parts: System, who: Principal, case_id: str, about: str) -> list[Notified]:
    """The notices of a case about one thing."""
    query = select_columns(OutboxRow.__table__).where(  # type: ignore[attr-defined]
        col(OutboxRow.tenant) == who.tenant, col(OutboxRow.case_id) == case_id, col(OutboxRow.about) == about
    )
    async with parts.connection() as connection:
        return [Notified.model_validate(row) for row in await connection.execute(query)]


def zone_for(parts: System, who: Principal, asked: str | None = None) -> ZoneInfo:
    """The zone that was asked for, else that of the person's team, else that of the first programme."""
    places = (parts.rulebook.place_of(team) for team in who.teams)
    of_team = next((place.time_zone for place in places if place is not None and place.time_zone), None)
    return ZoneInfo(asked or of_team or parts.rulebook.programs[0].time_zone)


def _chosen(days: Days, who: Principal, of: str, wanted: WorkFilter) -> Iterator[ColumnElement[bool]]:
    """Whose promises, and which group of them."""
    state, owner = col(ClockRow.state), col(ClockRow.owner)
    if _wide(wanted):
        yield _of_tenant(who)
        yield state == "paused" if wanted.group == "on-hold" else state.in_(OPEN)
        if wanted.queue is not None:
            yield col(ClockRow.queue) == wanted.queue
        if wanted.owner is not None:
            yield owner.is_(None) if wanted.owner == NOBODY else owner == wanted.owner
        if wanted.group in DUE:
            yield days.conditions()[wanted.group]
        return
    if wanted.queue is not None:
        yield and_(_of_tenant(who), col(ClockRow.queue) == wanted.queue, state.in_(OPEN))
    elif wanted.group in (None, *DUE):
        yield and_(_of_tenant(who), owner == of, state.in_(OPEN))
    if wanted.group in DUE:
        yield days.conditions()[wanted.group]
    elif wanted.group is not None:
        yield _resting(who, of, days.now)[wanted.group]


def _wide(wanted: WorkFilter) -> bool:
    """Whether it is about what anybody owes. What waits, climbed or is covered is somebody's."""
    return (wanted.scope == "all" or wanted.owner == NOBODY) and wanted.group in (None, *DUE, "on-hold")


def _resting(who: Principal, of: str, now: datetime) -> dict[Group, ColumnElement[bool]]:
    """What waits for others, rests until a day, has climbed to this person, or is nobody's.

    What waits and what has climbed is looked for by the ids of a few cases (`_cases`), which name the tenant.
    Named here as well, SQLite would read all promises of it.
    """
    state, owner, rank = col(ClockRow.state), col(ClockRow.owner), RANK_OF_ROLE.get(who.role)
    climbed = [
        higher for higher in Rank if rank is not None and list(Rank).index(higher) >= list(Rank).index(rank)
    ]
    unheard = and_(state == "missed", col(ClockRow.acknowledged_by).is_(None), col(ClockRow.told).in_(climbed))
    nobodys = and_(owner.is_(None), col(ClockRow.queue).is_(None), state.in_((*OPEN, "paused")))
    covered = select_columns(col(StaffRow.subject)).where(
        col(StaffRow.tenant) == who.tenant, col(StaffRow.cover) == of, col(StaffRow.absent_until) > now
    )
    turns = [
        and_(col(DUTY_CASE.team) == duty.team, col(ClockRow.due_at) <= duty.until + HANDED_OVER)
        for duty in who.duties
    ]
    in_turn = exists().where(col(DUTY_CASE.id) == col(ClockRow.case_id), or_(*turns)) if turns else false()
    return {
        "on-duty": and_(_of_tenant(who), col(ClockRow.duty), state.in_(OPEN), in_turn),
        "covering": and_(_of_tenant(who), owner.in_(covered), state.in_(OPEN)),
        "on-hold": and_(_of_tenant(who), owner == of, state == "paused"),
        "waiting": and_(owner != of, state.in_(OPEN)),
        "escalated": and_(unheard, or_(owner.is_(None), owner != of)),
        "unowned": and_(_of_tenant(who), nobodys),
    }


def _cases(parts: System, who: Principal, of: str, group: Group | None) -> Select[Any]:
    """The cases within reach in which promises of a group can be."""
    more = {
        "waiting": col(CaseRow.owner) == of,
        "escalated": col(CaseRow.escalated) > 0,
        "on-duty": col(CaseRow.team).in_(who.on_duty_for),
    }
    action = LIST if of == who.sub and group in OWN else WHOLE
    few = (more[group],) if group in more else ()
    return select_columns(col(CaseRow.id)).where(visible(parts, who, action), *few)


def _of_tenant(who: Principal) -> ColumnElement[bool]:
    return col(ClockRow.tenant) == who.tenant


def _filters(wanted: WorkFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.kind is not None:
        yield col(ClockRow.kind) == wanted.kind
    if wanted.due_from is not None:
        yield col(ClockRow.due_at) >= wanted.due_from
    if wanted.due_before is not None:
        yield col(ClockRow.due_at) < wanted.due_before
    for name in ("program", "tier", "team"):
        if (value := getattr(wanted, name)) is not None:
            yield col(getattr(CaseRow, name)) == value


async def counts_of(parts: System, who: Principal, of: str, days: Days) -> Counts:
    """How much there is of each group; of those for leads nothing for who leads nobody."""
    paused = col(ClockRow.state) == "paused"
    own = {**{name: and_(~paused, due) for name, due in days.conditions().items()}, "on-hold": paused}
    theirs = (_of_tenant(who), col(ClockRow.owner) == of, col(ClockRow.state).in_((*OPEN, "paused")))
    resting = _resting(who, of, days.now)
    leads: tuple[Group, ...] = ("escalated", "unowned") if who.role in LEADS else ()
    duty: tuple[Group, ...] = ("on-duty",) if who.duties else ()
    names: tuple[Group, ...] = ("waiting", "covering", *leads, *duty)
    waits = {n.replace("-", "_"): _counting(_cases(parts, who, of, n), {}).where(resting[n]) for n in names}
    more = waits | _others(parts, who)
    numbers = select_columns(*(query.scalar_subquery().label(name) for name, query in more.items()))
    async with parts.connection() as connection:
        counting = _counting(_cases(parts, who, of, None), own).where(*theirs)
        mine = (await connection.execute(counting)).one()._mapping
        others = (await connection.execute(numbers)).one()._mapping
    found = {name.replace("-", "_"): int(mine[name] or 0) for name in own}
    return Counts(**found, **{name: int(number) for name, number in others.items()})


def _counting(cases: Select[Any], conditions: Mapping[Any, ColumnElement[bool]]) -> Select[Any]:
    sums: list[Any] = [func.sum(case((c, 1), else_=0)).label(name) for name, c in conditions.items()]
    return select_columns(*(sums or [func.count()])).select_from(ClockRow).where(col(ClockRow.case_id).in_(cases))


def _others(parts: System, who: Principal) -> dict[str, Select[Any]]:
    """What has a list of its own: notices not read yet; for leads what feeds told and screenings found."""
    unread = (col(OutboxRow.tenant) == who.tenant, col(OutboxRow.recipient) == who.sub)
    found = {"unread": select_columns(func.count()).where(*unread, col(OutboxRow.read_at).is_(None))}
    if parts.policy.reach_of(who.role, "list-proposals"):
        found["proposals"] = select_columns(func.count()).where(*waiting_for(who))
        found["inbound"] = select_columns(func.count()).where(*unplaced_for(who))
        found["screened"] = undecided_for(who)
    return found
