"""Consent: what it covers stops when it is withdrawn, and somebody must decide what follows."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case, Consent
from domain.case.command import Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.clocks.clock import Clock, ClockKind, KeptBy, WaitsFor
from domain.programs.program import NeedsConsent, Stage
from domain.promises.deadlines import (
    Promise,
    cancel_clock,
    is_duty,
    keep_clock,
    resume_clock,
    start_clock,
    stop_clock,
)
from domain.steps.contacts import ensure_contact
from domain.steps.holds import hold_for_consent, resume_after_consent
from domain.steps.minutes import drop_month, promise_month
from domain.values import Instant, Rejected, Text

WITHDRAWN = "consent withdrawn"
STAGE_NEEDS = {
    Stage.ASSESSMENT: NeedsConsent.ASSESSMENT,
    Stage.PLANNING: NeedsConsent.PLANNING,
    Stage.IMPLEMENTATION: NeedsConsent.TASKS,
}
CLOCK_NEEDS = {
    ClockKind.REASSESSMENT: NeedsConsent.ASSESSMENT,
    ClockKind.INSTRUMENT: NeedsConsent.ASSESSMENT,
}


class AlreadyConsented(Rejected):
    """Consent is in force already."""


class NoConsentToWithdraw(Rejected):
    """There is no consent in force."""


class ConsentOutdated(Rejected):
    """What is told was overtaken by what the person said later."""


class ConsentRecorded(Event):
    kind: ClassVar[str] = "consent-recorded"

    form: Literal["verbal", "written"]
    given_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(consent=Consent(given_at=self.given_at or at, form=self.form))


class ConsentWithdrawn(Event):
    """The person takes the consent back; what it covered stops with this."""

    kind: ClassVar[str] = "consent-withdrawn"

    reason: Text | None = None
    withdrawn_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        consent = case.consent.changed(withdrawn_at=self.withdrawn_at or at) if case.consent else None
        return case.changed(consent=consent)


def stop_what_needs_consent(draft: Draft) -> None:
    """Stop all that the missing consent covers, and promise a decision: offer again, or close."""
    covers = draft.program.consent.covers
    if NeedsConsent.TASKS in covers:
        hold_for_consent(draft, WITHDRAWN)
    if NeedsConsent.CONTACTS in covers:
        drop_month(draft, WITHDRAWN)
    for clock in draft.case.running:
        if clock.kind is ClockKind.CONTACT and NeedsConsent.CONTACTS in covers:
            cancel_clock(draft, clock, WITHDRAWN)
        elif clock.missed_at is None and _covered(clock, draft) and not is_duty(draft.case, clock):
            stop_clock(draft, clock, WITHDRAWN, WaitsFor.CONSENT)
    promise = Promise(kind=ClockKind.CONSENT_DECISION, title="Offer again, or close the case")
    start_clock(draft, promise, draft.program.consent.decision, draft.now)


def needs_consent(draft: Draft, clock: Clock) -> bool:
    """Whether a running promise has to wait for consent that the person has not given, or has withdrawn."""
    lacking = draft.case.consent is not None and not draft.case.consent.in_force
    return lacking and clock.pause is None and _covered(clock, draft) and not is_duty(draft.case, clock)


def _covered(clock: Clock, draft: Draft) -> bool:
    """Whether what keeps this promise needs consent."""
    if clock.kept_by is KeptBy.RECONCILIATION:
        return NeedsConsent.ASSESSMENT in draft.program.consent.covers
    if clock.of_plan:
        return NeedsConsent.PLANNING in draft.program.consent.covers
    need = STAGE_NEEDS.get(draft.case.stage) if clock.kind is ClockKind.STAGE else CLOCK_NEEDS.get(clock.kind)
    return need in draft.program.consent.covers


class RecordConsent(Command):
    """Record that the person agrees. What a withdrawal had stopped goes on."""

    kind: ClassVar[str] = "record-consent"
    says: ClassVar[str] = "Record consent"
    example: ClassVar[dict[str, Any]] = {"form": "verbal"}

    form: Literal["verbal", "written"]
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")

    def decide(self, draft: Draft) -> None:
        case, given_at = draft.case, happened_at(draft, self.occurred_at) if self.occurred_at else None
        if case.consent is not None and case.consent.in_force:
            draft.refuse(AlreadyConsented, f"consent is in force since {case.consent.given_at:%Y-%m-%d}")
        withdrawn_at = case.consent.withdrawn_at if case.consent else None
        if given_at is not None and withdrawn_at is not None and given_at <= withdrawn_at:
            draft.refuse(ConsentOutdated, "the person has withdrawn since then; record a consent given after that")
        draft.happen(ConsentRecorded(form=self.form, given_at=given_at))
        for clock in draft.case.running:
            if clock.kind is ClockKind.CONSENT_DECISION:
                keep_clock(draft, clock, given_at or draft.now)
            elif clock.pause is not None and clock.pause.open_end is WaitsFor.CONSENT:
                resume_clock(draft, clock)
        resume_after_consent(draft)
        promise_month(draft)
        ensure_contact(draft)


class WithdrawConsent(Command):
    """Record that the person withdraws consent: what needed it stops."""

    kind: ClassVar[str] = "withdraw-consent"
    says: ClassVar[str] = "Withdraw consent"
    example: ClassVar[dict[str, Any]] = {"reason": "Wants no more calls"}

    reason: Text | None = None
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")

    def decide(self, draft: Draft) -> None:
        withdrawn_at = happened_at(draft, self.occurred_at) if self.occurred_at else None
        if draft.case.consent is None or not draft.case.consent.in_force:
            draft.refuse(NoConsentToWithdraw, "there is no consent in force in this case")
        if withdrawn_at is not None and withdrawn_at < draft.case.consent.given_at:
            draft.refuse(ConsentOutdated, "the consent in force was given after that")
        draft.happen(ConsentWithdrawn(reason=self.reason, withdrawn_at=withdrawn_at))
        stop_what_needs_consent(draft)
