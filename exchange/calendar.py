"""An agenda as iCalendar (RFC 5545), for the calendar that somebody has on her telephone.

It leaves the house: what kind of thing is when, and where to read more after signing in. No name, no title, no
programme. Times are in UTC, as a VTIMEZONE each would be most of the file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import icalendar

REFRESH = timedelta(hours=1)  # some readers take 8 to 24 hours whatever is said here
OURS = "-//Caseloom//Agenda//EN"


@dataclass(frozen=True)
class Dated:
    """Something that is at a time: what kind it is, and where it can be read."""

    uid: str
    at: datetime
    says: str
    address: str


def calendar_of(name: str, entries: Iterable[Dated]) -> bytes:
    """The calendar as its readers fetch it; the same entries give the same bytes."""
    calendar = icalendar.Calendar()
    calendar.add("prodid", OURS)
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", name)
    calendar.add("refresh-interval", REFRESH, {"value": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    for entry in entries:
        calendar.add_component(_event(entry))
    return bytes(calendar.to_ical())


def _event(entry: Dated) -> icalendar.Event:
    event = icalendar.Event()
    event.add("uid", entry.uid)
    event.add("dtstamp", entry.at.astimezone(UTC))
    event.add("dtstart", entry.at.astimezone(UTC))
    event.add("summary", entry.says)
    event.add("url", entry.address)
    event.add("class", "PRIVATE")
    event.add("transp", "TRANSPARENT")  # a deadline keeps nobody busy
    return event
