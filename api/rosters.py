"""Rosters: who is on duty for a team when its case managers sleep, and when nobody is."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from api.days import ahead
from api.problems import BODY_LIMIT, Refusal, responses
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.roster import MOST_SHIFTS, Roster, Shift, Turn, gaps
from domain.case.staff import Directory
from domain.clocks.calendar import WorkingCalendar
from domain.values import Day, Opaque, Role, Slug, Zone
from infra.directory import people_of
from infra.rosters import RosterRow, rosters_of

router = APIRouter(tags=["staff"], max_body_size=BODY_LIMIT)
SHOWN_DAYS = 14
EXAMPLE = {
    "zone": "America/Los_Angeles",
    "calendar": "us-federal",
    "shifts": [
        {"person": "senior-1", "days": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "08:00"},
        {"person": "cm-ben", "days": [6, 7], "starts": "08:00", "ends": "08:00", "first": "2030-07-01"},
    ],
}


class Wanted(BaseModel):
    """A team's roster; the one before it is replaced. Without shifts nobody is on duty."""

    model_config = ConfigDict(extra="forbid")

    zone: Zone = Field(description="In which the times of the shifts are local")
    calendar: Slug | None = Field(default=None, description="In its open hours nobody needs to be on duty")
    shifts: list[Shift] = Field(max_length=MOST_SHIFTS)


class OnTurn(Turn):
    """A turn, and who is there then: the person, or whoever covers; null where nobody is."""

    there: Opaque | None


class Gap(BaseModel):
    """A time in which nobody is on duty."""

    starts: datetime
    ends: datetime


class RosterView(BaseModel):
    """A team's roster, who is on duty now, and its turns and gaps over some days."""

    team: str
    zone: str | None
    calendar: str | None
    shifts: list[Shift]
    on_duty: tuple[Opaque, ...]
    turns: list[OnTurn]
    gaps: list[Gap]


class Days(BaseModel):
    """Which days are shown, by the roster's zone."""

    first: Day | None = Field(default=None, description="Today unless given")
    last: Day | None = Field(default=None, description=f"{SHOWN_DAYS} days from the first unless given")


@router.put("/rosters/{team}", responses=responses(401, 403, 409, 422))
async def put_roster(
    team: Annotated[Slug, Path()],
    wanted: Annotated[Wanted, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> RosterView:
    """Say who is on duty for a team. Crises, alerts and duties that are missed reach them too, at any hour.

    While they are on duty they see the team's cases, whatever their own team is.
    """
    if who.role is not Role.DIRECTOR and team not in who.teams:
        raise Refusal(403, "NotYourTeam", "a supervisor keeps the rosters of his own teams; ask a director")
    roster = Roster(team=team, zone=wanted.zone, calendar=wanted.calendar, shifts=tuple(wanted.shifts))
    _calendar(parts, roster)
    async with AsyncSession(parts.engine) as session:
        await _require_known(await session.connection(), who, roster)
        said, now = roster.model_dump(mode="json"), datetime.now(UTC)
        await session.merge(
            RosterRow(tenant=who.tenant, team=team, roster=said, written_by=who.sub, written_at=now)
        )
        await session.commit()
    return await _shown(parts, who, roster, Days())


@router.get("/rosters/{team}", responses=responses(401, 403, 422))
async def read_roster(
    team: Annotated[Slug, Path()], parts: SystemDep, who: PrincipalDep, days: Annotated[Days, Query()]
) -> RosterView:
    """Who is on duty for a team now and over some days, and when nobody is."""
    async with parts.connection() as connection:
        found = await connection.run_sync(rosters_of, who.tenant, {team})
    if not found:
        return RosterView(team=team, zone=None, calendar=None, shifts=[], on_duty=(), turns=[], gaps=[])
    return await _shown(parts, who, found[0], days)


async def _require_known(connection: AsyncConnection, who: Principal, roster: Roster) -> None:
    """Raises `UnknownStaff` for people who are not at work here."""
    people = {shift.person for shift in roster.shifts}
    staff = await connection.run_sync(people_of, who.tenant, people)
    if unknown := sorted(person for person in people if not staff.may_take_work(person)):
        raise Refusal(409, "UnknownStaff", "the directory has nobody active of these names", missing=unknown)


async def _shown(parts: System, who: Principal, roster: Roster, days: Days) -> RosterView:
    zone, now = ZoneInfo(roster.zone), datetime.now(UTC)
    start, end = ahead(days.first, days.last, SHOWN_DAYS, zone)
    turns = roster.turns(start, end)
    people = {turn.person for turn in (*turns, *roster.on_duty(now))}
    async with parts.connection() as connection:
        staff = await connection.run_sync(people_of, who.tenant, people)
    staff = staff.changed(rosters=(roster,))
    return RosterView(
        team=roster.team,
        zone=roster.zone,
        calendar=roster.calendar,
        shifts=list(roster.shifts),
        on_duty=staff.on_duty(roster.team, now),
        turns=(shown := [_with_cover(turn, staff) for turn in turns]),
        gaps=_gaps(shown, _calendar(parts, roster), zone, start, end),
    )


def _with_cover(turn: Turn, staff: Directory) -> OnTurn:
    here = staff.stands_in(turn.person, turn.starts)
    return OnTurn(**dict(turn), there=here.subject if here is not None else None)


def _gaps(
    turns: list[OnTurn], calendar: WorkingCalendar | None, zone: ZoneInfo, start: datetime, end: datetime
) -> list[Gap]:
    """When nobody is there: neither on duty, nor the team at work."""
    covered = [(turn.starts, turn.ends) for turn in turns if turn.there is not None]
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    while calendar is not None and day <= last:
        if calendar.is_working_day(day):
            covered.append(calendar.open_hours(day, zone))
        day += timedelta(days=1)
    return [Gap(starts=starts, ends=ends) for starts, ends in gaps(covered, start, end)]


def _calendar(parts: System, roster: Roster) -> WorkingCalendar | None:
    """The calendar of the team's working hours. Raises 422 for one that the catalogue does not have."""
    if roster.calendar is None:
        return None
    found = {calendar.name: calendar for calendar in parts.rulebook.calendars}
    if roster.calendar not in found:
        raise Refusal(422, "UnknownCalendar", "choose one of `missing`", missing=sorted(found))
    return found[roster.calendar]
