"""Programmes as they hold, and who looked at what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import audit, programs, work
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
    actor: Annotated[str, Query(pattern="^[A-Za-z0-9_.-]{0,64}$")] = "",
    case_id: Annotated[str, Query(pattern="^[A-Za-z0-9]{0,64}$")] = "",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Every look, change and refusal, the newest first."""
    parts: System = request.app.state.system
    wanted = audit.AuditFilter(actor=actor or None, case_id=case_id or None)
    found = await audit.read_audit(parts, guest.who, await asked_page(cursor, 100), wanted, request)
    said: dict[str, Any] = {"items": found.items, "actor": actor, "case_id": case_id}
    said["zone"] = work.zone_for(parts, guest.who).key
    return page(request, "audit.html", guest, following=next_page(request, found.next), **said)
