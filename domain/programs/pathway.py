"""Critical pathways: milestones with the day on which each is expected, and why one may come later."""

from typing import Self

from pydantic import Field, model_validator

from domain.clocks.clock import ClockPolicy
from domain.values import Line, Slug, Text, Value


class Milestone(Value):
    """What is expected on a day of the pathway; day 0 is the day on which it begins."""

    name: Slug
    title: Line
    day: int = Field(ge=0, le=400)


class Pathway(Value):
    """A course that is expected, as the programme's file has it.

    `clock` is whose ladder climbs for a milestone that has not come; its time is the milestone's own. `variances`
    are the reasons for one that comes later.
    """

    title: Line
    source: Text
    milestones: tuple[Milestone, ...] = Field(min_length=1, max_length=40)
    variances: dict[Slug, Line] = Field(min_length=1)
    clock: ClockPolicy

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        days, names = [m.day for m in self.milestones], [m.name for m in self.milestones]
        if days != sorted(days):
            raise ValueError("list the milestones in the order of their days")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"a milestone is given twice: {', '.join(twice)}")
        return self

    def milestone(self, name: str) -> Milestone | None:
        return next((m for m in self.milestones if m.name == name), None)
