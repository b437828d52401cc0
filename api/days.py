"""Whole local days that somebody asks for, as instants."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from api.problems import Refusal

MOST_AHEAD = 92


def bounds(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """From the beginning of the first day until the end of the last, by a zone's clocks."""
    start, end = (datetime.combine(day, time(), zone) for day in (first, last + timedelta(days=1)))
    return start.astimezone(UTC), end.astimezone(UTC)


def ahead(first: date | None, last: date | None, usual: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Days from today and `usual` of them, unless others are asked for. Raises 422 for more than `MOST_AHEAD`."""
    first = first or datetime.now(zone).date()
    last = last or first + timedelta(days=usual - 1)
    if not timedelta(0) <= last - first < timedelta(days=MOST_AHEAD):
        raise Refusal(422, "Malformed", f"give a first day not after the last, and at most {MOST_AHEAD} days")
    return bounds(first, last, zone)
