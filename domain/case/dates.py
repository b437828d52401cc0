"""When something is said to have happened, or to be due: not in the future, not too long ago, not in the past."""

from datetime import date, datetime, timedelta

from domain.case.command import Draft
from domain.clocks.budget import Budget, Unit
from domain.values import Invalid

CLOCKS_AHEAD = timedelta(minutes=5)


class NotYetHappened(Invalid):
    """The date lies in the future."""


class TooLongAgo(Invalid):
    """The date lies further back than the programme looks."""


def happened_at(draft: Draft, instant: datetime | None) -> datetime:
    """When something happened that is told now: the time given, or now. It may be older than the case.

    Raises `NotYetHappened`, and `TooLongAgo` beyond the programme's look-back.
    """
    if instant is None:
        return draft.now
    _check_not_ahead(draft, instant)
    days = draft.program.look_back_days
    if instant < draft.now - timedelta(days=days) and not draft.correcting:
        draft.refuse(TooLongAgo, f"give a time within the last {days} days")
    return min(instant, draft.now)


def is_history(draft: Draft, happened: datetime, newest: datetime | None) -> bool:
    """Whether a finding is only history: a newer one is known, or it is too old for an alarm of the programme."""
    too_old = happened < draft.now - timedelta(days=draft.program.alarm_within_days)
    return too_old or (newest is not None and happened < newest)


def check_day(draft: Draft, day: date, what: str) -> None:
    """Raises `NotYetHappened` for a day after today. `what` begins the sentence that the sender reads."""
    if day > draft.today:
        draft.refuse(NotYetHappened, f"{what} cannot be dated after today, {draft.today}")


def _check_not_ahead(draft: Draft, instant: datetime) -> None:
    """The clocks of two machines differ: a sender's may be a few minutes ahead of ours."""
    if instant > draft.now + CLOCKS_AHEAD:
        draft.refuse(NotYetHappened, "give a time that is not in the future")


class DayInThePast(Invalid):
    """A review, a renewal or another date to come lies after today."""


def until_day(draft: Draft, day: date) -> Budget:
    """The budget that ends with a day. Raises `DayInThePast`."""
    days = (day - draft.today).days
    if not 0 < days <= 3660:
        draft.refuse(DayInThePast, "give a day after today, within ten years")
    return Budget(amount=days, unit=Unit.CALENDAR_DAYS)


def until_day_or_tomorrow(draft: Draft, day: date) -> Budget:
    """The same for a day that may be over by now: tomorrow then."""
    return until_day(draft, max(day, draft.today + timedelta(days=1)))
