"""Where events are posted outside the house, how that stands, and what the last posts came to."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import webhooks, work
from api.problems import Refusal
from api.submission import Wish
from api.system import System
from api.webhooks import NewEndpoint, Replay
from desk.office_forms import OfficeForm, show, take
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page, to

router = APIRouter(max_body_size=FORM_LIMIT)
HERE = "/desk/webhooks"


@router.get("/webhooks", name="list-endpoints")
async def show_all(request: Request, guest: GuestDep) -> Response:
    """The endpoints and how they stand."""
    parts: System = request.app.state.system
    found = await webhooks.list_endpoints(parts, guest.who)
    return page(request, "webhooks.html", guest, endpoints=found, zone=work.zone_for(parts, guest.who).key)


def _form(request: Request, guest: Guest) -> OfficeForm:
    parts: System = request.app.state.system
    programs = {one.program: one.title for one in parts.rulebook.programs}
    zone = work.zone_for(parts, guest.who).key
    choices = {"programs": sorted(programs.items())}
    return OfficeForm(kind="create-endpoint", model=NewEndpoint, back=HERE, zone=zone, choices=choices)


@router.get("/webhooks/add", name="create-endpoint")
async def add_form(request: Request, guest: GuestDep) -> Response:
    """The form of a new endpoint."""
    return show(request, guest, _form(request, guest))


@router.post("/webhooks/add", name="create-endpoint")
async def add(request: Request, guest: GuestDep) -> Response:
    """Have events posted somewhere. The page that follows is the only one that ever shows the secret."""

    async def do(said: NewEndpoint, _: Wish) -> Response:
        made = await webhooks.create_endpoint(said, request.app.state.system, guest.who)
        return page(request, "webhook-secret.html", guest, 201, url=made.url, secret=made.secret)

    return await take(request, guest, _form(request, guest), do)


@router.get("/webhooks/{endpoint_id}", name="list-attempts")
async def attempts(request: Request, guest: GuestDep, endpoint_id: str) -> Response:
    """One endpoint, its last posts, and what can be done with it."""
    parts: System = request.app.state.system
    known = await webhooks.list_endpoints(parts, guest.who)
    found = next((one for one in known if one.id == endpoint_id), None)
    if found is None:
        raise Refusal(404, "NotFound", "there is no such endpoint")
    posts = await webhooks.list_attempts(endpoint_id, parts, guest.who)
    zone = work.zone_for(parts, guest.who).key
    return page(request, "webhook.html", guest, endpoint=found, posts=posts, zone=zone)


@router.post("/webhooks/{endpoint_id}/rotate", name="rotate-secret")
async def rotate(request: Request, guest: GuestDep, endpoint_id: str) -> Response:
    """Sign with a new secret; the page that follows is the only one that ever shows it."""
    made = await webhooks.rotate_secret(endpoint_id, request.app.state.system, guest.who)
    return page(request, "webhook-secret.html", guest, url=made.url, secret=made.secret)


@router.post("/webhooks/{endpoint_id}/replay", name="replay")
async def replay(
    request: Request, guest: GuestDep, endpoint_id: str, after: Annotated[str, Form(max_length=19)]
) -> Response:
    """Post everything behind a position again."""
    if not (after.isascii() and after.isdigit() and int(after) <= webhooks.HIGHEST):
        raise Refusal(422, "Malformed", "a position is a whole number; 0 is the beginning")
    await webhooks.replay(endpoint_id, Replay(after=int(after)), request.app.state.system, guest.who)
    return to(f"{HERE}/{endpoint_id}?saved=yes")


@router.post("/webhooks/{endpoint_id}/delete", name="delete-endpoint")
async def delete(request: Request, guest: GuestDep, endpoint_id: str) -> Response:
    """Post nothing there any more."""
    await webhooks.delete_endpoint(endpoint_id, request.app.state.system, guest.who)
    return to(f"{HERE}?saved=yes")
