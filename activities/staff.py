"""Reads from the directory the people that a decision about one case may need."""

from collections.abc import Iterable

from pydantic import JsonValue
from sqlalchemy import or_
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.case import Case
from domain.staff import Directory, StaffMember
from domain.values import Role
from infra.tables import StaffRow

LEVELS = 3
NAMING = ("owner", "assignee", "to", "person")


async def directory(
    engine: AsyncEngine, tenant: str, case: Case | None, body: dict[str, JsonValue], sender: str
) -> Directory:
    """The sender, owner, assignees and whoever the body names, those above and covering them, and the leads."""
    named = {sender, *(str(body[field]) for field in NAMING if body.get(field))}
    if interventions := body.get("interventions"):
        named |= _responsible(interventions)
    if case is not None:
        named |= {task.assignee for task in case.open_tasks if task.assignee}
        named |= {case.owner} if case.owner else set()
    async with AsyncSession(engine) as session:
        found = {row.subject: row for row in await _leads(session, tenant, case.team if case else None)}
        for _ in range(LEVELS):
            if missing := named - set(found):
                found |= {row.subject: row for row in await _by_subject(session, tenant, missing)}
            known = [found[name] for name in named if name in found]
            named = {other for row in known for other in (row.supervisor, row.cover) if other}
    return Directory(members=tuple(_member(row) for row in found.values()))


async def _by_subject(session: AsyncSession, tenant: str, subjects: Iterable[str]) -> list[StaffRow]:
    where = (StaffRow.tenant == tenant, col(StaffRow.subject).in_(sorted(subjects)))
    return list((await session.exec(select(StaffRow).where(*where))).all())


async def _leads(session: AsyncSession, tenant: str, team: str | None) -> list[StaffRow]:
    of_team = (col(StaffRow.team) == team) & col(StaffRow.role).in_([Role.SENIOR, Role.SUPERVISOR])
    wanted = or_(of_team, col(StaffRow.role) == Role.DIRECTOR)
    query = select(StaffRow).where(StaffRow.tenant == tenant, wanted).order_by(col(StaffRow.subject))
    return list((await session.exec(query)).all())


def _member(row: StaffRow) -> StaffMember:
    return StaffMember(
        subject=row.subject,
        role=Role(row.role),
        team=row.team,
        supervisor=row.supervisor,
        active=row.active,
        absent_until=row.absent_until,
        cover=row.cover,
        licences=tuple(row.licences),
    )


def _responsible(interventions: JsonValue) -> set[str]:
    """Whom a plan makes responsible for its interventions."""
    rows = interventions if isinstance(interventions, list) else []
    return {str(row["responsible"]) for row in rows if isinstance(row, dict) and row.get("responsible")}
