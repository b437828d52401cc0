"""The case: what is known of one person's case at one moment. Events make it; nothing else changes it.

It stays small over years. Findings, notes and contacts live in the timeline; a settled clock or a closed
task is seen once and then leaves the case.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from domain.case.consents import Consent, Reader
from domain.case.open_parts import (
    Access,
    Approval,
    Assistance,
    BookedAppointment,
    CareTeamMember,
    Closure,
    CorrectiveAction,
    Crisis,
    Flag,
    Guided,
    Measured,
    Merge,
    Minutes,
    Moved,
    OnPathway,
    PersonalLimits,
    SafetyPlan,
    Score,
    Series,
    SetAside,
    Signature,
    SpecialistReferral,
    Transfer,
    Transition,
    Unreached,
)
from domain.case.plan_parts import Plan, Proposed
from domain.clocks.budget import Budget
from domain.clocks.clock import Clock
from domain.programs.places import Narrowed
from domain.programs.policies import Tier
from domain.programs.program import NeedsConsent, Stage
from domain.programs.scoring import ICD_10
from domain.values import Day, Instant, Line, Opaque, PartialDay, Sensitivity, Slug, Text, Value

MOST_OPEN_TASKS = 200


@dataclass(frozen=True)
class OpenWork:
    """A kind of work that a case may hold open, beside its tasks and clocks. A new one is declared here, once.

    `most` is how many there may be; None where there is one at the most. `ends_with_case`: a closure ends it.
    `stays_behind`: a case is not merged while it holds any, for nobody could keep it in the other one.
    """

    field: str
    title: str
    most: int | None = None
    ends_with_case: bool = True
    stays_behind: bool = True

    def items(self, case: "Case") -> tuple[Any, ...]:
        """What the case holds open of it."""
        held = getattr(case, self.field)
        if self.most is None:
            return () if held is None else (held,)
        return tuple(held)

    def named(self, case: "Case") -> list[str]:
        """The same by title, and by id where there may be several."""
        return [self.title if self.most is None else f"{self.title} {item.id}" for item in self.items(case)]


OPEN_WORK = (
    OpenWork("referrals", "referrals", most=50),
    OpenWork("approvals", "approvals", most=20),
    OpenWork("guided", "guided", most=10),
    OpenWork("flags", "flags", most=20),
    OpenWork("corrective_actions", "corrective actions", most=20),
    OpenWork("pathways", "pathways", most=5),
    OpenWork("appointments", "appointments", most=50),
    OpenWork("assistance", "assistance", most=20, ends_with_case=False),
    OpenWork("care_team", "care team", most=40, ends_with_case=False, stays_behind=False),
    OpenWork("accesses", "emergency looks", most=10, ends_with_case=False, stays_behind=False),
    OpenWork("excluded", "excluded", most=20, ends_with_case=False, stays_behind=False),
    OpenWork("crisis", "crisis"),
    OpenWork("transfer", "offered transfer"),
    OpenWork("unreached", "unable-to-contact protocol"),
    OpenWork("proposed", "plan to be approved"),
)
MOST_OPEN = {work.field: work.most for work in OPEN_WORK if work.most is not None}
NOTHING_OPEN: dict[str, Any] = {work.field: () if work.most else None for work in OPEN_WORK if work.ends_with_case}


class Source(StrEnum):
    """Who referred the person."""

    PRIMARY_CARE = "primary-care"
    CARE_TEAM = "care-team"
    SELF = "self"
    HOSPITAL = "hospital"
    PAYER = "payer"
    COMMUNITY = "community"


class Coding(Value):
    """A code and the system that it is of."""

    code: Line
    system: Line | None = None


class Coded(Value):
    """A condition or a medication as the sender named it; `also` are its codings besides the first."""

    code: Line | None = None
    system: Line | None = None
    display: Line
    also: tuple[Coding, ...] = Field(default=(), max_length=10)

    @property
    def icd_10(self) -> tuple[str, ...]:
        """Its ICD-10 codes. A code of another system says nothing about what ICD-10 would."""
        first = (Coding(code=self.code, system=self.system),) if self.code else ()
        named = (c for c in (*first, *self.also) if c.system is None or "icd-10" in c.system.lower())
        return tuple(c.code for c in named if ICD_10.fullmatch(c.code))


class PastEncounter(Value):
    """One encounter of the year before the referral."""

    setting: Literal["inpatient", "emergency", "ambulatory", "other"]
    started_on: Day
    ended_on: Day | None = None


class Patient(Value):
    """Who the case is about, as far as the referral says."""

    reference: Line
    birth_date: PartialDay | None = None
    deceased: bool = False
    conditions: tuple[Coded, ...] = Field(default=(), max_length=100)
    medications: tuple[Coded, ...] = Field(default=(), max_length=100)
    encounters: tuple[PastEncounter, ...] = Field(default=(), max_length=100)

    @property
    def icd_10_codes(self) -> tuple[str, ...]:
        """The conditions' ICD-10 codes."""
        return tuple(code for condition in self.conditions for code in condition.icd_10)

    @property
    def unread(self) -> tuple[str, ...]:
        """The conditions without an ICD-10 code: what they count for nobody knows."""
        return tuple(c.display for c in self.conditions if not c.icd_10)


