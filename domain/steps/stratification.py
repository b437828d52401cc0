"""Risk stratification: factors give points, points give the tier, and the answer says what each factor gave."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field, FiniteFloat

from domain.case.case import Case, Risk
from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event
from domain.case.open_parts import Stratified, TierFactor
from domain.clocks.budget import Budget, Unit
from domain.clocks.clock import ClockKind
from domain.programs.instrument import answers_of_codes, score
from domain.programs.policies import Factor, Measure, Stratification, Subject, Tier
from domain.programs.program import NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, start_clock
from domain.steps.approvals import require_approval
from domain.steps.assessment import AssessmentIncomplete, put_in_force, set_tier
from domain.steps.stages import ACTIVE, age_on, missing_for_planning
from domain.values import Instant, Invalid, Rejected, Slug, Text

YEAR, HALF_YEAR = timedelta(days=365), timedelta(days=182)


class CannotStratify(Rejected):
    """A factor of the risk is not known; `missing` lists which. What is missing is never taken for low."""


class UnknownFactor(Invalid):
    """The programme's risk has no factor of this name; the refusal lists those it has."""


class NotStratified(Rejected):
    """A tier is overridden after the factors have given one."""


class OverrideTooLong(Invalid):
    """An override ends, after now and within the programme's longest."""


class RiskStratified(Event):
    """What the factors gave."""

    kind: ClassVar[str] = "risk-stratified"

    result: Stratified


class TierOverridden(Event):
    """A person set another tier than the factors gave, for a reason and until a day."""

    kind: ClassVar[str] = "tier-overridden"

    tier: Tier
    reason: Text
    until: Instant


class OverrideEnded(Event):
    """The override ran out; the tier of the factors holds again."""

    kind: ClassVar[str] = "override-ended"

    tier: Tier


def rules(draft: Draft) -> Stratification:
    """Raises `NotInProgram` where the programme leaves the tier to judgement."""
    if draft.program.stratification is None:
        draft.refuse(NotInProgram, "this programme has no risk factors; send set-risk-tier")
    return draft.program.stratification


def stratify(draft: Draft, given: Mapping[str, float]) -> Stratified:
    """Evaluate the factors. `given` values go before what the case knows. Raises `CannotStratify`."""
    policy = rules(draft)
    values = {f.name: given.get(f.name, _known(draft, f)) for f in policy.factors}
    missing = [f.title for f in policy.factors if values[f.name] is None and not f.optional]
    if missing:
        draft.refuse(CannotStratify, "record or give what is missing", missing)
    factors = tuple(_factor(f, values[f.name]) for f in policy.factors)
    points = sum(factor.points for factor in factors)
    tier = next((t.tier for t in policy.tiers if points >= t.at_least), policy.tiers[-1].tier)
    return Stratified(points=points, tier=tier, factors=factors)


def _factor(factor: Factor, value: float | None) -> TierFactor:
    points = 0 if value is None else factor.table.points(value)
    return TierFactor(name=factor.name, title=factor.title, value=value, points=points, known=value is not None)


def _known(draft: Draft, factor: Factor) -> float | None:
    """What the case itself knows of a factor; None for what only a person can give."""
    case, patient = draft.case, draft.case.referral.patient
    known: dict[Measure, Callable[[], float | None]] = {
        Measure.AGE: lambda: age_on(draft, draft.now),
        Measure.INSTRUMENT: lambda: _recorded(case, factor),
        Measure.COMORBIDITY: lambda: _comorbidity(draft, factor),
        Measure.ADMISSIONS: lambda: _stays(draft, "inpatient", YEAR),
        Measure.EMERGENCY_VISITS: lambda: _stays(draft, "emergency", HALF_YEAR),
        Measure.MEDICATIONS: lambda: (
            len(patient.medications) or None if case.medications is None else case.medications
        ),
    }
    return known[factor.measure]() if factor.measure in known else None


def _recorded(case: Case, factor: Factor) -> float | None:
    """The latest total of the factor's instrument."""
    key = (factor.instrument, factor.version)
    return next((s.total for s in case.scores if (s.instrument, s.version) == key), None)


