"""Appointments: made, moved, kept, missed, cancelled. To say what became of one is a promise like any other."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram, UnknownReference, require_staff
from domain.case.dates import NotYetHappened
from domain.case.event import Event
from domain.case.open_parts import BookedAppointment
from domain.clocks.clock import ClockKind, ClockPolicy, Mode, Party
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.contacts import LogContact
from domain.values import Instant, Invalid, Line, Opaque, Slug, Text

LONGEST_AHEAD = timedelta(days=2 * 365)


class NotAhead(Invalid):
    """An appointment is made for a time after now, within two years."""


class AppointmentMade(Event):
    """Somebody is to be somewhere at a time; `attendee` of the staff answers for it."""

    kind: ClassVar[str] = "appointment-made"

    appointment: BookedAppointment

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("appointments", self.appointment)


class AppointmentMoved(Event):
    kind: ClassVar[str] = "appointment-moved"

    appointment: BookedAppointment
    before: Instant
    reason: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.put("appointments", self.appointment)


class OfAppointment(Event, abstract=True):
    """Base of what ends an appointment; what is told of it is the appointment as it was."""

    appointment: BookedAppointment

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("appointments", self.appointment.id)


class AppointmentKept(OfAppointment):
    kind: ClassVar[str] = "appointment-kept"

    outcome: Text


class AppointmentMissed(OfAppointment):
    """It did not take place: the person did not come, or `by_us`, nobody of ours did."""

    kind: ClassVar[str] = "appointment-missed"

    by_us: bool = False
    reason: Text | None = None


class AppointmentCancelled(OfAppointment):
    kind: ClassVar[str] = "appointment-cancelled"

    reason: Text


def _rule(draft: Draft) -> ClockPolicy:
    if draft.program.appointments is None:
        draft.refuse(NotInProgram, "this programme keeps no appointments")
    return draft.program.appointments


def _found(draft: Draft, appointment_id: str) -> BookedAppointment:
    found = next((a for a in draft.case.appointments if a.id == appointment_id), None)
    if found is None:
        draft.refuse(
            UnknownReference, "the case has no appointment of this id that is ahead or waits to be told of"
        )
    return found


def _require_ahead(draft: Draft, starts_at: datetime) -> None:
    if not draft.now < starts_at <= draft.now + LONGEST_AHEAD:
        draft.refuse(NotAhead, "give a time after now, within two years")


def _require_begun(draft: Draft, found: BookedAppointment) -> None:
    if found.starts_at > draft.now:
        draft.refuse(NotYetHappened, "it has not begun yet: move or cancel it")


def _promise(draft: Draft, title: str, about: str, ends_at: datetime) -> str:
    """The promise to say what became of an appointment, from its end on."""
    promise = Promise(kind=ClockKind.REVIEW, title=f"What became of: {title}"[:200], about=f"appointment/{about}")
    return start_clock(draft, promise, _rule(draft), ends_at)


class MakeAppointment(Command):
    """Make an appointment. It stands in the agenda; after its end somebody says what became of it."""

    kind: ClassVar[str] = "make-appointment"
    says: ClassVar[str] = "Make an appointment"
    example: ClassVar[dict[str, Any]] = {
        "title": "Home visit",
        "starts_at": "2030-06-30T14:00:00-04:00",
        "minutes": 45,
        "mode": "in-person",
    }

    title: Line
    starts_at: Instant
    minutes: int = Field(default=60, ge=5, le=24 * 60)
    mode: Mode | None = Field(default=None, description="How she is met; left out: she goes to somebody else")
    with_whom: Line | None = None
    place: Line | None = None
    attendee: Opaque | None = Field(default=None, description="Who of the staff; left out: the case manager")

    def decide(self, draft: Draft) -> None:
        _rule(draft)
        _require_ahead(draft, self.starts_at)
        draft.require_room("appointments")
        if self.attendee is not None:
            require_staff(draft, self.attendee)
        appointment_id = draft.id_behind_clock("m")
        ends_at = self.starts_at + timedelta(minutes=self.minutes)
        clock_id = _promise(draft, self.title, appointment_id, ends_at)
        said = self.model_dump(exclude_unset=True)
        made = BookedAppointment(id=appointment_id, clock_id=clock_id, **said)
        draft.happen(AppointmentMade(appointment=made))
        draft.created.append(appointment_id)


class MoveAppointment(Command):
    """Move an appointment to another time; it stays the same appointment."""

    kind: ClassVar[str] = "move-appointment"
    says: ClassVar[str] = "Move an appointment"
    example: ClassVar[dict[str, Any]] = {"appointment_id": "m9", "starts_at": "2030-07-01T14:00:00-04:00"}

    appointment_id: Slug
    starts_at: Instant
    minutes: int | None = Field(default=None, ge=5, le=24 * 60)
    reason: Text | None = None

    def decide(self, draft: Draft) -> None:
        found = _found(draft, self.appointment_id)
        _require_ahead(draft, self.starts_at)
        minutes = self.minutes or found.minutes
        cancel_clock(draft, draft.open_clock(found.clock_id), "moved")
        clock_id = _promise(draft, found.title, found.id, self.starts_at + timedelta(minutes=minutes))
        moved = found.changed(starts_at=self.starts_at, minutes=minutes, clock_id=clock_id, moved=found.moved + 1)
        draft.happen(AppointmentMoved(appointment=moved, before=found.starts_at, reason=self.reason))


class KeepAppointment(Command):
    """Say what came of an appointment that took place. One at which the person was met is a contact as well."""

    kind: ClassVar[str] = "keep-appointment"
    says: ClassVar[str] = "Say what came of an appointment"
    example: ClassVar[dict[str, Any]] = {"appointment_id": "m9", "outcome": "Walks without her stick"}

    appointment_id: Slug
    outcome: Text
    party: Party = Party.PATIENT
    minutes: int | None = Field(default=None, ge=1, le=720)

    def decide(self, draft: Draft) -> None:
        found = _found(draft, self.appointment_id)
        _require_begun(draft, found)
        keep_clock(draft, draft.open_clock(found.clock_id), draft.now)
        draft.happen(AppointmentKept(appointment=found, outcome=self.outcome))
        if found.mode is not None:
            met = {"mode": found.mode, "party": self.party, "reached": True, "outcome": self.outcome}
            LogContact(**met, occurred_at=found.starts_at, minutes=self.minutes).decide(draft)


class MissAppointment(Command):
    """Say that an appointment did not take place. Where she was to be met, it is an attempt to reach her."""

    kind: ClassVar[str] = "miss-appointment"
    says: ClassVar[str] = "Say that an appointment was missed"
    example: ClassVar[dict[str, Any]] = {"appointment_id": "m9", "reason": "Nobody opened"}

    appointment_id: Slug
    by_us: bool = Field(default=False, description="Nobody of ours came")
    reason: Text | None = None

    def decide(self, draft: Draft) -> None:
        found = _found(draft, self.appointment_id)
        _require_begun(draft, found)
        keep_clock(draft, draft.open_clock(found.clock_id), draft.now)
        draft.happen(AppointmentMissed(appointment=found, by_us=self.by_us, reason=self.reason))
        if found.mode is not None and not self.by_us:
            tried = {"mode": found.mode, "party": Party.PATIENT, "reached": False}
            outcome = self.reason or "did not come"
            LogContact(**tried, outcome=outcome, occurred_at=found.starts_at).decide(draft)


class CancelAppointment(Command):
    """Cancel an appointment that is not wanted any more."""

    kind: ClassVar[str] = "cancel-appointment"
    says: ClassVar[str] = "Cancel an appointment"
    example: ClassVar[dict[str, Any]] = {"appointment_id": "m9", "reason": "She is in hospital"}

    appointment_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        found = _found(draft, self.appointment_id)
        cancel_clock(draft, draft.open_clock(found.clock_id), "cancelled")
        draft.happen(AppointmentCancelled(appointment=found, reason=self.reason))
