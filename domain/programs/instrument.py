"""Instruments: questionnaires and indices as data, in one small scoring language.

An item turns its answer into points (by a list of answers, a table of numbers, or as it stands); groups add
items up and may turn the sum into points again; the total is their sum or the highest of them; bands name
ranges of the total. What is missing is never taken for low: without an item there is no total
(docs/decisions/0007).
"""

import math
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from domain.programs.condition import Answer, Answers, When, said
from domain.values import Line, Slug, Text, Value


class TableStep(Value):
    """One row of a table of numbers: up to and including `upto`, or below `below`; the last row has neither."""

    points: int
    upto: float | None = None
    below: float | None = None

    def takes(self, number: float) -> bool:
        return (self.upto is None or number <= self.upto) and (self.below is None or number < self.below)


class Table(Value):
    """Numbers to points; the first row that takes the number. `when` chooses between tables of one item."""

    when: tuple[When, ...] = ()
    steps: tuple[TableStep, ...] = Field(min_length=1)

    def points(self, number: float) -> int:
        return next(step.points for step in self.steps if step.takes(number))

    @model_validator(mode="after")
    def _ends_open(self) -> Self:
        if self.steps[-1].upto is not None or self.steps[-1].below is not None:
            raise ValueError("the last row takes all that is left: give it neither upto nor below")
        return self