def _comorbidity(draft: Draft, factor: Factor) -> float | None:
    """A recorded result goes before the referral's codes; without either nobody knows."""
    recorded = _recorded(draft.case, factor)
    codes = draft.case.referral.patient.icd_10_codes
    if recorded is not None or not codes:
        return recorded
    tool = draft.moment.rulebook.instrument(factor.instrument or "", factor.version or "")
    return score(tool, answers_of_codes(tool, codes)).total


def _stays(draft: Draft, setting: str, span: timedelta) -> float:
    """Stays within the span, from the referral and from what was recorded since."""
    since = draft.now - span
    first = draft.program.day_of(since)
    earlier = [e for e in draft.case.referral.patient.encounters if e.setting == setting and e.started_on >= first]
    kinds = {"inpatient": ("admission",), "emergency": ("visit", "discharge")}[setting]
    later = [
        t for t in draft.case.transitions if t.setting == setting and t.event in kinds and t.occurred_at >= since
    ]
    return len(earlier) + len(later)


class StratifyRisk(Command):
    """Evaluate the risk by the programme's factors. In assessment this ends the stage."""

    kind: ClassVar[str] = "stratify-risk"
    says: ClassVar[str] = "Evaluate the risk by its factors"
    example: ClassVar[dict[str, Any]] = {"given": {"comorbidity": 5, "medications": 9}}

    given: dict[Slug, FiniteFloat] = Field(default={}, max_length=50)

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        known = [f.name for f in rules(draft).factors]
        if unknown := sorted(set(self.given) - set(known)):
            draft.refuse(UnknownFactor, f"choose from: {', '.join(known)}", unknown)
        if draft.case.stage is Stage.ASSESSMENT and (missing := missing_for_planning(draft)):
            draft.refuse(AssessmentIncomplete, "complete the assessment before the risk is evaluated", missing)
        found = stratify(draft, self.given)
        draft.happen(RiskStratified(result=found))
        risk, reasons = draft.case.risk, tuple(f"{f.title}: {f.points}" for f in found.factors if f.points)
        held = risk is not None and risk.overridden
        set_tier(
            draft,
            Risk(
                tier=risk.tier if risk and held else found.tier,
                reasons=(reasons or ("no factor gave points",))[:20],
                computed=found.tier,
                points=found.points,
                overridden=held,
            ),
        )


class OverrideRiskTier(Command):
    """Set another tier than the factors gave, with a reason and an end; then the factors' tier holds again."""

    kind: ClassVar[str] = "override-risk-tier"
    says: ClassVar[str] = "Override the risk tier"
    example: ClassVar[dict[str, Any]] = {
        "tier": "high",
        "reason": "Lives alone since May",
        "until": "2030-06-30T17:00:00Z",
    }

    tier: Tier
    reason: Text
    until: Instant

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        risk, policy = draft.case.risk, rules(draft).override
        if risk is None or risk.computed is None:
            draft.refuse(NotStratified, "send stratify-risk first")
        longest = draft.deadline_of(policy.within)
        if not draft.now < self.until <= longest:
            draft.refuse(OverrideTooLong, f"give an end after now and not later than {longest:%Y-%m-%dT%H:%MZ}")
        require_approval(draft, Subject.TIER_OVERRIDE)
        for clock in draft.case.running:
            if clock.kind is ClockKind.OVERRIDE:
                cancel_clock(draft, clock, "replaced by another override")
        draft.happen(TierOverridden(tier=self.tier, reason=self.reason, until=self.until))
        put_in_force(draft, risk.changed(tier=self.tier, overridden=True), evaluated=False)
        seconds = int((self.until - draft.now).total_seconds())
        promise = Promise(kind=ClockKind.OVERRIDE, title="The overridden tier ends")
        start_clock(draft, promise, policy, draft.now, Budget(amount=seconds, unit=Unit.SECONDS))


def end_override(draft: Draft) -> None:
    """The override's time is over: the tier of the factors holds again, and what follows from it."""
    risk: Risk | None = draft.case.risk
    if risk is not None and risk.overridden and risk.computed is not None:
        draft.happen(OverrideEnded(tier=risk.computed))
        put_in_force(draft, risk.changed(tier=risk.computed, overridden=False), evaluated=False)
