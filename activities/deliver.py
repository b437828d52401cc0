"""Tells people outside the house what waits for them: looks again, gathers, sends, writes down what became of it.

The table of deliveries is the truth: a lane that is killed between sending and marking finds the message under the
same id and sends it again, so that a mail is at most doubled and never lost.
"""

import asyncio
import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, and_, bindparam, case, func, insert, literal, update
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import col
from temporalio import activity
from temporalio.common import WorkflowIDConflictPolicy

from activities.subscriptions import Subscriptions
from activities.webhooks import Webhooks
from domain.notices import GIVEN_UP_AFTER, MISSED, REPEATED, REPEATED_EVERY, QuietHours, tried_again
from infra import row_places
from infra.encryption import KeyRing
from infra.mail import MailServer, Sent, written
from infra.notice_tables import AttemptRow, DeliveryRow, OutboxRow, ReachRow
from infra.notice_texts import rendered
from infra.settings import Settings
from infra.tables import CaseRow, ClockRow, TaskRow
from workflows import messages

EMAIL = "email"
OPEN = ("pending", "sending")
NO_CHANNEL = "NoChannel"
LOOKED_AT_AGAIN, LEASE = timedelta(minutes=15), timedelta(minutes=2)
LISTENS, EVERY = 600.0, 1.0  # seconds
MOST_LANES, AT_ONCE, RUNG_AGAIN = 1000, 20, 3.0
MOST_LOOKED_AT, MOST_IN_ONE = 500, 200
ASKS = "approval-requested"
OF_PROMISE, OF_TASK = (MISSED, "reminder"), ("task-assigned", "task-routed", "cosign")
SETTLED, CLOSED_TASKS = ("kept", "cancelled"), ("completed", "cancelled")
ASKED = aliased(ClockRow)  # the promise to decide an approval
Answer = TypeVar("Answer")
Notice = Any  # a row of `_WAITING`


@dataclass(frozen=True)
class Reached:
    """How somebody is reached by mail."""

    address: str
    language: str
    zone: str
    quiet: QuietHours | None


@dataclass(frozen=True)
class Message:
    """One message, fixed before it is sent: its id, and the notices in it."""

    id: str
    rows: Sequence[Notice]
    urgent: bool


@dataclass(frozen=True)
class Prepared:
    """How somebody is reached now, and what is sent to her."""

    reached: Reached
    messages: Sequence[Message]


