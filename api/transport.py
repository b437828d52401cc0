"""What holds for every request before a route is asked: its host, its time, its log lines, its headers."""

import asyncio
from urllib.parse import urlsplit

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import HEADERS, Problem, respond

BODY_SECONDS = 20.0
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

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in _RAW if h[0] not in there)]
            await send(message)

        if not _known_host(scope):
            problem = Problem(title="Misdirected Request", status=421, code="UnknownHost", detail=HOSTS)
            await respond(problem)(scope, receive, answer)
            return
        await self.app(scope, _in_time(receive), answer)


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
