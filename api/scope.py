"""Whose cases a person may see. What is out of scope is answered like what is not there."""

import asyncio
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, bindparam, exists, false, union
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import col
from temporalio.service import RPCError, RPCStatusCode

from api.problems import Refusal, not_found, unknown
from api.system import Principal, RecordSilent, System
from domain.case import Case
from domain.command import Outcome
from domain.values import Role
from infra.tables import CaseRow, CommandRow, TaskRow
from infra.temporal import workflow_id
from infra.timeline import folded
from workflows import messages

LIVE_SECONDS = 1.5
CLOSED = ("completed", "cancelled")
_SEQ = select_columns(col(CaseRow.seq)).where(
    col(CaseRow.id) == bindparam("case_id"), col(CaseRow.tenant) == bindparam("tenant")
)
MINE = aliased(TaskRow)  # the query around it may look at tasks of its own
CASE = aliased(CaseRow)
_of_case = select_columns(col(CASE.id))
_of_task = select_columns(col(MINE.case_id)).where(col(MINE.status).not_in(CLOSED))


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


def may_see(who: Principal, case: Case) -> bool:
    """The same rule for a case that was asked live."""
    assigned = any(task.assignee == who.sub for task in case.open_tasks)
    return case.tenant == who.tenant and _may_see(who, case.owner, case.team, case.opened_by, assigned)


def _may_see(who: Principal, owner: str | None, team: str | None, opened_by: str, assigned: bool) -> bool:
    match who.role:
        case Role.DIRECTOR | Role.AUDITOR:
            return True
        case Role.INTEGRATOR:
            return opened_by == who.sub
        case Role.CASE_MANAGER | Role.SENIOR | Role.SUPERVISOR:
            return owner == who.sub or assigned or team in who.teams
        case _:
            return False


async def require_case(parts: System, who: Principal, case_id: str, command_id: str = "") -> Outcome | None:
    """Raises 404 unless there is such a case and this person may see it, 503 where nobody can tell.

    Returns the outcome of one's own command with this id, where the record has one: one look for both. Such an
    outcome may be told even to who has given the case away with it. The record is asked first; a case that it does
    not have yet, or a record that does not answer, is asked of the case itself.
    """
    wanted = {"tenant": who.tenant, "case_id": case_id, "sub": who.sub, "command_id": command_id}
    silence = _nobody_answers(case_id, command_id)
    try:
        known = await parts.look_up(_LOOK, wanted)
    except RecordSilent:  # the engine forgets what is over; only the record would know
        await _require_of_case(parts, who, case_id, gone=silence, silence=silence)
        return None
    if known is None:
        await _require_of_case(parts, who, case_id, gone=not_found(), silence=silence)
        return None
    if known.outcome:
        return Outcome.model_validate(known.outcome)
    if not _may_see(who, known.owner, known.team, known.opened_by, known.assigned):
        raise not_found()
    return None


async def require_live(parts: System, who: Principal, case_id: str) -> Case:
    """The case as it is now; one that is over, as the record has it.

    Raises 404 unless this person may see it, 503 when it does not answer.
    """
    detail = "the case does not answer now; repeat the request"
    silence = Refusal(503, "OutcomeUnknown", detail, {"Retry-After": "2"})
    case = await _answering(parts, who.tenant, case_id, silence)
    if case is None:
        case, _ = await on_record(parts, who.tenant, case_id)
    if not may_see(who, case):
        raise not_found()
    return case


async def _require_of_case(parts: System, who: Principal, case_id: str, gone: Refusal, silence: Refusal) -> None:
    """Raises `gone` when the engine has no such case, `silence` when it does not answer, else 404."""
    case = await _answering(parts, who.tenant, case_id, silence)
    if case is None:
        raise gone
    if not may_see(who, case):
        raise not_found()


async def _answering(parts: System, tenant: str, case_id: str, silence: Refusal) -> Case | None:
    """The case itself; None when the engine has none. Raises `silence` also while its opening is not decided."""
    try:
        live = await _ask(parts, tenant, case_id)
    except messages.SILENT:
        raise silence from None
    if live is not None and live.case is None:
        raise silence
    return live.case if live is not None else None


async def on_record(parts: System, tenant: str, case_id: str) -> tuple[Case, datetime]:
    """The case as its timeline in the record makes it, and when that was last written. Raises 404."""
    async with parts.session() as session:
        row = await session.get(CaseRow, case_id)
        case = await (await session.connection()).run_sync(folded, case_id)
    if case is None or row is None or row.tenant != tenant:
        raise not_found()
    return case, row.recorded_at


def _nobody_answers(case_id: str, command_id: str) -> Refusal:
    """404 would be a promise: a command that was sent before may yet be applied."""
    if command_id:
        return unknown(case_id, command_id)
    detail = "neither the record nor the case answers now; ask again in a moment"
    return Refusal(503, "RecordUnavailable", detail, {"Retry-After": "2"})


def _look() -> Select[Any]:
    """What tells whether one case may be seen, and what became of one command of it."""
    mine = and_(col(TaskRow.case_id) == col(CaseRow.id), col(TaskRow.assignee) == bindparam("sub"))
    same = col(CommandRow.case_id) == col(CaseRow.id)
    command = and_(same, col(CommandRow.command_id) == bindparam("command_id"))
    return (
        select_columns(
            col(CaseRow.owner),
            col(CaseRow.team),
            col(CaseRow.opened_by),
            exists().where(mine, *(col(TaskRow.status) != closed for closed in CLOSED)).label("assigned"),
            col(CommandRow.outcome),
        )
        .outerjoin_from(CaseRow, CommandRow, command)
        .where(col(CaseRow.id) == bindparam("case_id"), col(CaseRow.tenant) == bindparam("tenant"))
    )


_LOOK = _look()  # built once: building a statement takes longer than its answer


async def live_case(parts: System, tenant: str, case_id: str) -> messages.Live | None:
    """The case as its workflow has it; None when there is none or it does not answer in time.

    None too where the record has more: a worker was lost after it had recorded a command, and whoever repeated
    that was answered from the record. The case is told to follow; until it has, the record is what to show.
    """
    written = await _written(parts, tenant, case_id)
    try:
        live = await _ask(parts, tenant, case_id)
        if live is None or live.case is None or live.case.seq >= written:
            return live
        async with asyncio.timeout(LIVE_SECONDS):
            await parts.client.get_workflow_handle(workflow_id(tenant, case_id)).signal(messages.FOLLOW_RECORD)
    except messages.SILENT:
        pass
    return None


async def _written(parts: System, tenant: str, case_id: str) -> int:
    """The number of the last event that the record has of a case; 0 where it does not answer."""
    try:
        known = await parts.look_up(_SEQ, {"case_id": case_id, "tenant": tenant})
    except RecordSilent:
        return 0
    return known.seq if known is not None else 0


async def _ask(parts: System, tenant: str, case_id: str) -> messages.Live | None:
    """The case as its workflow has it; None when there is none. Raises one of `SILENT` when it does not answer."""
    handle: Any = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        async with asyncio.timeout(LIVE_SECONDS):
            return await messages.ask(handle, messages.LIVE, messages.Live)
    except RPCError as fault:
        if fault.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None
