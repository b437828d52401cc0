"""What feeds told of people who have no case, for a lead to open one or to say why not."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import proposals, work
from api.system import System
from desk.paging import asked_page, next_page
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/proposals", name="list-proposals")
async def show(request: Request, guest: GuestDep, cursor: str | None = None) -> Response:
    """What waits, the oldest first."""
    parts: System = request.app.state.system
    found = await proposals.list_proposals(parts, guest.who, await asked_page(cursor, 50))
    zone = work.zone_for(parts, guest.who).key
    following = next_page(request, found.next)
    return page(request, "proposals.html", guest, items=found.items, zone=zone, following=following)


@router.post("/proposals/{proposal_id}/dismiss", name="dismiss")
async def dismiss(
    request: Request,
    guest: GuestDep,
    proposal_id: str,
    reason: Annotated[str, Form(min_length=1, max_length=4000)],
) -> Response:
    """Say why no case is opened."""
    why = proposals.Dismissed(reason=reason)
    await proposals.dismiss(proposal_id, why, request.app.state.system, guest.who)
    return to("/desk/proposals")
