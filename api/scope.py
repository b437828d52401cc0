"""Who may see a case. What is out of scope is answered like what is not there."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, bindparam, exists, false, union
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import col

from api.problems import Refusal, not_found
from api.system import Principal, System
from domain.case.command import Outcome
from domain.case.event import Position
from domain.values import Role
from infra.tables import CaseRow, CommandRow, QueuedRow, TaskRow

CLOSED = ("completed", "cancelled")
MINE = aliased(TaskRow)  # the query around it may look at tasks of its own
CASE = aliased(CaseRow)
_of_case = select_columns(col(CASE.id))
_of_task = select_columns(col(MINE.case_id)).where(col(MINE.status).not_in(CLOSED))


@dataclass(frozen=True)
class Seen:
    """A case that somebody may see: how far it goes on record, and what became of the command asked for."""

    known: Position
    sealed: bool
    outcome: Outcome | None = None


def visible(who: Principal) -> ColumnElement[bool]:
    """The rows of `cases` that this person may see; every way names the tenant.

    Where the cases within reach are listed it is named there, and not once more: SQLite would take it for the
    way in, and read all cases of the tenant to find a few.
    """
    mine = col(CaseRow.tenant) == who.tenant
    match who.role:
        case Role.DIRECTOR | Role.AUDITOR:
            return mine
        case Role.INTEGRATOR:
            return and_(mine, col(CaseRow.opened_by) == who.sub)
        case Role.CASE_MANAGER | Role.SENIOR | Role.SUPERVISOR:
            return col(CaseRow.id).in_(_within_reach(who))
        case _:
            return false()


def _within_reach(who: Principal) -> CompoundSelect[Any]:
    """The cases of one's teams, one's own, and those in which one was given a task: each by its own index.

    As one condition with `or` no index serves it, and a list over a hundred thousand cases reads them all.
    """
    parts = [
        _of_case.where(col(CASE.tenant) == who.tenant, col(CASE.owner) == who.sub),
        _of_task.where(col(MINE.tenant) == who.tenant, col(MINE.assignee) == who.sub),
    ]
    if who.teams:
        parts.append(_of_case.where(col(CASE.tenant) == who.tenant, col(CASE.team).in_(who.teams)))
    return union(*parts)


def may_see(who: Principal, row: Any) -> bool:
    """The same rule for one case, by the columns of `looking`."""
    match who.role:
        case Role.DIRECTOR | Role.AUDITOR:
            return True
        case Role.INTEGRATOR:
            return bool(row.opened_by == who.sub)
        case Role.CASE_MANAGER | Role.SENIOR | Role.SUPERVISOR:
            return row.owner == who.sub or row.assigned or row.team in who.teams
        case _:
            return False


async def require_case(
    parts: System, who: Principal, case_id: str, command_id: str = "", feed: bool = False
) -> Seen:
    """Raises 404 unless there is such a case and this person may see it, `RecordSilent` where nobody can tell.

    With `feed` a feed of the tenant may tell it something that it may not see.

    Raises 503 while its opening is queued. One's own command is answered even when it has given the case away.
    """
    wanted = {"tenant": who.tenant, "case_id": case_id, "sub": who.sub, "command_id": command_id}
    row = await parts.look_up(_LOOK, wanted)
    if row is None:
        waits = await parts.look_up(_OPENING_WAITS, {"tenant": who.tenant, "case_id": case_id, "sub": who.sub})
        detail = "its opening waits to be decided; repeat the request in a moment"
        raise Refusal(503, "OpeningQueued", detail, {"Retry-After": "2"}) if waits else not_found()
    own = row.outcome is not None and row.actor == who.sub
    if not own and not may_see(who, row) and not (feed and who.feeds):
        raise not_found()
    outcome = Outcome.model_validate(row.outcome) if row.outcome else None
    return Seen(Position(seq=row.seq, head=row.head), row.sealed, outcome)


def looking(*more: Any) -> Select[Any]:
    """The columns that tell whether one case may be seen (`case_id`, `tenant`, `sub`), and more of them."""
    mine = and_(col(TaskRow.case_id) == col(CaseRow.id), col(TaskRow.assignee) == bindparam("sub"))
    assigned = exists().where(mine, *(col(TaskRow.status) != closed for closed in CLOSED)).label("assigned")
    seen = (col(CaseRow.owner), col(CaseRow.team), col(CaseRow.opened_by), assigned)
    return select_columns(*seen, col(CaseRow.seq), col(CaseRow.head), col(CaseRow.sealed), *more).where(
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
_OF_COMMAND = and_(
    col(CommandRow.case_id) == col(CaseRow.id), col(CommandRow.command_id) == bindparam("command_id")
)
_LOOK = looking(col(CommandRow.outcome), col(CommandRow.actor)).outerjoin_from(  # built once: it takes longer
    CaseRow, CommandRow, _OF_COMMAND
)
