"""The life of a plan after it was agreed: goals and how they go, amendments, signatures, reviews."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.case.open_parts import Achievement, Barrier, Goal, Plan, Proposed, Signature
from domain.clocks.budget import deadline
from domain.clocks.clock import ClockKind
from domain.programs.policies import PlanPolicy, Signer
from domain.programs.program import Model, NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.planning import (
    NoPlanYet,
    StrengthsMissing,
    check_barriers,
    check_goals,
    missing_signatures,
    promise_new_signatures,
    put_in_force_or_propose,
)
from domain.steps.stages import UNDER_PLAN
from domain.values import Instant, Invalid, Line, Rejected, Text

RENEWABLE = timedelta(days=30)  # how long before it expires a signature may be given anew


class UnknownGoal(Invalid):
    """The plan has no goal of this number."""


class PlanLocked(Rejected):
    """The plan is signed; a change makes a new version: send revise-plan."""


class SignatureNotAsked(Invalid):
    """The programme does not ask this person to sign; the refusal lists whom it asks."""


class AlreadySigned(Rejected):
    """This version is signed by this person, and the signature still holds."""


class GoalProgressed(Event):
    """How a goal goes, in FHIR's achievement status. `goal` counts from 1."""

    kind: ClassVar[str] = "goal-progressed"

    goal: int
    achievement: Achievement
    note: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        if case.plan is None:
            return case
        goals = list(case.plan.goals)
        goals[self.goal - 1] = goals[self.goal - 1].changed(achievement=self.achievement)
        return case.changed(plan=case.plan.changed(goals=tuple(goals)))


class PlanSigned(Event):
    kind: ClassVar[str] = "plan-signed"

    version: int
    signature: Signature

    def apply(self, case: Case, at: datetime) -> Case:
        others = tuple(s for s in case.signatures if s.signer is not self.signature.signer)
        return case.changed(signatures=(*others, self.signature))


class PlanReviewed(Event):
    kind: ClassVar[str] = "plan-reviewed"

    version: int
    note: Text
    reviewed_at: Instant


def plan_of(draft: Draft) -> Plan:
    """Raises `NoPlanYet`."""
    if draft.case.plan is None:
        draft.refuse(NoPlanYet, "agree a plan first")
    return draft.case.plan


def rules(draft: Draft) -> PlanPolicy:
    """Raises `NotInProgram`."""
    if draft.program.plan is None:
        draft.refuse(NotInProgram, "this programme asks for no signatures or reviews of the plan")
    return draft.program.plan


class RecordGoalProgress(Command):
    """Say how a goal goes. A goal that is reached asks for a review of the plan."""

    kind: ClassVar[str] = "record-goal-progress"
    says: ClassVar[str] = "Record how a goal goes"
    example: ClassVar[dict[str, Any]] = {"goal": 1, "achievement": "improving", "note": "Two days a week"}

    goal: int = Field(ge=1, le=50)
    achievement: Achievement
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        plan = plan_of(draft)
        draft.require_consent(NeedsConsent.PLANNING)
        if self.goal > len(plan.goals):
            draft.refuse(UnknownGoal, f"the plan has {len(plan.goals)} goals")
        draft.happen(GoalProgressed(goal=self.goal, achievement=self.achievement, note=self.note))
        if self.achievement is Achievement.ACHIEVED and draft.program.plan is not None:
            bring_review_forward(draft, plan)


def bring_review_forward(draft: Draft, plan: Plan) -> None:
    """A goal is reached: the plan is reviewed sooner, and never later than promised."""
    within = rules(draft).on_goal_met.within
    sooner = draft.deadline_of(within)
    promised = [c for c in draft.case.running if c.kind is ClockKind.PLAN_REVIEW]
    if any(clock.missed_at is not None or clock.due_at <= sooner for clock in promised):
        return
    for clock in promised:
        cancel_clock(draft, clock, "a goal is reached: reviewed sooner")
    promise_review(draft, plan, goal_met=True)


