"""When somebody may be told, how often it is tried again, and what of it is gathered into one message."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.values import Value, Zone

MISSED = "clock-missed"  # the notice of a promise that was not kept
GATHER = timedelta(seconds=60)  # notices that are not urgent wait so long for others
GIVEN_UP_AFTER = timedelta(hours=24)
REPEATED_EVERY, REPEATED = timedelta(minutes=15), 4  # an urgent one that nobody has read is sent again
AGAIN = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 240, 480))
URGENT_EACH_MINUTE = 10
DAY = 24 * 60


class QuietHours(Value):
    """When somebody is not to be disturbed by what can wait, in minutes of her local day; over midnight too."""

    zone: Zone
    begins: int = Field(ge=0, lt=DAY)
    ends: int = Field(ge=0, lt=DAY)

    def until(self, now: datetime) -> datetime | None:
        """The end of the quiet that there is now, None where there is none; an hour that is skipped ends later."""
        here = now.astimezone(ZoneInfo(self.zone))
        minute = here.hour * 60 + here.minute
        over_midnight = self.begins > self.ends
        quiet = minute >= self.begins or minute < self.ends if over_midnight else self.begins <= minute < self.ends
        if not quiet:
            return None
        tomorrow = over_midnight and minute >= self.begins
        day = here.date() + timedelta(days=1 if tomorrow else 0)
        end = datetime.combine(day, time(self.ends // 60, self.ends % 60), ZoneInfo(self.zone))
        return end.astimezone(now.tzinfo)


def tried_again(tries: int, urgent: bool, now: datetime) -> datetime:
    """When a message that could not be sent is tried again, `tries` times it was tried so far."""
    if urgent:
        return now + AGAIN[0 if tries <= URGENT_EACH_MINUTE else 1]
    return now + AGAIN[min(tries - 1, len(AGAIN) - 1)]
