"""What other systems hear: the feed of events, and the endpoints to which it is posted."""

import base64
import secrets
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, func, insert, update
from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from api.pages import MOST
from api.problems import BODY_LIMIT, Refusal, responses
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Opaque, Role, Slug
from domain.webhooks import BOTH_SIGN_FOR, SECRET, type_of
from infra import row_places
from infra.event_types import event_types
from infra.notice_tables import AttemptRow
from infra.notices import settled
from infra.outbound import NotOutside, check_url
from infra.webhook_tables import EndpointRow, FeedRow

router = APIRouter(tags=["webhooks"], max_body_size=BODY_LIMIT)
EndpointId = Annotated[Opaque, Path()]
REFUSALS = responses(401, 403, 404, 409, 422, 503)
HIGHEST = 2**63 - 1  # that a database counts to
EVENTS, MOST_ENDPOINTS, SHOWN = "events", 50, 50
EXAMPLE = {"url": "https://example.org/caseloom", "kinds": ["clock-missed", "case-ended"], "programs": []}


class EventType(BaseModel):
    """A kind of event that others may hear of."""

    kind: str
    type: str = Field(description="As CloudEvents calls it")
    means: str


class FeedEvent(BaseModel):
    """An event of the feed: ids only. What happened is read in the case's timeline, by whoever may."""

    model_config = ConfigDict(from_attributes=True)

    position: int
    kind: str
    type: str
    case_id: str
    seq: int
    at: datetime


class Feed(BaseModel):
    """Events in their order. `next` is the position to ask behind; it is there even when nothing is new."""

    items: list[FeedEvent]
    next: int


class NewEndpoint(BaseModel):
    """Where events are posted, and which: of these kinds and programmes, or of all."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=500)
    kinds: list[Slug] = Field(default=[], max_length=100)
    programs: list[Slug] = Field(default=[], max_length=50)
    after: int | None = Field(
        default=None, ge=0, le=HIGHEST, description="Begin behind it; left out: with what is new"
    )


class Endpoint(BaseModel):
    """An endpoint and how it stands. `disabled` says why it is told nothing: `gone`, `failing`."""

    id: str
    url: str
    kinds: list[str]
    programs: list[str]
    position: int
    failing_since: datetime | None
    next_at: datetime | None
    disabled: str | None


class NewSecret(Endpoint):
    """The same with the secret that signs what is posted (Standard Webhooks); it is shown this once."""

    secret: str


class Replay(BaseModel):
    """From where it is posted again."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(ge=0, le=HIGHEST)


class Attempt(BaseModel):
    """One post: under which id, and what the endpoint answered."""

    model_config = ConfigDict(from_attributes=True)

    message_id: str
    at: datetime
    outcome: str
    code: str | None


@router.get("/event-types", responses=responses(401, 403))
async def list_event_types() -> list[EventType]:
    """The kinds of events that the feed has."""
    return [EventType(kind=kind, type=type_of(kind), means=means) for kind, means in event_types().items()]


