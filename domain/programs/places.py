"""Numbers have a place: what a team, or one person, has otherwise than the programme, why, and until when."""

from datetime import date
from typing import Any, Self

from pydantic import Field, model_validator

from domain.clocks.budget import Budget
from domain.programs.program import Program
from domain.values import Day, Line, Slug, Text, Value, Zone

THIS_PERSON = "this person"


class NoSuchPolicy(ValueError):
    """The programme makes no promise of this path."""


class Narrowed(Value):
    """Another time for one promise of a programme, named by its path, from a day and until one."""

    policy: Line
    within: Budget
    reason: Text
    source: Text
    first: Day | None = None
    last: Day | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first and self.last and self.first > self.last:
            raise ValueError("the first day comes before the last")
        return self

    def holds_on(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


class Place(Value):
    """A site or a team: its zone, its working calendar, its own times. What it does not say the programme says."""

    name: Slug
    teams: tuple[Slug, ...] = Field(min_length=1)
    time_zone: Zone | None = None
    calendar: Slug | None = None
    policies: tuple[Narrowed, ...] = ()
    source: Text


def narrowed(program: Program, place: Place | None, day: date, personal: tuple[Narrowed, ...] = ()) -> Program:
    """The programme as it holds at a place and for a person on a day: the most particular number holds.

    A promise that this programme does not make is nobody's here. Each promise that has another time says whose.
    """
    said = program.model_dump(exclude={"place", "narrowed"})
    whose: dict[str, str] = {}
    for name, numbers in (
        (place.name if place else "", place.policies if place else ()),
        (THIS_PERSON, personal),
    ):
        for number in numbers:
            if number.policy in program.policies and number.holds_on(day):
                _part(said, number.policy)["within"] = number.within
                whose[number.policy] = name
    if place is not None:
        said |= {"place": place.name}
        said |= {name: value for name in ("time_zone", "calendar") if (value := getattr(place, name)) is not None}
    return Program.model_validate({**said, "narrowed": whose})


def _part(said: Any, path: str) -> dict[str, Any]:
    """The part of a programme's data that a path names."""
    for name in path.split("."):
        said = said[int(name)] if isinstance(said, list | tuple) else said[name]
    found: dict[str, Any] = said
    return found
