"""Applying a plan template: parts that belong together become one person's own, in one command."""

from datetime import date
from typing import Any, ClassVar

from pydantic import Field

from domain.case.command import Command, Draft
from domain.case.plan_parts import MOST_PARTS, Goal, HealthProblem, Intervention, Part, Plan, Strength
from domain.clocks.budget import Budget
from domain.programs.plan_template import PlanTemplate, TemplateGoal, TemplateIntervention
from domain.steps.planning import AgreePlan, RevisePlan
from domain.values import Invalid, Line, Opaque, Rejected, Slug, Text


class UnknownPlanTemplate(Invalid):
    """The programme has no plan template of this name, or the template no such part; the refusal lists them."""


class TooLittleChosen(Invalid):
    """A first plan has a goal and an intervention at least."""


class NothingToAdd(Rejected):
    """The plan has every goal and intervention of the template that was chosen."""


class PlanFull(Rejected):
    """The plan would hold more parts than a plan may; the refusal says of which."""


class ApplyPlanTemplate(Command):
    """Make a plan of a template's goals and interventions, all or chosen ones, or add them to the plan there is.

    Their days count from today. What the plan has already, by the template's id, stays as it is.
    """

    kind: ClassVar[str] = "apply-plan-template"
    says: ClassVar[str] = "Apply a plan template"
    example: ClassVar[dict[str, Any]] = {"template": "heart-failure", "strengths": ["A daughter nearby"]}

    template: Slug
    choose: tuple[Slug, ...] = Field(
        default=(), max_length=60, description="Ids of its goals and interventions; left out, all of them"
    )
    responsible: Opaque | None = Field(default=None, description="Who does its tasks; left out, the case manager")
    strengths: tuple[Line, ...] = Field(default=(), max_length=20, description="Of the person, to build on")
    reason: Text | None = Field(default=None, description="Why a plan that is there is changed")

    def decide(self, draft: Draft) -> None:
        template = draft.program.plan_templates.get(self.template)
        if template is None:
            names = ", ".join(draft.program.plan_templates) or "none"
            draft.refuse(UnknownPlanTemplate, f"choose from: {names}")
        parts = self._parts(draft, template)
        before = draft.case.plan
        if before is None and not (parts["goals"] and parts["interventions"]):
            draft.refuse(TooLittleChosen, "choose a goal and an intervention at least: there is no plan yet")
        if before is None:
            AgreePlan(**parts).decide(draft)
            return
        merged = {name: _added(getattr(before, name), new) for name, new in parts.items()}
        if full := sorted(name for name, there in merged.items() if len(there) > MOST_PARTS):
            draft.refuse(PlanFull, f"a plan holds at most {MOST_PARTS} of each; choose fewer parts", full)
        if not self._adds(before, parts):
            draft.refuse(NothingToAdd, "the plan has all of it already")
        rest = {"barriers": before.barriers, "preferences": before.preferences}
        RevisePlan(**merged, **rest, reason=self.reason or f"template {self.template}").decide(draft)

    def _adds(self, before: Plan, parts: dict[str, Any]) -> bool:
        """Whether a goal or an intervention of the template is not in the plan yet."""
        there = {part.id for part in (*before.goals, *before.interventions)}
        return any(part.id not in there for part in (*parts["goals"], *parts["interventions"]))

    def _parts(self, draft: Draft, template: PlanTemplate) -> dict[str, Any]:
        """The chosen parts as the plan has them; links to what was not chosen are dropped."""
        ids = {*(goal.id for goal in template.goals), *(one.id for one in template.interventions)}
        chosen = {*self.choose} or ids
        if unknown := sorted(chosen - ids):
            draft.refuse(UnknownPlanTemplate, f"{self.template} has: {', '.join(sorted(ids))}", unknown)
        goals = [goal for goal in template.goals if goal.id in chosen]
        problems = {name for goal in goals for name in goal.problems}
        return {
            "problems": tuple(HealthProblem(**dict(p)) for p in template.problems if p.id in problems),
            "goals": tuple(_goal(draft, goal) for goal in goals),
            "interventions": tuple(
                self._intervention(draft, one, chosen) for one in template.interventions if one.id in chosen
            ),
            "strengths": tuple(Strength(description=line) for line in self.strengths),
        }

    def _intervention(self, draft: Draft, one: TemplateIntervention, chosen: set[str]) -> Intervention:
        return Intervention(
            **{name: getattr(one, name) for name in ("id", "kind", "task", "title", "frequency", "repeat")},
            goals=tuple(name for name in one.goals if name in chosen),
            after=tuple(name for name in one.after if name in chosen),
            due_on=_day(draft, one.within) if one.within is not None else None,
            responsible=self.responsible if one.task is not None else None,
        )


def _goal(draft: Draft, goal: TemplateGoal) -> Goal:
    said = {name: getattr(goal, name) for name in ("id", "description", "measure", "target", "term", "problems")}
    return Goal(**said, due_on=_day(draft, goal.within))


def _day(draft: Draft, within: Budget) -> date:
    return draft.program.day_of(draft.deadline_of(within))


def _added(there: tuple[Part, ...], new: tuple[Part, ...]) -> tuple[Part, ...]:
    """What is there, and of the new what has another id."""
    known = {part.id for part in there}
    return (*there, *(part for part in new if part.id is None or part.id not in known))
