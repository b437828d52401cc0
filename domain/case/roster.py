"""On duty: who of a team can be reached when its case managers sleep, as a roster says."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from domain.values import Day, Instant, Opaque, Slug, Value, Zone

MOST_SHIFTS = 500
ONE_DAY = timedelta(days=1)
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
Weekday = Annotated[int, Field(ge=1, le=7, description="Monday is 1")]
Span = tuple[datetime, datetime]


class Shift(Value):
    """Somebody is on duty on these weekdays, from `starts` to `ends` by the roster's zone.

    One that ends at or before its beginning ends on the next day. `first` and `last` limit the days on which it
    begins; a single one is given by the same day twice.
    """

    person: Opaque
    days: tuple[Weekday, ...] = Field(default=EVERY_DAY, min_length=1, max_length=7)
    starts: time
    ends: time
    first: Day | None = None
    last: Day | None = None

    @model_validator(mode="after")
    def _is_local(self) -> Self:
        if self.starts.tzinfo is not None or self.ends.tzinfo is not None:
            raise ValueError("times are local to the roster's zone: leave the offset out")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError("the last day is not before the first")
        return self

    def begins_on(self, day: date) -> bool:
        in_time = (self.first is None or self.first <= day) and (self.last is None or day <= self.last)
        return in_time and day.isoweekday() in self.days


class Turn(Value):
    """One time that somebody is on duty, from `starts` until before `ends`."""

    person: Opaque
    starts: Instant
    ends: Instant


class Roster(Value):
    """Who is on duty for a team, and when. In the hours of `calendar` nobody needs to be: the team is at work."""

    team: Slug
    zone: Zone
    calendar: Slug | None = None
    shifts: tuple[Shift, ...] = Field(default=(), max_length=MOST_SHIFTS)

    def turns(self, start: datetime, end: datetime) -> tuple[Turn, ...]:
        """The turns that touch a period, in the order of time."""
        zone = ZoneInfo(self.zone)
        day, last = start.astimezone(zone).date() - ONE_DAY, end.astimezone(zone).date()
        found = []
        while day <= last:
            found += [_turn(shift, day, zone) for shift in self.shifts if shift.begins_on(day)]
            day += ONE_DAY
        touching = (turn for turn in found if turn.ends > start and turn.starts < end)
        return tuple(sorted(touching, key=lambda turn: (turn.starts, turn.ends, turn.person)))

    def on_duty(self, now: datetime) -> tuple[Turn, ...]:
        """The turns that are under way."""
        return self.turns(now, now + timedelta(microseconds=1))


def _turn(shift: Shift, day: date, zone: ZoneInfo) -> Turn:
    until = day if shift.ends > shift.starts else day + ONE_DAY
    starts = datetime.combine(day, shift.starts, zone).astimezone(UTC)
    return Turn(person=shift.person, starts=starts, ends=datetime.combine(until, shift.ends, zone).astimezone(UTC))


def gaps(covered: Iterable[Span], start: datetime, end: datetime) -> tuple[Span, ...]:
    """The times of a period that nothing covers."""
    found, reached = [], start
    for begins, ends in sorted(covered):
        if begins > reached:
            found.append((reached, min(begins, end)))
        reached = max(reached, ends)
        if reached >= end:
            return tuple(found)
    return (*found, (reached, end))
