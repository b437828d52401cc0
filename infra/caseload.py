"""Who of a team carries how much: the weights of open cases, by owner."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, or_
from sqlalchemy import select as select_columns
from sqlmodel import col

from domain.values import Role
from infra.tables import CaseRow, StaffRow

CARRY = (Role.CASE_MANAGER, Role.SENIOR)


def lightest(
    connection: Connection,
    tenant: str,
    team: str,
    now: datetime,
    kept_out: Collection[str],
    licence: str | None = None,
) -> str | None:
    """The active, present member of a team who carries the least weight, and of those the first by name."""
    load = (
        select_columns(col(CaseRow.owner), func.sum(col(CaseRow.weight)).label("weight"))
        .where(col(CaseRow.tenant) == tenant, col(CaseRow.status) == "open")
        .group_by(col(CaseRow.owner))
        .subquery()
    )
    query = (
        select_columns(col(StaffRow.subject), col(StaffRow.licences))
        .outerjoin(load, load.c.owner == col(StaffRow.subject))
        .where(col(StaffRow.tenant) == tenant, col(StaffRow.team) == team, col(StaffRow.active))
        .where(col(StaffRow.role).in_(CARRY))
        .where(or_(col(StaffRow.absent_until).is_(None), col(StaffRow.absent_until) <= now))
        .order_by(func.coalesce(load.c.weight, 0), col(StaffRow.subject))
    )
    for subject, licences in connection.execute(query).all():
        if subject not in kept_out and (licence is None or licence in licences):
            return str(subject)
    return None
