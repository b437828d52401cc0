"""Whose cases a person may see. What is out of scope is answered like what is not there."""

import asyncio
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, and_, false, true, union
from sqlalchemy import select as select_columns
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from temporalio.service import RPCError

from api.problems import not_found
from api.system import Principal, System
from domain.case import Case
from domain.values import Role
from infra.tables import CaseRow, TaskRow
from infra.temporal import workflow_id
from workflows import messages

LIVE_SECONDS = 1.5
RECORD_SECONDS = 1.5
CLOSED = ("completed", "cancelled")
MINE = aliased(TaskRow)  # the query around it may look at tasks of its own
CASE = aliased(CaseRow)
_of_case = select_columns(col(CASE.id))
_of_task = select_columns(col(MINE.case_id)).where(col(MINE.status).not_in(CLOSED))


def visible(who: Principal) -> ColumnElement[bool]:
    """The rows of `cases` that this person may see."""
    return and_(col(CaseRow.tenant) == who.tenant, _by_role(who))


def _by_role(who: Principal) -> ColumnElement[bool]:
    match who.role:
        case Role.DIRECTOR | Role.AUDITOR:
            return true()
        case Role.INTEGRATOR:
            return col(CaseRow.opened_by) == who.sub
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
    if case.tenant != who.tenant:
        return False
    if who.role in (Role.DIRECTOR, Role.AUDITOR):
        return True
    if who.role is Role.INTEGRATOR:
        return case.opened_by == who.sub
    mine = case.owner == who.sub or any(task.assignee == who.sub for task in case.open_tasks)
    return mine or case.team in who.teams


async def require_case(parts: System, who: Principal, case_id: str) -> None:
    """Raises 404 unless there is such a case and this person may see it.

    The record is asked first; a case that it does not have yet, or a record that does not answer, is asked
    of the case itself.
    """
    try:
        async with asyncio.timeout(RECORD_SECONDS):
            seen = select(visible(who)).where(col(CaseRow.id) == case_id, CaseRow.tenant == who.tenant)
            known = await parts.look_up(seen)
    except (SQLAlchemyError, OSError):
        known = None
    if known is not None and known[0]:
        return
    live = None if known else await live_case(parts, who.tenant, case_id)
    if live is None or live.case is None or not may_see(who, live.case):
        raise not_found()


async def live_case(parts: System, tenant: str, case_id: str) -> messages.Live | None:
    """The case as its workflow has it; None when there is none or it does not answer in time."""
    handle: Any = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        async with asyncio.timeout(LIVE_SECONDS):
            live: messages.Live = await handle.query(messages.LIVE, result_type=messages.Live)
    except (RPCError, TimeoutError, RuntimeError):
        return None
    return live
