"""Referrals to somebody else, from draft to closed loop. What nobody answers is nudged, rerouted, escalated."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import CASE_WORK, Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event, Notice
from domain.case.open_parts import ReferralStatus, SpecialistReferral
from domain.clocks.clock import ClockKind, ClockPolicy
from domain.programs.policies import ReferralPolicy
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.promises.escalation import miss_if_late
from domain.steps.stages import ACTIVE
from domain.values import Instant, Invalid, Line, Opaque, Rejected, Role, Slug, Text

FROM_OUTSIDE = CASE_WORK | {Role.INTEGRATOR}
S = ReferralStatus


class UnknownReferralType(Invalid):
    """The programme has no referral of this type; the refusal lists those it has."""


class WrongReferralState(Rejected):
    """The referral's state does not allow this."""


class OfReferral(Event, abstract=True):
    """Base of what happens to a referral: it is in `status` afterwards."""

    referral: SpecialistReferral

    def apply(self, case: Case, at: datetime) -> Case:
        return case.put("referrals", self.referral)


class ReferralDrafted(OfReferral):
    kind: ClassVar[str] = "referral-drafted"

    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("referrals", self.referral)


class ReferralSent(OfReferral):
    """Sent to its recipient, who owes an answer; `routed` counts how often."""

    kind: ClassVar[str] = "referral-sent"


class ReferralAccepted(OfReferral):
    kind: ClassVar[str] = "referral-accepted"

    note: Text | None = None


class ReferralDeclined(OfReferral):
    """The recipient declined: it is rerouted or revoked."""

    kind: ClassVar[str] = "referral-declined"

    reason: Text


class ReferralInProgress(OfReferral):
    """The recipient has begun; the service is owed as before."""

    kind: ClassVar[str] = "referral-in-progress"

    note: Text | None = None


class ReferralOnHold(OfReferral):
    """The recipient waits for something; the service is owed as before, for the person still needs it."""

    kind: ClassVar[str] = "referral-on-hold"

    reason: Text


class ReferralFailed(OfReferral):
    """The recipient could not give the service: it is rerouted or revoked."""

    kind: ClassVar[str] = "referral-failed"

    reason: Text


class ReferralDone(OfReferral):
    """The service was given; the loop is closed when its report is back and gone through."""

    kind: ClassVar[str] = "referral-done"

    note: Text


class ReferralLoopClosed(OfReferral):
    kind: ClassVar[str] = "referral-loop-closed"

    report: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("referrals", self.referral.id)


class ReferralRevoked(OfReferral):
    kind: ClassVar[str] = "referral-revoked"

    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("referrals", self.referral.id)


class ReferralUnanswered(OfReferral):
    """Nobody answered in time: send it to somebody else."""

    kind: ClassVar[str] = "referral-unanswered"

    told: Opaque | None = None

    def notices(self, case: Case) -> tuple[Notice, ...]:
        if self.told is None:
            return ()
        key = f"reroute-{self.referral.id}-{self.referral.routed}"
        return (Notice(key=key, recipient=self.told, subject="reroute-referral", about=self.referral.id),)


def policy_of(draft: Draft, type_name: str) -> ReferralPolicy:
    """Raises `UnknownReferralType`."""
    policy = draft.program.referrals.get(type_name)
    if policy is None:
        draft.refuse(UnknownReferralType, f"choose one of: {', '.join(draft.program.referrals) or 'none'}")
    return policy


def promise(
    draft: Draft, referral: SpecialistReferral, policy: ClockPolicy, title: str, at: datetime | None = None
) -> str:
    about = Promise(kind=ClockKind.REFERRAL, title=title, about=f"referral/{referral.id}")
    started = start_clock(draft, about, policy, at or draft.now)
    miss_if_late(draft, draft.open_clock(started))
    return started


def settle(
    draft: Draft, referral: SpecialistReferral, cancelled: str | None = None, at: datetime | None = None
) -> None:
    """Keep the promise that a referral waits for, or cancel it with a reason."""
    clock = draft.case.clock(referral.clock_id) if referral.clock_id else None
    if clock is None or clock.settled:
        return
    if cancelled is None:
        keep_clock(draft, clock, at or draft.now)
    else:
        cancel_clock(draft, clock, cancelled)


def advance(
    draft: Draft,
    referral: SpecialistReferral,
    status: ReferralStatus,
    policy: ClockPolicy,
    what: str,
    at: datetime,
) -> SpecialistReferral:
    """Keep the promise that the referral waited for, make the next one, and return it in its new state."""
    settle(draft, referral, at=at)
    title = f"{what}: {policy_of(draft, referral.type).title}"[:200]
    return referral.changed(status=status, clock_id=promise(draft, referral, policy, title, at))


def unanswered(draft: Draft, clock_id: str) -> None:
    """Say that a referral should be rerouted, when the answer to it is missed; its clock climbs on."""
    for referral in draft.case.referrals:
        if referral.clock_id == clock_id and referral.status is S.SENT:
            draft.happen(ReferralUnanswered(referral=referral, told=draft.case.owner))


