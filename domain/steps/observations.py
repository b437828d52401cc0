"""Indicators: what is measured, when it is out of range, and what follows."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from pydantic import FiniteFloat

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import happened_at, is_history
from domain.case.event import Event
from domain.case.open_parts import Measured, Reading
from domain.programs.policies import LONGEST_TREND, PLACES, Indicator, Limit, Trend
from domain.programs.program import NeedsConsent
from domain.steps.alerts import raise_alert, repeat_measure
from domain.steps.stages import ACTIVE
from domain.values import Instant, Invalid, Line, Slug

LAST_READINGS = 10  # before the latest, of which a case remembers every one, for limits of several in a row


class UnknownIndicator(Invalid):
    """The programme does not follow this; the refusal lists what it does."""


class UnknownUnit(Invalid):
    """The unit cannot be turned into the programme's; nothing is guessed from a bare number."""


class Implausible(Invalid):
    """No living person has such a value: check number and unit."""


class ObservationRecorded(Event):
    """A measurement, in the programme's unit; `crossed` names the alert of the limit that it crossed.

    `by_own_limits`: it was held against limits of this person, not against the programme's.
    """

    kind: ClassVar[str] = "observation-recorded"

    indicator: Slug
    value: float
    unit: Line
    taken_at: Instant
    crossed: Slug | None = None
    by_own_limits: bool = False
    trend: Line | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        newest = next((m for m in case.measured if m.indicator == self.indicator), None)
        this = Reading(value=self.value, at=self.taken_at)
        known = (*newest.before, Reading(value=newest.value, at=newest.at)) if newest is not None else ()
        *before, latest = sorted((*known, this), key=lambda reading: reading.at)
        measured = Measured(
            indicator=self.indicator,
            unit=self.unit,
            value=latest.value,
            at=latest.at,
            before=_remembered(before, latest.at),
        )
        others = tuple(m for m in case.measured if m.indicator != self.indicator)
        return case.changed(measured=(*others, measured))


class RecordObservation(Command):
    """Record a measurement, in any stage. A value out of range raises its alert, with its task and its clock.

    One that is only history (a newer one is known, or it is long ago) is kept, and alarms nobody itself; what it
    shows of the newest one does.
    """

    kind: ClassVar[str] = "record-observation"
    says: ClassVar[str] = "Record a measurement"
    feed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"indicator": "systolic", "value": 152, "unit": "mmHg"}

    indicator: Slug
    value: FiniteFloat
    unit: Line
    taken_at: Instant | None = None

    def decide(self, draft: Draft) -> None:
        policy = draft.program.indicators.get(self.indicator)
        if policy is None:
            draft.refuse(UnknownIndicator, f"choose one of: {', '.join(draft.program.indicators) or 'none'}")
        value = _in_unit(draft, policy, self.value, self.unit)
        at = happened_at(draft, self.taken_at)
        newest = next((m for m in draft.case.measured if m.indicator == self.indicator), None)
        own = _own_limits(draft, self.indicator)
        known, this = _known(newest), Reading(value=value, at=at)
        alert, trend = _found(policy, own, this, known)
        draft.happen(
            ObservationRecorded(
                indicator=self.indicator,
                value=value,
                unit=policy.unit,
                taken_at=at,
                crossed=alert,
                by_own_limits=bool(own),
                trend=trend,
            )
        )
        if newest is not None and at < newest.at:
            _look_again(draft, self.indicator, this, known)
        elif alert is not None and not is_history(draft, at, None):
            _alarm(draft, self.indicator, alert, trend)
        consents = draft.case.consents_to(NeedsConsent.ASSESSMENT, draft.program.consent.covers)
        if consents and draft.case.stage in ACTIVE:
            repeat_measure(draft, self.indicator, f"Measure {policy.title}", policy.next_after(value), at)


Found = tuple[str | None, str | None]  # the alert that a value raises, and the title of its trend if it is one


