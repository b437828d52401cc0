"""Break-glass: somebody who is kept out by rule looks into one case in an emergency, and answers for it."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from domain.case.case import Case
from domain.case.command import LEADS, Command, Draft, NotInProgram
from domain.case.event import Event
from domain.case.open_parts import Access
from domain.clocks.clock import ClockKind, Rank
from domain.promises.deadlines import Promise, keep_clock, start_clock
from domain.values import Instant, Opaque, Rejected, Slug, Text

HOLDS = timedelta(minutes=60)


class AccessHolds(Rejected):
    """You have broken into this case already, and still see it."""


class NotYourAccess(Rejected):
    """Whoever looked ends it, or a lead; a lead who did not look reviews it."""


class AccessBroken(Event):
    """Somebody looks into the case in an emergency, until the time is over or she ends it."""

    kind: ClassVar[str] = "access-broken"

    access: Access
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("accesses", self.access)


class AccessEnded(Event):
    """The look ended before its time was over."""

    kind: ClassVar[str] = "access-ended"

    access_id: Slug
    ended_at: Instant

    def apply(self, case: Case, at: datetime) -> Case:
        found = next((a for a in case.accesses if a.id == self.access_id), None)
        return case.put("accesses", found.changed(until=self.ended_at)) if found else case


class AccessReviewed(Event):
    """A lead has gone through what was looked at, and says whether it was right."""

    kind: ClassVar[str] = "access-reviewed"

    access_id: Slug
    by: Opaque
    justified: bool
    finding: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("accesses", self.access_id)


class BreakGlass(Command):
    """Look into a case that is not yours, in an emergency and for sixty minutes.

    The leads hear of it at once, everything you read is listed, and a lead reviews it. Whoever is kept from the
    case does not get in.
    """

    kind: ClassVar[str] = "break-glass"
    says: ClassVar[str] = "Look into a case in an emergency"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"reason": "She collapsed at our desk; her case manager does not answer"}

    reason: Text

    def decide(self, draft: Draft) -> None:
        policy = draft.program.access_review
        if policy is None:
            draft.refuse(NotInProgram, "this programme opens no case in an emergency: call its supervisor")
        me, here = draft.actor.subject, draft.staff.member(draft.actor.subject)
        if me == draft.case.owner or (here is not None and here.team == draft.case.team):
            draft.refuse(AccessHolds, "this case is yours, or your team's: you see it as it is")
        if any(a.by == me and a.until > draft.now for a in draft.case.accesses):
            draft.refuse(AccessHolds, "you see this case already; end it with end-access")
        draft.require_room("accesses")
        access_id = draft.id_behind_clock("b")
        promise = Promise(kind=ClockKind.REVIEW, title="Review an emergency look", about=f"access/{access_id}")
        clock_id = start_clock(draft, promise, policy, draft.now)
        access = Access(
            id=access_id,
            by=me,
            since=draft.now,
            until=draft.now + HOLDS,
            clock_id=clock_id,
            asked=_reviewer(draft),
        )
        draft.happen(AccessBroken(access=access, reason=self.reason))
        draft.created.append(access_id)


class EndAccess(Command):
    """End an emergency look before its hour is over."""

    kind: ClassVar[str] = "end-access"
    says: ClassVar[str] = "End an emergency look"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"access_id": "b9"}

    access_id: Slug

    def decide(self, draft: Draft) -> None:
        access: Access = draft.find("accesses", self.access_id)
        if access.by != draft.actor.subject and draft.actor.role not in LEADS:
            draft.refuse(NotYourAccess, "have whoever looked, or a lead, end it")
        if access.until > draft.now:
            draft.happen(AccessEnded(access_id=access.id, ended_at=draft.now))


class ReviewAccess(Command):
    """Say whether an emergency look was justified, after going through what was read under it."""

    kind: ClassVar[str] = "review-access"
    says: ClassVar[str] = "Review an emergency look"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"access_id": "b9", "justified": True, "finding": "She had collapsed"}

    access_id: Slug
    justified: bool
    finding: Text

    def decide(self, draft: Draft) -> None:
        access: Access = draft.find("accesses", self.access_id)
        if access.by == draft.actor.subject:
            draft.refuse(NotYourAccess, "somebody else reviews it")
        if access.until > draft.now:
            draft.happen(AccessEnded(access_id=access.id, ended_at=draft.now))
        clock = draft.case.clock(access.clock_id)
        if clock is not None and not clock.settled:
            keep_clock(draft, clock, draft.now)
        by = draft.actor.subject
        reviewed = AccessReviewed(access_id=access.id, by=by, justified=self.justified, finding=self.finding)
        draft.happen(reviewed)


def _reviewer(draft: Draft) -> str | None:
    """Who answers for the review: the supervisor of the case, or a director, and never whoever looks."""
    case = draft.case
    for rank in (Rank.SUPERVISOR, Rank.DIRECTOR):
        found = draft.staff.find(rank, case.owner, case.team, draft.now)
        if able := [person for person in found if person != draft.actor.subject]:
            return able[0]
    return None
