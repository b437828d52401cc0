"""What the recipient of a referral answers: that it is taken, begun, waited with, given, or not."""

from typing import Any, ClassVar

from domain.case.command import Draft
from domain.case.open_parts import ReferralStatus, SpecialistReferral
from domain.steps.referrals import (
    OfOpenReferral,
    ReferralAccepted,
    ReferralDeclined,
    ReferralDone,
    ReferralFailed,
    ReferralInProgress,
    ReferralOnHold,
    S,
    advance,
    policy_of,
)
from domain.values import Rejected, Text


class NotYourReferral(Rejected):
    """An account that reads the case as somebody's recipient answers the referrals to that recipient only."""


class ByRecipient(OfOpenReferral):
    """Base of what the recipient of a referral answers, or somebody of the staff for it."""

    def decide(self, draft: Draft) -> None:
        names = {r.with_whom.casefold() for r in draft.case.readers if r.id == draft.actor.subject}
        referral: SpecialistReferral = draft.find("referrals", self.referral_id)
        if names and referral.recipient.casefold() not in names:
            draft.refuse(NotYourReferral, "answer a referral to the recipient whose account this is")
        super().decide(draft)


class AcceptReferral(ByRecipient):
    """Record that the recipient takes the person; the service is owed."""

    kind: ClassVar[str] = "accept-referral"
    says: ClassVar[str] = "Record that a referral was accepted"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "note": "First visit on Tuesday"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.SENT,)

    note: Text | None = None

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        service = policy_of(draft, referral.type).service
        accepted = advance(draft, referral, S.ACCEPTED, service, "Service by referral", self.at(draft))
        draft.happen(ReferralAccepted(referral=accepted, note=self.note))


class DeclineReferral(ByRecipient):
    """Record that the recipient does not take the person, and why; it is to be rerouted."""

    kind: ClassVar[str] = "decline-referral"
    says: ClassVar[str] = "Record that a referral was declined"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "reason": "Takes no new patients"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.SENT, S.ACCEPTED)

    reason: Text

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        answer = policy_of(draft, referral.type).answer
        declined = advance(draft, referral, S.DECLINED, answer, "Reroute the referral", self.at(draft))
        draft.happen(ReferralDeclined(referral=declined, reason=self.reason))


class BeginReferralService(ByRecipient):
    """Record that the recipient has begun, or goes on after it waited."""

    kind: ClassVar[str] = "begin-referral-service"
    says: ClassVar[str] = "Record that the service of a referral has begun"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "note": "First box delivered"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.ACCEPTED, S.ON_HOLD)

    note: Text | None = None

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        draft.happen(ReferralInProgress(referral=referral.changed(status=S.IN_PROGRESS), note=self.note))


class HoldReferral(ByRecipient):
    """Record that the recipient waits for something, and for what; the service stays owed by its day."""

    kind: ClassVar[str] = "hold-referral"
    says: ClassVar[str] = "Record that the recipient of a referral waits"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "reason": "Waits for proof of income"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.ACCEPTED, S.IN_PROGRESS)

    reason: Text

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        draft.happen(ReferralOnHold(referral=referral.changed(status=S.ON_HOLD), reason=self.reason))


class FailReferral(ByRecipient):
    """Record that the recipient could not give the service, and why; it is to be rerouted."""

    kind: ClassVar[str] = "fail-referral"
    says: ClassVar[str] = "Record that the recipient of a referral could not help"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "reason": "Not reached at three visits"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.ACCEPTED, S.IN_PROGRESS, S.ON_HOLD)

    reason: Text

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        answer = policy_of(draft, referral.type).answer
        failed = advance(draft, referral, S.FAILED, answer, "Reroute the referral", self.at(draft))
        draft.happen(ReferralFailed(referral=failed, reason=self.reason))


class CompleteReferral(ByRecipient):
    """Record that the service was given; the report is owed."""

    kind: ClassVar[str] = "complete-referral"
    says: ClassVar[str] = "Record that the service was given"
    example: ClassVar[dict[str, Any]] = {"referral_id": "r9", "note": "Seen on Tuesday"}
    needs: ClassVar[tuple[ReferralStatus, ...]] = (S.ACCEPTED, S.IN_PROGRESS, S.ON_HOLD)

    note: Text

    def go_on(self, draft: Draft, referral: SpecialistReferral) -> None:
        loop = policy_of(draft, referral.type).loop
        done = advance(draft, referral, S.DONE, loop, "Close the loop", self.at(draft))
        draft.happen(ReferralDone(referral=done, note=self.note))
