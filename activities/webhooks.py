"""Tells other systems what happened: gives events their order, and posts them to each endpoint one by one."""

import asyncio
import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, update
from sqlalchemy import select as select_columns
from sqlmodel import col
from temporalio import activity

from domain import webhooks
from infra import outbound, row_places
from infra.encryption import KeyRing
from infra.notice_tables import AttemptRow
from infra.notices import tell_leads
from infra.outbound import Answer, NotOutside
from infra.settings import Settings
from infra.webhook_tables import EndpointRow, FeedRow

WEBHOOK, GONE = "webhook", 410
NUMBERED_AT_ONCE, SENT_A_ROUND = 1000, 100
MOST_ENDPOINTS = 200
AT_ONCE, A_ROUND = 20, 20.0  # endpoints; seconds, after which others have their turn


def cloud_event(tenant: str, row: Any) -> dict[str, Any]:
    """An event as others get it: what kind of thing, in which case, at which place of its timeline. No more."""
    return {
        "specversion": "1.0",
        "id": event_id(tenant, row.case_id, row.seq),
        "source": f"/caseloom/{tenant}",
        "type": webhooks.type_of(row.kind),
        "subject": row.case_id,
        "time": row.at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{row.position:016d}",
        "data": {"case_id": row.case_id, "seq": row.seq, "kind": row.kind},
    }


def event_id(tenant: str, case_id: str, seq: int) -> str:
    """The same for the same entry, however often it is sent."""
    return f"evt_{hashlib.sha256(f'{tenant}/{case_id}/{seq}'.encode()).hexdigest()[:24]}"


