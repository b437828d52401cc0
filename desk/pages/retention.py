"""How long records are kept: whose is past its time, what holds one, and erasing it, with its certificate."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import erasures, persons, retention, work
from api.erasures import NewErasure
from api.pages import PagingDep
from api.retention import NewHold
from api.submission import Wish
from api.system import System
from desk.office_forms import OfficeForm, show, take
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page, to

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/retention", name="list-retention")
async def past_their_time(request: Request, guest: GuestDep, paging: PagingDep) -> Response:
    """Whose record is past its time, and what was asked for and done lately."""
    parts: System = request.app.state.system
    due = await retention.list_retention(parts, guest.who, paging)
    asked = await erasures.list_erasures(parts, guest.who, paging.model_copy(update={"after": None}))
    zone = work.zone_for(parts, guest.who).key
    return page(request, "retention.html", guest, due=due, asked=asked.items, zone=zone)


@router.get("/people/{person_id}/retention", name="read-retention")
async def of_person(request: Request, guest: GuestDep, person_id: str) -> Response:
    """Until when her record is kept, and what keeps it."""
    parts: System = request.app.state.system
    view = await retention.read_retention(person_id, parts, guest.who)
    person = (await persons.read_person(person_id, parts, guest.who, Response())).person
    zone = work.zone_for(parts, guest.who).key
    return page(request, "retention-person.html", guest, view=view, person=person, zone=zone)


async def _form(request: Request, guest: Guest, person_id: str, kind: str) -> OfficeForm:
    """The form of a hold, or of an erasure that is asked for. Raises 404 for nobody."""
    parts: System = request.app.state.system
    person = (await persons.read_person(person_id, parts, guest.who, Response())).person
    model = NewHold if kind == "place-legal-hold" else NewErasure
    zone, back = work.zone_for(parts, guest.who).key, f"/desk/people/{person_id}/retention"
    return OfficeForm(kind=kind, model=model, back=back, zone=zone, about=person.called or "")


@router.get("/people/{person_id}/legal-holds/add", name="place-legal-hold")
async def hold_form(request: Request, guest: GuestDep, person_id: str) -> Response:
    """The form of a legal hold."""
    return show(request, guest, await _form(request, guest, person_id, "place-legal-hold"))


@router.post("/people/{person_id}/legal-holds/add", name="place-legal-hold")
async def hold(request: Request, guest: GuestDep, person_id: str) -> Response:
    """Keep her record until the hold is lifted."""

    async def do(said: NewHold, _: Wish) -> None:
        await retention.place_legal_hold(person_id, said, request.app.state.system, guest.who)

    return await take(request, guest, await _form(request, guest, person_id, "place-legal-hold"), do)


@router.post("/people/{person_id}/legal-holds/{hold_id}/lift", name="lift-legal-hold")
async def lift(request: Request, guest: GuestDep, person_id: str, hold_id: str) -> Response:
    """Say that a hold is over."""
    await retention.lift_legal_hold(person_id, hold_id, request.app.state.system, guest.who)
    return to(f"/desk/people/{person_id}/retention?saved=yes")


@router.get("/people/{person_id}/erasures/add", name="ask-erasure")
async def erasure_form(request: Request, guest: GuestDep, person_id: str) -> Response:
    """The form by which an erasure is asked for."""
    return show(request, guest, await _form(request, guest, person_id, "ask-erasure"))


@router.post("/people/{person_id}/erasures/add", name="ask-erasure")
async def ask(request: Request, guest: GuestDep, person_id: str) -> Response:
    """Ask for the erasure of her record; somebody else confirms it."""

    async def do(said: NewErasure, wish: Wish) -> str:
        parts: System = request.app.state.system
        asked = await erasures.ask_erasure(person_id, said, parts, guest.who, wish, Response())
        return f"/desk/erasures/{asked.id}"

    return await take(request, guest, await _form(request, guest, person_id, "ask-erasure"), do)


@router.get("/erasures/{erasure_id}", name="read-erasure")
async def certificate(request: Request, guest: GuestDep, erasure_id: str) -> Response:
    """How an erasure stands, and its certificate."""
    parts: System = request.app.state.system
    found = await erasures.read_erasure(erasure_id, parts, guest.who)
    return page(request, "erasure.html", guest, view=found, zone=work.zone_for(parts, guest.who).key)


@router.post("/erasures/{erasure_id}/confirm", name="confirm-erasure")
async def confirm(request: Request, guest: GuestDep, erasure_id: str) -> Response:
    """Erase it, for good."""
    await erasures.confirm_erasure(erasure_id, request.app.state.system, guest.who)
    return to(f"/desk/erasures/{erasure_id}?saved=yes")


@router.post("/erasures/{erasure_id}/withdraw", name="withdraw-erasure")
async def withdraw(request: Request, guest: GuestDep, erasure_id: str) -> Response:
    """Say that it is not to be."""
    await erasures.withdraw_erasure(erasure_id, request.app.state.system, guest.who)
    return to(f"/desk/erasures/{erasure_id}?saved=yes")
