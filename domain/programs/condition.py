"""Conditions on answers: the one small language in which forms say what is asked, and instruments what counts.

A list of conditions always means all of them. What is not answered fulfils nothing: missing is never taken for low
(docs/decisions/0007), nor for anything else.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Self

from pydantic import AllowInfNan, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from domain.values import Line, Slug, Value

WholeAnswer = Annotated[StrictInt, Field(ge=-1_000_000, le=1_000_000)]
NumberAnswer = Annotated[StrictFloat, AllowInfNan(False)]
WordAnswer = Annotated[StrictStr, Field(max_length=200)]
Words = Annotated[tuple[WordAnswer, ...], Field(min_length=1, max_length=50)]
Answer = StrictBool | WholeAnswer | NumberAnswer | WordAnswer | Words
Answers = Mapping[str, Answer]


class When(Value):
    """A condition: on the answer of one item, or on how many of several conditions hold.

    Of an `item`: its answer is one of `values` (of many answers, one of them is), something `other_than` these, or
    a number from `at_least` to `at_most`; with none of these it was answered at all. Write yes and no in quotes.
    Of `any_of`: at least `at_least` of them hold, one where it is left out.
    """

    item: Slug | None = None
    values: tuple[Line, ...] = ()
    other_than: tuple[Line, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    any_of: tuple["When", ...] = ()

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.item is None) == (not self.any_of):
            raise ValueError("give either an item, or any_of with conditions")
        if self.any_of and (self.values or self.other_than or self.at_most is not None):
            raise ValueError("any_of takes at_least alone: how many of them are to hold")
        return self

    def holds(self, answers: Answers) -> bool:
        """Whether it holds for these answers."""
        if self.any_of:
            return sum(one.holds(answers) for one in self.any_of) >= (self.at_least or 1)
        if self.item is None or self.item not in answers:
            return False
        answer = answers[self.item]
        given = {*answer} if isinstance(answer, tuple) else {said(answer)}
        if self.values or self.other_than:
            return not given.isdisjoint(self.values) if self.values else not given <= {*self.other_than}
        if self.at_least is None and self.at_most is None:
            return True
        return _number(answer) and self._within(float(answer))  # type: ignore[arg-type]

    def _within(self, number: float) -> bool:
        above = self.at_least is None or number >= self.at_least
        return above and (self.at_most is None or number <= self.at_most)

    @property
    def single(self) -> Iterator["When"]:
        """The conditions on one item each that it is made of."""
        if self.item is not None:
            yield self
        for one in self.any_of:
            yield from one.single

    @property
    def items(self) -> Iterator[str]:
        """Every item that it looks at."""
        return (one.item for one in self.single if one.item is not None)


def hold(conditions: Iterable[When], answers: Answers) -> bool:
    """Whether all of them hold."""
    return all(condition.holds(answers) for condition in conditions)


def said(answer: Answer) -> str:
    """An answer in the catalogue's words: yes and no for booleans, numbers without an idle fraction."""
    if isinstance(answer, tuple):
        return ", ".join(answer)
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return f"{answer:g}" if isinstance(answer, int | float) else answer


def _number(answer: Answer) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool)
