"""Minutes: the time that a programme counts by calendar month, and what it makes of it."""

from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram, UnknownReference
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.case.open_parts import Minutes
from domain.programs.policies import MinutesPolicy
from domain.values import Instant, Line, Slug, Value

MONTHS_KEPT = 14  # the look-back of a year, whole months: what is written late finds its month


class MinutesRecorded(Event):
    """Time spent for the person. It counts in the month in which the activity began, local time."""

    kind: ClassVar[str] = "minutes-recorded"

    month: Line
    minutes: int
    began_at: Instant
    activity: Slug
    contact_seq: int | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        before = next((m.minutes for m in case.minutes if m.month == self.month), 0)
        others = tuple(m for m in case.minutes if m.month != self.month)
        this = Minutes(month=self.month, minutes=before + self.minutes)
        months = tuple(sorted((*others, this), key=lambda m: m.month))[-MONTHS_KEPT:]
        unrecorded = tuple(seq for seq in case.unrecorded if seq != self.contact_seq)
        return case.changed(minutes=months, unrecorded=unrecorded)


class Units(Value):
    """What the minutes of a month come to: whether the first part is reached, and further parts."""

    first: bool
    further: int


class MonthOfMinutes(Minutes, Units):
    """One month of a case, with what its minutes come to."""


def by_month(case: Case, policy: MinutesPolicy) -> tuple[MonthOfMinutes, ...]:
    """The months of a case that have minutes, the newest last."""
    return tuple(MonthOfMinutes(**dict(month), **dict(units(policy, month.minutes))) for month in case.minutes)


def units(policy: MinutesPolicy, minutes: int) -> Units:
    """The parts that count; time beyond the last of them is recorded and counts for nothing."""
    if minutes < policy.first:
        return Units(first=False, further=0)
    return Units(first=True, further=min((minutes - policy.first) // policy.further, policy.most_further))


def month_of(began_at: datetime, zone: ZoneInfo) -> str:
    """The calendar month an activity counts in: that of its beginning, local time."""
    return f"{began_at.astimezone(zone):%Y-%m}"


def count_minutes(
    draft: Draft, minutes: int, began_at: datetime, activity: str = "contact", seq: int | None = None
) -> None:
    month = month_of(began_at, draft.program.zone)
    draft.happen(
        MinutesRecorded(month=month, minutes=minutes, began_at=began_at, activity=activity, contact_seq=seq)
    )


class RecordMinutes(Command):
    """Record time spent for the person: of a contact that lacks it, or of other work."""

    kind: ClassVar[str] = "record-minutes"
    says: ClassVar[str] = "Record minutes"
    example: ClassVar[dict[str, Any]] = {"minutes": 25, "activity": "care-plan"}

    minutes: int = Field(ge=1, le=720)
    activity: Slug
    began_at: Instant | None = None
    contact_seq: int | None = Field(default=None, ge=1)

    def decide(self, draft: Draft) -> None:
        if draft.program.minutes is None:
            draft.refuse(NotInProgram, "this programme counts no minutes")
        happened_at(draft, self.began_at)
        if self.contact_seq is not None and self.contact_seq not in draft.case.unrecorded:
            draft.refuse(UnknownReference, "no contact of this number lacks its minutes")
        count_minutes(draft, self.minutes, self.began_at or draft.now, self.activity, self.contact_seq)
