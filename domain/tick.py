"""What happens when nobody acts: pauses end, promises are missed, ladders climbed, years go by."""

from typing import ClassVar

from domain.case.command import Command, Draft
from domain.clocks.clock import ONE_SECOND, Clock, ClockKind, Step
from domain.promises.deadlines import cancel_clock
from domain.promises.escalation import climb_due, lapse_again
from domain.steps.assessment import open_reassessment
from domain.steps.consent import lapse
from domain.steps.contacts import promise_contact
from domain.steps.ending import end_of_closed_case
from domain.steps.holds import resume_returned
from domain.steps.minutes import promise_month
from domain.steps.referrals import unanswered
from domain.steps.stratification import end_override


class Tick(Command):
    """Time has passed. Sent by the case to itself, by nobody else."""

    kind: ClassVar[str] = "tick"
    says: ClassVar[str] = "Notice that time has passed"
    when_closed: ClassVar[bool] = True

    def decide(self, draft: Draft) -> None:
        closure = draft.case.closure
        if closure is not None:
            climb_due(draft)  # what is owed of a closed case: the review of an emergency look
            end_of_closed_case(draft, closure)
            return
        for clock, step in climb_due(draft):
            self._follow(draft, clock, step)

    def _follow(self, draft: Draft, clock: Clock, step: Step | None) -> None:
        """What a step on a clock brings about elsewhere in the case."""
        if step is None and clock.kind is ClockKind.TASK and clock.pause is not None:
            resume_returned(draft, clock.id)
        if step is Step.EXPIRE and clock.kind is ClockKind.OVERRIDE:
            end_override(draft)
        if step is Step.EXPIRE and clock.kind is ClockKind.CONSENT:
            lapse(draft, clock)
        if step is Step.MISS and clock.kind is ClockKind.REFERRAL:
            unanswered(draft, clock.id)
        if step is Step.MISS and clock.kind is ClockKind.CONTACT:
            self._lapse(draft, clock)
            promise_contact(draft, clock.due_at)  # a missed contact never keeps the next one from being due
        if step is Step.MISS and clock.kind is ClockKind.MINUTES:
            promise_month(draft, clock)
        reassess = step is not None and clock.kind is ClockKind.REASSESSMENT
        if reassess and draft.case.reassessing_since is None:
            open_reassessment(draft, "due")

    def _lapse(self, draft: Draft, clock: Clock) -> None:
        """A cadence that lapses again is one escalation with its count, not one more."""
        contacts = [c for c in draft.case.running if c.kind is ClockKind.CONTACT and c.id != clock.id]
        missed = next((c for c in contacts if c.missed_at is not None), None)
        if missed is not None:
            cancel_clock(draft, draft.open_clock(clock.id), f"lapsed again: see {missed.escalation_id}")
            lapse_again(draft, missed, clock.due_at + ONE_SECOND)