class Webhooks:
    """Holds the record and its keys."""

    def __init__(self, engine: Engine, keys: KeyRing, settings: Settings) -> None:
        self._engine, self._keys, self._settings = engine, keys, settings
        self._posting = 0

    def number(self) -> None:
        """Give what was written since its place in the order of its tenant."""
        with self._engine.begin() as connection:
            fresh = select_columns(FeedRow.__table__).where(col(FeedRow.position).is_(None))  # type: ignore[attr-defined]
            in_time = (col(FeedRow.at), col(FeedRow.case_id), col(FeedRow.seq))
            last: dict[str, int] = {}
            for row in connection.execute(fresh.order_by(*in_time).limit(NUMBERED_AT_ONCE)).all():
                if row.tenant not in last:
                    last[row.tenant] = _newest(connection, row.tenant)
                last[row.tenant] += 1
                mine = (
                    col(FeedRow.case_id) == row.case_id,
                    col(FeedRow.seq) == row.seq,
                    col(FeedRow.position).is_(None),
                )
                connection.execute(update(FeedRow).where(*mine).values(position=last[row.tenant]))

    def due(self, now: datetime) -> list[str]:
        """The endpoints that have something to hear now."""
        theirs = col(FeedRow.tenant) == col(EndpointRow.tenant)
        newest = select_columns(func.max(col(FeedRow.position))).where(theirs)
        query = select_columns(col(EndpointRow.id)).where(
            col(EndpointRow.disabled).is_(None),
            col(EndpointRow.next_at).is_(None) | (col(EndpointRow.next_at) <= now),
            col(EndpointRow.position) < newest.scalar_subquery(),
        )
        with self._engine.connect() as connection:
            longest_waiting = query.order_by(
                col(EndpointRow.next_at).asc().nulls_first(), col(EndpointRow.position)
            )
            return list(connection.execute(longest_waiting.limit(MOST_ENDPOINTS)).scalars())

    @activity.defn(name="post_events")
    async def post_events(self, endpoint_id: str) -> bool:
        """Post what an endpoint has not heard, in order, until it does not take one; whether there may be more.

        Slow endpoints must not hold up the mail: few are posted to at once, and each for a while. The bell comes
        again.
        """
        if self._posting >= AT_ONCE:
            return False
        self._posting += 1
        try:
            return await self._post_events(endpoint_id)
        finally:
            self._posting -= 1

    async def _post_events(self, endpoint_id: str) -> bool:
        row, events = await asyncio.to_thread(self._waiting, endpoint_id)
        heard = row.position if row is not None else 0
        ends = asyncio.get_running_loop().time() + A_ROUND
        for event in events:
            activity.heartbeat()
            if asyncio.get_running_loop().time() > ends:
                return False
            if _wanted(row, event):
                answer = await self.post(row, cloud_event(row.tenant, event))
                if not await asyncio.to_thread(self._mark, row, event, answer, heard):
                    return False
            if not await asyncio.to_thread(self._went_on, endpoint_id, heard, event.position):
                return True
            heard = event.position
        return bool(events)

    async def post(self, row: Any, event: dict[str, Any]) -> Answer:
        """Post one event to an endpoint, signed by each secret that holds now."""
        now, body = datetime.now(UTC), json.dumps(event).encode()
        secrets = [self._secret(row.secret, row.id)]
        if row.secret_before is not None and row.before_until > now:
            secrets.append(self._secret(row.secret_before, row.id))
        signed = " ".join(webhooks.signature(secret, event["id"], now, body) for secret in secrets)
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signed,
        }
        url = self._keys.decrypted_text(row.url, row_places.endpoint_url(row.id))
        try:
            return await outbound.post(url, body, headers, self._settings.webhook_loopback)
        except NotOutside as refused:
            return Answer(fault=type(refused).__name__)

    def _secret(self, kept: str, endpoint_id: str) -> str:
        return self._keys.decrypted_text(kept, row_places.endpoint_secret(endpoint_id))

    def _waiting(self, endpoint_id: str) -> tuple[Any, list[Any]]:
        with self._engine.connect() as connection:
            endpoint = select_columns(EndpointRow.__table__).where(col(EndpointRow.id) == endpoint_id)  # type: ignore[attr-defined]
            row = connection.execute(endpoint).first()
            if row is None or row.disabled is not None or (row.next_at and row.next_at > datetime.now(UTC)):
                return row, []
            unheard = select_columns(FeedRow.__table__).where(  # type: ignore[attr-defined]
                col(FeedRow.tenant) == row.tenant, col(FeedRow.position) > row.position
            )
            events = connection.execute(unheard.order_by(col(FeedRow.position)).limit(SENT_A_ROUND)).all()
            return row, list(events)

    def _went_on(self, endpoint_id: str, before: int, position: int) -> bool:
        """An event is heard; False where somebody has set the endpoint back meanwhile, or taken it away."""
        with self._engine.begin() as connection:
            heard = {"position": position, "tries": 0, "next_at": None, "failing_since": None}
            change = update(EndpointRow).where(*_still_at(endpoint_id, before)).values(**heard)
            return connection.execute(change).rowcount == 1

    def _mark(self, row: Any, event: Any, answer: Answer, before: int) -> bool:
        """Write down what became of an event; whether the next one may follow."""
        now, ok = datetime.now(UTC), answer.status is not None and 200 <= answer.status < 300
        with self._engine.begin() as connection:
            said = {"tenant": row.tenant, "recipient": row.id, "channel": WEBHOOK, "notices": 1, "at": now}
            name = event_id(row.tenant, event.case_id, event.seq)
            code = str(answer.status or answer.fault)
            outcome = {"id": uuid.uuid4().hex, "message_id": name, "outcome": "sent" if ok else "deferred"}
            connection.execute(insert(AttemptRow).values(**said, **outcome, code=code))
        if not ok:
            self._failed(row, answer, now, before)
        return ok

    def _failed(self, row: Any, answer: Answer, now: datetime, before: int) -> None:
        """It is sent again later; an endpoint that is gone, or has failed for a day, is told nothing any more."""
        with self._engine.begin() as connection:
            mine = _still_at(row.id, before)
            stands = select_columns(col(EndpointRow.tries), col(EndpointRow.failing_since)).where(*mine)
            found = connection.execute(stands).first()
            if found is None:  # set back meanwhile, or taken away
                return
            tries, since = found.tries, found.failing_since or now
            given_up = now - since > webhooks.GIVEN_UP_AFTER or answer.status == GONE
            values = {
                "tries": tries + 1,
                "failing_since": since,
                "next_at": webhooks.tried_again(tries + 1, now, answer.retry_after),
                "disabled": ("gone" if answer.status == GONE else "failing") if given_up else None,
            }
            connection.execute(update(EndpointRow).where(*mine).values(**values))
            if given_up:
                tell_leads(connection, self._keys, row.tenant, None, row.id, "webhook-disabled", now)


def _still_at(endpoint_id: str, position: int) -> tuple[ColumnElement[bool], ...]:
    return col(EndpointRow.id) == endpoint_id, col(EndpointRow.position) == position


def _newest(connection: Connection, tenant: str) -> int:
    newest = select_columns(func.max(col(FeedRow.position))).where(col(FeedRow.tenant) == tenant)
    return int(connection.execute(newest).scalar() or 0)


def _wanted(row: Any, event: Any) -> bool:
    return (not row.kinds or event.kind in row.kinds) and (not row.programs or event.program in row.programs)
