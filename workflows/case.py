"""The durable life of one case: it keeps the time and the messages; the record decides (docs/decisions/0017).

Handlers only put messages into the inbox. One loop takes them one at a time, has each settled on the record, and
answers with what the record says. The run holds how far it knows the timeline and when to wake, nothing else of
the case, so nothing that it holds can contradict the record. This loop must stay replay-stable.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.workflow import HandlerUnfinishedPolicy

with workflow.unsafe.imports_passed_through():
    import hashlib

    from activities.settle import Message, Settled, Settling
    from domain.case.command import Envelope, Outcome
    from domain.case.quarantine import ReportUnreadable
    from domain.tick import Tick
    from domain.values import SYSTEM
    from workflows import messages
    from workflows.alarm import Alarm
    from workflows.messages import Life, Live, Waiting
    from workflows.preflight import count, refusal

OUTCOMES_KEPT = 200
MOST_WAITING = 500
HEARTBEAT = timedelta(days=30)
IN_THIS_TASK: Any = {
    "start_to_close_timeout": timedelta(seconds=3),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
UNTIL_THE_RECORD_ANSWERS: Any = {
    "start_to_close_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(backoff_coefficient=1.5, maximum_interval=timedelta(seconds=5)),
}


@workflow.defn(name=messages.CASE_WORKFLOW)
class CaseLife:
    """One case, from referral until the window for reopening is over."""

    @workflow.init
    def __init__(self, life: Life) -> None:
        self.life, self.known = life, life.known
        self.inbox = deque(life.inbox)
        if life.opening is not None:
            self.inbox.appendleft(life.opening)
        self.outcomes: dict[str, Outcome] = {}
        self.unreadable, self.tick_faults = life.unreadable, life.tick_faults
        self.wake_at, self.rings_at = life.wake_at, life.rings_at
        self.settled_at = workflow.now()
        self.begins, self.over, self.rung = True, False, False
        self.alarm = Alarm()

    @workflow.run
    async def run(self, life: Life) -> None:
        while not self._done():
            await self._wait()
            if (message := self._next()) is not None:
                settled = await self._settle(message)
                self._take_in(message, settled)
                for case_id in settled.others:
                    await self._ring(case_id)
            if self._too_long():
                await self._go_on_as_new()

    # -- what comes in ------------------------------------------------------------------------------------

    @workflow.update(name=messages.SUBMIT, unfinished_policy=HandlerUnfinishedPolicy.ABANDON)
    async def submit(self, envelope: Envelope) -> Outcome:
        """Take a command and answer with its outcome."""
        self._take(envelope)
        await workflow.wait_condition(lambda: envelope.command_id in self.outcomes)
        return self.outcomes[envelope.command_id]

    @submit.validator
    def _check(self, envelope: Envelope) -> None:
        """Refuse at no cost what would be refused, and everything while too much waits for the record."""
        if envelope.command_id in self.outcomes or self._waits(envelope.command_id):
            return
        if len(self.inbox) >= MOST_WAITING:
            raise ApplicationError("too many messages wait", type=messages.TOO_MANY_WAIT)
        knows = not self.inbox and self.known.seq >= envelope.seen
        if knows and (refused := refusal(envelope, self.known.head, workflow.now())):
            count(refused)
            raise ApplicationError("refused", refused.model_dump(mode="json"), type=messages.REFUSED)

    @workflow.signal(dynamic=True)
    def signalled(self, name: str, args: Sequence[RawValue]) -> None:
        """Take a command for which nobody waits, or the night watch's ring; set aside whatever else is sent.

        One handler for all signals: a typed one would fail the workflow task, for ever, on a signal with no
        argument or with two.
        """
        if name == messages.RING:
            self.rung = True
            return
        data = b"".join(raw.payload.data for raw in args)
        try:
            if name != messages.SUBMIT_LATER or len(args) != 1:
                raise ValueError
            self._take(Envelope.model_validate_json(data))
        except ValueError:
            self._take(self._report(data))

    @workflow.update(name=messages.LIVE)
    async def live(self) -> None:
        """How the run stands; its validator tells it."""

    @live.validator
    def _tell_live(self) -> None:
        known = dict(self.known)
        raise messages.told(Live(**known, wakes_at=self.wake_at, waiting=len(self.inbox)))

    @workflow.update(name=messages.WAITING)
    async def waiting(self, command_id: str) -> None:
        """Whether a command waits to be settled; its validator tells it."""

    @waiting.validator
    def _tell_waiting(self, command_id: str) -> None:
        raise messages.told(Waiting(status="waiting" if self._waits(command_id) else "not waiting"))

    def _waits(self, command_id: str) -> bool:
        return any(envelope.command_id == command_id for envelope in self.inbox)

    def _take(self, envelope: Envelope) -> None:
        if not self._waits(envelope.command_id):
            self.inbox.append(envelope)

    def _report(self, data: bytes) -> Envelope:
        """What cannot be read is settled like a command; run and number tell it from the same sent again."""
        self.unreadable += 1
        digest = hashlib.sha256(data).hexdigest()[:16]
        body: Any = {"size": len(data), "digest": digest}
        name = f"unreadable-{digest}-{workflow.info().run_id[:8]}-{self.unreadable}"
        return Envelope(command_id=name, kind=ReportUnreadable.kind, body=body, actor=SYSTEM)

    # -- the loop: one message at a time ------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait for a message, for a ring, or for the time at which the case asked to be woken."""
        if not self.inbox:
            self.alarm.set(self._rings())
            await workflow.wait_condition(lambda: bool(self.inbox) or self.rung or self.alarm.rang or self._done())

    def _next(self) -> Envelope | None:
        """The next message. What is overdue is noticed before a late command settles it."""
        self.alarm.rang = False
        if self.rung or workflow.now() >= self._wakes():
            self.rung = False
            return Envelope(command_id=f"tick-{self.known.seq}", kind=Tick.kind, body={}, actor=SYSTEM)
        return self.inbox[0] if self.inbox else None

    async def _settle(self, envelope: Envelope) -> Settled:
        """Have it settled within this task. Where the record does not answer, the engine asks until it does.

        Meanwhile nothing is decided and no history grows; who waits for an answer is told that it is queued.
        """
        message = Message(
            tenant=self.life.tenant,
            case_id=self.life.case_id,
            envelope=envelope,
            now=workflow.now(),
            known=self.known,
            again=self.tick_faults,
            begins=self.begins,
        )
        try:
            return await workflow.execute_local_activity_method(Settling.settle, message, **IN_THIS_TASK)
        except FailureError:
            return await workflow.execute_activity_method(Settling.settle, message, **UNTIL_THE_RECORD_ANSWERS)

    def _take_in(self, envelope: Envelope, settled: Settled) -> None:
        """Go on from what the record says, and let whoever sent the message be answered."""
        self.begins, self.settled_at = False, workflow.now()
        self.known, self.over = settled.known, settled.over
        self.wake_at, self.rings_at = settled.wake_at, settled.rings_at or settled.wake_at
        if not self.inbox or envelope is not self.inbox[0]:  # the loop's own tick
            self.tick_faults = self.tick_faults + 1 if settled.outcome.status == "failed" else 0
            return
        self.inbox.popleft()
        self.outcomes[envelope.command_id] = settled.outcome
        while len(self.outcomes) > OUTCOMES_KEPT:
            del self.outcomes[next(iter(self.outcomes))]

    async def _ring(self, case_id: str) -> None:
        """Let another case look at the record, where this one's command changed it."""
        name = workflow.info().workflow_id.removesuffix(self.life.case_id) + case_id
        with contextlib.suppress(FailureError):  # one that the engine has lost is found by the night watch
            await workflow.get_external_workflow_handle(name).signal(messages.RING)

    # -- time ---------------------------------------------------------------------------------------------

    def _wakes(self) -> datetime:
        """When the case looks after itself next: when the record says so, and every month in any case."""
        latest = self.settled_at + HEARTBEAT
        return min(self.wake_at or latest, latest)

    def _rings(self) -> datetime:
        """When it is woken for that, which may be a little later: see `deadlines.rings_at`."""
        return max(self._wakes(), min(self.rings_at or self._wakes(), self.settled_at + HEARTBEAT))

    # -- runs ---------------------------------------------------------------------------------------------

    def _done(self) -> bool:
        """A refused opening ends at once, a case when its window for reopening is over; all callers answered."""
        return self.over and not self.inbox and workflow.all_handlers_finished()

    def _too_long(self) -> bool:
        info = workflow.info()
        if info.is_continue_as_new_suggested() or info.is_target_worker_deployment_version_changed():
            return True
        return info.get_current_history_length() >= self.life.history_events

    async def _go_on_as_new(self) -> None:
        """Continue as new between two messages. Callers are answered first, unless they never stop calling."""
        if self.over:
            return
        if workflow.info().get_current_history_length() < 4 * self.life.history_events:
            if self.inbox:
                return
            await workflow.wait_condition(lambda: workflow.all_handlers_finished() or bool(self.inbox))
            if self.inbox:
                return
        left = self.life.changed(
            opening=None,
            known=self.known,
            wake_at=self.wake_at,
            rings_at=self.rings_at,
            inbox=tuple(self.inbox),
            unreadable=self.unreadable,
            tick_faults=self.tick_faults,
        )
        versioned = workflow.info().get_current_deployment_version() is not None
        upgrade = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE if versioned else None
        workflow.continue_as_new(left, initial_versioning_behavior=upgrade)
