"""Who a person is, put right: her names, how she is reached, her language, who is around her."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import persons, work
from api.submission import Wish
from desk.office_forms import OfficeForm, show, take
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT
from domain.persons.person import Person

router = APIRouter(max_body_size=FORM_LIMIT)
ELSEWHERE = {"deceased", "alive_at"}  # said in her case


async def _form(request: Request, guest: Guest, person_id: str) -> tuple[OfficeForm, Person]:
    """The form of what is known of her, and that. Raises 404 for nobody."""
    parts = request.app.state.system
    view = await persons.read_person(person_id, parts, guest.who, Response())
    zone = work.zone_for(parts, guest.who).key
    back = f"/desk/people/{view.id}"
    form = OfficeForm(kind="change-person", model=Person, back=back, zone=zone, seen=view.version)
    form.about = view.person.called or ""
    form.body = view.person.model_dump(mode="json", exclude=ELSEWHERE, exclude_none=True)
    return form, view.person


@router.get("/people/{person_id}/details", name="change-person")
async def details(request: Request, guest: GuestDep, person_id: str) -> Response:
    """The form of what is known of her."""
    form, _ = await _form(request, guest, person_id)
    return show(request, guest, form)


@router.post("/people/{person_id}/details", name="change-person")
async def change(request: Request, guest: GuestDep, person_id: str) -> Response:
    """Write down what has changed of her, and over nothing that somebody else wrote meanwhile."""
    form, before = await _form(request, guest, person_id)

    async def do(said: Person, wish: Wish) -> None:
        then, now = before.model_dump(mode="json"), said.model_dump(mode="json", exclude=ELSEWHERE)
        changes = {name: value for name, value in now.items() if value != then[name]}
        if changes:
            await persons.change_person(person_id, changes, request.app.state.system, guest.who, wish)

    return await take(request, guest, form, do)
