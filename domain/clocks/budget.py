"""Budgets of time, and the day counts that rules and payers use.

Four conventions are in use and differ (see docs/decisions/0003): elapsed time, business days, calendar
days and calendar months. A day-counted budget ends with the last second of its last day, local time.
"""

import calendar as gregorian
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from domain.clocks.calendar import WorkingCalendar
from domain.values import Value


class Unit(StrEnum):
    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    WORKING_HOURS = "working hours"
    CALENDAR_DAYS = "calendar days"
    BUSINESS_DAYS = "business days"
    MONTHS = "months"


ELAPSED = {Unit.SECONDS: 1, Unit.MINUTES: 60, Unit.HOURS: 3600}
MOST = {  # no budget reaches past ten years: a longer promise is a typing error
    Unit.SECONDS: 315_360_000,
    Unit.MINUTES: 5_256_000,
    Unit.HOURS: 87_600,
    Unit.WORKING_HOURS: 20_000,
    Unit.CALENDAR_DAYS: 3_660,
    Unit.BUSINESS_DAYS: 2_600,
    Unit.MONTHS: 120,
}


class Budget(Value):
    """An amount of time, written `2 business days` in the catalogue.

    `day_zero` says whether something done on the anchor's own day already counts ("within 7 days" of
    an ED visit: yes; of a psychiatric discharge: no). It never moves the deadline.
    """

    amount: int = Field(ge=0)
    unit: Unit
    day_zero: Literal["counts", "excluded"] = "counts"

    @model_validator(mode="before")
    @classmethod
    def _read_words(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        words, _, rest = data.partition(", ")
        amount, _, unit = words.partition(" ")
        if not amount.isdigit() or rest not in ("", "day zero excluded", "day zero counts"):
            raise ValueError("write a budget as '2 business days' or '7 calendar days, day zero excluded'")
        unit = unit if unit.endswith("s") else unit + "s"
        return {"amount": int(amount), "unit": unit, "day_zero": rest.removeprefix("day zero ") or "counts"}

    @model_validator(mode="after")
    def _within_ten_years(self) -> "Budget":
        if self.amount > MOST[self.unit]:
            raise ValueError(f"at most {MOST[self.unit]} {self.unit}")
        return self

    def __str__(self) -> str:
        unit = self.unit.removesuffix("s") if self.amount == 1 else self.unit
        return f"{self.amount} {unit}"


def add_months(day: date, months: int) -> date:
    """The same day of the month, `months` later; the month's last day where there is no such day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, gregorian.monthrange(year, month + 1)[1]))


def last_second(day: date, zone: ZoneInfo) -> datetime:
    """The last second of a local day, in UTC."""
    return datetime.combine(day, time(23, 59, 59), zone).astimezone(UTC)


def deadline(anchor: datetime, budget: Budget, held: int, working: WorkingCalendar, zone: ZoneInfo) -> datetime:
    """When a budget that started at `anchor` is used up.

    `held` is what pauses have taken out, in what `held_between` counts. The answer is in UTC.
    """
    if budget.unit in ELAPSED:
        return anchor + timedelta(seconds=budget.amount * ELAPSED[budget.unit] + held)
    if budget.unit is Unit.WORKING_HOURS:
        return working.add_working_seconds(anchor, budget.amount * 3600 + held, zone)
    return last_second(_last_day(anchor.astimezone(zone).date(), budget, held, working), zone)


def _last_day(day: date, budget: Budget, held: int, working: WorkingCalendar) -> date:
    if budget.unit is Unit.BUSINESS_DAYS:
        return working.add_working_days(day, budget.amount + held)
    if budget.unit is Unit.MONTHS:
        return add_months(day, budget.amount) + timedelta(days=held)
    return day + timedelta(days=budget.amount + held)


def held_between(unit: Unit, start: datetime, end: datetime, working: WorkingCalendar, zone: ZoneInfo) -> int:
    """What a pause from `start` to `end` takes out: seconds, working seconds, business or calendar days."""
    if unit in ELAPSED:
        return int((end - start).total_seconds())
    if unit is Unit.WORKING_HOURS:
        return working.working_seconds(start, end, zone)
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    return working.working_days(first, last) if unit is Unit.BUSINESS_DAYS else (last - first).days


def counts_from(anchor: datetime, budget: Budget, zone: ZoneInfo) -> datetime:
    """The first instant at which something done keeps the promise."""
    if budget.unit in ELAPSED or budget.unit is Unit.WORKING_HOURS:
        return anchor
    day = anchor.astimezone(zone).date() + timedelta(days=budget.day_zero == "excluded")
    return datetime.combine(day, time(), zone).astimezone(UTC)


def later(instant: datetime, budget: Budget, working: WorkingCalendar, zone: ZoneInfo) -> datetime:
    """`budget` after `instant`; whole days keep the local time of day."""
    if budget.unit in ELAPSED or budget.unit is Unit.WORKING_HOURS:
        return deadline(instant, budget, 0, working, zone)
    local = instant.astimezone(zone)
    day = _last_day(local.date(), budget, 0, working)
    return datetime.combine(day, local.time(), zone).astimezone(UTC)


def earlier(instant: datetime, budget: Budget, working: WorkingCalendar, zone: ZoneInfo) -> datetime:
    """`budget` before `instant`, for reminders: whole days give the morning on which work opens."""
    if budget.unit in ELAPSED:
        return instant - timedelta(seconds=budget.amount * ELAPSED[budget.unit])
    if budget.unit is Unit.WORKING_HOURS:
        raise ValueError("a reminder is given in elapsed time, days or months before the deadline")
    day = instant.astimezone(zone).date()
    if budget.unit is Unit.BUSINESS_DAYS:
        day = working.add_working_days(day, -budget.amount)
    elif budget.unit is Unit.MONTHS:
        day = add_months(day, -budget.amount)
    else:
        day -= timedelta(days=budget.amount)
    return datetime.combine(day, working.hours_of(day)[0], zone).astimezone(UTC)
