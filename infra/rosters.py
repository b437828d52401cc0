"""The rosters on record: who is on duty for which team."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Connection
from sqlalchemy import select as select_columns
from sqlmodel import Field, SQLModel, col

from domain.case.roster import Roster
from infra.tables import instant


class RosterRow(SQLModel, table=True):
    """One team's roster, as its leads wrote it."""

    __tablename__ = "rosters"

    tenant: str = Field(primary_key=True)
    team: str = Field(primary_key=True)
    roster: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    written_by: str
    written_at: datetime = instant()


def rosters_of(connection: Connection, tenant: str, teams: set[str] | None = None) -> tuple[Roster, ...]:
    """The rosters of some teams, or of all; a team without one is left out."""
    query = select_columns(col(RosterRow.roster)).where(col(RosterRow.tenant) == tenant)
    if teams is not None:
        query = query.where(col(RosterRow.team).in_(sorted(teams)))
    return tuple(Roster.model_validate(said) for said in connection.execute(query).scalars())
