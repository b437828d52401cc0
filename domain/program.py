"""What a programme file may say. A programme is data; everything it promises is here by name."""

from enum import StrEnum
from typing import Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from domain.budget import Budget
from domain.clock import ClockPolicy, Ladder
from domain.values import Line, Sensitivity, Slug, Text, Value


class Stage(StrEnum):
    """The six stages. Risk evaluation ends assessment and outcome evaluation ends closure."""

    SCREENING = "screening"
    ASSESSMENT = "assessment"
    PLANNING = "planning"
    IMPLEMENTATION = "implementation"
    FOLLOW_UP = "follow-up"
    CLOSURE = "closure"


class Tier(StrEnum):
    """How much support the risk asks for."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


class Party(StrEnum):
    """With whom a contact was. A reached caregiver is not a reached patient."""

    PATIENT = "patient"
    CAREGIVER = "caregiver"
    PROVIDER = "provider"


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


class Eligibility(Value):
    minimum_age: int | None = Field(default=None, ge=0, le=130)
    maximum_age: int | None = Field(default=None, ge=0, le=130)
    source: Text


class ConsentPolicy(Value):
    """When consent is asked for, what it covers, and how long a withdrawal may stay undecided."""

    required: bool
    covers: tuple[NeedsConsent, ...] = ()
    decision: ClockPolicy
    source: Text


class SectionPolicy(Value):
    name: Slug
    title: Line
    required: bool = True


class TierPolicy(Value):
    """How often a person of this tier is contacted, and whose contact counts."""

    contact: ClockPolicy
    counts_with: tuple[Party, ...] = (Party.PATIENT,)


class ReassessmentPolicy(Value):
    """`every` is the yearly promise; the first rung of its ladder opens the step. `on_change` is at once."""

    every: ClockPolicy
    on_change: ClockPolicy


class TaskPolicy(Value):
    title: Line
    category: Literal["coordination", "education", "monitoring", "advocacy", "facilitation", "administration"]
    clock: ClockPolicy


class ClosurePolicy(Value):
    """`needs` must be settled first; what is still open otherwise ends with the case."""

    title: Line
    needs: tuple[ClosureNeeds, ...] = ()


class StageClocks(Value):
    """The time limit of each stage that has one; follow-up lasts as long as it is needed."""

    screening: ClockPolicy
    assessment: ClockPolicy
    planning: ClockPolicy
    implementation: ClockPolicy
    closure: ClockPolicy

    def of(self, stage: Stage) -> ClockPolicy | None:
        limits = {
            Stage.SCREENING: self.screening,
            Stage.ASSESSMENT: self.assessment,
            Stage.PLANNING: self.planning,
            Stage.IMPLEMENTATION: self.implementation,
            Stage.CLOSURE: self.closure,
        }
        return limits.get(stage)


class Program(Value):
    """One version of one programme, as its file in `catalog/programs/` has it."""

    program: Slug
    version: int = Field(ge=1)
    title: Line
    summary: Text
    model: Model
    calendar: Slug
    time_zone: str
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

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError("not an IANA time zone, such as America/New_York")
        return zone

    @field_validator("tiers")
    @classmethod
    def _every_tier(cls, tiers: dict[Tier, TierPolicy]) -> dict[Tier, TierPolicy]:
        missing = [tier.value for tier in Tier if tier not in tiers]
        if missing:
            raise ValueError(f"no contact cadence for: {', '.join(missing)}")
        return tiers

    @model_validator(mode="after")
    def _ladders_exist(self) -> Self:
        unknown = sorted({p.ladder for p in self.policies().values()} - set(self.ladders))
        if unknown:
            raise ValueError(f"ladders used but not defined: {', '.join(unknown)}")
        return self

    def policies(self) -> dict[str, ClockPolicy]:
        """Every clock the programme can start, by the path of its field."""
        stages = {f"stages.{s.value}": p for s in Stage if (p := self.stages.of(s))}
        tiers = {f"tiers.{name}.contact": tier.contact for name, tier in self.tiers.items()}
        tasks = {f"tasks.{name}.clock": task.clock for name, task in self.tasks.items()}
        return {
            **stages,
            **tiers,
            **tasks,
            "reassessment.every": self.reassessment.every,
            "reassessment.on_change": self.reassessment.on_change,
            "consent.decision": self.consent.decision,
        }

    def calendar_of(self, policy: ClockPolicy) -> str:
        return policy.calendar or self.calendar

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
