"""Who of a team carries how much: the weights of open cases, by owner.

A case that a bulk action is about to give to somebody is carried by that person already; else all cases that are
asked at once would go to the one who carries least before the first of them.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Subquery, func, or_
from sqlalchemy import select as select_columns
from sqlmodel import col

from domain.values import Role
from infra.tables import BulkActionRow, BulkItemRow, CaseRow, StaffRow

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
    load = _load(tenant)
    query = (
        select_columns(col(StaffRow.subject), col(StaffRow.licences))
        .outerjoin(load, load.c.carrier == col(StaffRow.subject))
        .where(col(StaffRow.tenant) == tenant, col(StaffRow.team) == team, col(StaffRow.active))
        .where(col(StaffRow.role).in_(CARRY))
        .where(or_(col(StaffRow.absent_until).is_(None), col(StaffRow.absent_until) <= now))
        .order_by(func.coalesce(load.c.weight, 0), col(StaffRow.subject))
    )
    for subject, licences in connection.execute(query).all():
        if subject not in kept_out and (licence is None or licence in licences):
            return str(subject)
    return None


def _load(tenant: str) -> Subquery:
    """The weight that each person carries, or is about to."""
    promised = _promised(tenant)
    carrier = func.coalesce(promised.c.chosen, col(CaseRow.owner)).label("carrier")
    return (
        select_columns(carrier, func.sum(col(CaseRow.weight)).label("weight"))
        .outerjoin(promised, promised.c.case_id == col(CaseRow.id))
        .where(col(CaseRow.tenant) == tenant, col(CaseRow.status) == "open")
        .group_by(carrier)
        .subquery()
    )


def _promised(tenant: str) -> Subquery:
    """Who gets which case from a bulk action that goes on."""
    item = BulkItemRow
    return (
        select_columns(col(item.case_id), func.max(col(item.chosen)).label("chosen"))
        .join(BulkActionRow, col(BulkActionRow.id) == col(item.action_id))
        .where(col(BulkActionRow.status) == "running", col(item.tenant) == tenant)
        .where(col(item.status) == "waiting", col(item.chosen) != "")
        .group_by(col(item.case_id))
        .subquery()
    )
