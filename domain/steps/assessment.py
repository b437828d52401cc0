"""Assessment and risk: what is found, what it means for the tier, and when it has to be looked at again."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case, OutcomeRatings, Risk, Section
from domain.case.command import Command, Draft
from domain.case.dates import TooLongAgo, check_day
from domain.case.event import Event
from domain.clocks.clock import ClockKind, ClockPolicy
from domain.programs.policies import Subject, Tier
from domain.programs.program import NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.approvals import withdraw
from domain.steps.contacts import ensure_contact
from domain.steps.risk_tier import above_floor, ask_for_safety_plan, lift_floor, put_in_force
from domain.steps.stages import ACTIVE, enter, missing_for_planning, set_back
from domain.steps.tasks import apply_template
from domain.values import Day, Instant, Invalid, Line, Opaque, Rejected, Sensitivity, Slug, Text, Value


class UnknownSection(Invalid):
    """The programme's assessment has no section of this name; the refusal lists those it has."""


class AssessmentIncomplete(Rejected):
    """The tier ends the assessment; `missing` lists what it still needs."""


class ReassessmentOpen(Rejected):
    """The reassessment that a change asks for is open already."""


class TierFromFactors(Rejected):
    """The programme evaluates the risk by its factors."""


class SectionFinding(Value):
    """What was found in one section, on its own date; `complete: false` keeps work in progress."""

    name: Slug
    assessed_on: Day
    findings: Text
    sensitivity: Sensitivity | None = None
    complete: bool = True


class SectionAssessed(Event):
    kind: ClassVar[str] = "section-assessed"

    name: Slug
    assessed_on: Day
    author: Opaque
    findings: Text
    sensitivity: Sensitivity
    complete: bool = True
    recorded_at: Instant | None = None
    legal_ground: Line | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        section = Section(**{name: getattr(self, name) for name in Section.model_fields})
        if any(s.name == self.name and s.assessed_on > self.assessed_on for s in case.sections):
            return case  # an older one came later: the latest stands
        others = tuple(s for s in case.sections if s.name != self.name)
        return case.changed(sections=(*others, section))


class BaselineRated(Event):
    """Where the person stands in the three outcome domains before anything is done."""

    kind: ClassVar[str] = "baseline-rated"

    ratings: OutcomeRatings

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(baseline=self.ratings)


class SignificantChangeReported(Event):
    kind: ClassVar[str] = "significant-change-reported"

    description: Text


class ReassessmentOpened(Event):
    """The case is to be assessed anew: the year is over, or the person's condition has changed."""

    kind: ClassVar[str] = "reassessment-opened"

    cause: Literal["due", "significant-change"]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(reassessing_since=at, outcome=None)


def promise_reassessment(draft: Draft, policy: ClockPolicy) -> None:
    promise = Promise(kind=ClockKind.REASSESSMENT, title="Reassess the person")
    start_clock(draft, promise, policy, draft.now)


def open_reassessment(draft: Draft, cause: Literal["due", "significant-change"]) -> None:
    """Open the one step that a due reassessment and a changed condition both lead to."""
    draft.happen(ReassessmentOpened(cause=cause))
    withdraw(draft, Subject.CLOSURE)
    if draft.case.stage is not Stage.ASSESSMENT:
        set_back(draft, Stage.ASSESSMENT, f"reassessment: {cause}")
        ensure_contact(draft)


def set_tier(draft: Draft, risk: Risk) -> None:
    """Put the tier of a finished evaluation in force; in assessment this ends the stage."""
    put_in_force(draft, above_floor(draft, risk), evaluated=True)
    if draft.case.stage is Stage.ASSESSMENT:
        for clock in draft.case.running:
            if clock.kind is ClockKind.REASSESSMENT:
                keep_clock(draft, clock, draft.now)
        promise_reassessment(draft, draft.program.reassessment.every)
        enter(draft, Stage.PLANNING, "assessment complete and risk evaluated")
        apply_template(draft, f"tier-{risk.tier}")


class RecordAssessment(Command):
    """Record sections of the assessment, each with its own date. It may be done in several sittings."""

    kind: ClassVar[str] = "record-assessment"
    says: ClassVar[str] = "Record assessment sections"
    example: ClassVar[dict[str, Any]] = {
        "sections": [
            {"name": "health-status", "assessed_on": "2026-03-02", "findings": "Short of breath on stairs"}
        ],
        "baseline": {"well_being": 3, "finances": 4, "appropriate_care": 5},
    }

    sections: tuple[SectionFinding, ...] = Field(min_length=1, max_length=40)
    baseline: OutcomeRatings | None = None
    legal_ground: Line | None = Field(
        default=None, description="Why it may be recorded without the person's consent, as a duty of law"
    )

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT, self.legal_ground)
        known = {s.name for s in draft.program.sections}
        for found in self.sections:
            if found.name not in known:
                draft.refuse(UnknownSection, f"choose from: {', '.join(sorted(known))}")
            check_day(draft, found.assessed_on, f"section {found.name}")
            if found.assessed_on < draft.today - timedelta(days=draft.program.look_back_days):
                draft.refuse(TooLongAgo, f"section {found.name} is older than a year; assess it anew")
            draft.happen(_assessed(draft, found, self.legal_ground))
        if self.baseline is not None and draft.case.baseline is None:
            draft.happen(BaselineRated(ratings=self.baseline))


def _assessed(draft: Draft, found: SectionFinding, legal_ground: str | None) -> SectionAssessed:
    return SectionAssessed(
        name=found.name,
        assessed_on=found.assessed_on,
        author=draft.actor.subject,
        findings=found.findings,
        sensitivity=found.sensitivity or draft.program.sensitivity,
        complete=found.complete,
        recorded_at=draft.now,
        legal_ground=legal_ground,
    )


class SetRiskTier(Command):
    """Evaluate the risk. In assessment this ends the stage; later it changes cadence and clocks at once."""

    kind: ClassVar[str] = "set-risk-tier"
    says: ClassVar[str] = "Set the risk tier"
    example: ClassVar[dict[str, Any]] = {"tier": "high", "reasons": ["Two admissions in six months"]}

    tier: Tier
    reasons: tuple[Line, ...] = Field(min_length=1, max_length=20)

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        if draft.program.stratification is not None:
            draft.refuse(TierFromFactors, "send stratify-risk, and override-risk-tier where you judge otherwise")
        if draft.case.stage is Stage.ASSESSMENT and (missing := missing_for_planning(draft)):
            draft.refuse(AssessmentIncomplete, "complete the assessment before the tier is set", missing)
        lift_floor(draft, self.tier)
        set_tier(draft, Risk(tier=self.tier, reasons=self.reasons))


class ReportSignificantChange(Command):
    """Report that the person's condition has changed so much that it must be assessed anew."""

    kind: ClassVar[str] = "report-significant-change"
    says: ClassVar[str] = "Report a significant change"
    example: ClassVar[dict[str, Any]] = {"description": "Admitted with a stroke"}

    description: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE, Stage.CLOSURE)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        if draft.case.reassessing_since is not None:
            draft.refuse(ReassessmentOpen, "the reassessment is open; record the change as a section")
        draft.happen(SignificantChangeReported(description=self.description))
        if draft.case.safety_plan is not None:
            ask_for_safety_plan(draft, draft.now)
        if draft.case.risk is None:
            return
        for clock in draft.case.running:
            if clock.kind is ClockKind.REASSESSMENT:
                cancel_clock(draft, clock, "replaced by the reassessment that the change asks for")
        promise_reassessment(draft, draft.program.reassessment.on_change)
        open_reassessment(draft, "significant-change")
