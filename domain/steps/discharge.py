"""The discharge plan, and the days in hospital that need not have been."""

from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event
from domain.programs.program import NeedsConsent
from domain.steps.medications import PeriodWrong
from domain.steps.stages import ACTIVE
from domain.values import Day, Instant, Invalid, Line, Opaque, Rejected, Slug, Text, Value

MOST_DAYS = 366


class UnknownEncounter(Rejected):
    """No transition of this encounter or event was recorded in this case."""


class NotSafeYet(Rejected):
    """The discharge cannot be called safe; `missing` lists what the plan lacks."""


class UnknownDayReason(Invalid):
    """The programme's list of avoidable-day reasons has no such code."""


class Appointment(Value):
    """A visit that is booked."""

    title: Line
    at: Instant


class DischargeBarrier(Value):
    """What stands in the way of a safe discharge. Without a `resolution` it is open."""

    description: Text
    resolution: Text | None = None


class DischargePlanned(Event):
    """How the person goes home: needs, services, vendors, appointments, barriers; and whether that is safe."""

    kind: ClassVar[str] = "discharge-planned"

    event_id: Opaque
    needs: tuple[Line, ...]
    services: tuple[Line, ...]
    vendors: tuple[Line, ...]
    appointments: tuple[Appointment, ...]
    barriers: tuple[DischargeBarrier, ...]
    medications_reconciled: bool
    shared_with: tuple[Line, ...]
    safe: bool


class AvoidableDaysRecorded(Event):
    """Days of a stay that need not have been: the reason, and apart from it who could have changed it."""

    kind: ClassVar[str] = "avoidable-days-recorded"

    first: Day
    last: Day
    days: int
    reason: Slug
    attributed_to: Slug
    note: Text | None = None


class PlanDischarge(Command):
    """Write the discharge plan of a stay. It is called safe only when nothing is missing."""

    kind: ClassVar[str] = "plan-discharge"
    says: ClassVar[str] = "Write the discharge plan"
    example: ClassVar[dict[str, Any]] = {
        "event_id": "adt-20300301-17",
        "needs": ["Walker", "Help with bathing"],
        "services": ["Home health nurse"],
        "appointments": [{"title": "Cardiology", "at": "2030-03-12T14:00:00Z"}],
        "barriers": [{"description": "Stairs", "resolution": "Bed downstairs"}],
        "medications_reconciled": True,
        "shared_with": ["Dr. Park, primary care"],
        "safe": True,
    }

    event_id: Opaque
    needs: tuple[Line, ...] = Field(min_length=1, max_length=30)
    services: tuple[Line, ...] = Field(default=(), max_length=30)
    vendors: tuple[Line, ...] = Field(default=(), max_length=30)
    appointments: tuple[Appointment, ...] = Field(default=(), max_length=30)
    barriers: tuple[DischargeBarrier, ...] = Field(default=(), max_length=30)
    medications_reconciled: bool = False
    shared_with: tuple[Line, ...] = Field(default=(), max_length=30)
    safe: bool = False

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.PLANNING)
        if not any(t.id == self.event_id for t in draft.case.transitions):
            draft.refuse(UnknownEncounter, "record the admission or discharge with record-transition first")
        if self.safe and (missing := self._missing()):
            draft.refuse(NotSafeYet, "complete the plan, or write it down without calling it safe", missing)
        draft.happen(DischargePlanned(**{name: getattr(self, name) for name in type(self).model_fields}))

    def _missing(self) -> list[str]:
        found = [] if self.appointments else ["at least one appointment after the discharge"]
        found += [] if self.medications_reconciled else ["reconciled medications"]
        found += [] if self.shared_with else ["somebody the plan was shared with"]
        return found + [f"barrier {n}" for n, barrier in enumerate(self.barriers, 1) if not barrier.resolution]


class RecordAvoidableDays(Command):
    """Record days in hospital that need not have been, with a reason of the list and who it is attributed to."""

    kind: ClassVar[str] = "record-avoidable-days"
    says: ClassVar[str] = "Record avoidable days"
    feed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {
        "first": "2026-03-04",
        "last": "2026-03-05",
        "reason": "payer-authorization",
        "attributed_to": "payer",
    }

    first: Day
    last: Day
    reason: Slug
    attributed_to: Slug
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        if draft.program.avoidable_days is None:
            draft.refuse(NotInProgram, "this programme does not count avoidable days")
        reasons = draft.moment.rulebook.codes(draft.program.avoidable_days)
        if self.reason not in reasons:
            draft.refuse(UnknownDayReason, f"give a code of the list {draft.program.avoidable_days}")
        if not draft.today - timedelta(days=MOST_DAYS) <= self.first <= self.last <= draft.today:
            draft.refuse(PeriodWrong, "give the first and the last day, within the last twelve months")
        days = (self.last - self.first).days + 1
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        draft.happen(AvoidableDaysRecorded(days=days, **fields))
