"""Messages of other systems that no rule could place: read, given to a person, tried again, or set aside."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import inbound, persons, work
from api.system import System
from desk.paging import asked_page, next_page
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to

router = APIRouter(max_body_size=FORM_LIMIT)
SHORTEST, LONGEST = 2, 200


@router.get("/inbound", name="list-inbound")
async def show(request: Request, guest: GuestDep, cursor: str | None = None) -> Response:
    """What waits for somebody, in the order of arrival."""
    parts: System = request.app.state.system
    wanted = inbound.InboundFilter()
    found = await inbound.list_inbound(parts, guest.who, await asked_page(cursor, 50), wanted)
    zone = work.zone_for(parts, guest.who).key
    following = next_page(request, found.next)
    return page(request, "inbound.html", guest, items=found.items, zone=zone, following=following)


@router.get("/inbound/{message_id}", name="read-inbound")
async def read(request: Request, guest: GuestDep, message_id: str, q: str = "") -> Response:
    """One message as it came, and who it may be about."""
    parts: System = request.app.state.system
    message = await inbound.read_inbound(message_id, parts, guest.who)
    q = q[:LONGEST]
    found = await persons.find_persons(parts, guest.who, q) if len(q.strip()) >= SHORTEST else None
    zone = work.zone_for(parts, guest.who).key
    return page(request, "inbound_message.html", guest, message=message, q=q, found=found, zone=zone)


@router.post("/inbound/{message_id}/assign", name="assign-inbound")
async def assign(
    request: Request, guest: GuestDep, message_id: str, person_id: Annotated[str, Form(max_length=100)]
) -> Response:
    """Say whom it is about."""
    whose = inbound.Whose(person_id=person_id)
    await inbound.assign_inbound(message_id, whose, request.app.state.system, guest.who)
    return to("/desk/inbound")


@router.post("/inbound/{message_id}/work-again", name="work-again")
async def again(request: Request, guest: GuestDep, message_id: str) -> Response:
    """Try it again after what was wrong is put right."""
    await inbound.work_again(message_id, request.app.state.system, guest.who)
    return to("/desk/inbound")


@router.post("/inbound/{message_id}/discard", name="discard-inbound")
async def discard(
    request: Request,
    guest: GuestDep,
    message_id: str,
    reason: Annotated[str, Form(min_length=1, max_length=4000)],
) -> Response:
    """Leave it at what became of it, and say why."""
    why = inbound.Discard(reason=reason)
    await inbound.discard_inbound(message_id, why, request.app.state.system, guest.who)
    return to("/desk/inbound")
