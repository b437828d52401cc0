"""Who may see a case. What is out of scope is answered like what is not there."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, false, or_, union
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import col

from api.problems import Refusal, not_found
from api.system import Principal, System, not_permitted
from domain.case.command import Outcome
from domain.case.event import Position
from domain.programs.access import Reach, ways_of_share
from domain.values import Role
from infra.item_tables import ItemRow
from infra.tables import CaseRow, CommandRow, QueuedRow, TaskRow

LIST, SEE = "list-cases", "read-case"
WHOLE = "read-whole-case"
CLOSED = ("completed", "cancelled")
MINE = aliased(TaskRow)  # the query around it may look at tasks of its own
CASE = aliased(CaseRow)
SHARE = "share"
_of_case = select_columns(col(CASE.id))
_of_task = select_columns(col(MINE.case_id)).where(col(MINE.status).not_in(CLOSED))


@dataclass(frozen=True)
class Seen:
    """A case that somebody may see: how far it goes on record, and what became of the command asked for."""

    known: Position
    sealed: bool
    reaches: frozenset[Reach]
    owner: str | None = None
    outcome: Outcome | None = None


def visible(parts: System, who: Principal, action: str = LIST) -> ColumnElement[bool]:
    """The rows of `cases` in which this person has an action; every way names the tenant.

    What tells more of a case than its line, or than her own tasks, asks for `WHOLE`: a task gives the task.

    Where the cases within reach are listed it is named there, and not once more: SQLite would take it for the
    way in, and read all cases of the tenant to find a few.
    """
    ways = parts.policy.reach_of(who.role, action)
    kept_out = ~col(CaseRow.excluded).contains(f"|{who.sub}|", autoescape=True)
    if Reach.TENANT in ways:
        return and_(col(CaseRow.tenant) == who.tenant, kept_out)
    if found := _within_reach(who, ways):
        return and_(col(CaseRow.id).in_(union(*found)), kept_out)
    return false()


def _within_reach(who: Principal, ways: frozenset[Reach]) -> list[Select[Any]]:
    """The cases that one reaches, each way by its own index.

    As one condition with `or` no index serves it, and a list over a hundred thousand cases reads them all.
    """
    of_tenant = _of_case.where(col(CASE.tenant) == who.tenant)
    task = _of_task.where(col(MINE.tenant) == who.tenant, col(MINE.assignee) == who.sub)
    found = {
        Reach.OWN: of_tenant.where(col(CASE.owner) == who.sub),
        Reach.TEAM: of_tenant.where(col(CASE.team).in_(who.teams)) if who.teams else None,
        Reach.DUTY: of_tenant.where(col(CASE.team).in_(who.on_duty_for)) if who.duties else None,
        Reach.TASK: task,
        Reach.OFFERED: of_tenant.where(col(CASE.offered_to) == who.sub),
        Reach.OPENED: of_tenant.where(col(CASE.opened_by) == who.sub),
        Reach.SHARED: _shared(who.tenant, who.sub, "case"),
        Reach.REFERRED: _shared(who.tenant, who.sub, "referrals"),
    }
    return [query for way, query in found.items() if way in ways and query is not None]


def _shared(tenant: str, sub: str, reads: str) -> Select[Any]:
    """The cases whose persons let this account read them now, or the referrals to it."""
    ends = col(ItemRow.at)
    own = and_(col(ItemRow.tenant) == tenant, col(ItemRow.kind) == SHARE, col(ItemRow.asked) == sub)
    mine = (own, col(ItemRow.type).startswith(reads))
    in_force = (col(ItemRow.settled_at).is_(None), or_(ends.is_(None), ends > datetime.now(UTC)))
    return select_columns(col(ItemRow.case_id)).where(*mine, *in_force)


def reaches(who: Principal, row: Any, feed: bool = False) -> frozenset[Reach]:
    """By which ways a person reaches one case, by the columns of `looking`; none for whoever is excluded."""
    if f"|{who.sub}|" in row.excluded:
        return frozenset()
    found = {
        Reach.TENANT: True,
        Reach.OWN: row.owner == who.sub,
        Reach.TEAM: row.team in who.teams,
        Reach.DUTY: row.team in who.on_duty_for,
        Reach.TASK: row.assigned,
        Reach.OFFERED: row.offered_to == who.sub,
        Reach.OPENED: row.opened_by == who.sub,
        Reach.FEED: feed and who.feeds,
        Reach.GLASS: _looks_in(who, row.glass),
    }
    return frozenset(way for way, holds in found.items() if holds) | _told(row)


def _told(row: Any) -> frozenset[Reach]:
    """What the person lets this account read: the case, and what stands under the labels that she names."""
    if getattr(row, "told", None) is None or (row.told_until is not None and row.told_until <= datetime.now(UTC)):
        return frozenset()
    return ways_of_share(row.told)


def _looks_in(who: Principal, glass: str) -> bool:
    """Whether somebody has broken into a case in an emergency, and the time for it is not over."""
    looks = (look.partition("@") for look in glass.split("|") if look)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return any(by == who.sub and until > now for by, _, until in looks)


async def require_case(
    parts: System, who: Principal, case_id: str, command_id: str = "", action: str = SEE, feed: bool = False
) -> Seen:
    """Raises 404 unless there is such a case and this person may see it, `RecordSilent` where nobody can tell.

    Raises 403 for an action that is not hers in a case that she may see. With `feed` a feed of the tenant may tell
    it something that it may not see.

    Raises 503 while its opening is queued. One's own command is answered even when it has given the case away.
    """
    wanted = {"tenant": who.tenant, "case_id": case_id, "sub": who.sub, "command_id": command_id}
    row = await parts.look_up(_LOOK[who.role is Role.INTEGRATOR], wanted)
    if row is None:
        waits = await parts.look_up(_OPENING_WAITS, {"tenant": who.tenant, "case_id": case_id, "sub": who.sub})
        detail = "its opening waits to be decided; repeat the request in a moment"
        raise Refusal(503, "OpeningQueued", detail, {"Retry-After": "2"}) if waits else not_found()
    ways = reaches(who, row, feed)
    if row.outcome is None or row.actor != who.sub:
        may_see(parts, who, ways, action)
    outcome = Outcome.model_validate(row.outcome) if row.outcome else None
    return Seen(Position(seq=row.seq, head=row.head), row.sealed, ways, row.owner, outcome)


async def require_own_task(
    parts: System, who: Principal, case_id: str, action: str, said: dict[str, JsonValue], seen: Seen
) -> None:
    """Whoever has an action by a task alone has it for her own tasks. Raises 403 for another's."""
    by = seen.reaches & parts.policy.reach_of(who.role, action)
    if by != {Reach.TASK} or "task_id" not in said or seen.outcome is not None:
        return
    wanted = {"case_id": case_id, "sub": who.sub, "task_id": said["task_id"]}
    if await parts.look_up(_MY_TASK, wanted) is None:
        raise Refusal(403, "NotYourTask", "you were given another task of this case; this one is not yours")


