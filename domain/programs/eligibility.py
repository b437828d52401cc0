"""Who a programme takes, as data: conditions, use of care, coverage, residence, and what only a person can say.

What is not known is never taken for met, nor for not met: whoever screens confirms it, or declines. A referral
that names one diagnosis, or one stay, does not say that there was no other: too few are not known to be all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from domain.clocks.budget import add_months
from domain.values import Line, Slug, Text, Value


class Met(StrEnum):
    YES = "met"
    NO = "not-met"
    UNKNOWN = "unknown"


class Criterion(Value):
    """One thing that a programme asks of whom it takes. Exactly one of its kinds is given.

    `conditions` are beginnings of ICD-10 codes without the dot; so many different ones of them (`at_least`) are
    found among her codes: two codes with one beginning count once. `stays` are so many stays or visits of a kind
    within so many months. `coverage` are names of payers, `postal_codes` the beginnings
    of postal codes, as the person's record has them. `confirm`: whoever screens says whether it is so.
    """

    name: Slug
    title: Line
    source: Text
    conditions: tuple[Line, ...] = ()
    stays: Literal["inpatient", "emergency"] | None = None
    within_months: int = Field(default=12, ge=1, le=120)
    at_least: int = Field(default=1, ge=1, le=50)
    coverage: tuple[Line, ...] = ()
    postal_codes: tuple[Line, ...] = ()
    confirm: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = (self.conditions, self.stays, self.coverage, self.postal_codes, self.confirm)
        if sum(bool(kind) for kind in kinds) != 1:
            raise ValueError("give one of: conditions, stays, coverage, postal_codes, confirm")
        return self


@dataclass(frozen=True)
class Facts:
    """What a referral says of the person."""

    codes: tuple[str, ...]
    stays: tuple[tuple[str, date], ...]
    today: date


class Checked(Value):
    """What was found of one criterion when the case was opened."""

    name: Slug
    title: Line
    met: Met


def check(criteria: Iterable[Criterion], facts: Facts, by_person: Mapping[str, Met]) -> tuple[Checked, ...]:
    """Each criterion with what is known of it; `by_person` is what her record says of coverage and residence."""
    found = ((c, by_person.get(c.name) or _met(c, facts)) for c in criteria)
    return tuple(Checked(name=criterion.name, title=criterion.title, met=met) for criterion, met in found)


def _met(criterion: Criterion, facts: Facts) -> Met:
    """Met where enough is known of; else there may be more that the referral does not name."""
    found = 0
    if criterion.conditions:
        plain = [code.replace(".", "").upper() for code in facts.codes]
        found = sum(any(code.startswith(begins) for code in plain) for begins in {*criterion.conditions})
    if criterion.stays:
        since = add_months(facts.today, -criterion.within_months)
        found = sum(setting == criterion.stays and day >= since for setting, day in facts.stays)
    return Met.YES if found >= criterion.at_least else Met.UNKNOWN


def by_record(criteria: Iterable[Criterion], payers: Iterable[str], postal_codes: Iterable[str]) -> dict[str, Met]:
    """What a person's record says of coverage and residence; nothing of what it does not have."""
    paid, lives = [p.casefold() for p in payers], [code.replace(" ", "").upper() for code in postal_codes]
    found: dict[str, Met] = {}
    for criterion in criteria:
        if criterion.coverage and paid:
            names = [name.casefold() for name in criterion.coverage]
            found[criterion.name] = Met.YES if any(n in payer for n in names for payer in paid) else Met.NO
        if criterion.postal_codes and lives:
            inside = any(code.startswith(criterion.postal_codes) for code in lives)
            found[criterion.name] = Met.YES if inside else Met.NO
    return found
