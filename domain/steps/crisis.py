"""Crisis and the safety plan. Nothing here replaces emergency services, and every answer says so."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event, Notice
from domain.case.open_parts import Crisis, SafetyPlan
from domain.clocks.budget import Budget, Unit
from domain.clocks.clock import ClockKind, WaitsFor
from domain.programs.policies import CrisisPolicy
from domain.promises.deadlines import (
    Promise,
    cancel_clock,
    keep_clock,
    rests_in_crisis,
    resume_clock,
    start_clock,
    stop_clock,
)
from domain.steps.contacts import ensure_contact
from domain.steps.risk_tier import ask_for_safety_plan
from domain.values import Instant, Invalid, Line, Opaque, Rejected, Slug, Text

EMERGENCY_FIRST = (
    "Emergency services come first: call 911 when anybody is in immediate danger; call or text 988, the Suicide "
    "and Crisis Lifeline, or the county line otherwise. Follow the person's own safety plan. This record alerts "
    "staff and never replaces a call."
)


class NoCrisis(Rejected):
    """There is no crisis in this case; raise-crisis opens one."""


class DispositionMissing(Rejected):
    """A crisis ends after its disposition is recorded."""


class UnknownDisposition(Invalid):
    """The programme does not know this disposition; the refusal lists those it has."""


class FollowUpTooLate(Invalid):
    """The follow-up after a crisis is after now and within the programme's time."""


class NoSafetyPlan(Rejected):
    """There is no safety plan to review; write one first."""


