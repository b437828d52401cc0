"""Times as people say them: a span in words, a day with its weekday, a moment with its zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

from desk.words import Words

MINUTE, HOUR, DAY = 60, 3600, 86400


def span(seconds: float, spoken: Words) -> str:
    """A length of time in its two largest units: `2 d 3 h`, `45 min`."""
    whole = int(abs(seconds))
    days, hours, minutes = whole // DAY, whole % DAY // HOUR, whole % HOUR // MINUTE
    parts = [(days, "unit.day"), (hours, "unit.hour"), (minutes, "unit.minute")]
    told = [f"{number} {spoken(unit)}" for number, unit in parts if number]
    return " ".join(told[:2]) or f"{whole} {spoken('unit.second')}"


def day(instant: datetime, zone: str, spoken: Words) -> str:
    """The local day of an instant: `Wed 25 Nov 2026`."""
    local = instant.astimezone(ZoneInfo(zone))
    weekday, month = spoken(f"weekday.{local.isoweekday()}"), spoken(f"month.{local.month}")
    return f"{weekday} {local.day} {month} {local.year}"


def moment(instant: datetime, zone: str, spoken: Words) -> str:
    """An instant by a zone's clocks, which it names: `Wed 25 Nov 2026, 13:00 EST`."""
    local = instant.astimezone(ZoneInfo(zone))
    return f"{day(instant, zone, spoken)}, {local:%H:%M} {local:%Z}"


def local(value: object, zone: str) -> str:
    """An instant of a body as a field for local times takes it; what is none as it was typed."""
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{instant.astimezone(ZoneInfo(zone)) if instant.tzinfo else instant:%Y-%m-%dT%H:%M}"
