"""Who is signed in at a browser: a sealed cookie that holds who she is, and no table beside it."""

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.system import NOTE, Principal, System, ids_of, not_permitted
from desk.names import Names, names_of
from domain.values import Opaque, Role, Slug
from infra.encryption import TEXT
from infra.tables import SignOutRow

PLACE = "desk/session"  # what the cookie is sealed for: nothing else that we encrypt can stand in it
IDLE_SECONDS = 30 * 60
WHOLE_SECONDS = 12 * 3600
RENEWED_SECONDS = 60


Sealed = TypeVar("Sealed", bound=BaseModel)


class Session(BaseModel):
    """What the cookie says: who it is, how she was signed in, since when, and when she was last here."""

    sub: Opaque
    role: Role
    teams: tuple[Slug, ...] = ()
    tenant: Slug
    name: str = ""
    since: float
    seen: float
    language: str = "en"
    id: str = Field(default_factory=lambda: secrets.token_hex(12))
    by_directory: bool = Field(default=False, description="Role and team are those of the staff directory")

    def holds(self, now: float) -> bool:
        """Whether it is neither too old nor idle for too long."""
        return now - self.since < WHOLE_SECONDS and now - self.seen < IDLE_SECONDS


class SignedOut(Exception):
    """Nobody is signed in at this browser, or not any more."""


class Guest:
    """Somebody who is signed in, as the pages know her: what she may, and in which language she reads."""

    def __init__(self, who: Principal, session: Session, names: Names | None = None) -> None:
        self.who, self.session, self.names = who, session, names or Names({})


def cookie_name(request: Request) -> str:
    """Browsers share cookies between the ports of a machine: each port has its own."""
    secure = request.url.scheme == "https"
    return f"{'__Host-' if secure else ''}caseloom-{request.url.port or 443}"


def write(request: Request, response: Response, session: Session) -> None:
    """Put the session into the answer's cookie."""
    parts: System = request.app.state.system
    secure = request.url.scheme == "https"
    sealed = parts.keys.encrypted_text(session.model_dump_json(), PLACE)
    response.set_cookie(cookie_name(request), sealed, httponly=True, secure=secure, samesite="lax", path="/")


def renew(request: Request, response: Response, session: Session) -> None:
    """Write down that she was here, once a minute."""
    if time.time() - session.seen > RENEWED_SECONDS:
        write(request, response, session.model_copy(update={"seen": time.time()}))


async def end(request: Request, response: Response) -> None:
    """Sign out: the cookie goes, and a copy of it signs nobody in any more."""
    parts: System = request.app.state.system
    session = read(request)
    if session is not None:
        row = SignOutRow(tenant=session.tenant, subject=_name_of(session), at=datetime.now(UTC), by=session.sub)
        async with AsyncSession(parts.engine) as writing:
            await writing.merge(row)
            await writing.commit()
    secure = request.url.scheme == "https"
    response.delete_cookie(cookie_name(request), path="/", secure=secure, httponly=True, samesite="lax")


def _name_of(session: Session) -> str:
    """The name under which one session, and not the person, is signed out."""
    return f"session-{session.id}"


def read(request: Request) -> Session | None:
    """The session of a request; None for none, one that was changed, or one that is over."""
    found = unsealed(request, cookie_name(request), PLACE, Session)
    return found if found is not None and found.holds(time.time()) else None


def unsealed(request: Request, cookie: str, place: str, model: type[Sealed]) -> Sealed | None:
    """What a cookie holds that we have sealed for this place; None for none, and for one that was changed."""
    parts: System = request.app.state.system
    sealed = request.cookies.get(cookie, "")
    plain = parts.keys.decrypted_text(sealed, place) if sealed.startswith(TEXT) else ""
    try:
        return model.model_validate_json(plain) if plain else None
    except ValidationError:
        return None


async def guest(request: Request) -> Guest:
    """Who is signed in. Raises `SignedOut`; a session does not outlive its person's being at work here.

    A page's name is the action that whoever opens it must have, as of the API's route that it stands for: raises
    403, and the audit has it. What is of one case is asked where that is read.
    """
    parts: System = request.app.state.system
    session = read(request)
    if session is None:
        raise SignedOut
    for name in (session.sub, _name_of(session)):
        since = int(session.since)  # sign-outs are told in whole seconds
        if not await parts.standing.holds(parts.look_up, session.tenant, name, session.role, since):
            raise SignedOut
    action = request.scope["route"].name.replace("_", "-")
    note: dict[str, Any] = request.scope.get(NOTE, {})
    said = {"action": action, "actor": session.sub, "role": session.role.value, "tenant": session.tenant}
    note |= {**said, **ids_of({k: v for k, v in request.path_params.items() if k in ("case_id", "person_id")})}
    await parts.limits.check(session.tenant, session.sub, False)
    structlog.contextvars.bind_contextvars(actor=session.sub, tenant=session.tenant)
    if "case_id" not in request.path_params and not parts.policy.reach_of(session.role, action):
        raise not_permitted(parts.policy, action)
    duties = await parts.duties.of(session.tenant, session.sub)
    who = Principal(sub=session.sub, role=session.role, teams=session.teams, tenant=session.tenant, duties=duties)
    try:
        names = await names_of(parts, session.tenant)
    except (SQLAlchemyError, OSError):
        names = None  # whoever is named is shown by her id while the record is away
    if session.by_directory and names is not None and not names.agrees(session.sub, session.role, session.teams):
        raise SignedOut  # she has another role or team by now: she signs in as that
    return Guest(who, session, names)


GuestDep = Annotated[Guest, Depends(guest)]
