"""An agenda in the calendar that somebody uses anyway: an address of her own, which she can take back."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, insert
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.agenda import Asked, entries_for
from api.problems import Refusal, responses
from api.staff import entry_of
from api.system import NOTE, Principal, PrincipalDep, System, SystemDep
from api.work import zone_for
from domain.values import Instant, Role, Slug
from exchange.calendar import Dated, calendar_of
from infra.notice_tables import CalendarRow

router = APIRouter(tags=["lists"])
public = APIRouter(tags=["lists"])
Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$")]
BACK, AHEAD = timedelta(days=14), timedelta(days=77)  # of what is past a little, of what comes eleven weeks
EXAMPLES: Any = {"own": {"value": {}}, "team": {"value": {"team": "north"}}}
SAYS = {"appointment": "Appointment", "promise": "Due"}


class NewCalendar(BaseModel):
    """Whose agenda: one's own, or that of a whole team within one's own scope."""

    model_config = ConfigDict(extra="forbid")

    team: Slug | None = None


class CalendarAddress(BaseModel):
    """The address to subscribe to. It is shown once; whoever has it sees what kinds of things are due when."""

    url: str


class CalendarView(BaseModel):
    """An address that was made, without what opens it."""

    team: str | None
    created_at: Instant


@router.post("/me/calendars", status_code=201, responses=responses(401, 403, 409, 422, 503))
async def make_calendar(
    new: Annotated[
        NewCalendar, Body(openapi_examples={"own": {"value": {}}, "team": {"value": {"team": "north"}}})
    ],
    parts: SystemDep,
    who: PrincipalDep,
) -> CalendarAddress:
    """Make an address for one's calendar; one that was made before for the same agenda ends."""
    if new.team is not None and new.team not in who.teams and who.role is not Role.DIRECTOR:
        raise Refusal(403, "NotPermitted", "make one of a team that is yours")
    entry = await entry_of(parts, who.tenant, who.sub)
    if entry is None or not entry.active:
        raise Refusal(409, "NotInDirectory", "an address is for who is in the directory: it ends with one's entry")
    token = secrets.token_urlsafe(32)
    row = {"digest": _digest(parts, token), "tenant": who.tenant, "subject": who.sub, "team": new.team}
    async with parts.engine.begin() as connection:
        await connection.execute(delete(CalendarRow).where(*_own(who, new.team)))
        await connection.execute(insert(CalendarRow).values(**row, created_at=datetime.now(UTC)))
    return CalendarAddress(url=f"{parts.settings.public_url.rstrip('/')}/calendar/{token}.ics")


@router.get("/me/calendars", responses=responses(401, 503))
async def list_calendars(parts: SystemDep, who: PrincipalDep) -> list[CalendarView]:
    """The addresses that one has made."""
    mine = (col(CalendarRow.tenant) == who.tenant, col(CalendarRow.subject) == who.sub)
    query = select_columns(col(CalendarRow.team), col(CalendarRow.created_at)).where(*mine)
    async with parts.connection() as connection:
        rows = (await connection.execute(query.order_by(col(CalendarRow.created_at)))).all()
    return [CalendarView(team=row.team, created_at=row.created_at) for row in rows]


@router.delete("/me/calendars", status_code=204, responses=responses(401, 503))
async def delete_calendars(parts: SystemDep, who: PrincipalDep) -> None:
    """Let none of one's addresses open anything any more."""
    mine = (col(CalendarRow.tenant) == who.tenant, col(CalendarRow.subject) == who.sub)
    async with parts.engine.begin() as connection:
        await connection.execute(delete(CalendarRow).where(*mine))


class Calendar(Response):
    media_type = "text/calendar"


@public.get("/calendar/{token}.ics", response_class=Calendar, responses=responses(404, 429, 503))
async def read_calendar(token: Token, request: Request, parts: SystemDep) -> Response:
    """The agenda behind an address, as iCalendar: kinds and times, and where to read more after signing in.

    It ends when it is taken back, and with its person's work here.
    """
    note: dict[str, Any] = request.scope.get(NOTE, {})
    query = select_columns(CalendarRow).where(col(CalendarRow.digest) == _digest(parts, token))
    async with parts.connection() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        await parts.limits.check_failures(request.client.host if request.client else "")
        raise Refusal(404, "NotFound", "this address opens nothing; make a new one")
    note |= {"action": "read-calendar", "actor": row.subject, "tenant": row.tenant}
    entry = await entry_of(parts, row.tenant, row.subject)
    if entry is None or not entry.active:
        raise Refusal(404, "NotFound", "this address opens nothing; make a new one")
    note |= {"role": entry.role}
    teams = (entry.team,) if entry.team else ()
    who = Principal(sub=row.subject, role=Role(entry.role), teams=teams, tenant=row.tenant)
    said = await _written(parts, who, row.team)
    etag = f'"{hashlib.sha256(said).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Calendar(status_code=304, headers={"ETag": etag})
    return Calendar(said, headers={"ETag": etag})


async def _written(parts: System, who: Principal, team: str | None) -> bytes:
    today = datetime.now(zone_for(parts, who)).date()
    asked = Asked(first=today - BACK, last=today + AHEAD, team=team)
    here = parts.settings.public_url.rstrip("/")
    entries = [
        Dated(
            uid=f"{entry.case_id}-{entry.id}@caseloom",
            at=entry.at,
            says=f"{SAYS[entry.kind]}: {(entry.how or 'other').replace('-', ' ')}",
            address=f"{here}/desk/cases/{entry.case_id}",
        )
        for entry in await entries_for(parts, who, asked)
    ]
    return calendar_of(f"Caseloom {team}" if team else "Caseloom", entries)


def _own(who: Principal, team: str | None) -> tuple[Any, ...]:
    named = col(CalendarRow.team)
    return (
        col(CalendarRow.tenant) == who.tenant,
        col(CalendarRow.subject) == who.sub,
        named.is_(None) if team is None else named == team,
    )


def _digest(parts: System, token: str) -> str:
    """What is kept of an address: nobody who reads it there can open one."""
    return hmac.digest(parts.index_key, f"calendar/{token}".encode(), "sha256").hex()
