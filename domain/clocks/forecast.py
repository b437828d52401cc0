"""When a promise that comes again falls due again, if it is kept on the day on which it is due."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.clocks.budget import Budget, deadline
from domain.clocks.calendar import WorkingCalendar
from domain.clocks.clock import ClockKind

COMES_AGAIN = (ClockKind.CONTACT, ClockKind.REASSESSMENT, ClockKind.INSTRUMENT, ClockKind.PLAN_REVIEW)
MOST = 400  # occurrences of one promise: one of a minute would otherwise be projected for ever


def occurrences(
    due_at: datetime, within: Budget, until: datetime, working: WorkingCalendar, zone: ZoneInfo
) -> Iterator[datetime]:
    """The deadlines that follow one, each counted from the one before, until a time."""
    for _ in range(MOST):
        following = deadline(due_at, within, 0, working, zone)
        if following > until or following <= due_at:
            return
        yield following
        due_at = following