class Delivering:
    """Holds the record, the mail server, and the engine that runs a lane a person."""

    def __init__(
        self,
        engine: Engine,
        keys: KeyRing,
        client: Any,
        settings: Settings,
        webhooks: Webhooks | None = None,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        self._engine, self._keys, self._client, self._settings = engine, keys, client, settings
        self._webhooks, self._subscriptions = webhooks, subscriptions
        self._mail = MailServer(settings.smtp_url)

    @activity.defn(name="listen_for_deliveries")
    async def listen(self) -> None:
        """For ten minutes: each second, see for whom something is due, and have her lane run."""
        rung: dict[tuple[str, str], float] = {}
        loop = asyncio.get_running_loop()
        ends = loop.time() + LISTENS
        few = asyncio.Semaphore(AT_ONCE)
        while loop.time() < ends:
            activity.heartbeat()
            await self._run_endpoints(few, rung)
            due = await asyncio.to_thread(self._due_people, datetime.now(UTC)) if self._settings.smtp_url else []
            fresh = [who for who in due if rung.get(who, 0.0) < loop.time() - RUNG_AGAIN]
            await asyncio.gather(*(self._run_lane(*who, few) for who in fresh))
            rung |= dict.fromkeys(fresh, loop.time())
            await asyncio.sleep(EVERY)

    async def _run_endpoints(self, few: asyncio.Semaphore, rung: dict[tuple[str, str], float]) -> None:
        """Give what was written its order, and have the endpoints and subscribers that have not heard it told."""
        now, queue = datetime.now(UTC), self._settings.task_queue
        if self._webhooks is not None:
            await asyncio.to_thread(self._webhooks.number)
            for name in await asyncio.to_thread(self._webhooks.due, now):
                await self._ring(messages.ENDPOINT_WORKFLOW, messages.endpoint(queue, name), name, few, rung)
        if self._subscriptions is not None:
            for name in await asyncio.to_thread(self._subscriptions.due, now):
                await self._ring(messages.SUBSCRIBER_WORKFLOW, messages.subscriber(queue, name), name, few, rung)

    async def _ring(
        self, workflow: str, lane: str, about: str, few: asyncio.Semaphore, rung: dict[tuple[str, str], float]
    ) -> None:
        """Have a lane run, unless that was done a moment ago."""
        now = asyncio.get_running_loop().time()
        if rung.get((workflow, about), 0.0) < now - RUNG_AGAIN:
            rung[workflow, about] = now
            await self._run(workflow, lane, (about,), few)

    async def _run_lane(self, tenant: str, recipient: str, few: asyncio.Semaphore) -> None:
        name = messages.lane(self._settings.task_queue, tenant, recipient)
        await self._run(messages.LANE_WORKFLOW, name, (tenant, recipient), few)

    async def _run(self, workflow: str, name: str, about: Sequence[str], few: asyncio.Semaphore) -> None:
        """One that runs already is left alone: it looks again before it ends."""
        async with few:
            await self._client.start_workflow(
                workflow,
                args=about,
                id=name,
                task_queue=self._settings.task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )

    def _due_people(self, now: datetime) -> list[tuple[str, str]]:
        """Whoever something is due for; the urgent ones first, then those who have waited longest."""
        urgent = func.max(case((col(DeliveryRow.urgent), 1), else_=0))
        who = (col(DeliveryRow.tenant), col(DeliveryRow.recipient))
        due = select_columns(*who).where(col(DeliveryRow.next_at) <= now).group_by(*who)
        ordered = due.order_by(urgent.desc(), func.min(col(DeliveryRow.next_at))).limit(MOST_LANES)
        with self._engine.connect() as connection:
            return [(row.tenant, row.recipient) for row in connection.execute(ordered)]

    @activity.defn(name="deliver")
    async def deliver(self, tenant: str, recipient: str) -> bool:
        """Send what is due to one person; whether anything was, so that it is worth to look again."""
        prepared = await self._in_record(lambda c: self._prepare(c, tenant, recipient, datetime.now(UTC)))
        if prepared is None:
            return False
        for message in prepared.messages:
            activity.heartbeat()
            sent = await self._mail.send(self._letter(message, prepared.reached))
            await self._in_record(partial(self._mark, tenant, recipient, message, sent))
            _count(sent)
        return bool(prepared.messages)

    async def _in_record(self, do: Callable[[Connection], Answer]) -> Answer:
        def run() -> Answer:
            with self._engine.begin() as connection:
                return do(connection)

        return await asyncio.to_thread(run)

    def _prepare(self, connection: Connection, tenant: str, recipient: str, now: datetime) -> Prepared | None:
        """What is sent now, fixed on record before it is sent; what need not be sent any more is closed."""
        rows: Sequence[Notice] = connection.execute(_WAITING, {"tenant": tenant, "recipient": recipient}).all()
        waiting = [row for row in rows if self._still_wanted(connection, row, now)]
        reached = self._reached(connection, tenant, recipient)
        due = [row for row in waiting if row.next_at <= now]
        if reached is None:
            for row in due:
                _put(connection, row, next_at=now + LOOKED_AT_AGAIN, fault=NO_CHANNEL)
            return None
        quiet = reached.quiet.until(now) if reached.quiet else None
        if quiet is not None:
            _hold(connection, tenant, recipient, now, quiet)
            due = [row for row in due if row.urgent or row.state == "sending"]
        found = [*_again(due), *self._fresh(waiting, now)]
        gathered = [row for row in waiting if row.message_id is None and not row.urgent][:MOST_IN_ONE]
        if quiet is None and any(row.next_at <= now for row in gathered):
            found.append(self._fixed(gathered, False))
        for message in found:
            for row in message.rows:
                _put(connection, row, state="sending", message_id=message.id, next_at=now + LEASE)
        return Prepared(reached, found)

    def _fresh(self, waiting: Sequence[Notice], now: datetime) -> list[Message]:
        """What is urgent goes at once, whatever the hour is."""
        urgent = [row for row in waiting if row.message_id is None and row.urgent and row.next_at <= now]
        return [self._fixed(urgent, True)] if urgent else []

    def _still_wanted(self, connection: Connection, row: Notice, now: datetime) -> bool:
        """Whether it must still be sent; if not, why not is written down."""
        why_not = self._why_not(row, now)
        if why_not is not None:
            _put(connection, row, state=why_not, next_at=None)
        return why_not is None

    def _why_not(self, row: Notice, now: datetime) -> str | None:
        if row.subject is None or f"|{row.recipient}|" in (row.excluded or ""):
            return "withdrawn"
        if row.read_at is not None:
            return "read"
        subject = self._subject(row)
        if subject in OF_PROMISE and row.clock_state in SETTLED:
            return "settled"
        if subject == MISSED and row.acknowledged_by is not None:
            return "settled"
        asked = subject == ASKS and row.asked_state in SETTLED
        if asked or (subject in OF_TASK and row.task_status in CLOSED_TASKS):
            return "settled"
        old = row.created_at < now - GIVEN_UP_AFTER
        given_up = old and (row.fault is not None or row.times_sent == 0)
        return "dead" if given_up else None

    def _subject(self, row: Notice) -> str:
        return self._keys.decrypted_text(row.subject, row_places.notice(row.case_id, row.key))

    def _reached(self, connection: Connection, tenant: str, recipient: str) -> Reached | None:
        """How somebody is reached; None for whoever has no address that works and is shown to be hers."""
        row = connection.execute(_REACH, {"tenant": tenant, "subject": recipient}).first()
        if row is None:
            return None
        address = self._keys.decrypted_text(row.address, row_places.reach(tenant, recipient, EMAIL))
        quiet = None
        if row.quiet_from is not None and row.quiet_to is not None:
            quiet = QuietHours(zone=row.zone, begins=row.quiet_from, ends=row.quiet_to)
        return Reached(address, row.language, row.zone, quiet)

    def _fixed(self, rows: Sequence[Notice], urgent: bool) -> Message:
        """A message with an id that the same notices give again; one that is repeated has another."""
        parts = sorted(f"{row.case_id}/{row.key}/{row.recipient}/{row.times_sent}" for row in rows)
        name = hashlib.sha256("|".join([rows[0].tenant, *parts]).encode()).hexdigest()[:32]
        domain = self._settings.mail_from.rpartition("@")[2]
        return Message(f"<{name}@{domain}>", tuple(rows), urgent)

    def _letter(self, message: Message, reached: Reached) -> EmailMessage:
        said = [(self._subject(row), row.created_at) for row in message.rows]
        link = f"{self._settings.public_url}/work"
        subject, text = rendered(reached.language, said, reached.zone, link, message.urgent)
        sender, now = self._settings.mail_from, datetime.now(UTC)
        return written(sender, reached.address, message.id, subject, text, now)

    def _mark(self, tenant: str, recipient: str, message: Message, sent: Sent, connection: Connection) -> None:
        """Write down what became of a message, and of each notice in it."""
        now = datetime.now(UTC)
        said = {"tenant": tenant, "recipient": recipient, "channel": EMAIL, "message_id": message.id, "at": now}
        attempt = {**said, "id": uuid.uuid4().hex, "notices": len(message.rows)}
        connection.execute(insert(AttemptRow).values(**attempt, outcome=sent.outcome, code=sent.code))
        failing = {"bounced": now, "sent": None}
        if sent.outcome in failing:
            mine = (
                col(ReachRow.tenant) == tenant,
                col(ReachRow.subject) == recipient,
                col(ReachRow.channel) == EMAIL,
            )
            connection.execute(update(ReachRow).where(*mine).values(failing_since=failing[sent.outcome]))
        for row in message.rows:
            _put(connection, row, **_became(row, sent, now))


def _again(due: Sequence[Notice]) -> list[Message]:
    """What was to be sent before, and nobody knows whether it was, or could not be: as it was, under its id."""
    held = defaultdict[str, list[Notice]](list)
    for row in due:
        if row.message_id is not None:
            held[row.message_id].append(row)
    return [Message(name, tuple(rows), any(row.urgent for row in rows)) for name, rows in held.items()]


def _became(row: Notice, sent: Sent, now: datetime) -> dict[str, Any]:
    """How a notice stands after a try: an urgent one is sent again until somebody has read it."""
    if sent.outcome == "sent":
        again = row.urgent and row.times_sent < REPEATED
        stands = (
            {"state": "pending", "next_at": now + REPEATED_EVERY} if again else {"state": "sent", "next_at": None}
        )
        sent_again = {"times_sent": row.times_sent + 1, "tries": 0, "message_id": None, "fault": None}
        return {**stands, **sent_again, "sent_at": now}
    if sent.outcome == "bounced":
        return {"state": "bounced", "next_at": None, "fault": sent.code}
    tries = row.tries + 1
    return {"state": "pending", "tries": tries, "next_at": tried_again(tries, row.urgent, now), "fault": sent.code}


def _hold(connection: Connection, tenant: str, recipient: str, now: datetime, until: datetime) -> None:
    """What can wait does so until her quiet hours are over."""
    hers = (col(DeliveryRow.tenant) == tenant, col(DeliveryRow.recipient) == recipient)
    can_wait = (col(DeliveryRow.state) == "pending", col(DeliveryRow.urgent).is_(False))
    held = update(DeliveryRow).where(*hers, *can_wait, col(DeliveryRow.next_at) <= now)
    connection.execute(held.values(next_at=until))


def _put(connection: Connection, row: Notice, **values: Any) -> None:
    mine = (
        col(DeliveryRow.case_id) == row.case_id,
        col(DeliveryRow.key) == row.key,
        col(DeliveryRow.recipient) == row.recipient,
    )
    connection.execute(update(DeliveryRow).where(*mine).values(**values))


def _count(sent: Sent) -> None:
    meter = activity.metric_meter().with_additional_attributes({"outcome": sent.outcome})
    meter.create_counter("caseloom_mails", "Mails by what became of them").add(1)


_NOTICE = and_(
    col(OutboxRow.case_id) == col(DeliveryRow.case_id),
    col(OutboxRow.key) == col(DeliveryRow.key),
    col(OutboxRow.recipient) == col(DeliveryRow.recipient),
)
_CLOCK = and_(col(ClockRow.case_id) == col(OutboxRow.case_id), col(ClockRow.id) == col(OutboxRow.about))
_OF_APPROVAL = literal("approval/").concat(col(OutboxRow.about))
_ASKED = and_(col(ASKED.case_id) == col(OutboxRow.case_id), col(ASKED.about) == _OF_APPROVAL)
_TASK = and_(col(TaskRow.case_id) == col(OutboxRow.case_id), col(TaskRow.id) == col(OutboxRow.about))
_WAITING = (
    select_columns(
        *(col(getattr(DeliveryRow, name)) for name in DeliveryRow.model_fields),
        col(OutboxRow.subject),
        col(OutboxRow.read_at),
        col(ClockRow.state).label("clock_state"),
        col(ClockRow.acknowledged_by),
        col(ASKED.state).label("asked_state"),
        col(TaskRow.status).label("task_status"),
        col(CaseRow.excluded),
    )
    .outerjoin_from(DeliveryRow, OutboxRow, _NOTICE)
    .outerjoin(ClockRow, _CLOCK)
    .outerjoin(ASKED, _ASKED)
    .outerjoin(TaskRow, _TASK)
    .outerjoin(CaseRow, col(CaseRow.id) == col(DeliveryRow.case_id))
    .where(
        col(DeliveryRow.tenant) == bindparam("tenant"),
        col(DeliveryRow.recipient) == bindparam("recipient"),
        col(DeliveryRow.state).in_(OPEN),
    )
    .order_by(
        col(DeliveryRow.urgent).desc(), col(DeliveryRow.next_at), col(DeliveryRow.case_id), col(DeliveryRow.key)
    )
    .limit(MOST_LOOKED_AT)
)
_REACH = select_columns(ReachRow.__table__).where(  # type: ignore[attr-defined]
    col(ReachRow.tenant) == bindparam("tenant"),
    col(ReachRow.subject) == bindparam("subject"),
    col(ReachRow.channel) == EMAIL,
    col(ReachRow.verified_at).is_not(None),
    col(ReachRow.failing_since).is_(None),
)
