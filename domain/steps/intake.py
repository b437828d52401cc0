"""Screening: the referral opens the case, consent is asked for, and the person is accepted or declined."""

from datetime import date, datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case, Referral
from domain.case.command import Command, Draft, require_staff
from domain.case.event import Event, Opening
from domain.programs.eligibility import Checked, Facts, Met, check
from domain.programs.program import NeedsConsent, Program, Stage
from domain.steps.ending import end_case
from domain.steps.stages import ages_on, enter, start_stage_clock
from domain.steps.tasks import apply_template
from domain.values import Invalid, Opaque, Rejected, Slug, Text, span_of


class PatientDeceased(Rejected):
    """The referral says that the person has died."""


class NotEligible(Rejected):
    """The person does not meet the programme's eligibility."""


class BirthDateNeeded(Invalid):
    """Whether the programme takes the person depends on the day of birth, and only its year or month is known."""


class TargetGroupMissing(Invalid):
    """The programme is for certain groups, and more than one could be meant: name it."""


class UnknownReason(Invalid):
    """The programme does not know this reason; the refusal lists those it has."""


class EligibilityUnknown(Rejected):
    """Of a criterion nobody knows whether it is met; who screens says so."""


class UnknownCriterion(Invalid):
    """The programme has no criterion of this name; the refusal lists those it has."""


class CaseOpened(Opening):
    """A person was referred and the case begins."""

    kind: ClassVar[str] = "case-opened"

    case_id: Opaque
    tenant: Slug
    program: Slug
    program_version: int
    opened_by: Opaque
    zone: str
    owner: Opaque | None = None
    team: Slug
    referral: Referral
    target_group: Slug | None = None
    eligibility: tuple[Checked, ...] = ()

    def begin(self, at: datetime) -> Case:
        same = (name for name in type(self).model_fields if name not in ("case_id", "eligibility"))
        return Case(
            id=self.case_id,
            opened_at=at,
            unconfirmed=tuple(one.name for one in self.eligibility if one.met is Met.UNKNOWN),
            **{name: getattr(self, name) for name in same},
        )


class ScreeningCompleted(Event):
    """The person was accepted into the programme, or declined with a reason."""

    kind: ClassVar[str] = "screening-completed"

    accepted: bool
    reason: Slug | None = None
    note: Text | None = None
    confirmed: dict[Slug, bool] = {}

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(unconfirmed=())


def facts_of(referral: Referral, today: date) -> Facts:
    """What a referral says of the person, to hold criteria against."""
    patient = referral.patient
    stays = tuple((stay.setting, stay.started_on) for stay in patient.encounters)
    return Facts(patient.icd_10_codes, stays, today)


