"""The care plan and its parts. Each part keeps its id over all versions of the plan; parts name one another by it.

`id` is left out for a new part, which then gets one. A sender may choose it, to name the part in the same plan.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from domain.clocks.budget import Budget
from domain.programs.plan_template import InterventionKind
from domain.values import Day, Line, Opaque, Slug, Text, Value

MOST_PARTS = 50  # of each collection of a plan
Ids = Annotated[tuple[Slug, ...], Field(max_length=50)]


class Achievement(StrEnum):
    """FHIR's achievement status of a goal."""

    IN_PROGRESS = "in-progress"
    IMPROVING = "improving"
    WORSENING = "worsening"
    NO_CHANGE = "no-change"
    ACHIEVED = "achieved"
    NOT_ACHIEVED = "not-achieved"
    NOT_ATTAINABLE = "not-attainable"


class Part(Value):
    """Base of what a plan is made of."""

    id: Slug | None = Field(default=None, description="Left out for a new one")


class HealthProblem(Part):
    """What is the matter, with its code where there is one."""

    description: Line
    code: Line | None = Field(default=None, description="Of the condition, such as I50.9")
    system: Line | None = Field(
        default=None, description="Of which system the code is; ICD-10 where it is left out"
    )
    resolved: bool = False


class Strength(Part):
    """What the person has and can, to build on."""

    description: Line


class Goal(Part):
    """A SMART goal: what, how it is measured, what counts as reached, and until when.

    `template` names a goal of the programme's library that it was made from; `problems` are those it is for.
    """

    description: Text
    measure: Line
    target: Line
    due_on: Day
    term: Literal["short", "long"] = "short"
    template: Slug | None = None
    problems: Ids = ()
    achievement: Achievement = Achievement.IN_PROGRESS


class InterventionStatus(StrEnum):
    """How far it is, and what came of it: learnt, done or obtained; in part; not; or not wanted."""

    PLANNED = "planned"
    IN_PROGRESS = "in-progress"
    ACHIEVED = "achieved"
    PARTLY = "partly"
    NOT_ACHIEVED = "not-achieved"
    DECLINED = "declined"

    @property
    def over(self) -> bool:
        return self not in (InterventionStatus.PLANNED, InterventionStatus.IN_PROGRESS)


class Intervention(Part):
    """What is done for goals: by whom, how often, until when, after what.

    `task` is a task type of the programme; self-care and resources may do without one. `responsible` is of the
    staff. `repeat` makes its task again and again; `frequency` says in words how often the person does it.
    """

    kind: InterventionKind = InterventionKind.TASK
    task: Slug | None = None
    title: Line | None = None
    goals: Ids = ()
    responsible: Opaque | None = None
    frequency: Line | None = None
    due_on: Day | None = None
    after: Ids = Field(default=(), description="Interventions that come first")
    repeat: Budget | None = None
    status: InterventionStatus = InterventionStatus.PLANNED


class Barrier(Part):
    """What stands in the way, the options there are, the one chosen, and when it is looked at again."""

    description: Text
    response: Text
    options: tuple[Line, ...] = Field(default=(), max_length=10)
    review_on: Day | None = None
    goals: Ids = ()


def _described(written: Any) -> Any:
    """A part that is a line alone: so plans were written before their parts had ids."""
    return {"description": written} if isinstance(written, str) else written


Problems = Annotated[
    tuple[Annotated[HealthProblem, BeforeValidator(_described)], ...], Field(max_length=MOST_PARTS)
]
Strengths = Annotated[tuple[Annotated[Strength, BeforeValidator(_described)], ...], Field(max_length=MOST_PARTS)]
KNOWN = ("achievement", "status", "resolved")  # what is known of a part; the rest is what was agreed
PARTS = {"problems": "p", "goals": "g", "interventions": "i", "barriers": "b", "strengths": "s"}


class Plan(Value):
    """One version of the plan. `numbered` is the highest number that an id of a part was made of."""

    version: int
    goals: tuple[Goal, ...] = Field(min_length=1, max_length=MOST_PARTS)
    interventions: tuple[Intervention, ...] = Field(min_length=1, max_length=MOST_PARTS)
    barriers: tuple[Barrier, ...] = Field(default=(), max_length=MOST_PARTS)
    strengths: Strengths = ()
    problems: Problems = ()
    preferences: tuple[Line, ...] = Field(default=(), max_length=MOST_PARTS)
    numbered: int = 0

    @field_validator(*PARTS)
    @classmethod
    def _have_ids(cls, parts: tuple[Part, ...], info: ValidationInfo) -> tuple[Part, ...]:
        """Parts that were written before parts had ids have those of their place."""
        letter = PARTS[str(info.field_name)]
        return tuple(part if part.id else part.changed(id=f"{letter}{n}") for n, part in enumerate(parts, 1))

    def part(self, collection: str, part_id: str | None) -> Any:
        """A part by its id; None where the plan has none."""
        return next((part for part in getattr(self, collection) if part_id and part.id == part_id), None)

    def with_part(self, collection: str, part: Part) -> "Plan":
        """The plan with the part of the same id replaced."""
        parts = tuple(part if old.id == part.id else old for old in getattr(self, collection))
        return self.changed(**{collection: parts})


class Proposed(Value):
    """A plan that waits for its approval: agreed, revised for a reason, or amended. It is not in force.

    `instead_of` is the plan, as it stood then, that it takes the place of.
    """

    plan: Plan
    instead_of: Plan | None = None
    change: Literal["agree", "revise", "amend"]
    reason: Text | None = None


def changed_parts(before: Plan, after: Plan) -> Iterator[tuple[str, Part | None, Part | None]]:
    """What differs between two versions: the collection, and the part before and after; None where it was not."""
    for collection in PARTS:
        ids = dict.fromkeys(part.id for plan in (before, after) for part in getattr(plan, collection))
        for part_id in ids:
            old, new = before.part(collection, part_id), after.part(collection, part_id)
            if old != new:
                yield collection, old, new
