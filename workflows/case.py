"""The durable life of one case.

Handlers only put messages into the inbox; one loop takes them one at a time: decide, apply, record, answer.
So there are no locks, and the commands of a case are strictly ordered. What must stay replay-stable is
this loop and the events' `apply`; everything else is decided in activities and remembered by history.
"""

from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.workflow import HandlerUnfinishedPolicy

with workflow.unsafe.imports_passed_through():
    import hashlib

    import structlog

    from activities.decide import STAFF_UNREADABLE, Deciding, Question, hold
    from activities.record import Recalled
    from activities.settle import Settled, Settling
    from domain.command import Decision, Envelope, Outcome
    from domain.decide import failed
    from domain.event import Entry, Event
    from domain.quarantine import CaseRestored, CommandQuarantined, MessageUnreadable
    from domain.record import Page
    from domain.values import SYSTEM
    from workflows import messages
    from workflows.alarm import Alarm
    from workflows.ledger import FAIL_FAST, Ledger
    from workflows.messages import Answer, Life, Live
    from workflows.preflight import refusal
    from workflows.witness import say, tell

log = structlog.get_logger()

OUTCOMES_KEPT = 200
MOST_A_TURN = 20
HEARTBEAT = timedelta(days=30)
DECIDE_TRIES, LONGEST_WAIT = 3, {1: 60, 2: 10}  # minutes, by loop, until a rule that was put right is tried
SET_ASIDE = ("message-unreadable", "command-quarantined", "case-restored")


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
        self.ledger = Ledger(life)
        self.wake_at, self.rings_at = life.wake_at, life.rings_at or life.wake_at
        self.tick_faults = life.tick_faults
        self.decided_at = workflow.now()
        self.ticks = 0
        self.alarm = Alarm()

    @workflow.run
    async def run(self, life: Life) -> None:
        self.ledger.catch_up_if_behind()
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
        if self.ledger.page.full:
            raise ApplicationError("the record is too far behind", type=messages.RECORD_BEHIND)
        if not self.inbox and not self.ledger.ahead and (refused := refusal(envelope, self.case, workflow.now())):
            raise ApplicationError("refused", refused.model_dump(mode="json"), type=messages.REFUSED)

    @workflow.signal(name=messages.FOLLOW_RECORD)
    def follow_record(self) -> None:
        """An operator found that the record has more than this run: read it before anything else is decided."""
        if self.ledger.page.empty:  # else catching up finds it out, and nothing that waits for it is lost
            self.ledger.ahead = True

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

    @workflow.update(name=messages.LIVE)
    async def live(self) -> None:
        """How the case stands; its validator tells it."""

    @live.validator
    def _tell_live(self) -> None:
        if self.ledger.ahead:
            raise ApplicationError("the case reads the record", type=messages.RECORD_AHEAD)
        raise messages.told(Live(case=self.case, unrecorded=len(self.ledger.page.entries)))

    @workflow.update(name=messages.ANSWER)
    async def answer(self, command_id: str) -> None:
        """What became of a command; its validator tells it."""

    @answer.validator
    def _tell_answer(self, command_id: str) -> None:
        if command_id in self.outcomes:
            raise messages.told(Answer(status="done", outcome=self.outcomes[command_id]))
        raise messages.told(Answer(status="waiting" if self._fingerprint(command_id) else "unknown"))

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
        """Settle what has come so far, one by one, and record what is left over."""
        if self.ledger.ahead:
            await self._follow_record()
        while self.unreadable:
            self._set_aside(self.unreadable.popleft())
        if self.case is not None and workflow.now() >= self._wakes():
            await self._tick()  # first: what is overdue is noticed before a late command settles it
        if self.life.loop == 1:
            await self._together()
            return
        for _ in range(MOST_A_TURN):
            if not self.inbox or self.ledger.ahead:
                break
            await self._one_by_one(self.inbox[0])
        await self.ledger.write()

    async def _one_by_one(self, envelope: Envelope) -> None:
        """Settle a command and answer it. Nothing of it holds when the record turns out to know better."""
        outcome = await self._handle(envelope)
        if self.ledger.ahead:
            return
        self._answer(envelope, outcome)
        self.inbox.popleft()

    async def _together(self) -> None:
        """The first release's turn: decide all, record together, then answer. Its runs end as they began."""
        batch = list(self.inbox)[:MOST_A_TURN]
        answers = [await self._handle(envelope) for envelope in batch]
        await self.ledger.write()
        if self.ledger.ahead:
            return
        for envelope, outcome in zip(batch, answers, strict=True):
            self._answer(envelope, outcome)
            self.inbox.popleft()

    async def _handle(self, envelope: Envelope) -> Outcome:
        decision = await self._decide(envelope)
        if decision.outcome.status == "failed":
            self._quarantine(envelope, decision.outcome)
        self._take_in(decision, envelope)
        self.wake_at, self.rings_at = decision.wake_at, decision.rings_at or decision.wake_at
        return decision.outcome

    def _take_in(self, decision: Decision, answers: Envelope | None = None) -> None:
        """Fold what happened; keep on the page what the record does not have."""
        written = decision.written if isinstance(decision, Settled) else "no"
        self.ledger.ahead = self.ledger.ahead or written == "ahead"
        for entry in decision.entries:
            self._happen(entry, written)
        if written == "yes":
            self.ledger.on_record()
        elif answers is not None:
            self.ledger.answered(answers, decision.outcome)
        if isinstance(decision, Settled) and written == "no":
            self.ledger.catch_up_if_behind()  # it is away: the commands behind this one need not wait for it

    async def _tick(self) -> None:
        self.ticks += 1
        envelope = Envelope(command_id=self._tick_id(), kind="tick", body={}, actor=SYSTEM)
        decision = await self._decide(envelope)
        self._take_in(decision)
        if decision.outcome.status != "applied":
            self._retry_tick(envelope, decision.outcome)
        else:
            self.tick_faults = 0
            self.wake_at, self.rings_at = decision.wake_at, decision.rings_at or decision.wake_at

    def _tick_id(self) -> str:
        return f"tick-{workflow.info().run_id[-12:]}-{self.ticks}"

    async def _decide(self, envelope: Envelope) -> Decision:
        now = self.decided_at = workflow.now()
        for attempt in range(1, DECIDE_TRIES + 1):
            if self.case is not None and not workflow.unsafe.is_replaying():
                hold(workflow.info().run_id, self.case)
            try:
                return await self._ask(self._question(envelope, now))
            except FailureError:
                await workflow.sleep(attempt)
        return failed(envelope, self.case, workflow.now(), "DecisionTimedOut")

    def _question(self, envelope: Envelope, now: datetime) -> Question:
        return Question(
            envelope=envelope,
            held=workflow.info().run_id if self.case is not None else None,
            now=now,
            tenant=self.life.tenant,
            case_id=self.life.case_id,
            page=self.ledger.writes_now,
            by=self.ledger.this_task(),
        )

    async def _ask(self, question: Question) -> Decision:
        """The decision; runs of the first release decide here and record later."""
        limits: Any = {"start_to_close_timeout": timedelta(seconds=10), "retry_policy": FAIL_FAST}
        if self.life.loop == 1:
            return await workflow.execute_local_activity_method(Deciding.decide, question, **limits)
        return await workflow.execute_local_activity_method(Settling.settle, question, **limits)

    def _happen(self, entry: Entry, written: str = "no") -> None:
        before, self.case = self.case, entry.apply(self.case)
        if written != "ahead":
            tell(self.life.case_id, entry)
        if written != "yes":
            self.ledger.told(before, entry)
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
        wait = timedelta(minutes=min(2 ** min(self.tick_faults, 6), LONGEST_WAIT[self.life.loop]))
        self.tick_faults += 1
        log.error("tick_failed", case_id=self.life.case_id, fault=outcome.error, faults=self.tick_faults)
        self.wake_at = self.rings_at = workflow.now() + wait

    def _remember(self, outcome: Outcome) -> None:
        self.outcomes[outcome.command_id] = outcome
        while len(self.outcomes) > OUTCOMES_KEPT:
            del self.outcomes[next(iter(self.outcomes))]

    def _answer(self, envelope: Envelope, outcome: Outcome) -> None:
        self._remember(outcome)
        tell(self.life.case_id, outcome)
        say(self.life.case_id, envelope.actor, outcome)

    async def _follow_record(self) -> None:
        """Go on from the case as the record has it: what is on record was answered, or may have been read.

        What this run has decided since is dropped. Commands that the record does not know are decided again, those
        first that were answered while it was away; what was set aside meanwhile is set aside again.
        """
        page, kept, agreed = self.ledger.page, self.ledger.kept, self.ledger.agreed(self.case)
        recalled = await self.ledger.recall((*kept, *(e.command_id for e in self.inbox)), agreed)
        again = {**kept, **{envelope.command_id: envelope for envelope in self.inbox}}  # some came meanwhile
        for entry in recalled.entries:
            tell(self.life.case_id, entry)
        known = {outcome.command_id for outcome in recalled.outcomes}
        for outcome in sorted(recalled.outcomes, key=lambda o: o.command_id in again):
            self._remember(outcome)
        for command_id in set(kept) - known:
            self.outcomes.pop(command_id, None)
        self.inbox = deque(envelope for command_id, envelope in again.items() if command_id not in known)
        self.case, self.wake_at, self.rings_at = recalled.case, recalled.wake_at, recalled.wake_at
        self._say_again(page, recalled)
        others = {entry.command_id for entry in recalled.entries} - set(again)
        others = {name for name in others if not name.startswith(("tick-", "unreadable-", "restored"))}
        log.warning("record_followed", case_id=self.life.case_id, others=len(others))
        if others and not self.ledger.lost_task(recalled.written_by):
            self._write_down(CaseRestored(others=len(others)), "restored")

    def _say_again(self, page: Page, recalled: Recalled) -> None:
        """What the dropped page had set aside and the record has not."""
        there = Counter((entry.kind, entry.command_id) for entry in recalled.entries)
        for entry in page.entries:
            if entry.kind not in SET_ASIDE or self._fingerprint(entry.command_id):
                continue  # what is decided again is set aside again if need be
            if there[entry.kind, entry.command_id] > 0:
                there[entry.kind, entry.command_id] -= 1
            else:
                self._write_down(entry.event, entry.command_id)

    # -- time ---------------------------------------------------------------------------------------------

    def _wakes(self) -> datetime:
        """When the case looks after itself next: at the time it decided on, and every month in any case."""
        latest = self.decided_at + HEARTBEAT
        return min(self.wake_at or latest, latest)

    async def _wait(self) -> None:
        """Wait for a message, or for the alarm; a full page waits for the database first."""
        if self.ledger.page.full:
            await workflow.wait_condition(lambda: not self.ledger.page.full or self.ledger.ahead)
        if self._something_came():
            return
        self.alarm.set(self._rings())
        await workflow.wait_condition(lambda: self._something_came() or self.alarm.rang or self._done())
        self.alarm.rang = False

    def _something_came(self) -> bool:
        return bool(self.inbox or self.unreadable) or self.ledger.ahead

    def _rings(self) -> datetime:
        """When it is woken for that, which may be a little later: see `deadlines.rings_at`."""
        return max(self._wakes(), min(self.rings_at or self._wakes(), self.decided_at + HEARTBEAT))

    # -- runs ---------------------------------------------------------------------------------------------

    def _done(self) -> bool:
        """A refused opening ends at once, a case when the window for reopening is over and all is recorded."""
        if self._something_came() or not self.ledger.page.empty:
            return False
        return self.case is None or self.case.sealed

    def _too_long(self) -> bool:
        info = workflow.info()
        length = info.get_current_history_length()
        if info.is_continue_as_new_suggested() or info.is_target_worker_deployment_version_changed():
            return True
        return length >= self.life.history_events

    async def _go_on_as_new(self) -> None:
        """Continue as new between two messages. Callers are answered first, unless they never stop calling."""
        overdue = workflow.info().get_current_history_length() >= 4 * self.life.history_events
        if not overdue:
            if self.inbox or self.unreadable or self._done():
                return
            await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._something_came())
            if self._something_came():
                return
        self.ledger.leave_off()
        left = self.life.changed(
            opening=None,
            case=self.case,
            inbox=tuple(self.inbox),
            outcomes=tuple(self.outcomes.values()),
            page=self.ledger.page,
            wake_at=self.wake_at,
            rings_at=self.rings_at,
            tick_faults=self.tick_faults,
            loop=messages.LOOP,
            before=self.life.before + workflow.info().get_current_history_length(),
            kept=tuple(self.ledger.kept.values()),
        )
        versioned = workflow.info().get_current_deployment_version() is not None
        upgrade = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE if versioned else None
        workflow.continue_as_new(left, initial_versioning_behavior=upgrade)
