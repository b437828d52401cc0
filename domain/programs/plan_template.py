"""Plan templates: problems, goals and interventions that belong together, to be made one person's own."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from domain.clocks.budget import Budget
from domain.values import Line, Slug, Text, Value


class InterventionKind(StrEnum):
    """Whose doing it is: a task of the team, something the person does herself, or help that is to be obtained."""

    TASK = "task"
    SELF_CARE = "self-care"
    RESOURCE = "resource"


class TemplateProblem(Value):
    id: Slug
    description: Line
    code: Line | None = None
    system: Line | None = None


class TemplateGoal(Value):
    """A goal; `within` is counted from the day on which the template is applied."""

    id: Slug
    description: Text
    measure: Line
    target: Line
    within: Budget
    term: Literal["short", "long"] = "short"
    problems: tuple[Slug, ...] = ()


class TemplateIntervention(Value):
    """What is done for goals; `within` is by when, from the day on which the template is applied."""

    id: Slug
    kind: InterventionKind = InterventionKind.TASK
    task: Slug | None = None
    title: Line | None = None
    goals: tuple[Slug, ...] = ()
    frequency: Line | None = None
    within: Budget | None = None
    after: tuple[Slug, ...] = ()
    repeat: Budget | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.kind is InterventionKind.TASK and self.task is None:
            raise ValueError(f"{self.id}: name a task of the programme, or say self-care or resource")
        if self.task is None and self.title is None:
            raise ValueError(f"{self.id}: say in a title what is to be done")
        return self


class PlanTemplate(Value):
    """Parts of a plan that are applied in one command, all or chosen ones; `source` says what they stand on."""

    title: Line
    source: Text
    problems: tuple[TemplateProblem, ...] = ()
    goals: tuple[TemplateGoal, ...] = Field(min_length=1, max_length=30)
    interventions: tuple[TemplateIntervention, ...] = Field(min_length=1, max_length=30)

    @model_validator(mode="after")
    def _links_fit(self) -> Self:
        problems, goals = {p.id for p in self.problems}, {g.id for g in self.goals}
        ids = [*(p.id for p in self.problems), *(g.id for g in self.goals), *(i.id for i in self.interventions)]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"given twice: {', '.join(twice)}")
        lost = {name for goal in self.goals for name in goal.problems if name not in problems}
        before: set[str] = set()
        for one in self.interventions:
            lost |= ({*one.goals} - goals) | ({*one.after} - before)
            before.add(one.id)
        if lost:
            raise ValueError(f"named but not there, or only further down: {', '.join(sorted(lost))}")
        return self
