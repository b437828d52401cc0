"""Whom a screening has found, for a lead to open a case, to say why not, or to look again later."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api import screened, screenings, work
from api.pages import Paging
from api.screened import AcceptFound, DeclineFound, SnoozeFound
from api.submission import Wish
from api.system import System
from desk.office_forms import OfficeForm, show, take
from desk.paging import asked_page, next_page
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page

router = APIRouter(max_body_size=FORM_LIMIT)
HERE = "/desk/found"
MODELS: dict[str, type[BaseModel]] = {
    "accept-screened": AcceptFound,
    "decline-screened": DeclineFound,
    "snooze-screened": SnoozeFound,
}
LATELY = Paging(limit=5, after=None)


@router.get("/found", name="list-screened")
async def found(request: Request, guest: GuestDep, cursor: str | None = None) -> Response:
    """Whom somebody has to decide on, the most points first, and how the latest screenings stand."""
    parts: System = request.app.state.system
    people = await screened.list_screened(parts, guest.who, await asked_page(cursor, 50))
    lately = await screenings.list_screenings(parts, guest.who, LATELY)
    views = [await screenings.read_screening(one.id, parts, guest.who) for one in lately.items]
    zone = work.zone_for(parts, guest.who).key
    following = next_page(request, people.next)
    return page(request, "found.html", guest, people=people.items, views=views, zone=zone, following=following)


async def _form(request: Request, guest: Guest, found_id: str, kind: str) -> OfficeForm:
    parts: System = request.app.state.system
    one = await screened.read_screened(found_id, parts, guest.who)
    zone = work.zone_for(parts, guest.who).key
    choices = {"owner": guest.names.choices()}
    body = {"team": one.team} if kind == "accept-screened" else {}
    about = one.name or ""
    return OfficeForm(kind, MODELS[kind], HERE, zone, body=body, choices=choices, about=about)


@router.get("/found/{found_id}/accept", name="accept-screened")
async def accept_form(request: Request, guest: GuestDep, found_id: str) -> Response:
    """The form by which a case is opened for somebody."""
    return show(request, guest, await _form(request, guest, found_id, "accept-screened"))


@router.post("/found/{found_id}/accept", name="accept-screened")
async def accept(request: Request, guest: GuestDep, found_id: str) -> Response:
    """Open the case, and go to it."""

    async def do(said: AcceptFound, _: Wish) -> str:
        parts: System = request.app.state.system
        opened = await screened.accept_screened(found_id, said, parts, guest.who, Response())
        return f"/desk/cases/{opened.case_id}"

    return await take(request, guest, await _form(request, guest, found_id, "accept-screened"), do)


@router.get("/found/{found_id}/decline", name="decline-screened")
async def decline_form(request: Request, guest: GuestDep, found_id: str) -> Response:
    """The form that asks why no case is opened."""
    return show(request, guest, await _form(request, guest, found_id, "decline-screened"))


@router.post("/found/{found_id}/decline", name="decline-screened")
async def decline(request: Request, guest: GuestDep, found_id: str) -> Response:
    """Open no case."""

    async def do(said: DeclineFound, _: Wish) -> None:
        await screened.decline_screened(found_id, said, request.app.state.system, guest.who)

    return await take(request, guest, await _form(request, guest, found_id, "decline-screened"), do)


@router.get("/found/{found_id}/snooze", name="snooze-screened")
async def snooze_form(request: Request, guest: GuestDep, found_id: str) -> Response:
    """The form that asks when to look again."""
    return show(request, guest, await _form(request, guest, found_id, "snooze-screened"))


@router.post("/found/{found_id}/snooze", name="snooze-screened")
async def snooze(request: Request, guest: GuestDep, found_id: str) -> Response:
    """Look again later."""

    async def do(said: SnoozeFound, _: Wish) -> None:
        await screened.snooze_screened(found_id, said, request.app.state.system, guest.who)

    return await take(request, guest, await _form(request, guest, found_id, "snooze-screened"), do)