class Open(Command):
    """Refer a person to a programme. The newest version of the programme applies."""

    kind: ClassVar[str] = "open"
    says: ClassVar[str] = "Open a case"

    case_id: Opaque
    tenant: Slug
    program: Slug
    referral: Referral
    owner: Opaque | None = None
    team: Slug
    target_group: Slug | None = None
    by_record: dict[Slug, Met] = Field(default={}, description="What her record says of coverage and residence")

    def decide(self, draft: Draft) -> None:
        newest = draft.moment.rulebook.latest(self.program, draft.now)
        program = draft.moment.rulebook.at(newest.program, newest.version, self.team, draft.now.date())
        age = self._check_person(draft, program)
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
            target_group=self._group(draft, program, age),
            eligibility=self._eligibility(draft, program),
        )
        draft.happen(opened)
        start_stage_clock(draft)

    def _eligibility(self, draft: Draft, program: Program) -> tuple[Checked, ...]:
        """Each criterion with what is known of it. Raises `NotEligible` with those that are not met."""
        facts = facts_of(self.referral, program.day_of(draft.now))
        found = check(program.eligibility.criteria, facts, self.by_record)
        if lacking := [one.title for one in found if one.met is Met.NO]:
            draft.refuse(NotEligible, f"{program.program} takes people of whom this is true", lacking)
        return found

    def _group(self, draft: Draft, program: Program, age: int | None) -> str | None:
        """The target group: the one that is named, or the only one for this age. Raises `TargetGroupMissing`."""
        fitting = [
            name
            for name, g in program.target_groups.items()
            if age is None or g.minimum_age <= age <= g.maximum_age
        ]
        if self.target_group is not None and self.target_group not in fitting:
            draft.refuse(NotEligible, f"for this person the programme has: {', '.join(fitting) or 'no group'}")
        if not program.target_groups or self.target_group is not None:
            return self.target_group
        if len(fitting) != 1:
            draft.refuse(TargetGroupMissing, f"name one of: {', '.join(fitting) or 'none fits the age'}")
        return fitting[0]

    def _check_person(self, draft: Draft, program: Program) -> int | None:
        patient, rule = self.referral.patient, program.eligibility
        if patient.deceased:
            draft.refuse(PatientDeceased, "the record says the person has died; check it with the sender")
        today = program.day_of(draft.now)
        if patient.birth_date is None:
            return None
        if span_of(patient.birth_date)[0] > today:
            draft.refuse(NotEligible, "the birth date lies in the future; correct the referral")
        youngest, oldest = ages_on(patient.birth_date, today)
        low, high = rule.minimum_age or 0, rule.maximum_age if rule.maximum_age is not None else 130
        if oldest < low or youngest > high:
            draft.refuse(NotEligible, f"{program.program} takes people {_ages(program)}")
        if youngest < low or oldest > high:
            draft.refuse(
                BirthDateNeeded, f"{program.program} takes people {_ages(program)}; give the day of birth"
            )
        return youngest if youngest == oldest else None


def _ages(program: Program) -> str:
    low, high = program.eligibility.minimum_age, program.eligibility.maximum_age
    return f"from {low or 0} to {high} years" if high is not None else f"from {low or 0} years"


class CompleteScreening(Command):
    """Accept the person into the programme, or decline with one of the programme's reasons."""

    kind: ClassVar[str] = "complete-screening"
    says: ClassVar[str] = "Complete screening"
    example: ClassVar[dict[str, Any]] = {"accepted": True}

    accepted: bool
    reason: Slug | None = None
    note: Text | None = None
    confirmed: dict[Slug, bool] = Field(
        default={}, max_length=20, description="Of each criterion that is not known yet: whether it is met"
    )

    def decide(self, draft: Draft) -> None:
        draft.require_stage(Stage.SCREENING)
        said = {"reason": self.reason, "note": self.note, "confirmed": self.confirmed}
        done = ScreeningCompleted(accepted=self.accepted, **said)
        if self.accepted:
            self._check_eligibility(draft)
            if draft.program.consent.required:
                draft.require_consent(NeedsConsent.ASSESSMENT)
            draft.happen(done)
            enter(draft, Stage.ASSESSMENT, "accepted at screening")
            apply_template(draft, "accepted")
            return
        if self.reason not in draft.program.decline:
            draft.refuse(UnknownReason, f"give one of: {', '.join(draft.program.decline)}")
        draft.happen(done)
        end_case(draft, self.reason, offer_again=True)

    def _check_eligibility(self, draft: Draft) -> None:
        """Raises `EligibilityUnknown`, and `NotEligible` for what is confirmed not to be so."""
        titles = {criterion.name: criterion.title for criterion in draft.program.eligibility.criteria}
        if unknown := sorted({*self.confirmed} - {*titles}):
            draft.refuse(UnknownCriterion, f"the programme asks: {', '.join(titles) or 'nothing'}", unknown)
        left = [
            f"{name}: {titles.get(name, name)}" for name in draft.case.unconfirmed if name not in self.confirmed
        ]
        if left:
            draft.refuse(EligibilityUnknown, "say in confirmed, by name, whether each is so", left)
        if lacking := [titles[name] for name, is_so in self.confirmed.items() if not is_so]:
            draft.refuse(NotEligible, "decline with the reason not-eligible", lacking)