class Referral(Value):
    source: Source
    reason: Text
    patient: Patient


class Section(Value):
    """That a section of the assessment was done, when and by whom; what was found is in the timeline.

    `recorded_at` is when that was written down, and `entry` its number in the timeline.
    """

    name: Slug
    assessed_on: Day
    author: Opaque
    sensitivity: Sensitivity
    complete: bool = True
    recorded_at: Instant | None = None
    alerts: tuple[Slug, ...] = ()
    entry: int = 0


class OutcomeRatings(Value):
    """The three domains of outcome evaluation, each 0 (worst) to 10 (best)."""

    well_being: int = Field(ge=0, le=10)
    finances: int = Field(ge=0, le=10)
    appropriate_care: int = Field(ge=0, le=10)


class Risk(Value):
    """The tier in force. `computed` is what the factors gave, `points` their sum, where a person overrode them.

    `weight` is what the case weighs in a caseload. `at_least`: something of the risk is not known, so that the
    tier may be higher, never lower.
    """

    tier: Tier
    reasons: tuple[Line, ...] = Field(min_length=1, max_length=20)
    computed: Tier | None = None
    points: int | None = None
    overridden: bool = False
    weight: float = 1
    at_least: bool = False


class TaskStatus(StrEnum):
    """FHIR's task states, as far as a case manager needs them."""

    READY = "ready"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    AWAITING_COSIGN = "awaiting-cosign"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


CLOSED_TASK = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)


class Task(Value):
    id: Slug
    type: Slug
    title: Line
    category: Slug
    status: TaskStatus = TaskStatus.READY
    resumes_as: TaskStatus = TaskStatus.READY
    assignee: Opaque | None = None
    from_plan: int | None = None
    intervention: Slug | None = None
    clock_id: Slug
    after: tuple[Slug, ...] = ()
    queue: Slug | None = None
    repeat: Budget | None = None
    series: Series | None = None
    urgent: bool = False
    done_by: Opaque | None = None
    cosigner: Opaque | None = None
    about: Opaque | None = None
    alerts: tuple[Line, ...] = ()

    @property
    def open(self) -> bool:
        return self.status not in CLOSED_TASK


class LaidBy(Value):
    """Where a case was merged into, and what stays with it for the undoing; `plan` as it was before."""

    into: Opaque
    tasks: tuple[Task, ...] = ()
    clocks: tuple[Clock, ...] = ()
    plan: Plan | None = None


