"""FHIR subscriptions: a system outside says of what it wants to hear, in cases that people share with it."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from sqlalchemy import Connection, delete, func, insert
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.fhir_read import Answer
from api.fhir_reading import of_case
from api.problems import BODY_LIMIT, Refusal, responses
from api.smart import is_scoped, may
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Opaque
from exchange.fhir_answers import searchset
from exchange.fhir_codes import Resource
from exchange.fhir_subscription import (
    BACKPORT,
    PAYLOAD,
    TOPICS,
    NotASubscription,
    Told,
    Wanted,
    notification,
    status_of,
    subscription,
    topic_url,
    wanted,
)
from infra import row_places
from infra.outbound import NotOutside, check_url
from infra.subscription_tables import SubscriptionEventRow, SubscriptionRow
from infra.webhook_tables import FeedRow

router = APIRouter(prefix="/fhir", tags=["FHIR"], max_body_size=BODY_LIMIT)
SubscriptionId = Annotated[Opaque, Path()]
REFUSALS = responses(401, 403, 404, 409, 422, 503)
MOST, MOST_SHOWN = 20, 100
Number = Annotated[int | None, Query(ge=0, le=2**31 - 1)]
EXAMPLE = {
    "resourceType": "Subscription",
    "meta": {"profile": [f"{BACKPORT}/backport-subscription"]},
    "status": "requested",
    "reason": "To hear of changes of our referrals",
    "criteria": topic_url("task"),
    "channel": {
        "type": "rest-hook",
        "endpoint": "https://example.org/fhir-notifications",
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": PAYLOAD, "valueCode": "id-only"}]},
        "header": ["Authorization: Bearer of-your-own"],
    },
}


@router.post("/Subscription", status_code=201, response_class=Answer, responses=REFUSALS)
async def create_subscription(
    resource: Annotated[dict[str, Any], Body(openapi_examples={"example": {"value": EXAMPLE}})],
    request: Request,
    parts: SystemDep,
    who: PrincipalDep,
) -> Any:
    """Have changes told to an address of yours: first a handshake, which it has to take, then each by its number.

    What is told is that something has changed, at the most its id; reading it asks for your right to it then. A
    change of a case that nobody shares with you, or that stands under a label which the share does not name, is
    not told. Numbers without a gap show that nothing was lost.
    """
    asked = _asked(parts, resource)
    if shut := [kind for kind in TOPICS[asked.topic] if not may(who, kind, "r")]:
        raise Refusal(403, "ScopeMissing", f"this needs {', '.join(f'system/{kind}.r' for kind in shut)}")
    subscription_id, now = uuid.uuid4().hex, datetime.now(UTC)
    headers = json.dumps(asked.headers)
    row = {
        "id": subscription_id,
        "tenant": who.tenant,
        "reader": who.sub,
        "partner": who.sub.partition(".")[0] if is_scoped(who) else None,
        "topic": asked.topic,
        "person_id": asked.patient,
        "base": f"{str(request.base_url).rstrip('/')}/fhir",
        "url": parts.keys.encrypted_text(asked.url, row_places.subscription_url(subscription_id)),
        "headers": parts.keys.encrypted_text(headers, row_places.subscription_headers(subscription_id)),
        "content": asked.content,
        "heartbeat": asked.heartbeat,
        "status": "requested",
        "ends_at": asked.ends_at,
        "created_at": now,
        "events": 0,
        "tries": 0,
    }

    def write(connection: Connection) -> None:
        mine = (col(SubscriptionRow.tenant) == who.tenant, col(SubscriptionRow.reader) == who.sub)
        number = select_columns(func.count()).select_from(SubscriptionRow).where(*mine)
        if connection.execute(number).scalar_one() >= MOST:
            raise Refusal(409, "TooMany", f"an account has at most {MOST} subscriptions; delete one first")
        newest = select_columns(func.coalesce(func.max(col(FeedRow.position)), 0))
        position = connection.execute(newest.where(col(FeedRow.tenant) == who.tenant)).scalar_one()
        connection.execute(insert(SubscriptionRow).values(**row, position=position))

    await parts.written(write)
    kept = await _of_id(parts, who, subscription_id)
    return Answer(_view(parts, kept), 201, {"Location": f"{kept.base}/Subscription/{subscription_id}"})


def _asked(parts: System, resource: dict[str, Any]) -> Wanted:
    """Raises 422 with the element that is wrong."""
    try:
        asked = wanted(resource)
    except NotASubscription as fault:
        raise Refusal(422, "NotASubscription", str(fault), missing=[fault.where]) from None
    try:
        check_url(asked.url, parts.settings.webhook_loopback)
    except NotOutside as refused:
        where = "Subscription.channel.endpoint"
        raise Refusal(422, "NotOutside", str(refused), missing=[where]) from None
    if asked.ends_at is not None and asked.ends_at <= datetime.now(UTC):
        raise Refusal(422, "NotASubscription", "its end is past", missing=["Subscription.end"])
    return asked


@router.get("/Subscription", response_class=Answer, responses=responses(401, 403, 503))
async def list_subscriptions(request: Request, parts: SystemDep, who: PrincipalDep) -> Any:
    """One's own, and how they stand."""
    table: Any = SubscriptionRow.__table__  # type: ignore[attr-defined]
    mine = (table.c.tenant == who.tenant, table.c.reader == who.sub)
    rows = await parts.read(lambda c: c.execute(table.select().where(*mine).order_by(table.c.id)).all())
    base = f"{str(request.base_url).rstrip('/')}/fhir"
    return Answer(searchset(base, str(request.url), [_view(parts, row) for row in rows], None))


