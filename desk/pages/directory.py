"""The people at work here, and who is on duty for a team."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import rosters, staff, work
from api.pages import Paging
from api.problems import Refusal
from api.system import System
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/staff", name="list-staff")
async def show(request: Request, guest: GuestDep) -> Response:
    """Everybody of the directory: role, team, who covers."""
    parts: System = request.app.state.system
    people = await staff.list_staff(parts, guest.who, Paging(limit=200, after=None))
    teams = sorted({person.team for person in people.items if person.team})
    zone = work.zone_for(parts, guest.who).key
    return page(request, "staff.html", guest, people=people.items, teams=teams, zone=zone)


@router.get("/rosters/{team}", name="read-roster")
async def roster(request: Request, guest: GuestDep, team: str) -> Response:
    """Who is on duty for a team now and in the next two weeks, and when nobody is."""
    parts: System = request.app.state.system
    if not team.replace("-", "").isalnum():
        raise Refusal(404, "NotFound", "there is no such team")
    found = await rosters.read_roster(team, parts, guest.who, rosters.Days())
    said: dict[str, Any] = {"roster": found, "zone": found.zone or work.zone_for(parts, guest.who).key}
    return page(request, "roster.html", guest, **said)
