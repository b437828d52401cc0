"""What a programme file may say. A programme is data; everything it promises is here by name."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from domain.clocks.budget import Budget
from domain.clocks.clock import ClockPolicy, Ladder, Party
from domain.programs.caseload import weight_of
from domain.programs.eligibility import Criterion
from domain.programs.pathway import Pathway
from domain.programs.plan_template import PlanTemplate
from domain.programs.policies import (
    AlertPolicy,
    ApprovalPolicy,
    CrisisPolicy,
    GoalTemplate,
    Indicator,
    InstrumentUse,
    MedicationPolicy,
    MinutesPolicy,
    OwnershipPolicy,
    PlanPolicy,
    ProcedurePolicy,
    ReferralPolicy,
    Stratification,
    Subject,
    SupervisionPolicy,
    TargetGroup,
    Tier,
    TransitionPolicy,
    UnableToContact,
)
from domain.values import Day, Line, Sensitivity, Slug, Text, Value, Zone


class Stage(StrEnum):
    """The six stages. Risk evaluation ends assessment and outcome evaluation ends closure."""

    SCREENING = "screening"
    ASSESSMENT = "assessment"
    PLANNING = "planning"
    IMPLEMENTATION = "implementation"
    FOLLOW_UP = "follow-up"
    CLOSURE = "closure"


class Model(StrEnum):
    BROKERAGE = "brokerage"
    CLINICAL = "clinical"
    STRENGTHS_BASED = "strengths-based"


class NeedsConsent(StrEnum):
    """What a person's consent is for, and what stops when it is withdrawn."""

    ASSESSMENT = "assessment"
    PLANNING = "planning"
    TASKS = "tasks"
    CONTACTS = "contacts"


class ClosureNeeds(StrEnum):
    """What must be settled before a case closes for a reason."""

    OUTCOME = "outcome"
    TASKS = "tasks"
    ESCALATIONS = "escalations"
    REFERRALS = "referrals"
    APPROVALS = "approvals"
    SIGNATURES = "signatures"
    MINUTES = "minutes"
    NOTICE = "notice"
    SATISFACTION = "satisfaction"
    GRADUATION = "graduation"
    SIGN_OFF = "sign-off"
    ATTEMPTS = "attempts"


class Eligibility(Value):
    """Who is taken: an age, and criteria of which each must be met."""

    minimum_age: int | None = Field(default=None, ge=0, le=130)
    maximum_age: int | None = Field(default=None, ge=0, le=130)
    source: Text
    criteria: tuple[Criterion, ...] = Field(default=(), max_length=20)


class ConsentPolicy(Value):
    """When consent is asked for, what it covers, and how long a withdrawal may stay undecided.

    `lapse` is whose ladder says early that one with an end is to be renewed; its time is the consent's own.
    """

    required: bool
    covers: tuple[NeedsConsent, ...] = ()
    decision: ClockPolicy
    lapse: ClockPolicy | None = None
    source: Text


class SectionPolicy(Value):
    """A section of the assessment; `minimum_age` asks for it from that age on, `groups` of those people only.

    `form` is the file in `catalog/forms/` that says what it asks; `requires` are links of questions that this
    programme cannot do without, besides those that the form requires of everybody.
    """

    name: Slug
    title: Line
    form: Slug | None = None
    requires: tuple[Slug, ...] = ()
    required: bool = True
    minimum_age: int = Field(default=0, ge=0, le=130)
    groups: tuple[Slug, ...] = ()


class TierPolicy(Value):
    """How often a person of this tier is contacted, whose contact counts, and the weight in a caseload."""

    contact: ClockPolicy
    weight: float | None = Field(default=None, gt=0, le=10)
    counts_with: tuple[Party, ...] = (Party.PATIENT,)

    @property
    def weighs(self) -> float:
        """The weight in a caseload: the programme's own, else what the cadence gives."""
        return self.weight if self.weight is not None else weight_of(self.contact.within)


class ReassessmentPolicy(Value):
    """`every` is the yearly promise; the first rung of its ladder opens the step. `on_change` is at once."""

    every: ClockPolicy
    on_change: ClockPolicy


