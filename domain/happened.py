"""When something is said to have happened: not in the future, and not before it can have."""

from datetime import datetime, timedelta

from domain.command import Draft
from domain.values import Invalid

CLOCKS_AHEAD = timedelta(minutes=5)


class NotYetHappened(Invalid):
    """The date lies in the future, or before the case was opened."""


class TooLongAgo(Invalid):
    """The date lies further back than a case looks."""


def check_happened(draft: Draft, instant: datetime) -> None:
    """Raises `NotYetHappened` for a time after now (a few minutes of clock error allowed) or before the case."""
    if instant > draft.now + CLOCKS_AHEAD or instant < draft.case.opened_at - CLOCKS_AHEAD:
        draft.refuse(NotYetHappened, "give a time between the opening of the case and now")
