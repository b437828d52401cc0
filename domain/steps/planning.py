"""Planning: the care plan with its SMART goals, interventions, barriers and strengths."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.event import Event
from domain.case.plan_parts import KNOWN, PARTS, Barrier, Goal, Intervention, Plan, Problems, Proposed, Strengths
from domain.clocks.clock import ClockKind
from domain.programs.policies import PlanNeeds, PlanPolicy, Subject
from domain.programs.program import Model, NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, start_clock
from domain.steps.approvals import request, withdraw
from domain.steps.contacts import ensure_contact
from domain.steps.interventions import carry_out, give_up, promise_days
from domain.steps.minutes import promise_month
from domain.steps.plan_making import put_together
from domain.steps.stages import UNDER_PLAN, enter, set_back
from domain.values import Invalid, Line, Rejected, Text


class PlanExists(Rejected):
    """A plan was agreed before; revise it, so that the versions stay together."""


class NoPlanYet(Rejected):
    """There is no plan to revise; agree one first."""


class StrengthsMissing(Invalid):
    """A strengths-based programme takes stock of the person's strengths before goals are set."""


class VisitMissing(Rejected):
    """In a clinical programme somebody sees the person before the plan is agreed: log a visit first."""


class ReferralMissing(Invalid):
    """In a brokerage programme a plan holds at least one referral to a service."""


class ProposalOutdated(Rejected):
    """The plan was proposed for another state of the case; reject it, and have it proposed anew."""


class PlanProposed(Event):
    """A plan, or a change of it, waits for its approval. Until then the one before goes on, if there is one."""

    kind: ClassVar[str] = "plan-proposed"

    proposed: Proposed

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(proposed=self.proposed)


class PlanAgreed(Event):
    kind: ClassVar[str] = "plan-agreed"

    plan: Plan

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(plan=self.plan, signatures=(), proposed=None)


class PlanRevised(Event):
    kind: ClassVar[str] = "plan-revised"

    plan: Plan
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(plan=self.plan, signatures=(), proposed=None)


class PlanAmended(Event):
    """The plan was changed before anybody signed it; it stays the same version."""

    kind: ClassVar[str] = "plan-amended"

    plan: Plan

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(plan=self.plan, proposed=None)


def missing_signatures(case: Case, policy: PlanPolicy | None, now: datetime) -> list[str]:
    """Who has not signed the plan, or whose signature does not hold any more."""
    if policy is None or case.plan is None:
        return []
    held = {s.signer for s in case.signatures if s.expires_at > now}
    return [f"signature of the {signer.replace('-', ' ')}" for signer in policy.signatures if signer not in held]


def promise_what_a_plan_needs(draft: Draft, plan: Plan, before: Plan | None) -> None:
    """Signatures and the review of this version, instead of those of the last one; and the days of its parts."""
    policy = draft.program.plan
    promise_days(draft, plan, before)
    for clock in draft.case.running:
        if clock.of_plan and clock.kind is not ClockKind.REVIEW:
            cancel_clock(draft, clock, "replaced by a new version")
    if policy is None:
        return
    about = f"plan/{plan.version}"
    if missing_signatures(draft.case, policy, draft.now):
        promise = Promise(kind=ClockKind.SIGNATURE, title="Have the plan signed", about=about)
        start_clock(draft, promise, policy.sign, draft.now)
    else:
        promise_new_signatures(draft, plan, policy)
    review = Promise(kind=ClockKind.PLAN_REVIEW, title="Review the plan", about=about)
    start_clock(draft, review, policy.review, draft.now)


def promise_new_signatures(draft: Draft, plan: Plan, policy: PlanPolicy) -> None:
    """All have signed: it is signed again before the first of the signatures ends."""
    first = min((s.signed_at for s in draft.case.signatures), default=None)
    if first is not None:
        title = "Have the plan signed again before the signatures expire"
        promise = Promise(kind=ClockKind.SIGNATURE, title=title, about=f"plan/{plan.version}")
        start_clock(draft, promise, policy.sign, first, policy.valid_for)


def put_in_force_or_propose(draft: Draft, proposed: Proposed) -> None:
    """A plan that the programme wants approved waits for that; what was asked about another text is dropped."""
    withdraw(draft, Subject.PLAN)
    policy = draft.program.approvals.get(Subject.PLAN)
    if policy is None:
        put_plan_in_force(draft, proposed)
        return
    draft.happen(PlanProposed(proposed=proposed.changed(instead_of=draft.case.plan)))
    request(draft, Subject.PLAN, policy, None)


def approve_proposal(draft: Draft, proposed: Proposed) -> None:
    """Put a plan in force that was approved now. Raises `ProposalOutdated` where the case has moved on since."""
    case = draft.case
    draft.require_consent(NeedsConsent.PLANNING)
    stages = {"agree": (Stage.PLANNING,), "revise": (Stage.PLANNING, *UNDER_PLAN), "amend": UNDER_PLAN}
    signed = proposed.change == "amend" and bool(case.signatures)
    if case.stage not in stages[proposed.change] or _otherwise(case.plan, proposed.instead_of) or signed:
        draft.refuse(
            ProposalOutdated, "plan or stage have changed since it was proposed; reject it, and propose anew"
        )
    put_plan_in_force(draft, proposed.changed(plan=_carried(proposed, case.plan)))


def _otherwise(plan: Plan | None, proposed_for: Plan | None) -> bool:
    """Whether the plan has another text than the one that the proposal was made for."""
    if plan is None or proposed_for is None:
        return plan is not proposed_for
    return _carry(proposed_for, proposed_for, plan) != plan