def may_see(parts: System, who: Principal, ways: frozenset[Reach], action: str = SEE) -> None:
    """Raises 404 for a case that is not hers to know of, 403 for what is not hers to do in it."""
    if parts.policy.may(who.role, action, ways):
        return
    if not parts.policy.may(who.role, SEE, ways):
        raise not_found()
    raise not_permitted(parts.policy, action, who.role)


def _of_share(column: Any) -> Any:
    mine = and_(col(ItemRow.kind) == SHARE, col(ItemRow.id) == bindparam("sub"), col(ItemRow.settled_at).is_(None))
    return select_columns(column).where(col(ItemRow.case_id) == col(CaseRow.id), mine).scalar_subquery()


_SHARE = (_of_share(col(ItemRow.type)).label("told"), _of_share(col(ItemRow.at)).label("told_until"))


def looking(*more: Any, outside: bool = False) -> Select[Any]:
    """The columns that tell whether one case may be seen (`case_id`, `tenant`, `sub`), and more of them.

    `outside` is for systems: they alone read by a share of the consent, and nobody else waits for it to be found.
    """
    mine = and_(col(TaskRow.case_id) == col(CaseRow.id), col(TaskRow.assignee) == bindparam("sub"))
    assigned = exists().where(mine, *(col(TaskRow.status) != closed for closed in CLOSED)).label("assigned")
    names = ("owner", "team", "opened_by", "offered_to", "excluded", "glass", "seq", "head", "sealed")
    seen = [col(getattr(CaseRow, name)) for name in names]
    return select_columns(*seen, assigned, *(_SHARE if outside else ()), *more).where(
        col(CaseRow.id) == bindparam("case_id"), col(CaseRow.tenant) == bindparam("tenant")
    )


_DECIDED = exists().where(
    col(CommandRow.case_id) == col(QueuedRow.case_id), col(CommandRow.command_id) == col(QueuedRow.command_id)
)
_OPENING_WAITS = select_columns(col(QueuedRow.case_id)).where(
    col(QueuedRow.case_id) == bindparam("case_id"),
    col(QueuedRow.tenant) == bindparam("tenant"),
    col(QueuedRow.actor) == bindparam("sub"),
    ~_DECIDED,
)
_MY_TASK = select_columns(col(TaskRow.id)).where(
    col(TaskRow.case_id) == bindparam("case_id"),
    col(TaskRow.id) == bindparam("task_id"),
    col(TaskRow.assignee) == bindparam("sub"),
)
_OF_COMMAND = and_(
    col(CommandRow.case_id) == col(CaseRow.id), col(CommandRow.command_id) == bindparam("command_id")
)
_LOOK = [  # built once: it takes longer
    looking(col(CommandRow.outcome), col(CommandRow.actor), outside=outside).outerjoin_from(
        CaseRow, CommandRow, _OF_COMMAND
    )
    for outside in (False, True)
]
