"""Minutes: the time that a programme counts by calendar month, and what it makes of it."""

from datetime import datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram, UnknownReference
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.case.open_parts import Minutes
from domain.clocks.budget import Budget, Unit
from domain.clocks.clock import Clock, ClockKind
from domain.programs.policies import MinutesPolicy
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
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
    policy = draft.program.minutes
    reached = next((m.minutes for m in draft.case.minutes if m.month == month), 0)
    for clock in draft.case.running:
        if clock.about == f"minutes/{month}" and policy is not None and reached >= policy.first:
            keep_clock(draft, clock, min(max(began_at, clock.anchor), draft.now))
            promise_month(draft, clock)


def promise_month(draft: Draft, before: Clock | None = None) -> None:
    """Promise the minutes of the month behind `before`, where the programme counts them and none is promised yet.

    Left out, of the next one: the month in which a plan begins is a part of one, and asks for nothing.
    """
    policy, zone = draft.program.minutes, draft.program.zone
    promised = [c for c in draft.case.running if c.kind is ClockKind.MINUTES and c.missed_at is None]
    if policy is None or draft.case.plan is None or promised:
        return
    now = draft.program.day_of(before.anchor) if before is not None else draft.today
    first = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    promise = Promise(
        kind=ClockKind.MINUTES, title=f"{policy.first} minutes in {first:%Y-%m}", about=f"minutes/{first:%Y-%m}"
    )
    within = Budget(amount=(last - first).days, unit=Unit.CALENDAR_DAYS)
    start_clock(draft, promise, policy.month, datetime.combine(first, time(), zone), within)


def drop_month(draft: Draft, reason: str) -> None:
    """The minutes of a month are not owed: the person has withdrawn her consent."""
    for clock in draft.case.running:
        if clock.kind is ClockKind.MINUTES and clock.missed_at is None:
            cancel_clock(draft, clock, reason)


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