class TaskPolicy(Value):
    """A type of task. `licences` may do it (none: everybody), `cosign` is the licence that must sign as well.

    `urgent` work goes on in a crisis; `queue` is the group that may claim it; `repeat` makes the next one, `on` on
    which days (in the unit of `repeat`, from the beginning) before it does so evenly.
    """

    title: Line
    category: Literal["coordination", "education", "monitoring", "advocacy", "facilitation", "administration"]
    clock: ClockPolicy
    licences: tuple[Slug, ...] = ()
    cosign: Slug | None = None
    queue: Slug | None = None
    urgent: bool = False
    repeat: Budget | None = None
    on: tuple[int, ...] = ()

    @property
    def duty(self) -> bool:
        """Whether tasks of this type are set by law, or a person's safety hangs on them."""
        return self.urgent or self.clock.statutory


WHEN = ("accepted", *(f"tier-{tier}" for tier in Tier))  # when a programme's `templates` make their tasks
DIED = "died"  # the closure reason of a person's death, in every programme


class ClosurePolicy(Value):
    """`needs` must be settled first; what else is open ends with the case. `offer_again` later, or not."""

    title: Line
    needs: tuple[ClosureNeeds, ...] = ()
    offer_again: bool = False


class StageClocks(Value):
    """The time limit of each stage that has one; follow-up lasts as long as it is needed."""

    screening: ClockPolicy
    assessment: ClockPolicy
    planning: ClockPolicy
    implementation: ClockPolicy
    closure: ClockPolicy

    def of(self, stage: Stage) -> ClockPolicy | None:
        return {
            Stage.SCREENING: self.screening,
            Stage.ASSESSMENT: self.assessment,
            Stage.PLANNING: self.planning,
            Stage.IMPLEMENTATION: self.implementation,
            Stage.CLOSURE: self.closure,
        }.get(stage)


