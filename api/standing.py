"""Whether a token still stands for somebody at work here, and how much may be asked in a minute."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from sqlalchemy import bindparam, outerjoin
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.problems import Refusal
from domain.values import Role
from infra.tables import SignOutRow, StaffRow

KNOWN_SECONDS = 3.0  # how long an answer is believed: who is made inactive is out within five seconds
MOST_KNOWN = 10_000
FAILURES_A_MINUTE = 60
FEED_TIMES = 10
ABOVE = (Role.DIRECTOR, Role.AUDITOR, Role.INTEGRATOR)
BELOW = (Role.CASE_MANAGER, Role.SENIOR)
LookUp = Callable[[Any, dict[str, Any]], Awaitable[Any]]

_ONE = select_columns(bindparam("tenant").label("tenant"), bindparam("sub").label("sub")).subquery()
_FOUND = outerjoin(
    outerjoin(_ONE, StaffRow, (col(StaffRow.tenant) == _ONE.c.tenant) & (col(StaffRow.subject) == _ONE.c.sub)),
    SignOutRow,
    (col(SignOutRow.tenant) == _ONE.c.tenant) & (col(SignOutRow.subject) == _ONE.c.sub),
)
_STANDING = select_columns(col(StaffRow.active), col(StaffRow.role), col(SignOutRow.at)).select_from(_FOUND)


class Standing:
    """Remembers for a moment who is at work here and who was signed out."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, Role], tuple[float, bool, int]] = {}

    async def holds(self, look_up: LookUp, tenant: str, sub: str, role: Role, issued_at: float) -> bool:
        """Whether a token that was issued then still signs this person in. Raises `RecordSilent`.

        Who is in no directory (a feed, an auditor) is at work for as long as the provider says so. An entry that
        a supervisor could write, as a case manager, locks out nobody of whom that is not his to say.
        """
        now, key = time.monotonic(), (tenant, sub, role)
        seen_at, active, signed_out_at = self._known.get(key, (float("-inf"), True, 0))
        if now - seen_at > KNOWN_SECONDS:
            row = await look_up(_STANDING, {"tenant": tenant, "sub": sub})
            anothers = role in ABOVE and row.role in BELOW
            active = row.active is not False or anothers
            signed_out_at = int(row.at.timestamp()) if row.at and not anothers else 0
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = (now, active, signed_out_at)
        return active and issued_at > signed_out_at  # both in whole seconds


class Limits:
    """How many requests one person, and how many bad tokens one address, may send this process in a minute."""

    def __init__(self, a_minute: int) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._of_person = RateLimitItemPerMinute(a_minute)
        self._of_feed = RateLimitItemPerMinute(a_minute * FEED_TIMES)
        self._failures = RateLimitItemPerMinute(FAILURES_A_MINUTE)

    async def check(self, tenant: str, sub: str, system: bool) -> None:
        """Raises 429; `system` is one that speaks for many people."""
        if not await self._limiter.hit(self._of_feed if system else self._of_person, tenant, sub):
            raise _too_many("you have sent more requests than you may in a minute")

    async def is_flood(self, address: str) -> bool:
        """Whether so much came from an address without any token that it is not worth a row each."""
        return not await self._limiter.hit(self._failures, "no-token", address)

    async def check_failures(self, address: str) -> None:
        """Raises 429. Only what cannot be trusted is counted, so nobody with a good token is kept out by it."""
        if not await self._limiter.hit(self._failures, "bad-token", address):
            raise _too_many("too many tokens from this address could not be trusted")


def _too_many(detail: str) -> Refusal:
    return Refusal(429, "TooManyRequests", f"{detail}; wait a minute", {"Retry-After": "60"})
