"""The life of a plan after it was agreed: goals and how they go, amendments, signatures, reviews."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.case.open_parts import Signature
from domain.case.plan_parts import PARTS, Achievement, Barrier, Goal, Plan, Problems, Proposed, Strengths
from domain.clocks.budget import deadline
from domain.clocks.clock import Clock, ClockKind
from domain.programs.policies import PlanPolicy, Signer
from domain.programs.program import Model, NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.contacts import ensure_contact
from domain.steps.minutes import promise_month
from domain.steps.plan_making import put_together
from domain.steps.planning import (
    NoPlanYet,
    StrengthsMissing,
    missing_signatures,
    promise_new_signatures,
    put_in_force_or_propose,
)
from domain.steps.stages import ACTIVE, UNDER_PLAN, enter, leave_implementation_when_done
from domain.values import Instant, Invalid, Line, Rejected, Slug, Text

RENEWABLE = timedelta(days=30)  # how long before it expires a signature may be given anew


class UnknownGoal(Invalid):
    """The plan has no goal of this id; the refusal lists those it has."""


class PlanLocked(Rejected):
    """The plan is signed; a change makes a new version: send revise-plan."""


class SignatureNotAsked(Invalid):
    """The programme does not ask this person to sign; the refusal lists whom it asks."""


class AlreadySigned(Rejected):
    """This version is signed by this person, and the signature still holds."""


class GoalProgressed(Event):
    """How a goal goes, in FHIR's achievement status. In 0.4 `goal` was its place in the plan, from 1."""

    kind: ClassVar[str] = "goal-progressed"

    goal: Slug | int
    description: Text | None = None
    achievement: Achievement
    note: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        plan = case.plan
        if plan is None:
            return case
        goals = tuple(
            goal.changed(achievement=self.achievement) if self.goal in (goal.id, n) else goal
            for n, goal in enumerate(plan.goals, 1)
        )
        return case.changed(plan=plan.changed(goals=goals))


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
    example: ClassVar[dict[str, Any]] = {"goal": "g1", "achievement": "improving", "note": "Two days a week"}

    goal: Slug
    achievement: Achievement
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        plan = plan_of(draft)
        draft.require_consent(NeedsConsent.PLANNING)
        goal = plan.part("goals", self.goal)
        if goal is None:
            draft.refuse(UnknownGoal, f"the plan has: {', '.join(g.id for g in plan.goals if g.id)}")
        said = {"goal": self.goal, "achievement": self.achievement, "note": self.note}
        draft.happen(GoalProgressed(**said, description=goal.description))
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
    strengths: Strengths | None = None
    problems: Problems | None = None
    preferences: tuple[Line, ...] | None = Field(default=None, max_length=50)

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*UNDER_PLAN)
        draft.require_consent(NeedsConsent.PLANNING)
        plan = plan_of(draft)
        if draft.case.signatures:
            draft.refuse(PlanLocked, f"version {plan.version} is signed; send revise-plan")
        if self.strengths == () and draft.program.model is Model.STRENGTHS_BASED:
            draft.refuse(StrengthsMissing, "list at least one strength of the person")
        said = {name: getattr(plan, name) for name in (*PARTS, "preferences")}
        given = {**said, **{name: value for name, value in self if value is not None}}
        amended = put_together(draft, given, plan, plan.version)
        put_in_force_or_propose(draft, Proposed(plan=amended, change="amend"))


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
    """Go through the plan and its barriers and find that it holds; what has changed is a revision instead.

    Version and signatures stay. After a reassessment that changed nothing this leads on from planning.
    """

    kind: ClassVar[str] = "review-plan"
    says: ClassVar[str] = "Review the plan"
    example: ClassVar[dict[str, Any]] = {"note": "Both goals are on their way"}

    note: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.PLANNING)
        plan = plan_of(draft)
        rules(draft)
        draft.happen(PlanReviewed(version=plan.version, note=self.note, reviewed_at=draft.now))
        for clock in draft.case.running:
            if clock.of_plan and (clock.kind is ClockKind.PLAN_REVIEW or self._is_looked_at(draft, clock)):
                keep_clock(draft, clock, draft.now)
        promise_review(draft, plan)
        if draft.case.stage is Stage.PLANNING and draft.case.proposed is None:
            enter(draft, Stage.IMPLEMENTATION, f"plan version {plan.version} holds")
            promise_month(draft)
            ensure_contact(draft)
            leave_implementation_when_done(draft)

    def _is_looked_at(self, draft: Draft, clock: Clock) -> bool:
        """Whether a part's day has come: one that is promised for a later day is looked at then."""
        return clock.kind is ClockKind.REVIEW and clock.due_at.astimezone(clock.tz).date() <= draft.today