class Program(Value):
    """One version of one programme, as its file in `catalog/programs/` has it.

    `look_back_days` is how far back something may have happened that is told now; what is older than
    `alarm_within_days` is kept as history and alarms nobody.
    """

    program: Slug
    version: int = Field(ge=1)
    effective_from: Day | None = Field(
        default=None, description="From which local day on new cases open under this version; left out, at once"
    )
    title: Line
    summary: Text
    model: Model
    calendar: Slug
    time_zone: Zone
    sensitivity: Sensitivity = Sensitivity.GENERAL
    eligibility: Eligibility
    consent: ConsentPolicy
    sections: tuple[SectionPolicy, ...] = Field(min_length=1)
    stages: StageClocks
    tiers: dict[Tier, TierPolicy]
    reassessment: ReassessmentPolicy
    tasks: dict[Slug, TaskPolicy] = Field(min_length=1)
    ladders: dict[Slug, Ladder] = Field(min_length=1)
    closure: dict[Slug, ClosurePolicy] = Field(min_length=1)
    decline: dict[Slug, Line] = Field(min_length=1)
    reopen_within: Budget
    longest_pause: Budget
    look_back_days: int = Field(default=366, ge=1, le=3660)
    alarm_within_days: int = Field(default=30, ge=1, le=366)
    target_groups: dict[Slug, TargetGroup] = {}
    instruments: tuple[InstrumentUse, ...] = ()
    alerts: dict[Slug, AlertPolicy] = {}
    stratification: Stratification | None = None
    plan: PlanPolicy | None = None
    goals: dict[Slug, GoalTemplate] = {}
    plan_templates: dict[Slug, PlanTemplate] = {}
    pathways: dict[Slug, Pathway] = {}
    templates: dict[Slug, tuple[Slug, ...]] = {}
    unable_to_contact: UnableToContact | None = None
    reply: ClockPolicy | None = None
    transitions: dict[Slug, TransitionPolicy] = {}
    appointments: ClockPolicy | None = Field(default=None, description="Until when one says what became of one")
    avoidable_days: Slug | None = None
    crisis: CrisisPolicy | None = None
    medication: MedicationPolicy | None = None
    indicators: dict[Slug, Indicator] = {}
    referrals: dict[Slug, ReferralPolicy] = {}
    approvals: dict[Subject, ApprovalPolicy] = {}
    procedures: dict[Slug, ProcedurePolicy] = {}
    minutes: MinutesPolicy | None = None
    notice: Budget | None = None
    graduation: dict[Slug, Line] = {}
    reoffer_after: Budget | None = None
    case_finding: bool = Field(default=False, description="A feed may open a case for somebody who has none")
    ownership: OwnershipPolicy | None = None
    supervision: SupervisionPolicy | None = None
    access_review: ClockPolicy | None = Field(default=None, description="The review of an emergency look")
    place: Slug | None = Field(default=None, exclude=True)
    narrowed: dict[Line, Line] = Field(default={}, exclude=True)

    @field_validator("tiers")
    @classmethod
    def _every_tier(cls, tiers: dict[Tier, TierPolicy]) -> dict[Tier, TierPolicy]:
        missing = [tier.value for tier in Tier if tier not in tiers]
        if missing:
            raise ValueError(f"no contact cadence for: {', '.join(missing)}")
        return tiers

    @model_validator(mode="after")
    def _ladders_exist(self) -> Self:
        unknown = sorted({p.ladder for p in self.policies.values()} - set(self.ladders))
        if unknown:
            raise ValueError(f"ladders used but not defined: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        lost = [f"{path}: {name}" for path, name in self.task_types.items() if name not in self.tasks]
        asked = {limit.alert for indicator in self.indicators.values() for limit in indicator.limits}
        asked |= {trend.alert for indicator in self.indicators.values() for trend in indicator.trends}
        lost += [f"indicators: alert {name}" for name in sorted(asked - set(self.alerts))]
        lost += [
            f"templates: {name}, which is none of {', '.join(WHEN)}" for name in self.templates if name not in WHEN
        ]
        groups = {group for section in self.sections for group in section.groups}
        lost += [f"sections: group {name}" for name in sorted(groups - set(self.target_groups))]
        if lost:
            raise ValueError(f"named but not defined: {', '.join(lost)}")
        return self

    @cached_property
    def policies(self) -> dict[str, ClockPolicy]:
        """Every clock the programme can start, by the path of its field."""
        return dict(_clocks_of(self, ""))

    def path_of(self, policy: ClockPolicy) -> str | None:
        """The path of a policy of this programme; None for one that is not its own."""
        return next((path for path, found in self.policies.items() if found is policy), None)

    @cached_property
    def task_types(self) -> dict[str, str]:
        """Every task type that another part of the programme names, by the path that names it."""
        named = {
            f"templates.{on}.{n}": task for on, tasks in self.templates.items() for n, task in enumerate(tasks)
        }
        for name, template in self.plan_templates.items():
            at = f"plan_templates.{name}.interventions"
            named |= {f"{at}.{n}.task": one.task for n, one in enumerate(template.interventions) if one.task}
        named |= {f"alerts.{name}.task": alert.task for name, alert in self.alerts.items() if alert.task}
        for name, transition in self.transitions.items():
            named |= {f"transitions.{name}.tasks.{n}": task for n, task in enumerate(transition.tasks)}
        if self.unable_to_contact is not None:
            named["unable_to_contact.letter_task"] = self.unable_to_contact.letter_task
        if self.medication is not None:
            named["medication.side_effect_task"] = self.medication.side_effect_task
            named["medication.severe_task"] = self.medication.severe_task
            named["medication.non_adherence_task"] = self.medication.non_adherence_task
        return named

    def calendar_of(self, policy: ClockPolicy) -> str:
        return policy.calendar or self.calendar

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def in_force_on(self, day: date) -> bool:
        """Whether new cases may open under this version on a day."""
        return self.effective_from is None or self.effective_from <= day

    def day_of(self, instant: datetime) -> date:
        """The day of an instant where the programme is at work."""
        return instant.astimezone(self.zone).date()


def _clocks_of(part: Any, path: str) -> Iterator[tuple[str, ClockPolicy]]:
    """The clock policies within a part of a programme, however deep, each with its path."""
    if isinstance(part, ClockPolicy):
        yield path, part
        return
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(part, Value):
        inside = part
    elif isinstance(part, dict):
        inside = part.items()
    elif isinstance(part, tuple):
        inside = enumerate(part)
    for name, value in inside:
        yield from _clocks_of(value, f"{path}.{name}" if path else str(name))
