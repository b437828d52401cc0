"""What a case weighs: who is seen weekly counts whole, who is seen less often counts for less.

Weekly 1, biweekly 1/2, monthly 1/4, quarterly 1/13 (Maine, community support standard CS.21).
"""

from domain.clocks.budget import Budget, Unit
from domain.values import Value

WEIGHTS = ((8, 1.0), (15, 0.5), (32, 0.25))
QUARTERLY = 1 / 13
IN_DAYS = {Unit.SECONDS: 1 / 86400, Unit.MINUTES: 1 / 1440, Unit.HOURS: 1 / 24, Unit.WORKING_HOURS: 1 / 8}


class Load(Value):
    """A caseload against the two limits: the standard of weights, and the most people whatever they weigh."""

    weight: float
    cases: int
    within_standard: bool
    within_most: bool


def days_of(budget: Budget) -> float:
    """About how many days a budget is: a business day counts 7/5."""
    if budget.unit is Unit.MONTHS:
        return budget.amount * 365 / 12
    if budget.unit is Unit.BUSINESS_DAYS:
        return budget.amount * 7 / 5
    return budget.amount * IN_DAYS.get(budget.unit, 1)


def weight_of(contact: Budget) -> float:
    """The weight of a case whose person is contacted this often."""
    return next((weight for below, weight in WEIGHTS if days_of(contact) < below), QUARTERLY)


def load(weight: float, cases: int, standard: float, most: int) -> Load:
    """A caseload judged by both limits."""
    return Load(
        weight=round(weight, 4),
        cases=cases,
        within_standard=round(weight, 4) <= standard,
        within_most=cases <= most,
    )