class OfOpenReferral(Command):
    """Base of the commands about a referral that is there."""

    referral_id: Slug
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")
    needs: ClassVar[tuple[ReferralStatus, ...]] = ()

    def decide(self, draft: Draft) -> None:
        referral: SpecialistReferral = draft.find("referrals", self.referral_id)
        if referral.status not in self.needs:
            states = " or ".join(self.needs)
            draft.refuse(WrongReferralState, f"{referral.id} is {referral.status}; this needs it {states}")
        happened_at(draft, self.occurred_at)
        self.go_on(draft, referral)

    def at(self, draft: Draft) -> datetime:
        """When it happened: the promise that it keeps is judged by it, and the next one counts from it."""
        return happened_at(draft, self.occurred_at)

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        """What happens when the state allows it."""
        raise NotImplementedError


def revoke(draft: Draft, referral: SpecialistReferral, reason: str) -> None:
    """Take a referral back."""
    settle(draft, referral, "revoked")
    draft.happen(ReferralRevoked(referral=referral, reason=reason))


class ShareMissing(Rejected):
    """The person has not agreed that this recipient be told; record her consent with a share for it."""


def may_be_told(draft: Draft, referral_type: str, recipient: str) -> bool:
    """Whether the person's consent lets this recipient have a referral of this type, as the programme has it."""
    consent, policy = draft.case.consent, draft.program.referrals.get(referral_type)
    if policy is None or not policy.needs_share:
        return True
    return consent is not None and consent.shared_with(recipient, draft.today)


def revoke_unshared(draft: Draft, reason: str) -> None:
    """Take back what was sent, and nobody has accepted yet, where the recipient must not be told any more."""
    for referral in draft.case.referrals:
        if referral.status is S.SENT and not may_be_told(draft, referral.type, referral.recipient):
            revoke(draft, referral, reason)


class DraftReferral(Command):
    """Write a referral down; it waits to be sent, and that has a deadline too."""

    kind: ClassVar[str] = "draft-referral"
    says: ClassVar[str] = "Draft a referral"
    example: ClassVar[dict[str, Any]] = {
        "type": "specialist",
        "recipient": "Cardiology, Dr. Lim",
        "reason": "Heart failure",
    }

    type: Slug
    recipient: Line
    reason: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.TASKS)
        draft.require_room("referrals")
        policy = policy_of(draft, self.type)
        referral = SpecialistReferral(id=draft.new_id("r"), type=self.type, recipient=self.recipient)
        draft.happen(ReferralDrafted(referral=referral, reason=self.reason))
        clock_id = promise(draft, referral, policy.answer, f"Send the referral: {policy.title}"[:200])
        draft.happen(ReferralPromised(referral=referral.changed(clock_id=clock_id)))
        draft.created.append(referral.id)


class ReferralPromised(OfReferral):
    """The referral waits for a deadline of its own."""

    kind: ClassVar[str] = "referral-promised"


class SendReferral(OfOpenReferral):
    """Send a drafted referral, or a declined or unanswered one to another recipient; the answer is owed."""

    kind: ClassVar[str] = "send-referral"
    says: ClassVar[str] = "Send or reroute a referral"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.DRAFT, S.SENT, S.DECLINED, S.ON_HOLD, S.FAILED)

    recipient: Line | None = None

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        draft.require_consent(NeedsConsent.TASKS)
        if referral.status is not S.DRAFT and self.recipient in (None, referral.recipient):
            draft.refuse(WrongReferralState, "name another recipient to reroute it to")
        policy, recipient = policy_of(draft, referral.type), self.recipient or referral.recipient
        if not may_be_told(draft, referral.type, recipient):
            draft.refuse(ShareMissing, "send record-consent with a share for the recipient first")
        settle(draft, referral, None if referral.status is S.DRAFT else "rerouted")
        clock_id = promise(draft, referral, policy.answer, f"Answer to the referral: {policy.title}"[:200])
        sent = referral.changed(status=S.SENT, clock_id=clock_id, recipient=recipient, routed=referral.routed + 1)
        draft.happen(ReferralSent(referral=sent))


class CloseReferralLoop(OfOpenReferral):
    """Record that the report is back and gone through with the person: the loop is closed."""

    kind: ClassVar[str] = "close-referral-loop"
    says: ClassVar[str] = "Close the loop of a referral"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "report": "Report read and gone through with her"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.DONE,)

    report: Text

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        settle(draft, referral, at=self.at(draft))
        draft.happen(ReferralLoopClosed(referral=referral, report=self.report))


class RevokeReferral(OfOpenReferral):
    """Take a referral back, with the reason."""

    kind: ClassVar[str] = "revoke-referral"
    says: ClassVar[str] = "Revoke a referral"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "reason": "Moved"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = tuple(S)

    reason: Text

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        revoke(draft, referral, self.reason)
