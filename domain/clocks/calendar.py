"""Working calendars: which days and hours count when a deadline is promised in working time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import model_validator

from domain.values import Slug, Value

ONE_DAY = timedelta(days=1)
LONGEST_GAP_DAYS = 60


class WorkingCalendar(Value):
    """Weekends, holidays and opening hours. The hours are local to whatever zone is asked about.

    `weekend` holds ISO weekdays (Monday is 1); `hours` are those of weekdays that have others than the rest.
    """

    name: Slug
    weekend: frozenset[int]
    holidays: frozenset[date]
    opens: time
    closes: time
    hours: dict[int, tuple[time, time]] = {}

    @model_validator(mode="after")
    def _leaves_time_to_work(self) -> "WorkingCalendar":
        if any(opens >= closes for opens, closes in ((self.opens, self.closes), *self.hours.values())):
            raise ValueError("opens must be before closes")
        if self.weekend >= frozenset(range(1, 8)):
            raise ValueError("weekend must leave at least one working day")
        return self

    def is_working_day(self, day: date) -> bool:
        """Whether somebody is at work on this day."""
        return day.isoweekday() not in self.weekend and day not in self.holidays

    def add_working_days(self, day: date, count: int) -> date:
        """The `count`-th working day after `day` (before it, when negative); `day` itself for 0."""
        step = ONE_DAY if count > 0 else -ONE_DAY
        idle = 0
        for _ in range(abs(count)):
            day += step
            while not self.is_working_day(day):
                day += step
                idle += 1
                if idle > LONGEST_GAP_DAYS * (abs(count) + 1):
                    raise ValueError(f"calendar {self.name} has no working days left")
        return day

    def working_days(self, after: date, until: date) -> int:
        """How many working days lie in (`after`, `until`]."""
        span = (until - after).days
        return sum(self.is_working_day(after + timedelta(days=n)) for n in range(1, span + 1))

    def add_working_seconds(self, instant: datetime, seconds: int, zone: ZoneInfo) -> datetime:
        """The instant at which `seconds` of opening time have passed since `instant`."""
        day = instant.astimezone(zone).date()
        while True:
            start, end = self.open_hours(day, zone)
            start = max(start, instant)
            room = int((end - start).total_seconds()) if self.is_working_day(day) else 0
            if room > 0 and seconds <= room:
                return start + timedelta(seconds=seconds)
            seconds -= max(room, 0)
            day = self.add_working_days(day, 1)

    def working_seconds(self, start: datetime, end: datetime, zone: ZoneInfo) -> int:
        """Opening time between two instants, in seconds."""
        total = 0
        day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
        while day <= last:
            if self.is_working_day(day):
                opens, closes = self.open_hours(day, zone)
                total += max(0, int((min(closes, end) - max(opens, start)).total_seconds()))
            day += ONE_DAY
        return total

    def open_hours(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """From when until when work is open on a day, were it a working day."""
        opens, closes = self.hours_of(day)
        start = datetime.combine(day, opens, zone).astimezone(UTC)
        return start, datetime.combine(day, closes, zone).astimezone(UTC)

    def hours_of(self, day: date) -> tuple[time, time]:
        """When work opens and closes on a day of this weekday."""
        return self.hours.get(day.isoweekday(), (self.opens, self.closes))
