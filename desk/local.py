"""The door: choosing a person of the directory on one's own machine, and the way out.

Without a password it is open on loopback alone, where `make up` has switched it on, and with no provider set.
"""

import time
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import col, select

from api.problems import Refusal
from api.system import System
from desk import session as sessions
from desk import words
from desk.session import GuestDep, Session
from desk.web import FORM_LIMIT, asked_language, back, ours, page, to
from domain.values import Role
from infra import row_places
from infra.tables import StaffRow

router = APIRouter(max_body_size=FORM_LIMIT)
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
TENANT = "local"
MOST_SHOWN = 200
AUDITOR = "aud-1"


def _require_open(request: Request) -> System:
    """Raises 404 wherever somebody else could reach it."""
    parts: System = request.app.state.system
    settings = parts.settings
    here = request.client is not None and _is_loopback(request.client.host)
    named_here = _is_loopback(request.url.hostname or "")
    passed_on = any(name in request.headers for name in FORWARDED)
    provided = settings.jwks_url or settings.oidc_issuer
    if not settings.local_sign_in or provided or not here or not named_here or passed_on:
        raise Refusal(404, "NotFound", "there is no such page")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@router.get("/sign-in")
async def sign_in(request: Request) -> Response:
    """Who are you? On to the provider where there is one; else the people of the directory, by team."""
    if request.app.state.system.settings.oidc_issuer:
        return to(f"/desk/oidc/start?next={quote(back(request))}")
    parts = _require_open(request)
    query = select(StaffRow).where(StaffRow.tenant == TENANT, col(StaffRow.active)).limit(MOST_SHOWN)
    async with parts.session() as session:
        rows = (await session.exec(query.order_by(col(StaffRow.team), col(StaffRow.subject)))).all()
    people = [
        (row, parts.keys.decrypted_text(row.name, row_places.staff(row.tenant, row.subject))) for row in rows
    ]
    return page(request, "sign-in.html", None, people=people, auditor=AUDITOR, next=back(request))


@router.post("/sign-in")
async def enter(
    request: Request, subject: Annotated[str, Form(max_length=64)], next: Annotated[str, Form()] = ""
) -> Response:
    """Sign in as a person of the directory, or as the auditor, who is in none."""
    parts = _require_open(request)
    async with parts.session() as session:
        row = await session.get(StaffRow, (TENANT, subject))
    if row is None and subject != AUDITOR:
        raise Refusal(404, "NotFound", "there is nobody of this name in the directory")
    now = time.time()
    role = Role(row.role) if row is not None else Role.AUDITOR
    name = parts.keys.decrypted_text(row.name, row_places.staff(TENANT, subject)) if row is not None else subject
    teams = (row.team,) if row is not None and row.team else ()
    begun = Session(
        sub=subject,
        role=role,
        teams=teams,
        tenant=TENANT,
        name=name,
        since=now,
        seen=now,
        language=asked_language(request),
        by_directory=row is not None,
    )
    answer = to(ours(next))
    sessions.write(request, answer, begun)
    return answer


@router.post("/sign-out")
async def leave(request: Request) -> Response:
    """Sign out at this browser."""
    answer = to("/desk/sign-in")
    await sessions.end(request, answer)
    return answer


@router.post("/language", name="me")
async def choose_language(
    request: Request,
    guest: GuestDep,
    language: Annotated[str, Form(max_length=8)],
    next: Annotated[str, Form()] = "",
) -> Response:
    """Read the pages in another language."""
    answer = to(ours(next))
    if language in words.languages():
        sessions.write(request, answer, guest.session.model_copy(update={"language": language}))
    return answer
