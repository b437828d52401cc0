"""The parts of a programme beyond its stages: what a programme file may say of risk, plan, transitions and more.

Every part is optional; a command that needs one which the programme does not have is refused by name.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from domain.clocks.budget import Budget, Unit
from domain.clocks.clock import ClockPolicy, Rank
from domain.programs.instrument import Table
from domain.values import Line, Role, Slug, Text, Value


class Tier(StrEnum):
    """How much support the risk asks for."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


class TargetGroup(Value):
    """A group of people that a programme is for; ages include both ends."""

    title: Line
    minimum_age: int = Field(default=0, ge=0, le=130)
    maximum_age: int = Field(default=130, ge=0, le=130)
    source: Text


class InstrumentUse(Value):
    """An instrument of this programme: whether the assessment needs it, and how often it is repeated."""

    name: Slug
    version: Slug
    required: bool = False
    minimum_age: int = Field(default=0, ge=0, le=130)
    every: ClockPolicy | None = None


class AlertPolicy(Value):
    """What follows when an instrument or an observation raises an alert: who is told now, and which task opens.

    The tier does not fall below `floor` without an approval.
    """

    task: Slug | None = None
    tell: tuple[Rank, ...] = (Rank.OWNER,)
    safety_plan: bool = False
    floor: Tier | None = None


class Measure(StrEnum):
    """What a factor of the risk looks at."""

    INSTRUMENT = "instrument"
    AGE = "age"
    COMORBIDITY = "comorbidity"
    ADMISSIONS = "admissions"
    EMERGENCY_VISITS = "emergency-visits"
    MEDICATIONS = "medications"
    GIVEN = "given"


class Factor(Value):
    """One factor of the risk. Admissions count twelve months back, emergency visits six.

    Without `optional` a value that nobody knows keeps the risk from being evaluated: missing is not low.
    """

    name: Slug
    title: Line
    measure: Measure
    instrument: Slug | None = None
    version: Slug | None = None
    table: Table
    optional: bool = False

    @model_validator(mode="after")
    def _names_its_instrument(self) -> Self:
        needs = self.measure in (Measure.INSTRUMENT, Measure.COMORBIDITY)
        if needs != (self.instrument is not None and self.version is not None):
            raise ValueError("name instrument and version where an instrument is measured, and only there")
        return self


class TierAt(Value):
    tier: Tier
    at_least: int


class Stratification(Value):
    """Factors with their points, and the tiers from the highest down. An override holds for `override` at most."""

    factors: tuple[Factor, ...] = Field(min_length=1)
    tiers: tuple[TierAt, ...] = Field(min_length=1)
    override: ClockPolicy
    source: Text
    verified: bool = True

    @model_validator(mode="after")
    def _falling(self) -> Self:
        floors = [tier.at_least for tier in self.tiers]
        if floors != sorted(floors, reverse=True):
            raise ValueError("list the tiers from the highest number of points down")
        return self


class Signer(StrEnum):
    PATIENT = "patient"
    PROVIDER = "provider"
    CASE_MANAGER = "case-manager"


class PlanNeeds(StrEnum):
    """What must be there before a plan is agreed, by the programme's model."""

    STRENGTHS = "strengths"
    VISIT = "visit"
    REFERRAL = "referral"


class PlanPolicy(Value):
    """Who signs a plan and how long a signature holds, and when the plan is looked at again."""

    signatures: tuple[Signer, ...] = ()
    sign: ClockPolicy
    valid_for: Budget
    review: ClockPolicy
    on_goal_met: ClockPolicy
    requires: tuple[PlanNeeds, ...] = ()


class GoalTemplate(Value):
    """A goal of the programme's library, to be made the person's own."""

    description: Text
    measure: Line
    target: Line
    term: Literal["short", "long"] = "short"


class UnableToContact(Value):
    """After how many attempts, on how many days and by how many modes, a letter is sent; then somebody decides."""

    attempts: int = Field(ge=1, le=20)
    days: int = Field(default=1, ge=1, le=20)
    modes: int = Field(default=1, ge=1, le=5)
    letter_task: Slug
    answer: Budget
    decision: ClockPolicy
    source: Text


class Disposition(StrEnum):
    """Where somebody went from a stay."""

    HOME = "home"
    FACILITY = "facility"
    HOSPICE = "hospice"
    DIED = "died"
    AGAINST_ADVICE = "against-advice"


class TransitionPolicy(Value):
    """What a discharge (or a visit) of one kind promises; `by_tier` replaces clocks for one tier.

    `owed_after` are the dispositions of a discharge after which it promises anything; one without is owed.
    `watch` is for how many local days an unplanned admission afterwards counts as a readmission.
    """

    title: Line
    clocks: dict[Slug, ClockPolicy] = Field(min_length=1)
    by_tier: dict[Tier, dict[Slug, ClockPolicy]] = {}
    tasks: tuple[Slug, ...] = ()
    owed_after: tuple[Disposition, ...] = (Disposition.HOME, Disposition.AGAINST_ADVICE)
    watch: Budget | None = None

    @field_validator("watch")
    @classmethod
    def _by_days(cls, watch: Budget | None) -> Budget | None:
        if watch is not None and watch.unit is not Unit.CALENDAR_DAYS:
            raise ValueError("readmissions are watched by calendar days")
        return watch


