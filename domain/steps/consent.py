"""Consent: to what, to whom, until when. What it covers stops when it ends, and somebody decides what follows."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.consents import Consent, Share
from domain.case.dates import happened_at, until_day
from domain.case.event import Event
from domain.case.open_parts import ReferralStatus
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
from domain.steps.holds import hold_for_consent, resume_after_consent, waits_for_consent
from domain.steps.minutes import drop_month, promise_month
from domain.steps.referrals import revoke, revoke_unshared
from domain.values import Day, Instant, Invalid, Line, Rejected, Sensitivity, Slug, Text

WITHDRAWN, LAPSED, NARROWED = "consent withdrawn", "consent has ended", "consent does not cover it any more"
CONTENT = ("scopes", "until", "shares")  # what the person agrees to, in whatever form
STAGE_NEEDS = {
    Stage.ASSESSMENT: NeedsConsent.ASSESSMENT,
    Stage.PLANNING: NeedsConsent.PLANNING,
    Stage.IMPLEMENTATION: NeedsConsent.TASKS,
}
CLOCK_NEEDS = {
    ClockKind.REASSESSMENT: NeedsConsent.ASSESSMENT,
    ClockKind.INSTRUMENT: NeedsConsent.ASSESSMENT,
    ClockKind.REFILL: NeedsConsent.ASSESSMENT,
    ClockKind.MILESTONE: NeedsConsent.TASKS,
    ClockKind.TASK: NeedsConsent.TASKS,
}


class AlreadyConsented(Rejected):
    """The same consent is in force already."""


class NoConsentToWithdraw(Rejected):
    """There is no consent in force."""


class ConsentOutdated(Rejected):
    """What is told was overtaken by what the person said later."""


class NothingToDecide(Rejected):
    """The person agrees to all that is asked for, or to nothing: there is no limited consent to go on with."""


class UnknownScope(Invalid):
    """The programme does not ask for consent to this; the refusal lists what it asks for."""


class LabelMissing(Invalid):
    """Who reads a case outside must be let read what all of it stands under."""


class ReaderTwice(Invalid):
    """Two shares of one consent name the same account."""


class ConsentRecorded(Event):
    """The person agrees: to all that the programme asks for, or to `scopes` of it; who may be told what."""

    kind: ClassVar[str] = "consent-recorded"

    form: Literal["verbal", "written"]
    given_at: Instant | None = None
    scopes: tuple[NeedsConsent, ...] | None = None
    until: Day | None = None
    shares: tuple[Share, ...] = ()
    witness: Line | None = None
    document: Line | None = None
    language: Slug | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        given = {name: getattr(self, name) for name in ("form", "scopes", "until", "shares")}
        return case.changed(consent=Consent(given_at=self.given_at or at, **given))


class ConsentWithdrawn(Event):
    """The person takes the consent back; what it covered stops with this."""

    kind: ClassVar[str] = "consent-withdrawn"

    reason: Text | None = None
    withdrawn_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        consent = case.consent.changed(withdrawn_at=self.withdrawn_at or at) if case.consent else None
        return case.changed(consent=consent)


class LimitedConsentAccepted(Event):
    """The case goes on with what the person agrees to; the rest is not offered again for now."""

    kind: ClassVar[str] = "limited-consent-accepted"

    lacking: tuple[NeedsConsent, ...]
    reason: Text


class ConsentLapsed(Event):
    """The day until which the person agreed is over; what it covered stops with this."""

    kind: ClassVar[str] = "consent-lapsed"

    until: Day

    def apply(self, case: Case, at: datetime) -> Case:
        consent = case.consent.changed(withdrawn_at=at) if case.consent else None
        return case.changed(consent=consent)


def stop_what_needs_consent(draft: Draft, why: str = WITHDRAWN) -> None:
    """Stop all that the missing consent covers, and promise a decision: offer again, or close."""
    stop(draft, still_lacking(draft), why)
    promise_decision(draft)


def promise_decision(draft: Draft) -> None:
    """Somebody offers what the person has not agreed to again, or closes the case; promised once at a time."""
    if any(clock.kind is ClockKind.CONSENT_DECISION for clock in draft.case.running):
        return
    promise = Promise(kind=ClockKind.CONSENT_DECISION, title="Offer again, or close the case")
    start_clock(draft, promise, draft.program.consent.decision, draft.now)


def still_lacking(draft: Draft) -> set[NeedsConsent]:
    """What the programme asks consent for and the person does not agree to now."""
    covers = draft.program.consent.covers
    return {need for need in covers if not draft.case.consents_to(need, covers)}


def stop(draft: Draft, lacking: Collection[NeedsConsent], why: str) -> None:
    """Stop what these scopes cover, but for duties. A referral that nobody has accepted yet is taken back."""
    if NeedsConsent.TASKS in lacking:
        hold_for_consent(draft, why)
        for referral in draft.case.referrals:
            if referral.status is ReferralStatus.SENT:
                revoke(draft, referral, why)
    if NeedsConsent.CONTACTS in lacking:
        drop_month(draft, why)
    for clock in draft.case.running:
        if clock.kind is ClockKind.CONTACT and NeedsConsent.CONTACTS in lacking:
            cancel_clock(draft, clock, why)
        elif _stops(clock, draft, lacking):
            stop_clock(draft, clock, why, WaitsFor.CONSENT)


def _stops(clock: Clock, draft: Draft, lacking: Collection[NeedsConsent]) -> bool:
    if waits_for_consent(clock):
        return False
    if clock.kind is ClockKind.TASK or clock.missed_at is not None or is_duty(draft.case, clock):
        return False  # a task's clock is held with its task
    return _need_of(clock, draft) in lacking


def needs_consent(draft: Draft, clock: Clock) -> bool:
    """Whether a running promise has to wait for consent that the person has limited, or has not any more."""
    need, covers = _need_of(clock, draft), draft.program.consent.covers
    lacking = draft.case.consent is not None and need is not None and not draft.case.consents_to(need, covers)
    return lacking and clock.pause is None and clock.kind is not ClockKind.TASK and not is_duty(draft.case, clock)


def _need_of(clock: Clock, draft: Draft) -> NeedsConsent | None:
    """What the person must consent to for this promise to be kept."""
    if clock.kept_by is KeptBy.RECONCILIATION:
        return NeedsConsent.ASSESSMENT
    if clock.of_plan:
        return NeedsConsent.PLANNING
    if any(clock.id == r.clock_id for r in draft.case.referrals if r.status is ReferralStatus.DRAFT):
        return NeedsConsent.TASKS  # it cannot be sent; what a recipient has taken goes on
    return STAGE_NEEDS.get(draft.case.stage) if clock.kind is ClockKind.STAGE else CLOCK_NEEDS.get(clock.kind)


def lapse(draft: Draft, clock: Clock) -> None:
    """The last day of the consent is over: what it covered stops, and somebody decides what follows."""
    consent = draft.case.consent
    if consent is None or not consent.in_force or consent.until is None:
        return
    if clock.due_at.astimezone(clock.tz).date() >= consent.until:  # else it is the end of another consent
        draft.happen(ConsentLapsed(until=consent.until))
        stop_what_needs_consent(draft, LAPSED)


def keep_decision(draft: Draft, at: datetime) -> None:
    """What follows from a consent that was lacking is decided."""
    for clock in draft.case.running:
        if clock.kind is ClockKind.CONSENT_DECISION:
            keep_clock(draft, clock, at)


def go_on(draft: Draft) -> None:
    """What waited for consent goes on, as far as the person agrees to it now; contacts are promised again."""
    covers = draft.program.consent.covers
    let_run(draft)
    if draft.case.consents_to(NeedsConsent.CONTACTS, covers):
        promise_month(draft)
    ensure_contact(draft)


def let_run(draft: Draft) -> None:
    """The clocks and tasks that waited for consent run on, but for those whose scope the person leaves out."""
    covers = draft.program.consent.covers
    for clock in draft.case.running:
        if waits_for_consent(clock):
            need = _need_of(clock, draft)
            if need is None or draft.case.consents_to(need, covers):
                resume_clock(draft, clock)
    if draft.case.consents_to(NeedsConsent.TASKS, covers):
        resume_after_consent(draft)


def lapse_if_over(draft: Draft) -> None:
    """A consent whose last day passed while nobody looked, as in a closed case, lapses now."""
    for clock in draft.case.running:
        if clock.kind is ClockKind.CONSENT and clock.due_at < draft.now:
            keep_clock(draft, clock, clock.due_at)
            lapse(draft, clock)


class RecordConsent(Command):
    """Record that the person agrees, or that she agrees to more, to less, longer, or in writing now.

    What the lack of consent had stopped goes on; what she does not agree to any more stops.
    """

    kind: ClassVar[str] = "record-consent"
    says: ClassVar[str] = "Record consent"
    example: ClassVar[dict[str, Any]] = {"form": "verbal"}

    form: Literal["verbal", "written"]
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")
    scopes: tuple[NeedsConsent, ...] | None = Field(
        default=None, min_length=1, max_length=10, description="To what; left out, to all that is asked for"
    )
    until: Day | None = Field(default=None, description="The last day on which it holds")
    shares: tuple[Share, ...] = Field(default=(), max_length=30, description="Who else may be told what, for what")
    witness: Line | None = Field(default=None, description="Who was there when it was given")
    document: Line | None = Field(default=None, description="Where the signed form is kept")
    language: Slug | None = Field(default=None, description="In which language it was explained, such as es")

    def decide(self, draft: Draft) -> None:
        case, given_at = draft.case, happened_at(draft, self.occurred_at) if self.occurred_at else None
        self._check(draft, given_at)
        before = {need for need in draft.program.consent.covers if case.consent and case.consent.gives(need)}
        said = {name: value for name, value in self if name != "occurred_at"}
        draft.happen(ConsentRecorded(given_at=given_at, **said))
        self._promise_renewal(draft, given_at)
        go_on(draft)
        lacking = still_lacking(draft)
        if lost := before & lacking:
            stop(draft, lost, NARROWED)
        revoke_unshared(draft, NARROWED)
        if not lacking:
            keep_decision(draft, given_at or draft.now)
        elif lost or not before:  # as narrow as before, or less so, it is decided already or still owed
            promise_decision(draft)

    def _check(self, draft: Draft, given_at: datetime | None) -> None:
        consent, covers = draft.case.consent, draft.program.consent.covers
        if unknown := sorted({*(self.scopes or ())} - {*covers}):
            draft.refuse(UnknownScope, f"choose from: {', '.join(covers)}", unknown)
        same = consent is not None and all(getattr(consent, n) == getattr(self, n) for n in CONTENT)
        same = same and not (self.witness or self.document or self.language)  # what is proved later is added
        if consent is not None and consent.in_force and same and consent.form in ("written", self.form):
            since = draft.program.day_of(consent.given_at)
            draft.refuse(AlreadyConsented, f"the same consent is in force since {since}")
        ended = consent.withdrawn_at if consent is not None else None
        if given_at is not None and ended is not None and given_at <= ended:
            draft.refuse(ConsentOutdated, "the person's consent has ended since then; record one given after that")
        label = draft.program.sensitivity
        readers = [share for share in self.shares if share.reader is not None]
        if label is not Sensitivity.GENERAL and any(label not in share.labels for share in readers):
            draft.refuse(LabelMissing, f"all of this case stands under {label}: name it in `labels` of the share")
        if len({share.reader for share in readers}) < len(readers):
            draft.refuse(ReaderTwice, "put what one account may read into one share")
        if self.until is not None and draft.program.consent.lapse is None:
            draft.refuse(NotInProgram, "this programme has no rule for a consent that ends")

    def _promise_renewal(self, draft: Draft, given_at: datetime | None) -> None:
        """Whoever has the case hears early that it ends; an earlier end is renewed with this."""
        for clock in draft.case.running:
            if clock.kind is ClockKind.CONSENT:
                keep_clock(draft, clock, given_at or draft.now)
        policy = draft.program.consent.lapse
        if self.until is not None and policy is not None:
            promise = Promise(kind=ClockKind.CONSENT, title="Renew the consent before it ends")
            start_clock(draft, promise, policy, draft.now, until_day(draft, self.until))


class AcceptLimitedConsent(Command):
    """Decide that the case goes on with what the person agrees to. What she leaves out stays stopped."""

    kind: ClassVar[str] = "accept-limited-consent"
    says: ClassVar[str] = "Go on with limited consent"
    example: ClassVar[dict[str, Any]] = {"reason": "She wants calls and no visits; we plan with that"}

    reason: Text

    def decide(self, draft: Draft) -> None:
        consent, lacking = draft.case.consent, still_lacking(draft)
        if consent is None or not consent.in_force or not lacking:
            draft.refuse(NothingToDecide, "send record-consent, withdraw-consent or close")
        draft.happen(LimitedConsentAccepted(lacking=tuple(sorted(lacking)), reason=self.reason))
        keep_decision(draft, draft.now)


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
        for clock in draft.case.running:
            if clock.kind is ClockKind.CONSENT:
                cancel_clock(draft, clock, WITHDRAWN)
        stop_what_needs_consent(draft)
