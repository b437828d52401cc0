"""What every route works with: the system's parts, and who is asking."""

import asyncio
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio.client import Client
from temporalio.runtime import Runtime

from api.duty import Duties, Duty
from api.problems import RecordSilent, Refusal
from api.standing import Limits, Standing
from domain.programs.access import AccessPolicy
from domain.programs.rulebook import Rulebook
from domain.values import SYSTEM, Actor, Opaque, Role, Slug
from infra import database
from infra.audit import Audit
from infra.database import reading
from infra.encryption import KeyRing, derived_id
from infra.settings import Settings
from infra.tokens import InvalidToken, ProviderAway, Verifier

FEED = "feed"
Answer = TypeVar("Answer")
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
NOTE = "caseloom.note"  # what a request says of itself for the audit, in its ASGI scope


@dataclass(frozen=True)
class System:
    """The parts that `api.app` has put together."""

    settings: Settings
    rulebook: Rulebook
    engine: AsyncEngine
    client: Client
    verifier: Verifier
    runtime: Runtime
    keys: KeyRing
    index_key: bytes

    def derived_id(self, name: str) -> uuid.UUID:
        """An id that only this system makes of this name."""
        return derived_id(self.index_key, name)

    @cached_property
    def standing(self) -> Standing:
        return Standing()

    @cached_property
    def duties(self) -> Duties:
        return Duties(self.looking, self.settings.record_seconds)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self.engine.url, self.index_key)

    @cached_property
    def limits(self) -> Limits:
        return Limits(self.settings.requests_per_minute)

    @property
    def policy(self) -> AccessPolicy:
        return self.rulebook.policy

    def session(self) -> AsyncSession:
        """A session for queries; close it with `async with`."""
        return AsyncSession(reading(self.engine))

    @cached_property
    def looking(self) -> Engine:
        """The record for one look, as the first thing of every command."""
        return reading(database.blocking(self.engine.url))

    @cached_property
    def writing(self) -> tuple[Engine, ThreadPoolExecutor]:
        """The record for what the API itself writes, and the threads for that."""
        engine = database.blocking(self.engine.url)
        return engine, database.writers(engine)

    def let_go(self) -> None:
        """Close what this made for itself; the engine that it was given stays open."""
        self.audit.close()
        self.looking.dispose()
        engine, threads = self.writing
        threads.shutdown()
        engine.dispose()

    async def close(self) -> None:
        """Close everything."""
        self.let_go()
        await self.engine.dispose()

    async def look_up(self, query: Executable, values: dict[str, Any]) -> Any:
        """The first row of a query, or None, in one go on a thread of its own. Raises `RecordSilent`."""
        try:
            async with asyncio.timeout(self.settings.record_seconds):
                return await asyncio.to_thread(self._first, query, values)
        except (SQLAlchemyError, OSError):  # TimeoutError is an OSError
            raise RecordSilent from None

    def _first(self, query: Executable, values: dict[str, Any]) -> Any:
        with self.looking.connect() as connection:
            return connection.execute(query, values).first()

    async def read(self, act: Callable[[Connection], Answer]) -> Answer:
        """Ask several things of the record in one go, on a thread of its own."""

        def reading() -> Answer:
            with self.looking.connect() as connection:
                return act(connection)

        return await asyncio.to_thread(reading)

    async def written(self, act: Callable[[Connection], Answer]) -> Answer:
        """Write to the record in one transaction, on a thread of its own; a fault takes all of it back."""
        engine, threads = self.writing

        def writing() -> Answer:
            with engine.begin() as connection:
                return act(connection)

        return await asyncio.get_running_loop().run_in_executor(threads, writing)

    def connection(self) -> AsyncConnection:
        """A connection for queries that give columns, not rows of a table."""
        return reading(self.engine).connect()