class CrisisPolicy(Value):
    """What a crisis promises, sooner in immediate danger; who is told at once, and how it may end."""

    respond: ClockPolicy
    in_danger: Budget
    end: ClockPolicy
    follow_up: ClockPolicy
    safety_plan: ClockPolicy
    tell: tuple[Rank, ...] = Field(min_length=1)
    dispositions: dict[Slug, Line] = Field(min_length=1)


class MedicationPolicy(Value):
    """From how many medications on the burden counts, which share of days covered counts as adherent."""

    burden: int = Field(ge=1)
    adherent: float = Field(gt=0, le=1)
    adherent_for: dict[Slug, float] = {}
    side_effect_task: Slug
    severe_task: Slug
    severe_tell: tuple[Rank, ...] = (Rank.OWNER,)
    non_adherence_task: Slug
    renewal: ClockPolicy
    refill: ClockPolicy | None = Field(default=None, description="Whose ladder says that a supply runs out")
    source: Text


class Limit(Value):
    """A range that asks for something: below or above a number, so many measurements `in_a_row`."""

    alert: Slug
    in_a_row: int = Field(default=1, ge=1, le=5)
    below: float | None = None
    above: float | None = None
    at_least: float | None = None

    def crossed(self, value: float) -> bool:
        return (
            (self.below is not None and value < self.below)
            or (self.above is not None and value > self.above)
            or (self.at_least is not None and value >= self.at_least)
        )


LONGEST_TREND = 90  # days
PLACES = 4  # of a value, as it is written down: 64.1 is two more than 62.1, whatever a machine makes of it


class Trend(Value):
    """A change that asks for something though each value may be in range: by so much, within so many days."""

    alert: Slug
    title: Line
    rise: float | None = Field(default=None, gt=0)
    fall: float | None = Field(default=None, gt=0)
    within_days: int = Field(ge=1, le=LONGEST_TREND)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.rise is None) == (self.fall is None):
            raise ValueError("a trend is either a rise or a fall")
        return self

    def shown_by(self, value: float, before: Iterable[float]) -> bool:
        """Whether a value rose that much above the lowest before it, or fell that much below the highest."""
        earlier = tuple(before)
        if not earlier:
            return False
        if self.rise is not None:
            return round(value - min(earlier), PLACES) >= self.rise
        return round(max(earlier) - value, PLACES) >= (self.fall or 0)


class Oftener(Value):
    """While the latest value is at least, or below, a number, it is measured after this time."""

    at_least: float | None = None
    below: float | None = None
    every: ClockPolicy

    def holds(self, value: float) -> bool:
        above = self.at_least is not None and value >= self.at_least
        return above or (self.below is not None and value < self.below)


class Indicator(Value):
    """Something measured: its unit, other units with their factor, what is plausible, its limits and its trends.

    Limits stand with the most serious first; the first one crossed counts.
    """

    title: Line
    unit: Line
    convert: dict[Line, float] = {}
    lowest: float
    highest: float
    limits: tuple[Limit, ...] = ()
    trends: tuple[Trend, ...] = ()
    every: ClockPolicy | None = None
    oftener: tuple[Oftener, ...] = ()
    source: Text

    def next_after(self, value: float) -> ClockPolicy | None:
        """When it is measured again after this value."""
        return next((one.every for one in self.oftener if one.holds(value)), self.every)


class ReferralPolicy(Value):
    """A kind of referral to somebody else: when an answer, the service, and the closed loop are due.

    `needs_share`: it is sent only to whom the person lets us tell.
    """

    title: Line
    needs_share: bool = False
    answer: ClockPolicy
    service: ClockPolicy
    loop: ClockPolicy


class Subject(StrEnum):
    """What may need somebody else's approval."""

    PLAN = "plan"
    CLOSURE = "closure"
    TIER_OVERRIDE = "tier-override"
    TRANSFER = "transfer"


class ApprovalPolicy(Value):
    by: tuple[Role, ...] = Field(min_length=1)
    clock: ClockPolicy


class ProcedurePolicy(Value):
    """A guided record: its steps in order; `needed` must be written before it is concluded."""

    title: Line
    steps: tuple[Slug, ...] = Field(min_length=1)
    needed: tuple[Slug, ...] = ()
    review: ClockPolicy
    source: Text


class MinutesPolicy(Value):
    """The time a calendar month asks for: the first part, further parts and how many of them count.

    `month` is the promise of the first part by the month's end; its own time is the month's.
    """

    first: int = Field(ge=1)
    further: int = Field(ge=1)
    most_further: int = Field(ge=0)
    month: ClockPolicy
    source: Text


class OwnershipPolicy(Value):
    """How long an offered transfer may stay unanswered, and a wish for one unheard."""

    answer: ClockPolicy
    request: ClockPolicy


class SupervisionPolicy(Value):
    corrective_action: ClockPolicy
    flag: ClockPolicy
