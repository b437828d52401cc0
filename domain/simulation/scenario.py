"""Scenarios: what somebody does in a case, and when, to be played against a programme before it is published."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from domain.programs.policies import Tier
from domain.values import Line, Role, Slug, Text, Value

LocalTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
LONGEST = 400


class Cast(StrEnum):
    """Who acts; each is of team north, the supervisor answers for all, the director for her."""

    CASE_MANAGER = "case-manager"
    COLLEAGUE = "colleague"
    SENIOR = "senior"
    SUPERVISOR = "supervisor"
    DIRECTOR = "director"
    HOSPITAL = "hospital"

    @property
    def role(self) -> Role:
        named = {Cast.COLLEAGUE: Role.CASE_MANAGER, Cast.SENIOR: Role.SENIOR, Cast.HOSPITAL: Role.INTEGRATOR}
        return named[self] if self in named else Role(self.value)


class Walk(StrEnum):
    """How far a case is led at once, by what the programme itself asks for."""

    OPENED = "opened"
    ACCEPTED = "accepted"
    ASSESSED = "assessed"
    PLANNED = "planned"
    FOLLOWED_UP = "followed-up"


class Away(Value):
    """Somebody is away until a day of the scenario; `cover` is told in the meantime."""

    who: Cast = Cast.CASE_MANAGER
    until_day: int = Field(ge=1, le=LONGEST)
    cover: Cast | None = None


class Act(Value):
    """What happens on one day, at a local time: the case is led on, a command is sent, or somebody goes away.

    In `body` these stand for what the case has then: `{now}`, `{day 3 16:00}` (an instant), `{date 3}`,
    `{task education}` (the open task of a type), `{clock contact}`, `{escalation contact}`, `{referral}`,
    `{approval}`, `{transfer}`, `{goal}`. `refused` is the refusal that is expected.
    """

    day: int = Field(default=0, ge=0, le=LONGEST)
    at: LocalTime = "10:00"
    walk: Walk | None = None
    tier: Tier = Tier.HIGH
    command: Slug | None = None
    by: Cast = Cast.CASE_MANAGER
    body: dict[str, JsonValue] = {}
    away: Away | None = None
    refused: Line | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if sum(part is not None for part in (self.walk, self.command, self.away)) != 1:
            raise ValueError("an act is one of: walk, command, away")
        return self


class Scenario(Value):
    """One scenario, as its file in `catalog/scenarios/` has it; without `programs` it is played for all of them.

    `starts` is a local time of the programme's zone, so that a holiday or the end of daylight saving is met.
    """

    name: Slug
    title: Line
    says: Text
    starts: datetime
    days: int = Field(ge=1, le=LONGEST)
    programs: tuple[Slug, ...] = ()
    acts: tuple[Act, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.starts.tzinfo is not None:
            raise ValueError("starts is a local time: leave its zone out")
        times = [(act.day, act.at) for act in self.acts]
        if times != sorted(times):
            raise ValueError("list the acts in the order of their days and times")
        if self.acts[-1].day > self.days:
            raise ValueError("an act lies after the last day")
        return self
