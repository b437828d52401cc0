"""Assessment and risk: what the findings mean for the tier, and when the person is looked at again."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case, Risk
from domain.case.command import Command, Draft
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
from domain.values import Line, Rejected, Text


class AssessmentIncomplete(Rejected):
    """The tier ends the assessment; `missing` lists what it still needs."""


class ReassessmentOpen(Rejected):
    """The reassessment that a change asks for is open already."""


class TierFromFactors(Rejected):
    """The programme evaluates the risk by its factors."""


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
