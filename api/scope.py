"""Whose cases a person may see. What is out of scope is answered like what is not there."""

import asyncio
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import aliased
from sqlmodel import col, exists, select
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
_has_open_task = exists().where(col(MINE.case_id) == col(CaseRow.id), col(MINE.status).not_in(CLOSED))


def visible(who: Principal) -> ColumnElement[bool]:
    """The rows of `cases` that this person may see."""
    return and_(col(CaseRow.tenant) == who.tenant, _by_role(who))


def _by_role(who: Principal) -> ColumnElement[bool]:
    teams = col(CaseRow.team).in_(who.teams)
    match who.role:
        case Role.DIRECTOR | Role.AUDITOR:
            return true()
        case Role.INTEGRATOR:
            return col(CaseRow.opened_by) == who.sub
        case Role.CASE_MANAGER | Role.SENIOR | Role.SUPERVISOR:
            return or_(teams, col(CaseRow.owner) == who.sub, _has_task_of(who.sub))
        case _:
            return false()


def _has_task_of(subject: str) -> ColumnElement[bool]:
    """Somebody who was given a task may see the case it belongs to."""
    return _has_open_task.where(col(MINE.assignee) == subject)


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