def _carried(proposed: Proposed, plan: Plan | None) -> Plan:
    """The proposed plan with what was done and recorded while it waited."""
    if plan is None or proposed.instead_of is None:
        return proposed.plan
    return _carry(proposed.plan, proposed.instead_of, plan)


def _carry(onto: Plan, before: Plan, now: Plan) -> Plan:
    """A plan with what is known of its parts as it is now, where that is otherwise than it was before."""
    for collection in PARTS:
        for part in getattr(onto, collection):
            was, known = before.part(collection, part.id), now.part(collection, part.id)
            if was is None or known is None:
                continue
            news = {n: getattr(known, n) for n in KNOWN if getattr(known, n, None) != getattr(was, n, None)}
            onto = onto.with_part(collection, part.changed(**news)) if news else onto
    return onto


def put_plan_in_force(draft: Draft, proposed: Proposed) -> None:
    """From now on this plan holds: its interventions become tasks, its reviews and signatures are promised."""
    plan, before = proposed.plan, draft.case.plan
    if proposed.change == "amend":
        draft.happen(PlanAmended(plan=plan))
        promise_days(draft, plan, before)
        return
    if draft.case.stage is not Stage.PLANNING:
        set_back(draft, Stage.PLANNING, "plan changed")
    first = proposed.change == "agree"
    give_up(draft, plan, before)
    draft.happen(PlanAgreed(plan=plan) if first else PlanRevised(plan=plan, reason=proposed.reason or "revised"))
    _implement(draft, plan, before)


def _implement(draft: Draft, plan: Plan, before: Plan | None) -> None:
    """Turn the interventions into tasks and begin implementation, with the first contact promised."""
    enter(draft, Stage.IMPLEMENTATION, f"plan version {plan.version} agreed")
    carry_out(draft, plan)
    promise_what_a_plan_needs(draft, plan, before)
    promise_month(draft)
    ensure_contact(draft)


class AgreePlan(Command):
    """Agree the first care plan with the person. Each intervention becomes a task.

    Where the programme wants the plan approved, it is in force from the approval on, and not before.
    """

    kind: ClassVar[str] = "agree-plan"
    says: ClassVar[str] = "Agree the care plan"
    example: ClassVar[dict[str, Any]] = {
        "goals": [
            {
                "description": "Walk to the shop and back without help",
                "measure": "days a week",
                "target": "three",
                "due_on": "2030-06-30",
            }
        ],
        "interventions": [
            {"task": "medication-review"},
            {"task": "education", "title": "Teach about heart failure"},
        ],
        "barriers": [{"description": "No transport", "response": "Ride service booked by the clinic"}],
        "strengths": [{"description": "A daughter nearby"}],
    }

    goals: tuple[Goal, ...] = Field(min_length=1, max_length=50)
    interventions: tuple[Intervention, ...] = Field(min_length=1, max_length=50)
    barriers: tuple[Barrier, ...] = Field(default=(), max_length=50)
    strengths: Strengths = ()
    problems: Problems = ()
    preferences: tuple[Line, ...] = Field(default=(), max_length=50)

    def decide(self, draft: Draft) -> None:
        draft.require_stage(Stage.PLANNING)
        if draft.case.plan is not None:
            draft.refuse(PlanExists, "the case has a plan; send revise-plan")
        put_in_force_or_propose(draft, Proposed(plan=self.plan(draft, 1), change="agree"))

    def plan(self, draft: Draft, version: int) -> Plan:
        """The plan this command describes. Raises what the programme's model and its goals ask for."""
        draft.require_consent(NeedsConsent.PLANNING)
        self._check_model(draft)
        given = {name: getattr(self, name) for name in AgreePlan.model_fields}
        return put_together(draft, given, draft.case.plan, version)

    def _check_model(self, draft: Draft) -> None:
        """A strengths-based plan begins with strengths, a clinical one with a visit, brokerage with a referral."""
        needs = draft.program.plan.requires if draft.program.plan else ()
        strengths_based = draft.program.model is Model.STRENGTHS_BASED or PlanNeeds.STRENGTHS in needs
        if strengths_based and not self.strengths:
            draft.refuse(StrengthsMissing, "list at least one strength of the person")
        if PlanNeeds.VISIT in needs and draft.case.visited_at is None:
            draft.refuse(VisitMissing, "see the person, in person or by video, and log that contact")
        tasks = [draft.program.tasks.get(i.task) for i in self.interventions if i.task]
        if PlanNeeds.REFERRAL in needs and not any(t and t.category == "facilitation" for t in tasks):
            kinds = [name for name, task in draft.program.tasks.items() if task.category == "facilitation"]
            draft.refuse(ReferralMissing, f"add one of: {', '.join(kinds)}")


class RevisePlan(AgreePlan):
    """Agree a new version of the plan, whole, with the reason. A part with its id goes on; one left out ends."""

    kind: ClassVar[str] = "revise-plan"
    says: ClassVar[str] = "Revise the care plan"
    example: ClassVar[dict[str, Any]] = {**AgreePlan.example, "reason": "Coverage lost"}

    reason: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(Stage.PLANNING, *UNDER_PLAN)
        if draft.case.plan is None:
            draft.refuse(NoPlanYet, "send agree-plan first")
        plan = self.plan(draft, draft.case.plan.version + 1)
        put_in_force_or_propose(draft, Proposed(plan=plan, change="revise", reason=self.reason))
