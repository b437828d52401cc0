"""When something is said to have happened: not in the future, and not before it can have."""

from datetime import date, datetime, timedelta

from domain.case.command import Draft
from domain.values import Invalid

CLOCKS_AHEAD = timedelta(minutes=5)
OLDEST = timedelta(days=366)


class NotYetHappened(Invalid):
    """The date lies in the future, or before the case was opened."""


class TooLongAgo(Invalid):
    """The date lies further back than a case looks."""


def check_happened(draft: Draft, instant: datetime) -> None:
    """Raises `NotYetHappened` for a time after now, or before the case."""
    _check_not_ahead(draft, instant)
    if instant < draft.case.opened_at - CLOCKS_AHEAD:
        draft.refuse(NotYetHappened, "give a time between the opening of the case and now")


def check_recent(draft: Draft, instant: datetime) -> None:
    """For what may be older than the case. Raises `NotYetHappened`, `TooLongAgo` beyond twelve months."""
    _check_not_ahead(draft, instant)
    if instant < draft.now - OLDEST:
        draft.refuse(TooLongAgo, "give a time within the last twelve months")


def check_day(draft: Draft, day: date, what: str) -> None:
    """Raises `NotYetHappened` for a day after today. `what` begins the sentence that the sender reads."""
    if day > draft.today:
        draft.refuse(NotYetHappened, f"{what} cannot be dated after today, {draft.today}")


def _check_not_ahead(draft: Draft, instant: datetime) -> None:
    """The clocks of two machines differ: a sender's may be a few minutes ahead of ours."""
    if instant > draft.now + CLOCKS_AHEAD:
        draft.refuse(NotYetHappened, "give a time that is not in the future")