def promise_review(draft: Draft, plan: Plan, goal_met: bool = False) -> None:
    """Promise the next review of the plan, sooner where a goal was reached."""
    policy = rules(draft)
    promise = Promise(kind=ClockKind.PLAN_REVIEW, title="Review the plan", about=f"plan/{plan.version}")
    start_clock(draft, promise, policy.on_goal_met if goal_met else policy.review, draft.now)


class AmendPlan(Command):
    """Change goals, barriers, strengths, problems or preferences of a plan that nobody has signed yet."""

    kind: ClassVar[str] = "amend-plan"
    says: ClassVar[str] = "Amend the unsigned plan"
    example: ClassVar[dict[str, Any]] = {
        "barriers": [{"description": "Stairs", "response": "A room downstairs", "review_on": "2030-06-30"}]
    }

    goals: tuple[Goal, ...] | None = Field(default=None, min_length=1, max_length=50)
    barriers: tuple[Barrier, ...] | None = Field(default=None, max_length=50)
    strengths: tuple[Line, ...] | None = Field(default=None, max_length=50)
    problems: tuple[Line, ...] | None = Field(default=None, max_length=50)
    preferences: tuple[Line, ...] | None = Field(default=None, max_length=50)

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*UNDER_PLAN)
        draft.require_consent(NeedsConsent.PLANNING)
        plan = plan_of(draft)
        if draft.case.signatures:
            draft.refuse(PlanLocked, f"version {plan.version} is signed; send revise-plan")
        if self.goals is not None:
            check_goals(draft, self.goals)
        check_barriers(draft, self.barriers or ())
        if self.strengths == () and draft.program.model is Model.STRENGTHS_BASED:
            draft.refuse(StrengthsMissing, "list at least one strength of the person")
        given = {name: value for name, value in self if value is not None}
        put_in_force_or_propose(draft, Proposed(plan=plan.changed(**given), change="amend"))


class SignPlan(Command):
    """Record a signature under the plan. With the last one asked for, the plan is signed until they expire."""

    kind: ClassVar[str] = "sign-plan"
    says: ClassVar[str] = "Sign the plan"
    example: ClassVar[dict[str, Any]] = {"signer": "patient"}

    signer: Signer
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")

    def decide(self, draft: Draft) -> None:
        plan, policy = plan_of(draft), rules(draft)
        signed_at = happened_at(draft, self.occurred_at)
        draft.require_consent(NeedsConsent.PLANNING)
        if self.signer not in policy.signatures:
            draft.refuse(SignatureNotAsked, f"asked for: {', '.join(policy.signatures) or 'nobody'}")
        renewable = draft.now + RENEWABLE
        if any(s.signer is self.signer and s.expires_at > renewable for s in draft.case.signatures):
            draft.refuse(AlreadySigned, f"version {plan.version} is signed by the {self.signer}")
        expires = deadline(signed_at, policy.valid_for, 0, draft.working, draft.program.zone)
        signature = Signature(signer=self.signer, signed_at=signed_at, expires_at=expires)
        draft.happen(PlanSigned(version=plan.version, signature=signature))
        if not missing_signatures(draft.case, policy, draft.now):
            self._all_signed(draft, plan, policy, signed_at)

    def _all_signed(self, draft: Draft, plan: Plan, policy: PlanPolicy, signed_at: datetime) -> None:
        for clock in draft.case.running:
            if clock.kind is ClockKind.SIGNATURE:
                keep_clock(draft, clock, signed_at)
        promise_new_signatures(draft, plan, policy)


class ReviewPlan(Command):
    """Go through the plan and its barriers and find that it holds; what has changed is a revision instead."""

    kind: ClassVar[str] = "review-plan"
    says: ClassVar[str] = "Review the plan"
    example: ClassVar[dict[str, Any]] = {"note": "Both goals are on their way"}

    note: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*UNDER_PLAN)
        draft.require_consent(NeedsConsent.PLANNING)
        plan = plan_of(draft)
        rules(draft)
        draft.happen(PlanReviewed(version=plan.version, note=self.note, reviewed_at=draft.now))
        for clock in draft.case.running:
            if clock.of_plan and clock.kind is not ClockKind.SIGNATURE:
                keep_clock(draft, clock, draft.now)
        promise_review(draft, plan)
