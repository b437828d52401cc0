"""The people at work here, and who is on duty for a team; both are kept here by those who lead them."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from api import rosters, staff, work
from api.pages import Paging
from api.problems import Refusal
from api.rosters import RosterView, Wanted
from api.staff import StaffEntry, StaffView
from api.submission import Wish
from api.system import System
from desk.forms import Choices
from desk.office_forms import OfficeForm, show, take
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page
from desk.words import of as words_of
from domain.case.roster import EVERY_DAY, MOST_SHIFTS, Shift
from domain.values import Opaque, Role

router = APIRouter(max_body_size=FORM_LIMIT)
HERE = "/desk/staff"


class NewStaff(StaffEntry):
    """Somebody who begins to work here, and the id by which she signs in."""

    subject: Opaque


class RosterForm(Wanted):
    """A roster, as a form has it: one whose rows are all left empty has no shifts."""

    shifts: list[Shift] = Field(default=[], max_length=MOST_SHIFTS)


@router.get("/staff", name="list-staff")
async def show_all(request: Request, guest: GuestDep) -> Response:
    """Everybody of the directory: role, team, who covers."""
    parts: System = request.app.state.system
    people = await staff.list_staff(parts, guest.who, Paging(limit=200, after=None))
    teams = sorted({person.team for person in people.items if person.team})
    said: dict[str, Any] = {"people": people.items, "teams": teams, "zone": work.zone_for(parts, guest.who).key}
    return page(request, "staff.html", guest, keeps=lambda one: _keeps(guest, one), **said)


def _keeps(guest: Guest, one: StaffView) -> bool:
    """Whether this entry is hers to keep, as far as a page needs to know; the API decides."""
    if guest.who.role is Role.DIRECTOR:
        return True
    return one.team in guest.who.teams and one.role not in (Role.SUPERVISOR, Role.DIRECTOR)


def _entry_form(request: Request, guest: Guest, kind: str, model: type[StaffEntry]) -> OfficeForm:
    people, roles = guest.names.choices(), [role.value for role in Role if role is not Role.SYSTEM]
    spoken = words_of(guest.session.language)
    named = [(role, spoken.get(f"code.{role}", role)) for role in roles]
    choices: Choices = {"supervisor": people, "cover": people, "role": named}
    zone = work.zone_for(request.app.state.system, guest.who).key
    return OfficeForm(kind=kind, model=model, back=HERE, zone=zone, choices=choices)


@router.get("/staff/add", name="put-staff")
async def add_form(request: Request, guest: GuestDep) -> Response:
    """The form of somebody who begins."""
    return show(request, guest, _entry_form(request, guest, "add-staff", NewStaff))


@router.post("/staff/add", name="put-staff")
async def add(request: Request, guest: GuestDep) -> Response:
    """Put somebody into the directory who is not in it."""
    parts: System = request.app.state.system

    async def do(said: NewStaff, _: Wish) -> str | None:
        if await staff.entry_of(parts, guest.who.tenant, said.subject) is not None:
            raise Refusal(409, "AlreadyThere", "the directory has somebody under this id: change that entry")
        entry = StaffEntry(**said.model_dump(exclude={"subject"}))
        return await _written(request, guest, said.subject, entry)

    return await take(request, guest, _entry_form(request, guest, "add-staff", NewStaff), do)


async def _of(request: Request, guest: Guest, subject: str) -> OfficeForm:
    """The form of somebody's entry as it stands. Raises 404 for nobody."""
    entry = await staff.entry_of(request.app.state.system, guest.who.tenant, subject)
    if entry is None:
        raise Refusal(404, "NotFound", "the directory has nobody of this id")
    form = _entry_form(request, guest, "put-staff", StaffEntry)
    form.about, form.body = entry.name, entry.model_dump(mode="json", exclude={"subject"}, exclude_none=True)
    return form


@router.get("/staff/{subject}/entry", name="put-staff")
async def entry_form(request: Request, guest: GuestDep, subject: Opaque) -> Response:
    """The form of somebody's entry."""
    return show(request, guest, await _of(request, guest, subject))


@router.post("/staff/{subject}/entry", name="put-staff")
async def change(request: Request, guest: GuestDep, subject: Opaque) -> Response:
    """Change somebody's entry. The work of one who leaves goes to those above, as the next page shows."""

    async def do(said: StaffEntry, _: Wish) -> str | None:
        return await _written(request, guest, subject, said)

    return await take(request, guest, await _of(request, guest, subject), do)


async def _written(request: Request, guest: Guest, subject: str, entry: StaffEntry) -> str | None:
    """Write an entry; return the page of the action that hands over the work of one who leaves."""
    answer = Response()
    await staff.put_staff(subject, entry, request.app.state.system, guest.who, answer)
    action = answer.headers.get("link", "").partition(">")[0].rpartition("/")[2]
    return f"/desk/bulk/{action}" if action else None


@router.get("/rosters/{team}", name="read-roster")
async def roster(request: Request, guest: GuestDep, team: str) -> Response:
    """Who is on duty for a team now and in the next two weeks, and when nobody is."""
    parts: System = request.app.state.system
    found, who = await _roster(request, guest, team), guest.who
    leads = who.role is Role.DIRECTOR or team in who.teams
    mine = leads and bool(parts.policy.reach_of(who.role, "put-roster"))
    said: dict[str, Any] = {"roster": found, "zone": found.zone or work.zone_for(parts, who).key, "mine": mine}
    return page(request, "roster.html", guest, **said)


async def _roster(request: Request, guest: Guest, team: str) -> RosterView:
    if not team.replace("-", "").isalnum():
        raise Refusal(404, "NotFound", "there is no such team")
    return await rosters.read_roster(team, request.app.state.system, guest.who, rosters.Days())


async def _roster_form(request: Request, guest: Guest, team: str) -> OfficeForm:
    """The form of a team's roster as it stands; of one that has none, with the zone of whoever writes it."""
    parts: System = request.app.state.system
    found, spoken = await _roster(request, guest, team), words_of(guest.session.language)
    zone = found.zone or work.zone_for(parts, guest.who).key
    form = OfficeForm(kind="put-roster", model=RosterForm, back=f"/desk/rosters/{team}", zone=zone, about=team)
    form.choices = {
        "calendar": [(calendar.name, calendar.name) for calendar in parts.rulebook.calendars],
        "shifts.person": guest.names.choices(),
        "shifts.days": [(str(day), spoken(f"weekday.{day}")) for day in EVERY_DAY],
    }
    shifts = [shift.model_dump(mode="json", exclude_none=True) for shift in found.shifts]
    form.body = {"zone": zone, "shifts": [{**one, "days": [str(day) for day in one["days"]]} for one in shifts]}
    form.body |= {"calendar": found.calendar} if found.calendar else {}
    return form


@router.get("/rosters/{team}/entry", name="put-roster")
async def roster_form(request: Request, guest: GuestDep, team: str) -> Response:
    """The form of a team's roster."""
    return show(request, guest, await _roster_form(request, guest, team))


@router.post("/rosters/{team}/entry", name="put-roster")
async def write_roster(request: Request, guest: GuestDep, team: str) -> Response:
    """Say who is on duty for a team; without shifts nobody is."""

    async def do(said: RosterForm, _: Wish) -> None:
        await rosters.put_roster(team, said, request.app.state.system, guest.who)

    return await take(request, guest, await _roster_form(request, guest, team), do)