@router.get("/Subscription/{subscription_id}", response_class=Answer, responses=REFUSALS)
async def read_subscription(subscription_id: SubscriptionId, parts: SystemDep, who: PrincipalDep) -> Any:
    """How it stands: `requested` until the handshake, `active`, `error` with why, or `off`."""
    return Answer(_view(parts, await _of_id(parts, who, subscription_id)))


@router.delete("/Subscription/{subscription_id}", status_code=204, responses=REFUSALS)
async def delete_subscription(subscription_id: SubscriptionId, parts: SystemDep, who: PrincipalDep) -> None:
    """Hear nothing more."""
    await _of_id(parts, who, subscription_id)

    def write(connection: Connection) -> None:
        connection.execute(delete(SubscriptionRow).where(col(SubscriptionRow.id) == subscription_id))
        events = col(SubscriptionEventRow.subscription_id) == subscription_id
        connection.execute(delete(SubscriptionEventRow).where(events))

    await parts.written(write)


@router.get("/Subscription/{subscription_id}/$status", response_class=Answer, responses=REFUSALS)
async def subscription_status(
    subscription_id: SubscriptionId, request: Request, parts: SystemDep, who: PrincipalDep
) -> Any:
    """How it stands, with the number of its last event: what came before and was not told can be asked for."""
    row = await _of_id(parts, who, subscription_id)
    return Answer(searchset(row.base, str(request.url), [status_of(row, "query-status")], None))


@router.get("/Subscription/{subscription_id}/$events", response_class=Answer, responses=REFUSALS)
async def subscription_events(
    subscription_id: SubscriptionId,
    parts: SystemDep,
    who: PrincipalDep,
    since: Annotated[Number, Query(alias="eventsSinceNumber", description="From this number on")] = None,
    until: Annotated[Number, Query(alias="eventsUntilNumber", description="To this number")] = None,
) -> Any:
    """Events that you were told of, again: at most a hundred, the earliest first.

    What one is about is named where you may read it now; its number stands in any case.
    """
    row = await _of_id(parts, who, subscription_id)
    table: Any = SubscriptionEventRow.__table__  # type: ignore[attr-defined]
    wanted_ones = [table.c.subscription_id == subscription_id, table.c.number <= row.events]
    wanted_ones += [table.c.number >= since] if since is not None else []
    wanted_ones += [table.c.number <= until] if until is not None else []
    query = table.select().where(*wanted_ones).order_by(table.c.number).limit(MOST_SHOWN)
    rows: Sequence[Any] = await parts.read(lambda connection: connection.execute(query).all())
    hers = set[str]()
    for case_id in dict.fromkeys(one.case_id for one in rows):
        hers |= await _readable(parts, who, case_id)
    told = [Told(one.number, one.at, one.focus if one.focus in hers else None) for one in rows]
    return Answer(notification(row, "query-event", datetime.now(UTC), told))


async def _readable(parts: System, who: Principal, case_id: str) -> set[str]:
    """What somebody may read of a case, by type and id; nothing of one that is not hers any more."""
    try:
        return {f"{version.kind}/{version.content['id']}" for version in await of_case(parts, who, case_id)}
    except Refusal as refusal:
        if refusal.status not in (403, 404):
            raise
        return set()


async def _of_id(parts: System, who: Principal, subscription_id: str) -> Any:
    """Raises 404 for what is not one's own."""
    table: Any = SubscriptionRow.__table__  # type: ignore[attr-defined]
    mine = (table.c.id == subscription_id, table.c.tenant == who.tenant, table.c.reader == who.sub)
    row = await parts.read(lambda connection: connection.execute(table.select().where(*mine)).first())
    if row is None:
        raise Refusal(404, "NotFound", "there is no such subscription of yours")
    return row


def _view(parts: System, row: Any) -> Resource:
    return subscription(row, parts.keys.decrypted_text(row.url, row_places.subscription_url(row.id)))
