"""Tells systems outside that something has changed which they may read: by number and id, in order, one by one."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, insert, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import col
from temporalio import activity

from activities.rows import table_of
from domain import webhooks
from domain.programs.access import Reach, ways_of_share
from domain.programs.rulebook import Rulebook
from domain.values import Role
from exchange.fhir_readable import READ, Reader, readable
from exchange.fhir_subscription import TOPICS, Told, notification
from infra import outbound, row_places
from infra.database import reading
from infra.encryption import KeyRing
from infra.item_tables import ItemRow
from infra.notices import tell_leads
from infra.outbound import Answer, NotOutside
from infra.persons import one_person
from infra.settings import Settings
from infra.subscription_tables import SubscriptionEventRow, SubscriptionRow
from infra.tables import CaseRow, StaffRow
from infra.timeline import states
from infra.tokens import partners
from infra.webhook_tables import FeedRow

GONE, AT_ONCE_A_ROUND = 410, 100
LIVE = ("requested", "active")
MEDIA_TYPE = "application/fhir+json"
Row = Any


class Subscriptions:
    """Holds the record with its keys, and the rules by which somebody reads."""

    def __init__(self, engine: Engine, keys: KeyRing, settings: Settings, rulebook: Rulebook) -> None:
        self._engine, self._keys, self._settings, self._rulebook = engine, keys, settings, rulebook
        self._looking = reading(engine)
        self._partners = {partner.name for partner in partners(settings.smart_issuers)}

    def due(self, now: datetime) -> list[str]:
        """The subscriptions that wait for a handshake, an event that may be theirs, a heartbeat or their end."""
        table, feed = table_of(SubscriptionRow), table_of(FeedRow)
        newest = select_columns(func.max(feed.c.position)).where(feed.c.tenant == table.c.tenant).scalar_subquery()
        waits = or_(table.c.next_at.is_(None), table.c.next_at <= now)
        something = or_(table.c.status == "requested", table.c.position < newest, table.c.ends_at <= now)
        query = select_columns(table.c.id, table.c.heartbeat, table.c.heard_at, something.label("something"))
        with self._looking.connect() as connection:
            rows = connection.execute(query.where(table.c.status.in_(LIVE), waits)).all()
        return [row.id for row in rows if row.something or _beats(row, now)]

    @activity.defn(name="notify_subscriber")
    async def notify(self, subscription_id: str) -> bool:
        """Tell a subscriber what has changed since; whether there may be more."""
        row, events = await asyncio.to_thread(self._waiting, subscription_id)
        if row is None:
            return False
        if row.status == "requested":
            return await self._shake_hands(row)
        heard = False
        for event in events:
            activity.heartbeat()
            told = await asyncio.to_thread(self._numbered, row, event)
            if told is None:
                return True
            if told and not await self._post(row, "event-notification", told):
                return False
            if not told and event is not events[-1]:
                continue  # where it stands is written down with the next that is told, or with the last
            next_row = await asyncio.to_thread(self._went_on, row, event, told)
            if next_row is None:
                return True
            row, heard = next_row, heard or bool(told)
        if not heard and _beats(row, datetime.now(UTC)) and await self._post(row, "heartbeat"):
            await asyncio.to_thread(self._change, row, heard_at=datetime.now(UTC))
        return bool(events)

    async def _shake_hands(self, row: Row) -> bool:
        """It is active once the other side has answered."""
        if not await self._post(row, "handshake"):
            return False
        now = datetime.now(UTC)
        well = {"tries": 0, "next_at": None, "failing_since": None, "error": None}
        await asyncio.to_thread(self._change, row, status="active", heard_at=now, **well)
        return True

    async def _post(self, row: Row, kind: str, told: list[Told] | None = None) -> bool:
        """Post one notification; what is not taken is tried again later."""
        now = datetime.now(UTC)
        url = self._keys.decrypted_text(row.url, row_places.subscription_url(row.id))
        kept = (
            self._keys.decrypted_text(row.headers, row_places.subscription_headers(row.id))
            if row.headers
            else "[]"
        )
        headers = {name: value for name, value in json.loads(kept)}
        body = json.dumps(notification(row, kind, now, told or ())).encode()
        try:
            answer = await outbound.post(
                url, body, {**headers, "content-type": MEDIA_TYPE}, self._settings.webhook_loopback
            )
        except NotOutside as refused:
            answer = Answer(fault=type(refused).__name__)
        if answer.status is not None and 200 <= answer.status < 300:
            return True
        await asyncio.to_thread(self._failed, row, answer, now)
        return False

    def _waiting(self, subscription_id: str) -> tuple[Row, list[Row]]:
        """The subscription, if it is to be told now, and the events of the feed that it has not heard of.

        One that is over, or whose reader is not at work here any more, is ended.
        """
        now, table, feed = datetime.now(UTC), table_of(SubscriptionRow), table_of(FeedRow)
        with self._engine.begin() as connection:
            row = connection.execute(table.select().where(table.c.id == subscription_id)).first()
            if row is None or row.status not in LIVE or (row.next_at and row.next_at > now):
                return None, []
            if row.ends_at and row.ends_at <= now:
                connection.execute(update(table).where(table.c.id == row.id).values(status="off", error=None))
                return None, []
            if not self._stands(connection, row):
                ended = {"status": "error", "error": "its account is not at work here any more"}
                connection.execute(update(table).where(table.c.id == row.id).values(**ended))
                tell_leads(connection, self._keys, row.tenant, None, row.id, "subscription-ended", now)
                return None, []
            unheard = feed.select().where(feed.c.tenant == row.tenant, feed.c.position > row.position)
            events = connection.execute(unheard.order_by(feed.c.position).limit(AT_ONCE_A_ROUND)).all()
            return row, list(events)

    def _stands(self, connection: Connection, row: Row) -> bool:
        """Whether the reader is at work here: a partner's client while the partner is; others by the directory.

        Whoever is in no directory is at work for as long as the provider says so.
        """
        if row.partner is not None and row.partner not in self._partners:
            return False
        mine = (col(StaffRow.tenant) == row.tenant, col(StaffRow.subject) == row.reader)
        return connection.execute(select_columns(col(StaffRow.active)).where(*mine)).scalar() is not False

    def _focus(self, row: Row, event: Row) -> list[str]:
        """What an event changed that is of the topic and for this reader; nothing of a case that is not hers.

        What had happened before she subscribed may get its place in the feed a moment later.
        """
        if event.at < row.created_at:
            return []
        with self._looking.connect() as connection:
            ways = _ways(connection, row, event.case_id)
            if ways.isdisjoint(self._rulebook.policy.reach_of(Role.INTEGRATOR, READ)):
                return []
            steps = list(states(connection, self._keys, event.case_id))
            if row.person_id is not None:
                hers = one_person(connection, row.tenant, row.person_id)
                if not steps or steps[-1][2].referral.patient.reference not in hers:
                    return []
        reader = Reader(row.reader, Role.INTEGRATOR, ways)
        versions = readable(steps, self._rulebook, reader, event.seq)
        changed = [v for v in versions if v.seq == event.seq and v.kind in TOPICS[row.topic]]
        return sorted(f"{version.kind}/{version.content['id']}" for version in changed)

    def _numbered(self, row: Row, event: Row) -> list[Told] | None:
        """What is told of an event, under numbers that are on record before it is posted, and stay its own.

        What was numbered before and may not be read any more is told without what it is about. None where the
        subscription has been ended meanwhile.
        """
        readable_now = self._focus(row, event)
        table = table_of(SubscriptionEventRow)
        its = (table.c.subscription_id == row.id, table.c.case_id == event.case_id, table.c.seq == event.seq)
        with self._looking.connect() as connection:
            kept = connection.execute(table.select().where(*its).order_by(table.c.number)).all()
        if kept:
            return [Told(one.number, one.at, one.focus if one.focus in readable_now else None) for one in kept]
        told = [Told(row.events + number, event.at, focus) for number, focus in enumerate(readable_now, 1)]
        return told if not told or self._keep(row, event, told) else None

    def _keep(self, row: Row, event: Row, told: list[Told]) -> bool:
        """Put the numbers of an event on record; False where the subscription has been ended meanwhile."""
        of_event = {"subscription_id": row.id, "case_id": event.case_id, "seq": event.seq}
        rows = [{**of_event, "number": one.number, "focus": one.focus, "at": one.at} for one in told]
        with self._engine.begin() as connection:
            same = update(table_of(SubscriptionRow)).where(*_still(row)).values(position=row.position)
            if not connection.execute(same).rowcount:
                return False
            connection.execute(insert(table_of(SubscriptionEventRow)), rows)
        return True

    def _went_on(self, row: Row, event: Row, told: list[Told]) -> Row | None:
        """The subscription after an event; None where somebody has ended it, or told it already, meanwhile."""
        table, now = table_of(SubscriptionRow), datetime.now(UTC)
        heard = {"heard_at": now} if told else {}
        went = {"position": event.position, "events": row.events + len(told)}
        well = {"tries": 0, "next_at": None, "failing_since": None, "error": None}
        with self._engine.begin() as connection:
            change = update(table).where(*_still(row)).values(**went, **well, **heard)
            if not connection.execute(change).rowcount:
                return None
            return connection.execute(table.select().where(table.c.id == row.id)).first()

    def _change(self, row: Row, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(table_of(SubscriptionRow)).where(*_still(row)).values(**values))

    def _failed(self, row: Row, answer: Answer, now: datetime) -> None:
        """It is tried again. One that is gone is off, one that failed for a day in error: directors are told."""
        since = row.failing_since or now
        gone = answer.status == GONE
        given_up = gone or now - since > webhooks.GIVEN_UP_AFTER
        table = table_of(SubscriptionRow)
        values = {
            **{"tries": row.tries + 1, "failing_since": since},
            "next_at": webhooks.tried_again(row.tries + 1, now, answer.retry_after),
            "error": f"not taken: {answer.status or answer.fault}",
            **({"status": "off" if gone else "error"} if given_up else {}),
        }
        with self._engine.begin() as connection:
            ended = connection.execute(update(table).where(*_still(row)).values(**values)).rowcount and given_up
            if ended:
                tell_leads(connection, self._keys, row.tenant, None, row.id, "subscription-ended", now)


def _still(row: Row) -> tuple[ColumnElement[bool], ...]:
    """As it was read: not ended, and told of no more by anybody else."""
    table = table_of(SubscriptionRow)
    return table.c.id == row.id, table.c.position == row.position, table.c.status == row.status


def _beats(row: Row, now: datetime) -> bool:
    """Whether it is time for a sign of life."""
    if row.heartbeat is None or row.heard_at is None:
        return False
    return bool(now - row.heard_at >= timedelta(seconds=row.heartbeat))


def _ways(connection: Connection, row: Row, case_id: str) -> frozenset[Reach]:
    """By which ways the reader reaches a case now: by what the person shares with her."""
    now = datetime.now(UTC)
    share = and_(col(ItemRow.kind) == "share", col(ItemRow.id) == row.reader, col(ItemRow.settled_at).is_(None))
    query = select_columns(col(ItemRow.type), col(ItemRow.at), col(CaseRow.excluded)).join(
        CaseRow, col(CaseRow.id) == col(ItemRow.case_id)
    )
    mine = (col(ItemRow.case_id) == case_id, col(CaseRow.tenant) == row.tenant)
    found = connection.execute(query.where(share, *mine)).first()
    if found is None or f"|{row.reader}|" in found.excluded or (found.at is not None and found.at <= now):
        return frozenset()
    return ways_of_share(found.type)
