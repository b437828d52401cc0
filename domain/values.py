"""The ground every rule stands on: frozen values, who acts, and refusals with a name."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
)


@cache
def zones() -> frozenset[str]:
    """The IANA time zones that this machine knows; it takes a while to find them."""
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in zones():
        raise ValueError("not an IANA time zone, such as America/New_York")
    return name


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Zone = Annotated[str, AfterValidator(_zone)]
Opaque = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


UNSEEN = ("Cf", "Zs", "Zl", "Zp", "Cc", "Mn")


def printable(text: str) -> str:
    """The text, if its only control characters are tab and line break, and something of it can be seen.

    PostgreSQL stores no NUL; a note of one zero-width space says nothing.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in text):
        raise ValueError("control characters are not allowed")
    if text and all(unicodedata.category(c) in UNSEEN for c in text):
        raise ValueError("there is nothing to be seen in this text")
    return text


Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(printable)
]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), AfterValidator(printable)
]


def _time(written: Any) -> datetime:
    """A time as it is written (RFC 3339); a bare number would be read as seconds since 1970."""
    if isinstance(written, datetime):
        return written
    try:
        if not isinstance(written, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", written, re.ASCII):
            raise ValueError
        return _DATETIME.validate_python(written)
    except ValueError:
        raise ValueError("write a time with its zone, as 2026-03-06T15:00:00-05:00") from None


def _day(written: Any) -> date:
    """A day as it is written, and nothing that only could be read as one."""
    if isinstance(written, date) and not isinstance(written, datetime):
        return written
    try:
        if not isinstance(written, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", written, re.ASCII):
            raise ValueError
        return date.fromisoformat(written)
    except ValueError:
        raise ValueError("write a day as 2026-03-06") from None


def _partial(written: Any) -> str:
    """A day, or a month or a year alone, as it is known."""
    text = written.isoformat() if isinstance(written, date) else written
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}(-\d\d){0,2}", text, re.ASCII):
        raise ValueError("write a day as 2026-03-06, a month as 2026-03, a year as 2026")
    _reasonable(span_of(text)[0])
    return text


def span_of(partial: str) -> tuple[date, date]:
    """The first and the last day that a partial date may mean. Raises `ValueError` for one that is none."""
    if "00" in partial.split("-")[1:]:
        raise ValueError("there is no month and no day 00")
    year, month, day = (*(int(part) for part in partial.split("-")), 0, 0)[:3]
    if not year:
        raise ValueError("there is no year 0000")
    if day:
        return date(year, month, day), date(year, month, day)
    last = date(year + (month in (0, 12)), 1 if month in (0, 12) else month + 1, 1) - timedelta(days=1)
    return date(year, month or 1, 1), last


def _reasonable(day: date) -> None:
    """Refused outside 1900 to 2200: no promise, no birth and no report of a case lies there."""
    if not 1900 <= day.year < 2200:
        raise ValueError("give a date between 1900 and 2200")


def reasonable(instant: datetime) -> datetime:
    """An instant in UTC."""
    _reasonable(instant)
    return instant.astimezone(UTC)


def reasonable_day(day: date) -> date:
    _reasonable(day)
    return day


_DATETIME = TypeAdapter(datetime)
Instant = Annotated[AwareDatetime, BeforeValidator(_time), AfterValidator(reasonable)]
Day = Annotated[date, BeforeValidator(_day), AfterValidator(reasonable_day)]
PartialDay = Annotated[str, BeforeValidator(_partial)]


def _yes_or_no(written: Any) -> Any:
    """A word of a query: `true` or `1`, `false` or `0`, and nothing that only could be read as one of them."""
    if isinstance(written, bool) or written is None:
        return written
    if written in ("true", "1", "false", "0"):
        return written in ("true", "1")
    raise ValueError("write true or false")


YesNo = Annotated[bool, BeforeValidator(_yes_or_no)]


class Value(BaseModel):
    """A frozen value. Unknown fields are errors, so that a misspelt one is never lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self, **fields: Any) -> Self:
        """This value with some fields replaced, and these validated (`model_copy` would not look).

        What stays was validated before; a case of a hundred tasks is changed ten times by one command.
        """
        checks = _checks(type(self))
        if checks is None or not checks.keys() >= fields.keys():
            return type(self).model_validate({**dict(self), **fields})
        return self.model_copy(update={name: checks[name].validate_python(fields[name]) for name in fields})


@cache
def _checks(kind: type[Value]) -> dict[str, TypeAdapter[Any]] | None:
    """What validates each field of a kind of value by itself; None where the kind has rules over its fields."""
    rules = kind.__pydantic_decorators__
    if rules.model_validators or rules.field_validators:
        return None
    forms: dict[str, Any] = {name: Annotated[field.annotation, field] for name, field in kind.model_fields.items()}
    return {name: TypeAdapter(form) for name, form in forms.items()}


class Role(StrEnum):
    """What a person may do. The first four are also the ranks an escalation climbs through."""

    CASE_MANAGER = "case-manager"
    SENIOR = "senior-case-manager"
    SUPERVISOR = "supervisor"
    DIRECTOR = "director"
    INTEGRATOR = "integrator"
    AUDITOR = "auditor"
    SYSTEM = "system"


class Sensitivity(StrEnum):
    """Who may read a note, a section or a contact (42 CFR Part 2 keeps substance-use records apart)."""

    GENERAL = "general"
    BEHAVIORAL = "behavioral"
    PART2 = "part2"
    SUD_COUNSELLING = "sud-counselling"


class Actor(Value):
    """The person, or the system itself, on whose word something happens."""

    subject: Opaque
    role: Role


SYSTEM = Actor(subject="caseloom", role=Role.SYSTEM)


class Rejected(Exception):
    """A refusal by the state of the case. The class name is the API's error code.

    `detail` says what to do next and `missing` lists what is open; neither may hold personal data.
    """

    title: ClassVar[str] = "The case does not allow this now"

    def __init__(self, detail: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.missing = missing

    @property
    def code(self) -> str:
        return type(self).__name__


class Invalid(Rejected):
    """A refusal that no state of the case could turn into a yes: the request itself is wrong."""

    title = "The request cannot be right for any case"