def _remembered(before: list[Reading], latest: datetime) -> tuple[Reading, ...]:
    """What trends and limits need: the last ones, and the lowest and the highest of each day of the longest trend.

    Days are those of UTC: nothing but the bound of what is kept depends on where they begin.
    """
    since = latest - timedelta(days=LONGEST_TREND)
    days: dict[date, list[Reading]] = {}
    for reading in before[:-LAST_READINGS]:
        if reading.at >= since:
            days.setdefault(reading.at.astimezone(UTC).date(), []).append(reading)
    return (*(one for day in days.values() for one in _ends(day)), *before[-LAST_READINGS:])


def _ends(day: list[Reading]) -> list[Reading]:
    """The lowest and the highest of a day, in the order in which they were taken."""
    if len(day) <= 2:
        return day
    lowest, highest = min(day, key=lambda r: r.value), max(day, key=lambda r: r.value)
    return sorted((lowest, highest), key=lambda r: r.at) if lowest is not highest else [day[-1]]


def _known(newest: Measured | None) -> list[Reading]:
    """The readings that are known, in order."""
    return [*newest.before, Reading(value=newest.value, at=newest.at)] if newest is not None else []


def _found(policy: Indicator, own: tuple[Limit, ...], this: Reading, known: list[Reading]) -> Found:
    """What a reading says with those that were taken before it: the limit that it crosses, else the trend."""
    earlier = [reading for reading in known if reading.at < this.at]
    for limit in own or policy.limits:
        if _crossed(limit, this.value, earlier):
            return limit.alert, None
    shown = next((trend for trend in policy.trends if _shows(trend, this.value, this.at, earlier)), None)
    return (shown.alert, shown.title) if shown is not None else (None, None)


def _look_again(draft: Draft, indicator: str, late: Reading, known: list[Reading]) -> None:
    """A reading that is told late alarms nobody itself, but may show what the latest one is a sign of."""
    policy, own, latest = draft.program.indicators[indicator], _own_limits(draft, indicator), known[-1]
    alert, trend = _found(policy, own, latest, sorted((*known, late), key=lambda r: r.at))
    if alert is None or (alert, trend) == _found(policy, own, latest, known):
        return
    if not is_history(draft, latest.at, None):
        _alarm(draft, indicator, alert, trend)


def _alarm(draft: Draft, indicator: str, alert: str, trend: str | None) -> None:
    raise_alert(draft, alert, f"{indicator}: {trend}"[:200] if trend is not None else indicator)


def _crossed(limit: Limit, value: float, earlier: list[Reading]) -> bool:
    """Whether this value, and as many before it as the limit asks for, lie beyond it."""
    last = [value, *(reading.value for reading in reversed(earlier))][: limit.in_a_row]
    return len(last) == limit.in_a_row and all(limit.crossed(one) for one in last)


def _shows(trend: Trend, value: float, at: datetime, earlier: list[Reading]) -> bool:
    since = at - timedelta(days=trend.within_days)
    return trend.shown_by(value, (reading.value for reading in earlier if reading.at >= since))


def _own_limits(draft: Draft, indicator: str) -> tuple[Limit, ...]:
    """The person's own limits of an indicator, while they hold."""
    own = [o for o in draft.case.limits if o.indicator == indicator and (o.last is None or draft.today <= o.last)]
    return own[0].limits if own else ()


def _in_unit(draft: Draft, policy: Indicator, value: float, unit: str) -> float:
    """The value in the programme's unit. Raises `UnknownUnit`, `Implausible`."""
    factor = 1.0 if unit == policy.unit else policy.convert.get(unit)
    if factor is None:
        units = ", ".join((policy.unit, *policy.convert))
        draft.refuse(UnknownUnit, f"give {policy.title} in {units}")
    converted = round(value * factor, PLACES)
    if not policy.lowest <= converted <= policy.highest or not math.isfinite(converted):
        span = f"{policy.lowest:g} to {policy.highest:g} {policy.unit}"
        draft.refuse(Implausible, f"{policy.title} lies between {span}; check number and unit")
    return converted
