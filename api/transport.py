"""What holds for every request before a route is asked: its host, its time, its log lines, its headers."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import HEADERS, Problem, RecordSilent, respond
from api.system import NOTE, Principal, ids_of
from domain.commands import ALL

BODY_SECONDS = 20.0
TAKEN = {command.kind for command in ALL} | {"open-new-case", "refer-bundle", "tell", "merge", "assign"}
NOT_OF_PEOPLE = {
    *(
        "list-programs",
        "read-program",
        "list-instruments",
        "read-instrument",
        "list-forms",
        "list-scenarios",
        "read-form",
        "score-answers",
        "preview-clock",
    ),
    *("list-reports", "read-definition", "metrics", "unknown-command", "read-command"),
}
_RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Transport:
    """Around the whole application. What one request has bound to the log never stands in another's lines."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()

        note: dict[str, Any] = {}
        scope[NOTE] = note

        replaced = False

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in _RAW if h[0] not in there)]
            await send(message)

        async def answer(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and not await _on_record(scope, note, message["status"]):
                replaced = True
                away = RecordSilent()
                await respond(away.problem, away.headers)(scope, receive, safely)
            elif not replaced:
                await safely(message)

        if not _known_host(scope):
            problem = Problem(title="Misdirected Request", status=421, code="UnknownHost", detail=HOSTS)
            await respond(problem)(scope, receive, safely)
            return
        await self.app(scope, _in_time(receive), answer)


async def _on_record(scope: Scope, note: dict[str, Any], status: int) -> bool:
    """Write down who asked what, before anything of the answer leaves. False for what may not be answered then.

    A command that was taken is on its case's timeline, and is not written down twice.
    """
    action = note.get("action")
    taken = status < 400 and action in TAKEN
    flood = note.get("flood") or (status == 429 and "actor" not in note)  # a stranger fills no table
    if action is None or action in NOT_OF_PEOPLE or taken or flood or (status >= 500 and "actor" not in note):
        return True
    row = {name: note.get(name) for name in ("case_id", "person_id")}
    row |= {name: note.get(name, "") for name in ("tenant", "actor", "role")}
    return await _written(scope, {**row, "action": action, "status": status}) or status >= 400


async def note_also(scope: Scope, who: Principal, action: str, case_id: str, status: int) -> None:
    """Write down what one request did in another case too, as if that had been asked for by itself.

    Raises `RecordSilent` for what was given and cannot be written down: it may not be answered then.
    """
    by = {"tenant": who.tenant, "actor": who.sub, "role": who.role.value, "action": action, "status": status}
    about = {"person_id": None, "case_id": None, **ids_of({"case_id": case_id})}
    if not await _written(scope, {**by, **about}) and status < 400:
        raise RecordSilent


async def _written(scope: Scope, row: dict[str, Any]) -> bool:
    parts = scope["app"].state.system
    row |= {"at": datetime.now(UTC), "address": _address(scope), "purpose": _purpose(scope)}
    try:
        async with asyncio.timeout(parts.settings.record_seconds):
            await parts.audit.note(row)
    except (SQLAlchemyError, OSError):
        return False
    return True


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _purpose(scope: Scope) -> str | None:
    """What somebody says she asks for: a code of HL7's PurposeOfUse (TREAT, HOPERAT …), and nothing else."""
    said = next((value for name, value in scope["headers"] if name == b"purpose-of-use"), b"").decode("latin-1")
    return said if re.fullmatch(r"[A-Z][A-Z0-9-]{1,31}", said) else None


HOSTS = "this system does not answer under that name; see CASELOOM_HOSTS"


def _known_host(scope: Scope) -> bool:
    """Whether the request names us: else a page elsewhere could have a browser ask us under its own name."""
    hosts = {host.strip().lower() for host in scope["app"].state.system.settings.hosts.split(",")}
    named = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    without_port = urlsplit(f"//{named}").hostname or "" if named.count(":") <= 1 or "[" in named else named
    return "*" in hosts or without_port in hosts or f"[{without_port}]" in hosts


def _in_time(receive: Receive) -> Receive:
    """A body that does not come in time ends as if the sender had gone: she holds no worker up."""
    ends_at = asyncio.get_running_loop().time() + BODY_SECONDS
    whole = False

    async def received() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(ends_at):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return received