class Principal(BaseModel):
    """Who is asking, as the token says; `duties` are what the rosters say."""

    sub: Opaque
    role: Role
    teams: tuple[Slug, ...] = ()
    tenant: Slug
    scope: str = ""
    duties: tuple[Duty, ...] = ()

    @property
    def on_duty_for(self) -> tuple[str, ...]:
        """The teams for which she is on duty now."""
        return tuple(duty.team for duty in self.duties)

    @property
    def feeds(self) -> bool:
        """Whether this is a feed of the tenant: it may tell any of its cases what happened, and read none."""
        return self.role is Role.INTEGRATOR and FEED in self.scope.split()

    @property
    def actor(self) -> Actor:
        return Actor(subject=self.sub, role=self.role)


async def system(request: Request) -> System:
    found: System = request.app.state.system
    return found


SystemDep = Annotated[System, Depends(system)]
bearer = HTTPBearer(auto_error=False, description="A JWT; `make token` prints one")


async def principal(
    request: Request,
    parts: SystemDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """The signed-in person. Raises 401 for no token, or one that cannot be trusted; 429 for too many requests.

    A token does not outlive its person: who is inactive in the directory, or was signed out since the token was
    issued, is out within seconds.
    """
    note: dict[str, Any] = request.scope.get(NOTE, {})
    note |= {"action": request.scope["route"].name.replace("_", "-"), **ids_of(request.path_params)}
    if credentials is None:
        note["flood"] = await parts.limits.is_flood(request.client.host if request.client else "")
        raise _unsigned("send a bearer token")
    try:
        claims = await parts.verifier.claims(credentials.credentials)
        found = Principal.model_validate({**claims, "duties": ()})
    except ProviderAway:
        detail = "the identity provider does not answer; nobody can be signed in now"
        raise Refusal(503, "SignInUnavailable", detail, {"Retry-After": "5"}) from None
    except InvalidToken as fault:
        await parts.limits.check_failures(request.client.host if request.client else "")
        raise _unsigned(f"the token is not valid: {fault}") from None
    except ValidationError:
        raise _unsigned("the token lacks a subject, role, team or tenant of the right form") from None
    if found.role is Role.SYSTEM or found.sub == SYSTEM.subject:
        raise _unsigned("nobody signs in as the system")
    note |= {"actor": found.sub, "role": found.role.value, "tenant": found.tenant}
    if not await parts.standing.holds(parts.look_up, found.tenant, found.sub, found.role, claims["iat"]):
        raise _unsigned("this person is not at work here any more, or was signed out; sign in again")
    await parts.limits.check(found.tenant, found.sub, found.role is Role.INTEGRATOR)
    structlog.contextvars.bind_contextvars(actor=found.sub, tenant=found.tenant)
    return found.model_copy(update={"duties": await parts.duties.of(found.tenant, found.sub)})


def ids_of(params: dict[str, str]) -> dict[str, str]:
    """What of a path can be an id of ours: the audit keeps no name that somebody has typed there, and no page."""
    return {name: said for name, said in params.items() if ID.fullmatch(said) and any(c.isdigit() for c in said)}


PrincipalDep = Annotated[Principal, Depends(principal)]


def _unsigned(detail: str) -> Refusal:
    return Refusal(401, "NotSignedIn", detail, {"WWW-Authenticate": "Bearer"})


async def allowed(request: Request, parts: SystemDep, who: PrincipalDep) -> None:
    """Asked before every route but the public ones: raises 403 where the policy gives one's role this nowhere.

    On which cases it does is asked where the case is looked up; so is all of a route to one case, since whoever
    may not know of the case is answered that there is none.
    """
    if "case_id" in request.path_params:
        return
    action = request.scope["route"].name.replace("_", "-")
    if not parts.policy.reach_of(who.role, action):
        raise not_permitted(parts.policy, action)


def not_permitted(policy: AccessPolicy, action: str, role: Role | None = None) -> Refusal:
    """`role` is given where it is a matter of the case: it may do the same in cases that it reaches otherwise."""
    roles = policy.roles_of(action)
    if role in roles:
        return Refusal(403, "NotPermitted", "you may not do this in this case: it is for its team")
    return Refusal(403, "NotPermitted", f"this is for: {', '.join(roles) or 'nobody'}")
