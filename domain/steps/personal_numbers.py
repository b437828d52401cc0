"""Numbers of one person: a promise that is due sooner for her, and limits of her own values."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.event import Event
from domain.case.open_parts import PersonalLimits
from domain.clocks.budget import Budget, deadline
from domain.clocks.clock import ClockPolicy
from domain.programs.places import Narrowed
from domain.programs.policies import Limit
from domain.steps.observations import UnknownIndicator
from domain.steps.owed_again import make_sooner
from domain.steps.stages import ACTIVE
from domain.values import Day, Invalid, Line, Slug, Text

MOST_NUMBERS = 20


class UnknownPolicy(Invalid):
    """The programme makes no promise of this path; `missing` lists those it makes."""


class NotNarrower(Invalid):
    """A person's own time is shorter than the programme's: a longer one is another tier, or another programme."""


class UnknownAlert(Invalid):
    """The programme has no alert of this name; the refusal lists those it has."""


class PolicyNarrowed(Event):
    """For this person a promise is due sooner."""

    kind: ClassVar[str] = "policy-narrowed"

    number: Narrowed

    def apply(self, case: Case, at: datetime) -> Case:
        others = tuple(n for n in case.narrowed if n.policy != self.number.policy)
        return case.changed(narrowed=(*others, self.number)[-MOST_NUMBERS:])


class LimitsSet(Event):
    """The values of this person have limits of their own."""

    kind: ClassVar[str] = "limits-set"

    limits: PersonalLimits

    def apply(self, case: Case, at: datetime) -> Case:
        others = tuple(own for own in case.limits if own.indicator != self.limits.indicator)
        return case.changed(limits=(*others, self.limits)[-MOST_NUMBERS:])


class NarrowPolicy(Command):
    """Make one of the programme's promises due sooner for this person, with the reason and who says so.

    What runs under it is due sooner at once, counted from when it began.
    """

    kind: ClassVar[str] = "narrow-policy"
    says: ClassVar[str] = "Make a promise due sooner for this person"
    example: ClassVar[dict[str, Any]] = {
        "policy": "tiers.high.contact",
        "within": {"amount": 3, "unit": "calendar days"},
        "reason": "Lives alone since May",
        "source": "Her physician, by telephone",
    }

    policy: Line
    within: Budget
    reason: Text
    source: Text
    last: Day | None = Field(default=None, description="The last day on which it holds")

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        policies = draft.moment.rulebook.program(draft.case.program, draft.case.program_version).policies
        policy = policies.get(self.policy)
        if policy is None:
            draft.refuse(UnknownPolicy, "the programme makes no such promise", sorted(policies))
        if self._due(draft, policy, self.within) >= self._due(draft, policy, policy.within):
            draft.refuse(NotNarrower, f"the programme has {policy.within}")
        number = Narrowed(
            policy=self.policy, within=self.within, reason=self.reason, source=self.source, last=self.last
        )
        draft.happen(PolicyNarrowed(number=number))
        for clock in draft.case.running:
            if clock.policy == self.policy and clock.missed_at is None:
                make_sooner(draft, clock)

    def _due(self, draft: Draft, policy: ClockPolicy, within: Budget) -> datetime:
        working = draft.moment.rulebook.calendar(draft.program.calendar_of(policy))
        return deadline(draft.now, within, 0, working, draft.program.zone)


class SetPersonalLimits(Command):
    """Set limits for the values of this person, in place of the programme's, with the reason and who says so."""

    kind: ClassVar[str] = "set-personal-limits"
    says: ClassVar[str] = "Set limits of a person's own values"
    example: ClassVar[dict[str, Any]] = {
        "indicator": "systolic",
        "limits": [{"alert": "value-dangerous", "above": 160}, {"alert": "value-dangerous", "below": 100}],
        "reason": "Aortic aneurysm",
        "source": "Cardiology, letter of 2 March",
    }

    indicator: Slug
    limits: tuple[Limit, ...] = Field(min_length=1, max_length=6)
    reason: Text
    source: Text
    last: Day | None = Field(default=None, description="The last day on which they hold")

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        if self.indicator not in draft.program.indicators:
            draft.refuse(UnknownIndicator, f"choose one of: {', '.join(draft.program.indicators) or 'none'}")
        if unknown := sorted({limit.alert for limit in self.limits} - set(draft.program.alerts)):
            draft.refuse(UnknownAlert, f"choose from: {', '.join(draft.program.alerts)}", unknown)
        fields = {name: getattr(self, name) for name in PersonalLimits.model_fields}
        draft.happen(LimitsSet(limits=PersonalLimits(**fields)))
