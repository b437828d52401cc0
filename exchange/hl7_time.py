"""Times of HL7 v2: from a day to a fraction of a second, mostly without a zone."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SHAPE = re.compile(
    r"(?P<day>\d{8})(?:(?P<hour>\d{2})(?:(?P<minute>\d{2})(?:(?P<second>\d{2})(?:\.\d{1,6})?)?)?)?"
    r"(?P<offset>[+-]\d{4})?"
)


def when(value: str, zone: ZoneInfo) -> datetime | date | None:
    """A moment, a day where only that is said, or None for what nobody can read. Without an offset it is local.

    A local time that the clocks jump over is the one an hour later, and one that comes twice is the first.
    """
    found = SHAPE.fullmatch(value)
    try:
        if found is None:
            return None
        day = datetime.strptime(found["day"], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
        if found["hour"] is None:
            return day
        clock = timedelta(
            hours=_below(found["hour"], 24),
            minutes=_below(found["minute"], 60),
            seconds=_below(found["second"], 60),
        )
        local = datetime(day.year, day.month, day.day) + clock  # noqa: DTZ001 - the zone comes next
        if (offset := found["offset"]) is None:
            return local.replace(tzinfo=zone).astimezone(UTC)
        away = timedelta(hours=_below(offset[1:3], 15), minutes=_below(offset[3:], 60))
        return (local - away if offset[0] == "+" else local + away).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _below(digits: str | None, most: int) -> int:
    number = int(digits or 0)
    if number >= most:
        raise ValueError("out of range")
    return number
