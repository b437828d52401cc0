"""The durable life of one case.

Handlers only put messages into the inbox; one loop takes them one at a time: decide, apply, record, answer.
So there are no locks, and the commands of a case are strictly ordered. What must stay replay-stable is
this loop and the events' `apply`; everything else is decided in activities and remembered by history.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.workflow import HandlerUnfinishedPolicy

with workflow.unsafe.imports_passed_through():
    import hashlib

    import structlog

    from activities.decide import STAFF_UNREADABLE, Deciding, Question, hold
    from activities.record import Message, Recording
    from domain.command import Decision, Envelope, Outcome
    from domain.decide import failed
    from domain.event import Entry, Event
    from domain.quarantine import CommandQuarantined, MessageUnreadable
    from domain.record import Page
    from domain.values import SYSTEM
    from workflows import messages
    from workflows.messages import Answer, Life, Live
    from workflows.preflight import refusal

log = structlog.get_logger()

OUTCOMES_KEPT = 200
MOST_A_TURN = 20
HEARTBEAT = timedelta(days=30)
SHORTEST_SLEEP = timedelta(seconds=1)
DECIDE_TRIES = 3
FAIL_FAST = RetryPolicy(maximum_attempts=1)
NEVER_GIVE_UP = RetryPolicy(maximum_interval=timedelta(seconds=10))


@workflow.defn(name=messages.CASE_WORKFLOW)
class CaseWorkflow:
    """One case, from referral until the window for reopening is over."""

    @workflow.init
    def __init__(self, life: Life) -> None:
        self.life = life
        self.case = life.case
        self.inbox = deque(life.inbox)
        if life.opening is not None:
            self.inbox.append(life.opening)
        self.outcomes = {outcome.command_id: outcome for outcome in life.outcomes}
        self.unreadable: deque[MessageUnreadable] = deque()
        self.page = life.page
        self.wake_at = life.wake_at
        self.tick_faults = life.tick_faults
        self.decided_at = workflow.now()
        self.ticks = 0
        self.rang = False
        self.alarm: asyncio.Task[None] | None = None
        self.alarm_at: datetime | None = None
        self.catching_up: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, life: Life) -> None:
        self._catch_up_if_behind()
        while not (self._done() and workflow.all_handlers_finished()):
            await self._wait()
            await self._turn()
            if self._too_long():
                await self._go_on_as_new()
            if self._done():  # what comes while the last callers are answered is taken as well
                await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update(name=messages.SUBMIT, unfinished_policy=HandlerUnfinishedPolicy.ABANDON)
    async def submit(self, envelope: Envelope) -> Outcome:
        """Take a command and answer with its outcome."""
        self._take(envelope)
        await workflow.wait_condition(lambda: envelope.command_id in self.outcomes)
        return self.outcomes[envelope.command_id]

    @submit.validator
    def _check(self, envelope: Envelope) -> None:
        """Refuse at no cost what the loop would refuse, and a known id that carries another request."""
        if known := self._fingerprint(envelope.command_id):
            if known != envelope.fingerprint:
                raise ApplicationError("this key was used for another request", type=messages.KEY_REUSED)
            return
        if self.page.full:
            raise ApplicationError("the record is too far behind", type=messages.RECORD_BEHIND)
        if not self.inbox and (refused := refusal(envelope, self.case, workflow.now())):
            raise ApplicationError("refused", refused.model_dump(mode="json"), type=messages.REFUSED)

    @workflow.signal(dynamic=True)
    def signalled(self, name: str, args: Sequence[RawValue]) -> None:
        """Take a command for which nobody waits (`submit_later`); set aside whatever else is sent.

        One handler for all signals: a typed one would fail the workflow task, for ever, on a signal with no
        argument or with two.
        """
        data = b"".join(raw.payload.data for raw in args)
        try:
            if name != messages.SUBMIT_LATER or len(args) != 1:
                raise ValueError
            self._take(Envelope.model_validate_json(data))
        except ValueError:
            self._note_unreadable(data)

    @workflow.query(name=messages.LIVE)
    def live(self) -> Live:
        return Live(case=self.case, unrecorded=len(self.page.entries))

    @workflow.query(name=messages.ANSWER)
    def answer(self, command_id: str) -> Answer:
        if command_id in self.outcomes:
            return Answer(status="done", outcome=self.outcomes[command_id])
        return Answer(status="waiting" if self._fingerprint(command_id) else "unknown")

    def _take(self, envelope: Envelope) -> None:
        if self._fingerprint(envelope.command_id) is None:
            self.inbox.append(envelope)

    def _fingerprint(self, command_id: str) -> str | None:
        if command_id in self.outcomes:
            return self.outcomes[command_id].fingerprint
        return next((e.fingerprint for e in self.inbox if e.command_id == command_id), None)

    def _note_unreadable(self, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()[:16]
        self.unreadable.append(MessageUnreadable(size=len(data), digest=digest))

    # -- the loop: one message at a time -----------------------------------------------------------------

    async def _turn(self) -> None:
        """Decide what has come so far, one by one; record it together; then answer."""
        while self.unreadable:
            self._set_aside(self.unreadable.popleft())
        if self.case is not None and workflow.now() >= self._wakes():
            await self._tick()  # first: what is overdue is noticed before a late command settles it
        batch = list(self.inbox)[:MOST_A_TURN]
        answers = [await self._handle(envelope) for envelope in batch]
        await self._record()
        for envelope, outcome in zip(batch, answers, strict=True):
            self._answer(envelope, outcome)
            self.inbox.popleft()

    async def _handle(self, envelope: Envelope) -> Outcome:
        decision = await self._decide(envelope)
        outcome = decision.outcome
        for entry in decision.entries:
            self._happen(entry)
        if outcome.status == "failed":
            self._quarantine(envelope, outcome)
        self.wake_at = decision.wake_at
        self.page = self.page.answered(outcome)
        return outcome

    async def _tick(self) -> None:
        self.ticks += 1
        tick_id = f"tick-{workflow.info().run_id[-12:]}-{self.ticks}"
        envelope = Envelope(command_id=tick_id, kind="tick", body={}, actor=SYSTEM)
        decision = await self._decide(envelope)
        for entry in decision.entries:
            self._happen(entry)
        if decision.outcome.status != "applied":
            self._retry_tick(envelope, decision.outcome)
        else:
            self.tick_faults = 0
            self.wake_at = decision.wake_at

    async def _decide(self, envelope: Envelope) -> Decision:
        run_id = workflow.info().run_id
        held = run_id if self.case is not None else None
        question = Question(envelope=envelope, held=held, now=workflow.now())
        self.decided_at = question.now
        for attempt in range(1, DECIDE_TRIES + 1):
            if self.case is not None and not workflow.unsafe.is_replaying():
                hold(run_id, self.case)
            try:
                return await workflow.execute_local_activity_method(
                    Deciding.decide,
                    question,
                    start_to_close_timeout=timedelta(seconds=10),
                    retry_policy=FAIL_FAST,
                )
            except FailureError:
                await workflow.sleep(attempt)
        return failed(envelope, self.case, workflow.now(), "DecisionTimedOut")

    def _happen(self, entry: Entry) -> None:
        before, self.case = self.case, entry.apply(self.case)
        self.page = self.page.told(before, entry, self.case)
        if entry.kind == "clock-missed":
            counter = workflow.metric_meter().create_counter("caseloom_clocks_missed", "Promises not kept")
            counter.add(1)

    def _write_down(self, event: Event, command_id: str) -> None:
        """An event that needs no decision: something could not be read or decided."""
        if self.case is not None:
            self._happen(Entry.of(event, self.case.seq + 1, workflow.now(), SYSTEM, command_id))

    def _quarantine(self, envelope: Envelope, outcome: Outcome) -> None:
        event = CommandQuarantined(
            quarantined_id=envelope.command_id,
            quarantined_kind=envelope.kind,
            fault=outcome.error or "unknown",
        )
        self._write_down(event, envelope.command_id)

    def _set_aside(self, event: MessageUnreadable) -> None:
        self._write_down(event, f"unreadable-{event.digest}")
        log.error("message_unreadable", case_id=self.life.case_id, size=event.size, digest=event.digest)

    def _retry_tick(self, envelope: Envelope, outcome: Outcome) -> None:
        if self.tick_faults == 0 and outcome.error != STAFF_UNREADABLE:
            self._quarantine(envelope, outcome)
        wait = timedelta(minutes=min(2 ** min(self.tick_faults, 6), 60))
        self.tick_faults += 1
        log.error("tick_failed", case_id=self.life.case_id, fault=outcome.error, faults=self.tick_faults)
        self.wake_at = workflow.now() + wait

    def _answer(self, envelope: Envelope, outcome: Outcome) -> None:
        self.outcomes[outcome.command_id] = outcome
        while len(self.outcomes) > OUTCOMES_KEPT:
            del self.outcomes[next(iter(self.outcomes))]
        log.info(
            "command",
            case_id=self.life.case_id,
            command_id=outcome.command_id,
            actor=envelope.actor.subject,
            kind=outcome.kind,
            status=outcome.status,
            error=outcome.error,
        )
        labels = {"kind": outcome.kind, "status": outcome.status}
        meter = workflow.metric_meter().with_additional_attributes(labels)
        meter.create_counter("caseloom_commands", "Commands by kind and outcome").add(1)

    # -- the record: never in the way of a command -------------------------------------------------------

    async def _record(self) -> None:
        """Write what happened; when the database does not answer, go on and let it be caught up with.

        A normal activity, never a local one: it must not write before history has the decision, or a
        workflow task that is tried again would leave events on record that never happened (decision 0001).
        """
        if self.page.empty or self.catching_up is not None:
            return
        page = self.page
        try:
            await workflow.execute_activity_method(
                Recording.record,
                self._message(page),
                schedule_to_close_timeout=timedelta(seconds=10),
                start_to_close_timeout=timedelta(seconds=5),
                retry_policy=FAIL_FAST,
            )
        except FailureError:
            self._catch_up_if_behind()
        else:
            self.page = self.page.without(page)

    def _catch_up_if_behind(self) -> None:
        if not self.page.empty and self.catching_up is None:
            self.catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        while not self.page.empty:
            page = self.page
            await workflow.execute_activity_method(
                Recording.record,
                self._message(page),
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=NEVER_GIVE_UP,
            )
            self.page = self.page.without(page)
        self.catching_up = None

    def _message(self, page: Page) -> Message:
        return Message(tenant=self.life.tenant, case_id=self.life.case_id, page=page)

    # -- time ---------------------------------------------------------------------------------------------

    def _wakes(self) -> datetime:
        """When the case looks after itself next: at the time it decided on, and every month in any case."""
        latest = self.decided_at + HEARTBEAT
        return min(self.wake_at or latest, latest)

    async def _wait(self) -> None:
        """Wait for a message, or for the alarm; a full page waits for the database first."""
        if self.page.full:
            await workflow.wait_condition(lambda: not self.page.full)
        if self.inbox or self.unreadable:
            return
        self._set_alarm()
        await workflow.wait_condition(lambda: bool(self.inbox or self.unreadable) or self.rang or self._done())
        self.rang = False

    def _set_alarm(self) -> None:
        """One timer. One that rings too early is harmless and cheaper than two events for each command."""
        wakes = self._wakes()
        if self.alarm is not None and not self.alarm.done():
            if self.alarm_at is not None and self.alarm_at <= wakes:
                return
            self.alarm.cancel()
        self.alarm_at = wakes
        self.alarm = asyncio.create_task(self._ring(max(wakes - workflow.now(), SHORTEST_SLEEP)))

    async def _ring(self, after: timedelta) -> None:
        await workflow.sleep(after)
        self.rang = True

    # -- runs ---------------------------------------------------------------------------------------------

    def _done(self) -> bool:
        """A refused opening ends at once, a case when the window for reopening is over and all is recorded."""
        if self.inbox or self.unreadable or not self.page.empty:
            return False
        return self.case is None or self.case.sealed

    def _too_long(self) -> bool:
        info = workflow.info()
        length = info.get_current_history_length()
        return length >= self.life.history_events or info.is_continue_as_new_suggested()

    async def _go_on_as_new(self) -> None:
        """Continue as new between two messages. Callers are answered first, unless they never stop calling."""
        overdue = workflow.info().get_current_history_length() >= 4 * self.life.history_events
        if not overdue:
            if self.inbox or self.unreadable or self._done():
                return
            await workflow.wait_condition(workflow.all_handlers_finished)
            if self.inbox or self.unreadable:
                return
        if self.catching_up is not None:
            self.catching_up.cancel()
        left = self.life.changed(
            opening=None,
            case=self.case,
            inbox=tuple(self.inbox),
            outcomes=tuple(self.outcomes.values()),
            page=self.page,
            wake_at=self.wake_at,
            tick_faults=self.tick_faults,
        )
        workflow.continue_as_new(left)
