"""What every page has in common: its frame, its headers, its words, and refusals that people can read."""

import gzip
import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import RecordSilent, Refusal
from api.system import Principal
from desk import times, words
from desk.names import Names
from desk.session import Guest, SignedOut, read, renew
from domain.values import Rejected
from infra.encryption import KeyMissing
from infra.logs import places
from infra.timeline import RecordAltered

log = structlog.get_logger()
HERE = Path(__file__).parent
FORM_LIMIT = 256 * 1024
STATIC = HERE / "static"
NAV = (  # address, word, and the action that whoever sees it must have
    ("/desk/", "today", "work"),
    ("/desk/refer", "refer", "open-new-case"),
    ("/desk/escalations", "escalations", "escalations"),
    ("/desk/caseload", "caseload", "caseload"),
    ("/desk/lists", "lists", "list-approvals"),
    ("/desk/reports", "reports", "read-report"),
    ("/desk/staff", "staff", "list-staff"),
    ("/desk/programs", "programs", "list-programs"),
    ("/desk/webhooks", "webhooks", "list-endpoints"),
    ("/desk/audit", "audit", "read-audit"),
)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def hashed(name: str) -> str:
    """The address of a static file: it changes with the file, so that browsers may keep it for a year."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/desk/static/{digest}/{name}"


def page(request: Request, template: str, guest: Guest | None, status: int = 200, **said: Any) -> HTMLResponse:
    """A whole page, or the part of one that was asked for, in the reader's language."""
    language = guest.session.language if guest is not None else asked_language(request)
    spoken = words.of(language)
    frame: dict[str, Any] = {
        "t": spoken,
        "lang": language,
        "guest": guest,
        "who": guest.who if guest else None,
        "request": request,
        "static": hashed,
        "called": guest.names if guest else Names({}),
        "now": datetime.now(UTC),
        "path": request.url.path,
        "left": lambda seconds: times.span(seconds, spoken),
        "day": lambda instant, zone: times.day(instant, zone, spoken),
        "nav": lambda who: _nav(request, who),
        "may": lambda action: bool(guest and request.app.state.system.policy.reach_of(guest.who.role, action)),
        "local": lambda value: times.local(value, str(said.get("zone", "UTC"))),
        "moment": lambda instant, zone: times.moment(instant, zone, spoken),
    }
    html = ENVIRONMENT.get_template(template).render(**{**frame, **said})
    answer = HTMLResponse(html, status, dict(HEADERS))
    if guest is not None and "hx-request" not in request.headers:  # a page that asks by itself is nobody at work
        renew(request, answer, guest.session)
    return answer


def _nav(request: Request, who: Principal) -> list[tuple[str, str]]:
    """The pages that somebody of this role has."""
    policy = request.app.state.system.policy
    return [(address, word) for address, word, action in NAV if policy.reach_of(who.role, action)]


def asked_language(request: Request) -> str:
    """The language that the browser asks for, where the pages speak it."""
    accepted = request.headers.get("accept-language", "en")[:2].lower()
    return accepted if accepted in words.languages() else words.FALLBACK


def to(address: str) -> RedirectResponse:
    """On to another page, after something was done."""
    return RedirectResponse(address, 303)


def ours(wanted: str) -> str:
    """An address of ours that a form asked to return to; Today for one elsewhere."""
    return wanted if wanted.startswith("/desk/") and "//" not in wanted and "\\" not in wanted else "/desk/"


def back(request: Request) -> str:
    """Where the address that was asked for wants to return to."""
    return ours(request.query_params.get("next", ""))


class SameOrigin:
    """Refuses what another site's page has the browser send: whatever changes something must come from ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not _ours(scope):
            answer = HTMLResponse("<p>This came from another site and was not taken.", 403, dict(HEADERS))
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _ours(scope: Scope) -> bool:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if (site := headers.get(b"sec-fetch-site")) is not None:
        return bool(site == "same-origin")
    origin = headers.get(b"origin")
    return origin is not None and urlsplit(origin).netloc == headers.get(b"host")


def refused(request: Request, fault: Refusal) -> Response:
    """A refusal as a page: what it means, and what to do; `code` small, for support."""
    return page(request, "refused.html", _known(request), fault.status, problem=fault.problem)


def install(application: FastAPI) -> None:
    """Answer refusals and faults of the desk in HTML."""

    @application.exception_handler(Refusal)
    async def on_refusal(request: Request, fault: Refusal) -> Response:
        return refused(request, fault)

    @application.exception_handler(RequestValidationError)
    async def on_bad_question(request: Request, fault: RequestValidationError) -> Response:
        return refused(request, Refusal(422, "Malformed", "this address asks for something that there is not"))

    @application.exception_handler(HTTPException)
    async def on_missing(request: Request, fault: HTTPException) -> Response:
        return refused(request, Refusal(fault.status_code, "NotFound", "there is no such page"))

    @application.exception_handler(ValidationError)
    @application.exception_handler(Rejected)
    async def on_bad_words(request: Request, fault: Exception) -> Response:
        return refused(request, Refusal(422, "Malformed", "something that was typed is not of the right form"))

    @application.exception_handler(SQLAlchemyError)
    @application.exception_handler(OSError)
    async def on_silence(request: Request, fault: Exception) -> Response:
        return refused(request, RecordSilent())

    @application.exception_handler(RecordAltered)
    @application.exception_handler(KeyMissing)
    async def on_altered(request: Request, fault: Exception) -> Response:
        detail = "the record cannot be read here: an entry was altered, or a key is missing; tell the operator"
        return refused(request, Refusal(503, type(fault).__name__, detail))

    @application.exception_handler(Exception)
    async def on_fault(request: Request, fault: Exception) -> Response:
        log.error("fault", kind=type(fault).__name__, places=places(fault))
        return refused(request, Refusal(500, "Fault", "a fault of ours; nothing more was done: tell the operator"))

    @application.exception_handler(SignedOut)
    async def on_signed_out(request: Request, fault: SignedOut) -> Response:
        """A page is sent to the door; what a script asked for is told so, and leaves the page as it is."""
        if "hx-request" in request.headers or request.method not in SAFE_METHODS:
            form = await request.form() if request.method not in SAFE_METHODS else FormData()
            typed = [(name, str(value)) for name, value in form.multi_items()]
            return page(request, "signed-out.html", None, 401, typed=typed)
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return to(f"/desk/sign-in?next={quote(wanted)}")


def _known(request: Request) -> Guest | None:
    """Who reads a refusal, where that can be told without asking anybody."""
    session = read(request)
    if session is None:
        return None
    said = session.model_dump(include={"sub", "role", "teams", "tenant"})
    return Guest(Principal(**said), session)


async def static_file(digest: str, name: str) -> Response:
    """A file of our own, as it was when its address was made; compressed, kept for a year."""
    path = STATIC / name
    if "/" in name or not path.is_file() or hashed(name) != f"/desk/static/{digest}/{name}":
        return Response(status_code=404)
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}.get(name.rpartition(".")[2])
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Encoding": "gzip"}
    return Response(_zipped(path), media_type=f"{kind or 'text/plain'}; charset=utf-8", headers=headers)


@cache
def _zipped(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 9)