class CrisisRaised(Event):
    """The person is in a crisis: routine work rests, and people are told now."""

    kind: ClassVar[str] = "crisis-raised"

    crisis: Crisis
    description: Text
    immediate_danger: bool
    told: tuple[Opaque, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(crisis=self.crisis, numbered=case.numbered + 1)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _notices(self.told, f"crisis-{case.seq}", self.crisis.id)


class CrisisReported(Event):
    """Another report of the same crisis; people are told again, and a disposition made before counts no more."""

    kind: ClassVar[str] = "crisis-reported"

    crisis_id: Slug
    description: Text
    immediate_danger: bool
    told: tuple[Opaque, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(crisis=case.crisis.changed(disposition=None) if case.crisis else None)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _notices(self.told, f"crisis-{case.seq}", self.crisis_id)


class CrisisDisposed(Event):
    kind: ClassVar[str] = "crisis-disposed"

    crisis_id: Slug
    disposition: Slug
    note: Text

    def apply(self, case: Case, at: datetime) -> Case:
        crisis = case.crisis.changed(disposition=self.disposition) if case.crisis else None
        return case.changed(crisis=crisis)


class CrisisEnded(Event):
    kind: ClassVar[str] = "crisis-ended"

    crisis_id: Slug
    disposition: Slug
    note: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(crisis=None)


class SafetyPlanWritten(Event):
    """The person's safety plan: six steps after Stanley and Brown, and the reasons for living."""

    kind: ClassVar[str] = "safety-plan-written"

    version: int
    warning_signs: tuple[Line, ...]
    coping: tuple[Line, ...]
    distractions: tuple[Line, ...]
    people: tuple[Line, ...]
    professionals: tuple[Line, ...]
    environment: tuple[Line, ...]
    reasons_for_living: tuple[Line, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(safety_plan=SafetyPlan(version=self.version, reviewed_at=at))


class SafetyPlanReviewed(Event):
    kind: ClassVar[str] = "safety-plan-reviewed"

    note: Text

    def apply(self, case: Case, at: datetime) -> Case:
        plan = case.safety_plan.changed(reviewed_at=at) if case.safety_plan else None
        return case.changed(safety_plan=plan)


def _notices(told: tuple[Opaque, ...], key: str, about: str) -> tuple[Notice, ...]:
    return tuple(Notice(key=key, recipient=person, subject="crisis", about=about, urgent=True) for person in told)


def rules(draft: Draft) -> CrisisPolicy:
    """Raises `NotInProgram`."""
    if draft.program.crisis is None:
        draft.refuse(NotInProgram, "this programme has no crisis path; call emergency services")
    return draft.program.crisis


class RaiseCrisis(Command):
    """Raise a crisis: routine clocks rest with their time kept, crisis clocks run, people are told now.

    Emergency services come first; this records and alerts, and never replaces a call.
    """

    kind: ClassVar[str] = "raise-crisis"
    says: ClassVar[str] = "Raise a crisis"
    feed: ClassVar[bool] = True
    advice: ClassVar[str | None] = EMERGENCY_FIRST
    example: ClassVar[dict[str, Any]] = {"description": "Says she cannot go on", "immediate_danger": False}

    description: Text
    immediate_danger: bool = False

    def decide(self, draft: Draft) -> None:
        policy, case = rules(draft), draft.case
        told = tuple(person for person in draft.people(policy.tell) if person != draft.actor.subject)
        said = {"description": self.description, "immediate_danger": self.immediate_danger, "told": told}
        if case.crisis is not None:
            draft.happen(CrisisReported(crisis_id=case.crisis.id, **said))
            if case.crisis.disposition is not None:
                drop_end(draft, case.crisis)
                promise_response(draft, case.crisis, self.immediate_danger)
            elif self.immediate_danger:
                self._sooner(draft, case.crisis)
            return
        crisis = Crisis(id=draft.new_id("x"), since=draft.now)
        draft.happen(CrisisRaised(crisis=crisis, **said))
        draft.created.append(crisis.id)
        for clock in draft.case.running:
            if clock.pause is None and rests_in_crisis(draft.case, clock):
                stop_clock(draft, clock, "a crisis was raised", WaitsFor.CRISIS)
        promise_response(draft, crisis, self.immediate_danger)

    def _sooner(self, draft: Draft, crisis: Crisis) -> None:
        """It has become dangerous: who must respond has the shorter time, from now."""
        due = draft.deadline_of(rules(draft).in_danger)
        waited = [c for c in draft.case.running if c.kind is ClockKind.CRISIS and c.about == crisis.id]
        for clock in waited:
            if clock.missed_at is None and clock.due_at > due:
                cancel_clock(draft, clock, "immediate danger: a response is due sooner")
                promise_response(draft, crisis, in_danger=True)


def drop_end(draft: Draft, crisis: Crisis) -> None:
    """The crisis goes on: it has to be answered again before it can end."""
    for clock in draft.case.running:
        if clock.about == f"{crisis.id}/end":
            cancel_clock(draft, clock, "the crisis goes on")


def promise_response(draft: Draft, crisis: Crisis, in_danger: bool) -> None:
    policy = rules(draft)
    promise = Promise(kind=ClockKind.CRISIS, title="Respond to the crisis", about=crisis.id)
    start_clock(draft, promise, policy.respond, draft.now, policy.in_danger if in_danger else None)


class RecordDisposition(Command):
    """Record what was done in the crisis. This keeps the promise to respond."""

    kind: ClassVar[str] = "record-disposition"
    says: ClassVar[str] = "Record the disposition of a crisis"
    advice: ClassVar[str | None] = EMERGENCY_FIRST
    example: ClassVar[dict[str, Any]] = {"disposition": "safe-at-home", "note": "Sister stays the night"}

    disposition: Slug
    note: Text

    def decide(self, draft: Draft) -> None:
        crisis = _open_crisis(draft)
        known = rules(draft).dispositions
        if self.disposition not in known:
            draft.refuse(UnknownDisposition, f"give one of: {', '.join(known)}")
        draft.happen(CrisisDisposed(crisis_id=crisis.id, disposition=self.disposition, note=self.note))
        self._promise_end(draft, crisis)

    def _promise_end(self, draft: Draft, crisis: Crisis) -> None:
        """What rested rests until the crisis ends: somebody has to say that it does."""
        for clock in draft.case.running:
            if clock.kind is ClockKind.CRISIS and clock.about == crisis.id:
                keep_clock(draft, clock, draft.now)
        drop_end(draft, crisis)
        promise = Promise(
            kind=ClockKind.CRISIS, title="End the crisis, or answer it again", about=f"{crisis.id}/end"
        )
        start_clock(draft, promise, rules(draft).end, draft.now)


class EndCrisis(Command):
    """End the crisis: a follow-up is promised, the rested clocks go on, the safety plan is gone through."""

    kind: ClassVar[str] = "end-crisis"
    says: ClassVar[str] = "End a crisis"
    advice: ClassVar[str | None] = EMERGENCY_FIRST
    example: ClassVar[dict[str, Any]] = {"follow_up_by": "2030-06-30T17:00:00Z"}

    follow_up_by: Instant
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        crisis, policy = _open_crisis(draft), rules(draft)
        if crisis.disposition is None:
            draft.refuse(DispositionMissing, "send record-disposition first")
        within = _follow_up(draft, policy, self.follow_up_by)
        draft.happen(CrisisEnded(crisis_id=crisis.id, disposition=crisis.disposition, note=self.note))
        for clock in draft.case.running:
            if clock.about == f"{crisis.id}/end":
                keep_clock(draft, clock, draft.now)
            elif clock.pause is not None and clock.pause.open_end is WaitsFor.CRISIS:
                resume_clock(draft, clock)
        promise = Promise(
            kind=ClockKind.CRISIS, title="Follow up after the crisis", about=f"{crisis.id}/follow-up"
        )
        start_clock(draft, promise, policy.follow_up, draft.now, within)
        ask_for_safety_plan(draft, draft.now)
        ensure_contact(draft)


def _open_crisis(draft: Draft) -> Crisis:
    if draft.case.crisis is None:
        draft.refuse(NoCrisis, "there is no crisis in this case")
    return draft.case.crisis


def _follow_up(draft: Draft, policy: CrisisPolicy, by: datetime) -> Budget:
    """The time given for the follow-up. Raises `FollowUpTooLate`."""
    latest = draft.deadline_of(policy.follow_up.within)
    if not draft.now < by <= latest + timedelta(seconds=1):
        draft.refuse(FollowUpTooLate, f"give a time after now and not later than {latest:%Y-%m-%dT%H:%MZ}")
    return Budget(amount=int((by - draft.now).total_seconds()), unit=Unit.SECONDS)


class WriteSafetyPlan(Command):
    """Write the safety plan together with the person, or a new version of it. Every part is needed."""

    kind: ClassVar[str] = "write-safety-plan"
    says: ClassVar[str] = "Write the safety plan"
    advice: ClassVar[str | None] = EMERGENCY_FIRST
    example: ClassVar[dict[str, Any]] = {
        "warning_signs": ["Cannot sleep"],
        "coping": ["Walk the dog"],
        "distractions": ["The library"],
        "people": ["Her sister"],
        "professionals": ["988", "Clinic on call"],
        "environment": ["Medication locked away by her sister"],
        "reasons_for_living": ["Her daughter"],
    }

    warning_signs: tuple[Line, ...] = Field(min_length=1, max_length=20)
    coping: tuple[Line, ...] = Field(min_length=1, max_length=20)
    distractions: tuple[Line, ...] = Field(min_length=1, max_length=20)
    people: tuple[Line, ...] = Field(min_length=1, max_length=20)
    professionals: tuple[Line, ...] = Field(min_length=1, max_length=20)
    environment: tuple[Line, ...] = Field(min_length=1, max_length=20)
    reasons_for_living: tuple[Line, ...] = Field(min_length=1, max_length=20)

    def decide(self, draft: Draft) -> None:
        rules(draft)
        version = draft.case.safety_plan.version + 1 if draft.case.safety_plan else 1
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        draft.happen(SafetyPlanWritten(version=version, **parts))
        _keep_review(draft)


class ReviewSafetyPlan(Command):
    """Go through the safety plan with the person and find that it still holds."""

    kind: ClassVar[str] = "review-safety-plan"
    says: ClassVar[str] = "Review the safety plan"
    advice: ClassVar[str | None] = EMERGENCY_FIRST
    example: ClassVar[dict[str, Any]] = {"note": "Still right; the number of the clinic is new"}

    note: Text

    def decide(self, draft: Draft) -> None:
        if draft.case.safety_plan is None:
            draft.refuse(NoSafetyPlan, "send write-safety-plan first")
        draft.happen(SafetyPlanReviewed(note=self.note))
        _keep_review(draft)


def _keep_review(draft: Draft) -> None:
    for clock in draft.case.running:
        if clock.kind is ClockKind.SAFETY_PLAN:
            keep_clock(draft, clock, draft.now)