class Item(Value):
    """One question. Exactly one of `answers`, `table` or a plain range `low` to `high` says what it takes.

    `title` is our own short name for it. `text` is the published wording, where its licence allows it.
    `codes` are prefixes of ICD-10 codes, without the dot, that answer it with yes. Of an item that takes `many`
    answers all that apply are given in a list, and the one with the most points counts; `none_of` is the answer
    that stands alone.
    """

    key: Slug
    title: Line
    text: Text | None = None
    answers: dict[str, int] = {}
    tables: tuple[Table, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = True
    group: Slug | None = None
    asked: tuple[When, ...] = ()
    codes: tuple[Line, ...] = ()
    optional: bool = False
    scored: bool = True
    many: bool = False
    none_of: Line | None = None

    @model_validator(mode="after")
    def _one_way_to_answer(self) -> Self:
        if bool(self.answers) == (self.low is not None and self.high is not None):
            raise ValueError("give either answers with their points, or a range low to high")
        if self.many and not self.answers:
            raise ValueError("only an item with a list of answers takes many of them")
        if self.none_of is not None and (not self.many or self.none_of not in self.answers):
            raise ValueError("none_of is one of the answers of an item that takes many")
        return self

    def accepts(self, answer: Answer) -> bool:
        if isinstance(answer, tuple):
            alone = self.none_of not in answer or len(answer) == 1
            each_once = 0 < len(answer) == len(set(answer))
            return self.many and alone and each_once and set(answer) <= set(self.answers)
        if self.answers:
            return said(answer) in self.answers
        if isinstance(answer, bool | str) or (self.whole and answer != int(answer)):
            return False
        return (self.low or 0) <= answer <= (self.high or 0)

    @property
    def takes(self) -> str:
        """What an answer may be, in words."""
        kind = "a whole number" if self.whole else "a number"
        if self.many:
            return f"a list of {' or '.join(self.answers)}" + (f"; {self.none_of} alone" if self.none_of else "")
        return " or ".join(self.answers) if self.answers else f"{kind} from {self.low:g} to {self.high:g}"

    @property
    def least(self) -> int:
        """The points that any answer gives at the least."""
        if self.answers:
            return min(self.answers.values())
        found = [step.points for table in self.tables for step in table.steps]
        return min(found) if found else math.ceil(self.low or 0)

    def points(self, answer: Answer, answers: Answers) -> int:
        """The points of an answer that the item accepts."""
        if isinstance(answer, tuple):
            return max(self.answers[one] for one in answer)
        if self.answers:
            return self.answers[said(answer)]
        for table in self.tables:
            if all(when.holds(answers) for when in table.when):
                return table.points(float(answer))
        return int(answer)


class Group(Value):
    """Items that count together: their sum, or the points that `table` gives to the sum."""

    name: Slug
    title: Line
    table: Table | None = None


class Rule(StrEnum):
    SUM = "sum"
    HIGHEST = "highest"


class Band(Value):
    """A named range of the total, both ends included."""

    name: Slug
    low: int
    high: int
    when: tuple[When, ...] = ()
    if_alert: Slug | None = None
    positive: bool = False


class Trigger(Value):
    """When an alert is raised, whatever the total is: an item's, a group's, any item's or the total's points."""

    at_least: int
    item: Slug | None = None
    group: Slug | None = None
    of: Literal["item", "group", "any-item", "total"] = "item"


class Alert(Value):
    """Something that must not wait for the total. `name` is what a programme answers to."""

    name: Slug
    title: Line
    any_of: tuple[Trigger, ...] = Field(min_length=1)


class Pattern(Value):
    """A pattern of answers that means something of its own, whatever the total is. It raises no alert."""

    name: Slug
    title: Line
    when: tuple[When, ...] = Field(min_length=1)
    source: Text


class Window(Value):
    """A time after the baseline, give or take some days, for people whose baseline was above a total."""

    months: int
    days: int
    baseline_above: int


class Change(Value):
    """What counts as better: the instrument's published change, response and remission.

    `minimal` in points; `response` as a share lost of the baseline; `remission_below` a total, `remission_at` the
    time at which it is looked for.
    """

    minimal: int | None = None
    response: float | None = None
    remission_below: int | None = None
    remission_at: Window | None = None
    source: Text


class Prognosis(Value):
    """A share that follows from the total; given when item `needs` is answered.

    Either base ^ (e ^ (factor x total)), or logistic: its logit is `logit_at_0` + `logit_per_point` x total.
    """

    title: Line
    base: float | None = Field(default=None, gt=0, lt=1)
    factor: float | None = None
    logit_at_0: float | None = None
    logit_per_point: float | None = None
    needs: Slug | None = None

    @model_validator(mode="after")
    def _one_curve(self) -> Self:
        given = [(one is not None, other is not None) for one, other in self._curves]
        if sorted(given) != [(False, False), (True, True)]:
            raise ValueError("give either base and factor, or logit_at_0 and logit_per_point")
        return self

    @property
    def _curves(self) -> tuple[tuple[float | None, float | None], ...]:
        return (self.base, self.factor), (self.logit_at_0, self.logit_per_point)

    def of(self, total: int) -> float:
        """The share for a total, from 0 to 1."""
        if self.base is not None and self.factor is not None:
            return float(self.base ** math.exp(self.factor * total))
        logit = (self.logit_at_0 or 0) + (self.logit_per_point or 0) * total
        return 1 / (1 + math.exp(-logit))


class Instrument(Value):
    """One version of one instrument, as its file in `catalog/instruments/` has it."""

    name: Slug
    version: Slug
    title: Line
    source: Text
    licence: Text
    wording: Literal["shipped", "keys only"]
    verified: bool = True
    attributes: tuple[Item, ...] = ()
    items: tuple[Item, ...] = Field(min_length=1)
    groups: tuple[Group, ...] = ()
    scale: dict[int, Line] = Field(
        default={}, description="What the points of its items say, where that may be shown"
    )
    suppresses: dict[Slug, tuple[Slug, ...]] = {}
    rule: Rule = Rule.SUM
    bands: tuple[Band, ...] = ()
    alerts: tuple[Alert, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    higher_is_better: bool = False
    change: Change | None = None
    prognosis: Prognosis | None = None

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        keys = [item.key for item in (*self.attributes, *self.items)]
        groups = {group.name for group in self.groups}
        if len(keys) != len(set(keys)):
            raise ValueError("an item key is given twice")
        used = {item.group for item in self.items if item.group}
        if used != groups:
            raise ValueError(f"groups of the items and groups listed differ: {sorted(used ^ groups)}")
        for alert in self.alerts:
            if any((t.item or keys[0]) not in keys or (t.group and t.group not in groups) for t in alert.any_of):
                raise ValueError(f"alert {alert.name} looks at an item or group that is not there")
        for pattern in self.patterns:
            if unknown := sorted({name for when in pattern.when for name in when.items} - set(keys)):
                raise ValueError(f"pattern {pattern.name} looks at items that are not there: {', '.join(unknown)}")
        if any(self.wording != "shipped" and item.text for item in self.items):
            raise ValueError("its licence does not let the wording be shipped: leave text out")
        return self

    @property
    def maximum(self) -> int:
        """The highest total, where every item is answered and groups do not turn their sums into points."""
        return sum(max((*item.answers.values(), int(item.high or 0))) for item in self.items if item.scored)


class Result(Value):
    """What an instrument says of a set of answers. `missing` items mean that there is no total."""

    instrument: Slug
    version: Slug
    status: Literal["scored", "cannot-score"]
    total: int | None = None
    band: Slug | None = None
    positive: bool = False
    points: dict[Slug, int] = {}
    groups: dict[Slug, int] = {}
    alerts: tuple[Slug, ...] = ()
    patterns: tuple[Slug, ...] = ()
    missing: tuple[Slug, ...] = ()
    prognosis: float | None = None
