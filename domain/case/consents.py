"""What a person agrees to: what her case may do, and who else may be told what of it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.programs.program import NeedsConsent
from domain.values import Day, Instant, Line, Opaque, Sensitivity, Value


class Share(Value):
    """What the person lets us tell somebody else: whom, what of it, for what, and until the end of which day."""

    with_whom: Line = Field(description="As the recipient of a referral is written")
    what: tuple[Line, ...] = Field(min_length=1, max_length=20)
    purpose: Line
    until: Day | None = None
    reader: Opaque | None = Field(
        default=None, description="The account by which the recipient's own system reads the case over FHIR"
    )
    labels: tuple[Sensitivity, ...] = Field(
        default=(), max_length=4, description="What stands under these labels is told too; left out, none of it"
    )
    reads: Literal["case", "referrals"] = Field(
        default="case", description="Whether that account reads the case, or only the referrals to this recipient"
    )


class Reader(Value):
    """An account outside that may read the case over FHIR, as a share of the consent says; `id` is the account."""

    id: Opaque
    with_whom: Line
    purpose: Line
    labels: tuple[Sensitivity, ...]
    reads: Literal["case", "referrals"]
    ends_at: Instant | None


class Consent(Value):
    """What the person agrees to: without `scopes`, to all that the programme asks for. `until` is its last day.

    `withdrawn_at` is when she took it back, or when it ended by itself.
    """

    given_at: Instant
    form: Literal["verbal", "written"]
    withdrawn_at: Instant | None = None
    scopes: tuple[NeedsConsent, ...] | None = None
    until: Day | None = None
    shares: tuple[Share, ...] = ()

    @property
    def in_force(self) -> bool:
        return self.withdrawn_at is None

    def gives(self, what: NeedsConsent) -> bool:
        """Whether it holds, and for this."""
        return self.in_force and (self.scopes is None or what in self.scopes)

    def shared_with(self, whom: str, day: date) -> bool:
        """Whether she lets us tell somebody, by his name, on a day."""
        return bool(self.shares_with(whom, day))

    def shares_with(self, whom: str, day: date) -> tuple[Share, ...]:
        """The shares by which she lets us tell him on that day."""
        return self._naming(whom, day) if self.in_force else ()

    def shares_at(self, whom: str, told_at: datetime, day: date) -> tuple[Share, ...]:
        """The shares by which she let us tell him at a time, on that local day; also before she withdrew."""
        held = self.given_at <= told_at and (self.withdrawn_at is None or told_at < self.withdrawn_at)
        return self._naming(whom, day) if held else ()

    def _naming(self, whom: str, day: date) -> tuple[Share, ...]:
        named = (s for s in self.shares if s.with_whom.casefold() == whom.casefold())
        return tuple(share for share in named if share.until is None or day <= share.until)

    def readers(self, zone: str) -> tuple[Reader, ...]:
        """The accounts outside that it lets read the case, each to the end of its share's last day there."""
        named = [(share.reader, share) for share in self.shares if self.in_force and share.reader is not None]
        return tuple(
            Reader(
                id=account,
                with_whom=share.with_whom,
                purpose=share.purpose,
                labels=share.labels,
                reads=share.reads,
                ends_at=_end_of(share.until, zone) if share.until else None,
            )
            for account, share in named
        )


def _end_of(day: date, zone: str) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
