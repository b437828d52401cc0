"""When the person cannot be reached: attempts, then a letter, then somebody decides. It runs by itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.dates import happened_at
from domain.case.event import Entry, Event, Timeline
from domain.case.open_parts import Tried, Unreached
from domain.clocks.budget import later
from domain.clocks.clock import Clock, ClockKind, Mode, Party
from domain.programs.policies import UnableToContact
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.promises.deeds import CONTACT_LOGGED, Contact, keep_if_done
from domain.promises.escalation import miss_if_late
from domain.steps.tasks import TaskCancelled, add_where_possible
from domain.values import Instant, Line, Rejected, Slug, Text

MOST_ATTEMPTS = 50


class NothingToDecide(Rejected):
    """The protocol has not come to its decision: attempts and the letter come first."""


class AttemptCounted(Event):
    """One more attempt that did not reach the person, and how far the protocol is."""

    kind: ClassVar[str] = "attempt-counted"

    unreached: Unreached

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(unreached=self.unreached)


class AttemptsRecounted(Event):
    """Entries about attempts were entered in error: how far the protocol is by what is left."""

    kind: ClassVar[str] = "attempts-recounted"

    unreached: Unreached | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(unreached=self.unreached)


class LetterSent(Event):
    """The letter is out; after the time it is given, somebody decides."""

    kind: ClassVar[str] = "letter-sent"

    answer_by: Instant
    unreached: Unreached

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(unreached=self.unreached)


class ReachedAgain(Event):
    """The person was reached: the protocol begins anew with the next attempt that fails."""

    kind: ClassVar[str] = "reached-again"

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(unreached=None)


class TryingGoesOn(Event):
    """Somebody decided to go on trying: the protocol begins anew with the next attempt that fails."""

    kind: ClassVar[str] = "trying-goes-on"

    note: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(unreached=None)


class MessageReceived(Event):
    """The person, or somebody for her, sent a message; it waits for an answer."""

    kind: ClassVar[str] = "message-received"

    channel: Line
    text: Text
    occurred_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        at = self.occurred_at or at
        return case.changed(reached_at=max(case.reached_at or at, at))


def count_attempt(draft: Draft, mode: str, at: datetime) -> None:
    """Count an attempt that did not reach the person; after the last one the letter's task opens.

    One made before the person was last reached is history, however late it is typed in.
    """
    policy, reached_at = draft.program.unable_to_contact, draft.case.reached_at
    if policy is None or (reached_at is not None and at < reached_at):
        return
    before = draft.case.unreached or Unreached()
    now = _counted(draft, before, (*before.tried, Tried(at=at, mode=mode)))
    letter = now.step == "trying" and _tried_enough(now, policy)
    draft.happen(AttemptCounted(unreached=now.changed(step="letter") if letter else now))
    if letter:
        _ask_for_letter(draft, policy)


def _ask_for_letter(draft: Draft, policy: UnableToContact) -> None:
    promise_decision(draft, policy, draft.now)
    add_where_possible(draft, policy.letter_task)


def recount(draft: Draft) -> None:
    """Count the attempts again from what stands on record, after a correction; letter and decision follow."""
    policy, before = draft.program.unable_to_contact, draft.case.unreached
    tried = _tried_on_record(draft.timeline)
    if policy is None or tried == (before.tried if before else ()):
        return
    now = _counted(draft, before or Unreached(), tried) if tried else None
    enough = now is not None and _tried_enough(now, policy)
    asked = before is not None and before.step != "trying"
    if asked and not enough:
        _take_back(draft, policy, "attempts were entered in error")
    step = (before.step if before and asked else "letter") if enough else "trying"
    draft.happen(AttemptsRecounted(unreached=now.changed(step=step) if now else None))
    if enough and not asked:
        _ask_for_letter(draft, policy)


def _tried_on_record(timeline: Timeline) -> tuple[Tried, ...]:
    """The attempts since the person was last reached, or somebody decided to go on trying, in their order."""
    found: list[Tried] = []
    reached_at: list[datetime] = []
    for entry in timeline.standing(CONTACT_LOGGED, MessageReceived.kind, TryingGoesOn.kind):
        if entry.kind == TryingGoesOn.kind:
            found.clear()
        elif entry.kind == MessageReceived.kind:
            reached_at.append(written_at(entry))
        elif (contact := Contact.model_validate(entry.data["contact"])).party is Party.PATIENT:
            if contact.reached:
                reached_at.append(contact.occurred_at)
            elif contact.mode is not Mode.LETTER:
                found.append(Tried(at=contact.occurred_at, mode=contact.mode))
    last = max(reached_at, default=None)
    return tuple(sorted((t for t in found if last is None or t.at >= last), key=lambda t: t.at))[-MOST_ATTEMPTS:]


def _counted(draft: Draft, before: Unreached, tried: Sequence[Tried]) -> Unreached:
    """The protocol with these attempts, in the order in which they were made; days are local."""
    kept = tuple(sorted(tried, key=lambda attempt: attempt.at))[-MOST_ATTEMPTS:]
    return before.changed(
        attempts=len(kept),
        tried=kept,
        days=tuple(sorted({draft.program.day_of(attempt.at) for attempt in kept})),
        modes=tuple(sorted({attempt.mode for attempt in kept})),
        last_at=kept[-1].at,
    )


def _tried_enough(unreached: Unreached, policy: UnableToContact) -> bool:
    enough = unreached.attempts >= policy.attempts
    return enough and len(unreached.days) >= policy.days and len(unreached.modes) >= policy.modes


def promise_decision(draft: Draft, policy: UnableToContact, since: datetime) -> None:
    """A decision is due when the letter has had its time; a letter that nobody sends does not put it off."""
    for clock in draft.case.running:
        if clock.kind is ClockKind.UNREACHED:
            cancel_clock(draft, clock, "the letter was sent")
    answer_by = later(since, policy.answer, draft.working, draft.program.zone)
    promise = Promise(kind=ClockKind.UNREACHED, title="Decide: go on trying, or close as unreachable")
    start_clock(draft, promise, policy.decision, answer_by)


def decision_due(draft: Draft) -> Clock | None:
    """The promise to decide, once the letter has had its time, whether or not anybody could send one."""
    promised = [c for c in draft.case.running if c.kind is ClockKind.UNREACHED]
    return next((clock for clock in promised if draft.now >= clock.anchor), None)


def letter_sent(draft: Draft, at: datetime) -> None:
    """The letter is sent: from the end of its time on, a decision is due."""
    policy, unreached = draft.program.unable_to_contact, draft.case.unreached
    if policy is None or unreached is None or unreached.step != "letter":
        return
    promise_decision(draft, policy, at)
    answer_by = later(at, policy.answer, draft.working, draft.program.zone)
    draft.happen(LetterSent(answer_by=answer_by, unreached=unreached.changed(step="waiting")))


def reached(draft: Draft, at: datetime) -> None:
    """The person was reached: the attempts before are over, and with them the letter and decision they led to."""
    unreached, policy = draft.case.unreached, draft.program.unable_to_contact
    if unreached is None or policy is None:
        return
    left = [attempt for attempt in unreached.tried if attempt.at > at]
    if left and len(left) == len(unreached.tried):
        return
    now = _counted(draft, Unreached(), left) if left else None
    if now is not None and _tried_enough(now, policy):
        draft.happen(AttemptCounted(unreached=now.changed(step=unreached.step)))
        return
    _take_back(draft, policy, "the person was reached")
    draft.happen(AttemptCounted(unreached=now) if now is not None else ReachedAgain())


def _take_back(draft: Draft, policy: UnableToContact, reason: str) -> None:
    """The letter is not owed any more, nor is the decision."""
    for clock in draft.case.running:
        if clock.kind is ClockKind.UNREACHED:
            cancel_clock(draft, clock, reason)
    for task in draft.case.open_tasks:
        if task.type == policy.letter_task:
            cancel_clock(draft, draft.open_clock(task.clock_id), reason)
            draft.happen(TaskCancelled(task_id=task.id, reason=reason))


def written_at(entry: Entry) -> datetime:
    """When a message was written; older entries say only when it was recorded."""
    said = entry.data.get("occurred_at")
    return datetime.fromisoformat(str(said)) if said else entry.at


def promise_reply(draft: Draft, since: datetime | None) -> None:
    """Promise an answer to a message of then. The oldest unanswered message is the one that counts."""
    policy = draft.program.reply
    answering = any(c.kind is ClockKind.REPLY for c in draft.case.running)
    if policy is None or since is None or answering:
        return
    started = start_clock(draft, Promise(kind=ClockKind.REPLY, title="Answer the person's message"), policy, since)
    if since < draft.now and not keep_if_done(draft, draft.open_clock(started)):
        miss_if_late(draft, draft.open_clock(started))


class KeepTrying(Command):
    """Decide to go on trying. To give up, close the case with the programme's reason for it."""

    kind: ClassVar[str] = "keep-trying"
    says: ClassVar[str] = "Decide to go on trying to reach the person"
    example: ClassVar[dict[str, Any]] = {"note": "A neighbour says she is back next week"}

    note: Text

    def decide(self, draft: Draft) -> None:
        clock = decision_due(draft)
        if clock is None:
            draft.refuse(NothingToDecide, "attempts, the letter and its time come first")
        keep_clock(draft, clock, draft.now)
        draft.happen(TryingGoesOn(note=self.note))


class ReceiveMessage(Command):
    """Record a message of the person; the promise to answer it begins."""

    kind: ClassVar[str] = "receive-message"
    says: ClassVar[str] = "Record a message of the person"
    feed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"channel": "portal", "text": "May I take both pills?"}

    channel: Slug
    text: Text
    occurred_at: Instant | None = Field(default=None, description="When it was written; left out: now")

    def decide(self, draft: Draft) -> None:
        policy = draft.program.reply
        if policy is None:
            draft.refuse(NotInProgram, "this programme promises no answer to messages")
        at = happened_at(draft, self.occurred_at)
        draft.happen(MessageReceived(channel=self.channel, text=self.text, occurred_at=at))
        reached(draft, at)  # who writes is not unreachable
        promise_reply(draft, at)