@router.get("/events", responses=responses(401, 403, 409, 422, 503))
async def list_events(
    parts: SystemDep,
    who: PrincipalDep,
    after: Annotated[
        int, Query(ge=0, le=HIGHEST, description="The `next` of an earlier answer; 0 is the beginning")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Feed:
    """What happened in the tenant's cases, in order: the truth where a webhook was missed. For an integrator whose
    token has the scope `events`, directors and auditors."""
    if who.role is Role.INTEGRATOR and EVENTS not in who.scope.split():
        raise Refusal(403, "NotPermitted", "this is for an integrator whose token has the scope `events`")
    query = select_columns(FeedRow.__table__).where(  # type: ignore[attr-defined]
        col(FeedRow.tenant) == who.tenant, col(FeedRow.position) > after
    )
    async with parts.connection() as connection:
        await _newest(connection, who, after)
        rows = (await connection.execute(query.order_by(col(FeedRow.position)).limit(limit))).all()
    items = [FeedEvent.model_validate({**row._mapping, "type": type_of(row.kind)}) for row in rows]
    return Feed(items=items, next=items[-1].position if items else after)


@router.post("/webhooks", status_code=201, responses=REFUSALS)
async def create_endpoint(
    new: Annotated[NewEndpoint, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> NewSecret:
    """Have events posted to an address outside. Keep the secret of the answer: it is not shown again."""
    if unknown := sorted(set(new.kinds) - set(event_types())):
        raise Refusal(422, "UnknownEventType", "GET /event-types lists those there are", missing=unknown)
    try:
        check_url(new.url, parts.settings.webhook_loopback)
    except NotOutside as refused:
        raise Refusal(422, "NotOutside", str(refused)) from None
    endpoint_id, secret = uuid.uuid4().hex[:16], _new_secret()
    async with parts.engine.begin() as connection:
        number = select_columns(func.count()).where(col(EndpointRow.tenant) == who.tenant)
        if (await connection.execute(number)).scalar_one() >= MOST_ENDPOINTS:
            raise Refusal(409, "TooMany", f"a tenant has at most {MOST_ENDPOINTS} endpoints; delete one first")
        newest = await _newest(connection, who, new.after or 0)
        position = new.after if new.after is not None else newest
        row = {
            "id": endpoint_id,
            "tenant": who.tenant,
            "url": parts.keys.encrypted_text(new.url, row_places.endpoint_url(endpoint_id)),
            "secret": _kept(parts, endpoint_id, secret),
            "kinds": new.kinds,
            "programs": new.programs,
            "created_by": who.sub,
            "created_at": datetime.now(UTC),
            "position": position,
            "tries": 0,
        }
        await connection.execute(insert(EndpointRow).values(**row))
    return NewSecret(**(await _read(parts, who, endpoint_id)).model_dump(), secret=secret)


@router.get("/webhooks", responses=responses(401, 403, 503))
async def list_endpoints(parts: SystemDep, who: PrincipalDep) -> list[Endpoint]:
    """The tenant's endpoints and how they stand."""
    async with parts.connection() as connection:
        rows = (await connection.execute(_mine(who).order_by(col(EndpointRow.id)))).all()
    return [_view(parts, row) for row in rows]


@router.delete("/webhooks/{endpoint_id}", status_code=204, responses=REFUSALS)
async def delete_endpoint(endpoint_id: EndpointId, parts: SystemDep, who: PrincipalDep) -> None:
    """Post nothing there any more."""
    await _read(parts, who, endpoint_id)
    async with parts.engine.begin() as connection:
        await connection.execute(delete(EndpointRow).where(*_where(who, endpoint_id)))
        await connection.run_sync(settled, endpoint_id, datetime.now(UTC))


@router.post("/webhooks/{endpoint_id}/rotate", responses=REFUSALS)
async def rotate_secret(endpoint_id: EndpointId, parts: SystemDep, who: PrincipalDep) -> NewSecret:
    """Sign with a new secret. For a day the one before signs as well."""
    before, secret = await _read(parts, who, endpoint_id), _new_secret()
    until = datetime.now(UTC) + BOTH_SIGN_FOR
    values = {"secret": _kept(parts, endpoint_id, secret), "before_until": until}
    await _change(parts, who, endpoint_id, **values, secret_before=col(EndpointRow.secret))
    return NewSecret(**before.model_dump(), secret=secret)


@router.post("/webhooks/{endpoint_id}/replay", responses=REFUSALS)
async def replay(endpoint_id: EndpointId, wanted: Replay, parts: SystemDep, who: PrincipalDep) -> Endpoint:
    """Post again everything behind a position, under the same ids; an endpoint that was disabled is told again."""
    await _read(parts, who, endpoint_id)
    async with parts.engine.begin() as connection:
        await _newest(connection, who, wanted.after)
        await connection.run_sync(settled, endpoint_id, datetime.now(UTC))
    again = {"position": wanted.after, "tries": 0, "next_at": None, "failing_since": None, "disabled": None}
    await _change(parts, who, endpoint_id, **again)
    return await _read(parts, who, endpoint_id)


@router.get("/webhooks/{endpoint_id}/attempts", responses=REFUSALS)
async def list_attempts(endpoint_id: EndpointId, parts: SystemDep, who: PrincipalDep) -> list[Attempt]:
    """The last posts to an endpoint, the newest first."""
    await _read(parts, who, endpoint_id)
    query = select_columns(AttemptRow.__table__).where(  # type: ignore[attr-defined]
        col(AttemptRow.tenant) == who.tenant, col(AttemptRow.recipient) == endpoint_id
    )
    async with parts.connection() as connection:
        rows = (await connection.execute(query.order_by(col(AttemptRow.at).desc()).limit(SHOWN))).all()
    return [Attempt.model_validate(row) for row in rows]


async def _newest(connection: AsyncConnection, who: Principal, after: int) -> int:
    """The newest place in the tenant's order. Raises 409 for one beyond it, behind which nothing is heard of."""
    highest = func.coalesce(func.max(col(FeedRow.position)), 0)
    query = select_columns(highest).where(col(FeedRow.tenant) == who.tenant)
    newest = (await connection.execute(query)).scalar_one() or 0
    if after > newest:
        raise Refusal(409, "BeyondTheEnd", f"the newest place is {newest}; take the `next` of an answer, or 0")
    return newest


async def _read(parts: System, who: Principal, endpoint_id: str) -> Endpoint:
    async with parts.connection() as connection:
        row = (await connection.execute(_mine(who).where(col(EndpointRow.id) == endpoint_id))).first()
    if row is None:
        raise Refusal(404, "NotFound", "there is no such endpoint")
    return _view(parts, row)


async def _change(parts: System, who: Principal, endpoint_id: str, **values: Any) -> None:
    async with parts.engine.begin() as connection:
        await connection.execute(update(EndpointRow).where(*_where(who, endpoint_id)).values(**values))


def _where(who: Principal, endpoint_id: str) -> tuple[Any, ...]:
    return col(EndpointRow.tenant) == who.tenant, col(EndpointRow.id) == endpoint_id


def _mine(who: Principal) -> Any:
    return select_columns(EndpointRow.__table__).where(col(EndpointRow.tenant) == who.tenant)  # type: ignore[attr-defined]


def _view(parts: System, row: Any) -> Endpoint:
    url = parts.keys.decrypted_text(row.url, row_places.endpoint_url(row.id))
    said = {name: getattr(row, name) for name in Endpoint.model_fields if name != "url"}
    return Endpoint(**said, url=url)


def _new_secret() -> str:
    return SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def _kept(parts: System, endpoint_id: str, secret: str) -> str:
    return parts.keys.encrypted_text(secret, row_places.endpoint_secret(endpoint_id))