class Case(Value):
    """One person, one programme, one case."""

    id: Opaque
    tenant: Slug
    program: Slug
    program_version: int
    seq: int = 0
    stage: Stage = Stage.SCREENING
    opened_at: Instant
    opened_by: Opaque
    zone: str
    owner: Opaque | None = None
    team: Slug
    referral: Referral
    consent: Consent | None = None
    sections: tuple[Section, ...] = ()
    reassessing_since: Instant | None = None
    baseline: OutcomeRatings | None = None
    outcome: OutcomeRatings | None = None
    risk: Risk | None = None
    floor: Tier | None = None
    narrowed: tuple[Narrowed, ...] = ()
    limits: tuple[PersonalLimits, ...] = ()
    plan: Plan | None = None
    proposed: Proposed | None = None
    tasks: tuple[Task, ...] = ()
    clocks: tuple[Clock, ...] = ()
    numbered: int = 0
    last_contact_at: Instant | None = None
    attempts_since_contact: int = 0
    attempted_at: tuple[Instant, ...] = ()
    reached_at: Instant | None = None
    measured: tuple[Measured, ...] = ()
    quarantined: int = 0
    set_aside: tuple[SetAside, ...] = ()
    closure: Closure | None = None
    sealed: bool = False
    target_group: Slug | None = None
    unconfirmed: tuple[Slug, ...] = ()
    crisis: Crisis | None = None
    safety_plan: SafetyPlan | None = None
    scores: tuple[Score, ...] = ()
    transitions: tuple[Transition, ...] = ()
    taken_back: tuple[Transition, ...] = ()
    readmissions: tuple[Line, ...] = ()
    medications: int | None = None
    medications_at: Instant | None = None
    assistance: tuple[Assistance, ...] = ()
    referrals: tuple[SpecialistReferral, ...] = ()
    approvals: tuple[Approval, ...] = ()
    signatures: tuple[Signature, ...] = ()
    care_team: tuple[CareTeamMember, ...] = ()
    guided: tuple[Guided, ...] = ()
    pathways: tuple[OnPathway, ...] = ()
    transfer: Transfer | None = None
    excluded: tuple[Opaque, ...] = ()
    accesses: tuple[Access, ...] = ()
    flags: tuple[Flag, ...] = ()
    corrective_actions: tuple[CorrectiveAction, ...] = ()
    appointments: tuple[BookedAppointment, ...] = ()
    minutes: tuple[Minutes, ...] = ()
    unrecorded: tuple[int, ...] = ()
    unreached: Unreached | None = None
    visited_at: Instant | None = None
    notice_until: Instant | None = None
    satisfaction: int | None = None
    graduated: tuple[Slug, ...] = ()
    merges: tuple[Merge, ...] = ()
    moved: Moved | None = None
    laid_by: LaidBy | None = None

    @property
    def closed(self) -> bool:
        return self.closure is not None

    def task(self, task_id: str) -> Task | None:
        return next((t for t in self.tasks if t.id == task_id), None)

    def clock(self, clock_id: str) -> Clock | None:
        return next((c for c in self.clocks if c.id == clock_id), None)

    def plus(self, collection: str, item: Value) -> "Case":
        """This case with one more item in a collection; the item took a number of the case."""
        items = (*getattr(self, collection), item)
        return self.changed(**{collection: items}, numbered=self.numbered + 1)

    def put(self, collection: str, item: Any) -> "Case":
        """This case with the item of the same id replaced."""
        items = tuple(item if old.id == item.id else old for old in getattr(self, collection))
        return self.changed(**{collection: items})

    def less(self, collection: str, item_id: str) -> "Case":
        """This case without an item that is settled; the timeline keeps it."""
        return self.changed(**{collection: tuple(i for i in getattr(self, collection) if i.id != item_id)})

    @property
    def open_tasks(self) -> tuple[Task, ...]:
        return tuple(t for t in self.tasks if t.open)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """Who reads the case from outside by the consent that is in force."""
        return self.consent.readers(self.zone) if self.consent is not None else ()

    @property
    def running(self) -> tuple[Clock, ...]:
        """The clocks that are not settled: kept promises and cancelled ones are no longer waited for."""
        return tuple(c for c in self.clocks if not c.settled)

    def responsible_for(self, clock: Clock) -> str | None:
        """Who answers for a clock: who has its task or is asked for it, else the case manager of the case."""
        task = self.task(clock.about) if clock.about else None
        if task is not None:
            signing = task.cosigner if task.status is TaskStatus.AWAITING_COSIGN else None
            return signing or task.assignee or self.owner
        asked = [a.asked for a in self.approvals if a.clock_id == clock.id]
        asked += [a.asked for a in self.accesses if a.clock_id == clock.id]
        asked += [a.attendee for a in self.appointments if a.clock_id == clock.id]
        if self.transfer is not None and self.transfer.clock_id == clock.id:
            asked.append(self.transfer.to or self.transfer.asked)
        return next((person for person in asked if person), self.owner)

    def with_task(self, task: Task) -> "Case":
        return self.changed(tasks=tuple(task if t.id == task.id else t for t in self.tasks))

    def with_clock(self, clock: Clock) -> "Case":
        return self.changed(clocks=tuple(clock if c.id == clock.id else c for c in self.clocks))

    def without_settled(self) -> "Case":
        """This case without what the last event settled, so that years of kept promises weigh nothing."""
        tasks, clocks = self.open_tasks, self.running
        if len(tasks) == len(self.tasks) and len(clocks) == len(self.clocks):
            return self
        return self.changed(tasks=tasks, clocks=clocks)

    def consents_to(self, what: NeedsConsent, covered: tuple[NeedsConsent, ...]) -> bool:
        """Whether something may go on: consent does not cover it, or it is given and holds."""
        return what not in covered or (self.consent is not None and self.consent.gives(what))
