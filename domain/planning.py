"""Planning: the care plan with its SMART goals, interventions, barriers and strengths."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from domain.case import Barrier, Case, Goal, Intervention, Plan
from domain.command import Command, Draft
from domain.contacts import ensure_contact
from domain.event import Event
from domain.program import Model, NeedsConsent, Stage
from domain.stages import UNDER_PLAN, enter, set_back
from domain.tasks import add_task
from domain.values import Invalid, Line, Rejected, Text


class PlanExists(Rejected):
    """A plan was agreed before; revise it, so that the versions stay together."""


class NoPlanYet(Rejected):
    """There is no plan to revise; agree one first."""


class GoalNotSmart(Invalid):
    """A goal is due after today; the refusal says which one is not."""


class StrengthsMissing(Invalid):
    """A strengths-based programme takes stock of the person's strengths before goals are set."""


class PlanAgreed(Event):
    plan: Plan

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(plan=self.plan)


class PlanRevised(Event):
    plan: Plan
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(plan=self.plan)


class AgreePlan(Command):
    """Agree the first care plan with the person. Each intervention becomes a task."""

    kind: ClassVar[str] = "agree-plan"
    says: ClassVar[str] = "Agree the care plan"

    goals: tuple[Goal, ...] = Field(min_length=1, max_length=50)
    interventions: tuple[Intervention, ...] = Field(min_length=1, max_length=50)
    barriers: tuple[Barrier, ...] = Field(default=(), max_length=50)
    strengths: tuple[Line, ...] = Field(default=(), max_length=50)

    def decide(self, draft: Draft) -> None:
        draft.require_stage(Stage.PLANNING)
        if draft.case.plan is not None:
            draft.refuse(PlanExists, "the case has a plan; send revise-plan")
        plan = self.plan(draft, 1)
        draft.happen(PlanAgreed(plan=plan))
        self.carry_out(draft, plan)

    def plan(self, draft: Draft, version: int) -> Plan:
        """The plan this command describes. Raises `GoalNotSmart`, `StrengthsMissing`, `ConsentMissing`."""
        draft.require_consent(NeedsConsent.PLANNING)
        today = draft.now.astimezone(draft.program.zone).date()
        past = [f"goal {n}" for n, goal in enumerate(self.goals, 1) if goal.due_on <= today]
        if past:
            draft.refuse(GoalNotSmart, "give each goal a due date after today", past)
        if draft.program.model is Model.STRENGTHS_BASED and not self.strengths:
            draft.refuse(StrengthsMissing, "list at least one strength of the person")
        fields = {name: getattr(self, name) for name in AgreePlan.model_fields}
        return Plan(version=version, **fields)

    def carry_out(self, draft: Draft, plan: Plan) -> None:
        """Turn the interventions into tasks and begin implementation, with the first contact promised."""
        enter(draft, Stage.IMPLEMENTATION, f"plan version {plan.version} agreed")
        for intervention in plan.interventions:
            add_task(draft, intervention.task, intervention.title, from_plan=plan.version)
        ensure_contact(draft)


class RevisePlan(AgreePlan):
    """Agree a new version of the plan, with the reason. The interventions listed are the new ones."""

    kind: ClassVar[str] = "revise-plan"
    says: ClassVar[str] = "Revise the care plan"

    reason: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(Stage.PLANNING, *UNDER_PLAN)
        if draft.case.plan is None:
            draft.refuse(NoPlanYet, "send agree-plan first")
        plan = self.plan(draft, draft.case.plan.version + 1)
        if draft.case.stage is not Stage.PLANNING:
            set_back(draft, Stage.PLANNING, "plan changed")
        draft.happen(PlanRevised(plan=plan, reason=self.reason))
        self.carry_out(draft, plan)
