"""Screening: the referral opens the case, consent is asked for, and the person is accepted or declined."""

from datetime import datetime
from typing import ClassVar, Literal

from domain.case import Case, Consent, Referral
from domain.clock import ClockKind
from domain.closure import end_case
from domain.command import CASE_WORK, Command, Draft, require_staff
from domain.contacts import ensure_contact
from domain.deadlines import (
    Promise,
    cancel_clock,
    keep_clock,
    resume_clock,
    start_clock,
    stop_clock,
)
from domain.event import Event, Opening
from domain.program import NeedsConsent, Program, Stage
from domain.stages import enter, start_stage_clock
from domain.tasks import hold_for_consent, resume_after_consent
from domain.values import Invalid, Opaque, Rejected, Role, Slug, Text

WITHDRAWN = "consent withdrawn"


class PatientDeceased(Rejected):
    """The referral says that the person has died."""


class NotEligible(Rejected):
    """The person does not meet the programme's eligibility."""


class AlreadyConsented(Rejected):
    """Consent is in force already."""


class NoConsentToWithdraw(Rejected):
    """There is no consent in force."""


class UnknownReason(Invalid):
    """The programme does not know this reason; the refusal lists those it has."""


class CaseOpened(Opening):
    """A person was referred and the case begins."""

    case_id: Opaque
    tenant: Slug
    program: Slug
    program_version: int
    opened_by: Opaque
    zone: str
    owner: Opaque | None = None
    team: Slug
    referral: Referral

    def begin(self, at: datetime) -> Case:
        return Case(
            id=self.case_id,
            opened_at=at,
            **{name: getattr(self, name) for name in type(self).model_fields if name != "case_id"},
        )


class ConsentRecorded(Event):
    form: Literal["verbal", "written"]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(consent=Consent(given_at=at, form=self.form))


class ConsentWithdrawn(Event):
    """The person takes the consent back; what it covered stops with this."""

    reason: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        consent = case.consent.changed(withdrawn_at=at) if case.consent else None
        return case.changed(consent=consent)


class ScreeningCompleted(Event):
    """The person was accepted into the programme, or declined with a reason."""

    accepted: bool
    reason: Slug | None = None
    note: Text | None = None


class Open(Command):
    """Refer a person to a programme. The newest version of the programme applies."""

    kind: ClassVar[str] = "open"
    says: ClassVar[str] = "Open a case"
    roles: ClassVar[frozenset[Role]] = CASE_WORK | {Role.INTEGRATOR}
    needs_staff: ClassVar[bool] = True

    case_id: Opaque
    tenant: Slug
    program: Slug
    referral: Referral
    owner: Opaque | None = None
    team: Slug

    def decide(self, draft: Draft) -> None:
        program = draft.moment.rulebook.latest(self.program)
        self._check_person(draft, program)
        if self.owner is not None:
            require_staff(draft, self.owner)
        opened = CaseOpened(
            case_id=self.case_id,
            tenant=self.tenant,
            program=program.program,
            program_version=program.version,
            opened_by=draft.actor.subject,
            zone=program.time_zone,
            owner=self.owner,
            team=self.team,
            referral=self.referral,
        )
        draft.happen(opened)
        start_stage_clock(draft)

    def _check_person(self, draft: Draft, program: Program) -> None:
        patient, rule = self.referral.patient, program.eligibility
        if patient.deceased:
            draft.refuse(PatientDeceased, "the record says the person has died; check it with the sender")
        today = draft.now.astimezone(program.zone).date()
        if patient.birth_date is None:
            return
        if patient.birth_date > today:
            draft.refuse(NotEligible, "the birth date lies in the future; correct the referral")
        had_birthday = (today.month, today.day) >= (patient.birth_date.month, patient.birth_date.day)
        age = today.year - patient.birth_date.year - (not had_birthday)
        if not (rule.minimum_age or 0) <= age <= (rule.maximum_age or 130):
            draft.refuse(NotEligible, f"{program.program} takes people {_ages(program)}")


def _ages(program: Program) -> str:
    low, high = program.eligibility.minimum_age, program.eligibility.maximum_age
    return f"from {low or 0} to {high} years" if high is not None else f"from {low or 0} years"


class RecordConsent(Command):
    """Record that the person agrees. What a withdrawal had stopped goes on."""

    kind: ClassVar[str] = "record-consent"
    says: ClassVar[str] = "Record consent"

    form: Literal["verbal", "written"]

    def decide(self, draft: Draft) -> None:
        case = draft.case
        if case.consent is not None and case.consent.in_force:
            draft.refuse(AlreadyConsented, f"consent is in force since {case.consent.given_at:%Y-%m-%d}")
        draft.happen(ConsentRecorded(form=self.form))
        for clock in draft.case.running:
            if clock.kind is ClockKind.CONSENT_DECISION:
                keep_clock(draft, clock, draft.now)
            elif clock.pause is not None and clock.pause.reason == WITHDRAWN:
                resume_clock(draft, clock)
        resume_after_consent(draft)
        ensure_contact(draft)


class WithdrawConsent(Command):
    """Record that the person withdraws consent: what needed it stops, and somebody must decide what follows."""

    kind: ClassVar[str] = "withdraw-consent"
    says: ClassVar[str] = "Withdraw consent"

    reason: Text | None = None

    def decide(self, draft: Draft) -> None:
        if draft.case.consent is None or not draft.case.consent.in_force:
            draft.refuse(NoConsentToWithdraw, "there is no consent in force in this case")
        draft.happen(ConsentWithdrawn(reason=self.reason))
        if NeedsConsent.TASKS in draft.program.consent.covers:
            hold_for_consent(draft, WITHDRAWN)
        self._stop_clocks(draft)
        promise = Promise(kind=ClockKind.CONSENT_DECISION, title="Offer again, or close the case")
        start_clock(draft, promise, draft.program.consent.decision, draft.now)

    def _stop_clocks(self, draft: Draft) -> None:
        covers = draft.program.consent.covers
        for clock in draft.case.running:
            if clock.kind is ClockKind.CONTACT and NeedsConsent.CONTACTS in covers:
                cancel_clock(draft, clock, WITHDRAWN)
            elif clock.missed_at is None and _covered(clock.kind, draft):
                stop_clock(draft, clock, WITHDRAWN)


def _covered(kind: ClockKind, draft: Draft) -> bool:
    covers, stage = draft.program.consent.covers, draft.case.stage
    if kind is ClockKind.REASSESSMENT:
        return NeedsConsent.ASSESSMENT in covers
    if kind is ClockKind.STAGE:
        return (stage is Stage.ASSESSMENT and NeedsConsent.ASSESSMENT in covers) or (
            stage is Stage.PLANNING and NeedsConsent.PLANNING in covers
        )
    return False


class CompleteScreening(Command):
    """Accept the person into the programme, or decline with one of the programme's reasons."""

    kind: ClassVar[str] = "complete-screening"
    says: ClassVar[str] = "Complete screening"

    accepted: bool
    reason: Slug | None = None
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        draft.require_stage(Stage.SCREENING)
        done = ScreeningCompleted(accepted=self.accepted, reason=self.reason, note=self.note)
        if self.accepted:
            if draft.program.consent.required:
                draft.require_consent(NeedsConsent.ASSESSMENT)
            draft.happen(done)
            enter(draft, Stage.ASSESSMENT, "accepted at screening")
            return
        if self.reason not in draft.program.decline:
            draft.refuse(UnknownReason, f"give one of: {', '.join(draft.program.decline)}")
        draft.happen(done)
        end_case(draft, self.reason)
