"""Programmes as they hold, and who looked at what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError

from api import audit, programs, work
from api.pages import Page
from api.system import System
from desk.paging import asked_page, next_page
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/programs", name="list-programs")
async def every(request: Request, guest: GuestDep) -> Response:
    """The programmes and their versions."""
    parts: System = request.app.state.system
    found = await programs.list_programs(parts, guest.who)
    return page(request, "programs.html", guest, programs=sorted(found, key=lambda p: (p.title, -p.version)))


@router.get("/programs/{name}/{version}", name="read-program")
async def one(request: Request, guest: GuestDep, name: str, version: int) -> Response:
    """A programme's promises, each with its number, its ladder and where the number comes from."""
    parts: System = request.app.state.system
    found = await programs.read_program(name, version, parts, guest.who)
    return page(request, "program.html", guest, program=found, policies=sorted(found.policies.items()))


@router.get("/audit", name="read-audit")
async def looks(
    request: Request,
    guest: GuestDep,
    actor: str = "",
    case_id: str = "",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Every look, change and refusal, the newest first."""
    parts: System = request.app.state.system
    named = {name: subject for subject, name in guest.names.choices()}
    asked = {"actor": named.get(actor.strip(), actor.strip()) or None, "case_id": case_id.strip() or None}
    try:
        wanted = audit.AuditFilter.model_validate(asked)
    except ValidationError:  # there is nobody, and no case, of such a name
        found = Page[audit.AuditItem](items=[])
    else:
        found = await audit.read_audit(parts, guest.who, await asked_page(cursor, 100), wanted, request)
    said: dict[str, Any] = {"items": found.items, "actor": actor[:200], "case_id": case_id[:64]}
    said["zone"] = work.zone_for(parts, guest.who).key
    return page(request, "audit.html", guest, following=next_page(request, found.next), **said)
