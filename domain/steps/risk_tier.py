"""The tier in force: how much support the person needs, what follows from it, and below what it does not fall."""

from datetime import datetime
from typing import Any, ClassVar

from domain.case.case import Case, Risk
from domain.case.command import Command, Draft
from domain.case.event import Event
from domain.clocks.clock import ClockKind
from domain.programs.policies import Subject, Tier
from domain.promises.deadlines import Promise, cancel_clock, start_clock
from domain.promises.escalation import miss_if_late
from domain.steps.approvals import require_approval, withdraw
from domain.steps.contacts import restart_cadence
from domain.steps.transition_promises import clocks_of, due_of, policy_of
from domain.values import Rejected, Text

RANK = {Tier.LOW: 0, Tier.MODERATE: 1, Tier.HIGH: 2}


class NotHigher(Rejected):
    """The tier in force is this one, or a higher one."""


class RiskTierSet(Event):
    """How much support the person needs, and why. `evaluated` ends a reassessment; an override does not."""

    kind: ClassVar[str] = "risk-tier-set"

    risk: Risk
    evaluated: bool = True

    def apply(self, case: Case, at: datetime) -> Case:
        since = None if self.evaluated else case.reassessing_since
        return case.changed(risk=self.risk, reassessing_since=since)


class FloorLifted(Event):
    """Somebody approved a tier below the one that an alert, or a person, asks for: that is the least now."""

    kind: ClassVar[str] = "floor-lifted"

    floor: Tier
    to: Tier

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(floor=None if self.to is Tier.LOW else self.to)


class TierRaised(Event):
    """Somebody saw danger: the tier does not fall below this one without an approval."""

    kind: ClassVar[str] = "tier-raised"

    tier: Tier
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(floor=higher(self.tier, case.floor))


def ask_for_safety_plan(draft: Draft, anchor: datetime) -> None:
    """Promise to go through the safety plan with the person, unless that is promised already."""
    asked = any(c.kind is ClockKind.SAFETY_PLAN for c in draft.case.running)
    if draft.program.crisis is not None and not asked:
        there = draft.case.safety_plan is not None
        title = "Review the safety plan" if there else "Write a safety plan"
        about = "safety-plan/review" if there else "safety-plan/write"
        promise = Promise(kind=ClockKind.SAFETY_PLAN, title=title, about=about)
        start_clock(draft, promise, draft.program.crisis.safety_plan, anchor)


def higher(one: Tier, other: Tier | None) -> Tier:
    return one if other is None or RANK[one] > RANK[other] else other


def is_below(tier: Tier, floor: Tier | None) -> bool:
    return floor is not None and RANK[tier] < RANK[floor]


def put_in_force(draft: Draft, risk: Risk, evaluated: bool) -> None:
    """Put a tier in force, with cadence and clocks at once."""
    changed = draft.case.risk is None or draft.case.risk.tier is not risk.tier
    weighed = risk.changed(weight=draft.program.tiers[risk.tier].weighs)
    draft.happen(RiskTierSet(risk=weighed, evaluated=evaluated))
    if changed:
        restart_cadence(draft)
        _follow_tier(draft)
        if draft.case.safety_plan is not None:
            ask_for_safety_plan(draft, draft.now)


def _follow_tier(draft: Draft) -> None:
    """Running promises with numbers by tier follow the tier, counted from when they began; none gets more time."""
    for transition in draft.case.transitions:
        policy = policy_of(draft, transition)
        for name, wanted in (clocks_of(draft, policy) if policy else {}).items():
            about = f"{transition.id}/{name}"
            clock = next((c for c in draft.case.running if c.about == about and c.missed_at is None), None)
            if clock is None or clock.policy == draft.program.path_of(wanted):
                continue
            if due_of(draft, transition, wanted) >= clock.due_at:
                continue
            cancel_clock(draft, clock, "the tier has changed")
            promise = Promise(kind=ClockKind.TRANSITION, title=clock.title, about=about)
            started = start_clock(draft, promise, wanted, clock.anchor, instead_of=clock)
            miss_if_late(draft, draft.open_clock(started))


def above_floor(draft: Draft, risk: Risk) -> Risk:
    """A tier as it is found, lifted to what an alert or a person asks for at least."""
    floor = draft.case.floor
    if floor is None or not is_below(risk.tier, floor):
        return risk
    return risk.changed(tier=floor, reasons=(*risk.reasons, f"not below {floor}: an alert, or danger seen")[-20:])


def lift_floor(draft: Draft, tier: Tier) -> None:
    """Go below what an alert or a person asked for. Raises `ApprovalMissing`."""
    floor = draft.case.floor
    if floor is not None and is_below(tier, floor):
        require_approval(draft, Subject.TIER_OVERRIDE, tier)
        draft.happen(FloorLifted(floor=floor, to=tier))


def keep_above_floor(draft: Draft, reason: str) -> None:
    """Raise a tier that has come to lie below what is asked for at least."""
    risk, floor = draft.case.risk, draft.case.floor
    if risk is not None and floor is not None and is_below(risk.tier, floor):
        reasons = (*risk.reasons, reason)[-20:]
        put_in_force(draft, risk.changed(tier=floor, reasons=reasons), evaluated=False)


class RaiseRiskTier(Command):
    """Raise the tier because of danger: at any time, in any stage, without an approval. Going down needs one."""

    kind: ClassVar[str] = "raise-risk-tier"
    says: ClassVar[str] = "Raise the risk tier at once"
    example: ClassVar[dict[str, Any]] = {"tier": "high", "reason": "Found alone and confused"}

    tier: Tier
    reason: Text

    def decide(self, draft: Draft) -> None:
        case = draft.case
        now = higher(case.risk.tier, case.floor) if case.risk else case.floor
        if now is not None and not is_below(now, self.tier):
            draft.refuse(NotHigher, f"the tier is {now} already")
        withdraw(draft, Subject.TIER_OVERRIDE)  # it was given before this was known
        draft.happen(TierRaised(tier=self.tier, reason=self.reason))
        keep_above_floor(draft, self.reason[:200])
