"""Risk stratification: factors give points, points give the tier, and the answer says what each factor gave."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field, FiniteFloat

from domain.case.case import Case, Risk
from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event
from domain.case.open_parts import Stratified, TierFactor
from domain.case.stays import ACUTE, EMERGENCY, episodes
from domain.clocks.budget import Budget, Unit
from domain.clocks.clock import ClockKind
from domain.programs.policies import Factor, Measure, Stratification, Subject, Tier
from domain.programs.program import NeedsConsent, Stage
from domain.programs.scoring import answers_of_codes, score
from domain.promises.deadlines import Promise, cancel_clock, start_clock
from domain.steps.approvals import require_approval
from domain.steps.assessment import AssessmentIncomplete, set_tier
from domain.steps.readmissions import stays_in
from domain.steps.risk_tier import above_floor, is_below, lift_floor, put_in_force
from domain.steps.stages import ACTIVE, age_on, missing_for_planning
from domain.values import Instant, Invalid, Rejected, Slug, Text

MOST_GIVEN = 1000
YEAR, HALF_YEAR = timedelta(days=365), timedelta(days=182)


class CannotStratify(Rejected):
    """A factor of the risk is not known; `missing` lists which. What is missing is never taken for low."""


class UnknownFactor(Invalid):
    """The programme's risk has no factor of this name; the refusal lists those it has."""


class NotStratified(Rejected):
    """A tier is overridden after the factors have given one."""


class OverrideTooLong(Invalid):
    """An override ends, after now and within the programme's longest."""


class ReasonMissing(Invalid):
    """Who gives a value that the record does not know says where it comes from."""


class RiskStratified(Event):
    """What the factors gave; `reason` says where the values come from that a person gave."""

    kind: ClassVar[str] = "risk-stratified"

    result: Stratified
    reason: Text | None = None


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
    """Evaluate the factors, by what the case knows and else by what is given. Raises `CannotStratify`.

    A given value that differs from what the case knows needs the approval that an override needs.
    """
    known = {f.name: known_of(draft, f) for f in rules(draft).factors}
    found, missing = evaluate(draft, known, given)
    if missing:
        draft.refuse(CannotStratify, "record or give what is missing", missing)
    if any(known[name] not in (None, value) for name, value in given.items()):
        require_approval(draft, Subject.TIER_OVERRIDE, found.tier)
    return found


def evaluate(
    draft: Draft, known: Mapping[str, float | None], given: Mapping[str, float]
) -> tuple[Stratified, list[str]]:
    """What the factors give, and the titles of those that must be known and are not."""
    policy = rules(draft)
    missing = [f.title for f in policy.factors if not f.optional and known[f.name] is None and f.name not in given]
    factors = tuple(_factor(draft, f, known[f.name], given.get(f.name)) for f in policy.factors)
    points = sum(factor.points for factor in factors)
    tier = next((t.tier for t in policy.tiers if points >= t.at_least), policy.tiers[-1].tier)
    unsure = tier is not policy.tiers[0].tier and any(not f.known or f.partly for f in factors)
    return Stratified(points=points, tier=tier, factors=factors, at_least=unsure), missing


def _factor(draft: Draft, factor: Factor, known: float | None, given: float | None) -> TierFactor:
    value = known if given is None else given
    by_codes = factor.measure is Measure.COMORBIDITY and _recorded(draft.case, factor) is None
    return TierFactor(
        name=factor.name,
        title=factor.title,
        value=value,
        points=0 if value is None else factor.table.points(value),
        known=value is not None,
        given=given is not None and given != known,
        partly=given is None and by_codes and bool(draft.case.referral.patient.unread),
    )


def known_of(draft: Draft, factor: Factor) -> float | None:
    """What the case itself knows of a factor; None for what only a person can give."""
    case, patient = draft.case, draft.case.referral.patient
    known: dict[Measure, Callable[[], float | None]] = {
        Measure.AGE: lambda: age_on(draft, draft.now),
        Measure.INSTRUMENT: lambda: _recorded(case, factor),
        Measure.COMORBIDITY: lambda: _comorbidity(draft, factor),
        Measure.ADMISSIONS: lambda: _stays(draft, ACUTE, YEAR),
        Measure.EMERGENCY_VISITS: lambda: _stays(draft, EMERGENCY, HALF_YEAR),
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


def _stays(draft: Draft, setting: str, span: timedelta) -> float | None:
    """Stays within the span by local days; None where nothing at all is known of encounters."""
    case = draft.case
    if not case.transitions and not case.referral.patient.encounters:
        return None
    first = draft.program.day_of(draft.now - span)
    stays = stays_in(draft)
    counted = episodes(stays, ACUTE) if setting == ACUTE else [s for s in stays if s.setting == setting]
    return sum(stay.until.day >= first for stay in counted)


class StratifyRisk(Command):
    """Evaluate the risk by the programme's factors. In assessment this ends the stage.

    `given` are values that the record does not know, with the `reason`: who said so, or where it was read.
    """

    kind: ClassVar[str] = "stratify-risk"
    says: ClassVar[str] = "Evaluate the risk by its factors"
    example: ClassVar[dict[str, Any]] = {
        "given": {"comorbidity": 5, "medications": 9},
        "reason": "The practice's chart, read on the telephone",
    }

    given: dict[Slug, Annotated[FiniteFloat, Field(ge=0, le=MOST_GIVEN)]] = Field(default={}, max_length=50)
    reason: Text | None = None

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        known = [f.name for f in rules(draft).factors]
        if unknown := sorted(set(self.given) - set(known)):
            draft.refuse(UnknownFactor, f"choose from: {', '.join(known)}", unknown)
        if self.given and self.reason is None:
            draft.refuse(ReasonMissing, "say in `reason` where the given values come from")
        if draft.case.stage is Stage.ASSESSMENT and (missing := missing_for_planning(draft)):
            draft.refuse(AssessmentIncomplete, "complete the assessment before the risk is evaluated", missing)
        found = stratify(draft, self.given)
        draft.happen(RiskStratified(result=found, reason=self.reason if self.given else None))
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
                at_least=found.at_least,
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
        if is_below(self.tier, draft.case.floor):
            lift_floor(draft, self.tier)
        else:
            require_approval(draft, Subject.TIER_OVERRIDE, self.tier)
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
        found = above_floor(draft, risk.changed(tier=risk.computed, overridden=False))
        put_in_force(draft, found, evaluated=False)
