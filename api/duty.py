"""For which teams somebody is on duty now: their cases are within her reach until her turn ends."""

import asyncio
import time
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from api.problems import RecordSilent
from domain.case.staff import Directory
from domain.values import Instant, Slug, Value
from infra.directory import people_of
from infra.rosters import rosters_of

KNOWN_SECONDS = 3.0  # how long a roster is believed: whoever is taken off it is out within five seconds


class Duty(Value):
    """A team for which somebody is on duty, and until when."""

    team: Slug
    until: Instant


class Duties:
    """Remembers for a moment the rosters of each tenant, and who covers for the people on them."""

    def __init__(self, record: Engine, patience: float) -> None:
        """`patience`: after how many seconds without an answer the record is silent."""
        self._record, self._patience = record, patience
        self._known: dict[str, tuple[float, Directory]] = {}
        self._reading = asyncio.Lock()

    async def of(self, tenant: str, sub: str) -> tuple[Duty, ...]:
        """The teams for which somebody is on duty now. Raises `RecordSilent`."""
        seen_at, staff = self._known.get(tenant, (float("-inf"), Directory()))
        if time.monotonic() - seen_at > KNOWN_SECONDS:
            async with self._reading:  # one look for all who ask meanwhile
                seen_at, staff = self._known.get(tenant, (float("-inf"), Directory()))
                if time.monotonic() - seen_at > KNOWN_SECONDS:
                    staff = await self._look(tenant)
        now = datetime.now(UTC)
        turns = [(roster.team, turn) for roster in staff.rosters for turn in staff.turns_now(roster.team, now)]
        return tuple(Duty(team=team, until=turn.ends) for team, turn in turns if turn.person == sub)

    async def _look(self, tenant: str) -> Directory:
        try:
            async with asyncio.timeout(self._patience):
                staff = await asyncio.to_thread(self._read, tenant)
        except (SQLAlchemyError, OSError):  # TimeoutError is an OSError
            raise RecordSilent from None
        self._known[tenant] = (time.monotonic(), staff)
        return staff

    def _read(self, tenant: str) -> Directory:
        with self._record.connect() as connection:
            return on_rosters(connection, tenant)


def on_rosters(connection: Connection, tenant: str, team: str | None = None) -> Directory:
    """The rosters of a tenant, or of one team, with their people and whoever covers for them."""
    rosters = rosters_of(connection, tenant, {team} if team else None)
    people = {shift.person for roster in rosters for shift in roster.shifts}
    return people_of(connection, tenant, people).changed(rosters=rosters)
