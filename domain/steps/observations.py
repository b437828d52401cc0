"""Indicators: what is measured, when it is out of range, and what follows."""

import math
from datetime import datetime
from typing import Any, ClassVar

from pydantic import FiniteFloat

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import happened_at, is_history
from domain.case.event import Event
from domain.case.open_parts import Measured
from domain.programs.policies import Indicator, Limit
from domain.programs.program import NeedsConsent
from domain.steps.alerts import raise_alert, repeat_measure
from domain.steps.stages import ACTIVE
from domain.values import Instant, Invalid, Line, Slug


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

    def apply(self, case: Case, at: datetime) -> Case:
        newest = next((m for m in case.measured if m.indicator == self.indicator), None)
        if newest is not None and newest.at > self.taken_at:
            return case  # an older measurement came later: the latest one stands
        latest = Measured(indicator=self.indicator, value=self.value, unit=self.unit, at=self.taken_at)
        others = tuple(m for m in case.measured if m.indicator != self.indicator)
        return case.changed(measured=(*others, latest))


class RecordObservation(Command):
    """Record a measurement, in any stage. A value out of range raises its alert, with its task and its clock.

    One that is only history (a newer one is known, or it is long ago) is kept, and alarms nobody.
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
        newest = next((m.at for m in draft.case.measured if m.indicator == self.indicator), None)
        own = _own_limits(draft, self.indicator)
        limit = next((limit for limit in own or policy.limits if limit.crossed(value)), None)
        crossed = limit.alert if limit else None
        draft.happen(
            ObservationRecorded(
                indicator=self.indicator,
                value=value,
                unit=policy.unit,
                taken_at=at,
                crossed=crossed,
                by_own_limits=bool(own),
            )
        )
        if crossed is not None and not is_history(draft, at, newest):
            raise_alert(draft, crossed, self.indicator)
        consents = draft.case.consents_to(NeedsConsent.ASSESSMENT, draft.program.consent.covers)
        if consents and draft.case.stage in ACTIVE:
            repeat_measure(draft, self.indicator, f"Measure {policy.title}", policy.every, at)


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
    converted = round(value * factor, 4)
    if not policy.lowest <= converted <= policy.highest or not math.isfinite(converted):
        span = f"{policy.lowest:g} to {policy.highest:g} {policy.unit}"
        draft.refuse(Implausible, f"{policy.title} lies between {span}; check number and unit")
    return converted
