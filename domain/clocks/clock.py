"""The one kind of clock. Every promise of a case is one: a stage's limit, a contact, a task, a reassessment.

A clock keeps its budget, its anchor and what pauses have taken out; the deadline follows from them
(docs/decisions/0003). Nothing here decides: the arithmetic of a clock and of its ladder, no more.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from domain.clocks.budget import Budget, Unit, counts_from, deadline, earlier, held_between, later
from domain.clocks.calendar import WorkingCalendar
from domain.values import Instant, Line, Opaque, Role, Slug, Text, Value

ONE_SECOND = timedelta(seconds=1)


class ClockKind(StrEnum):
    STAGE = "stage"
    CONTACT = "contact"
    REASSESSMENT = "reassessment"
    TASK = "task"
    CONSENT_DECISION = "consent-decision"
    CONSENT = "consent"
    TRANSITION = "transition"
    CRISIS = "crisis"
    SAFETY_PLAN = "safety-plan"
    PLAN_REVIEW = "plan-review"
    SIGNATURE = "signature"
    APPROVAL = "approval"
    REFERRAL = "referral"
    REPLY = "reply"
    UNREACHED = "unreached"
    INSTRUMENT = "instrument"
    RENEWAL = "renewal"
    REFILL = "refill"
    OVERRIDE = "override"
    REVIEW = "review"
    TRANSFER = "transfer"
    CORRECTIVE_ACTION = "corrective-action"
    MILESTONE = "milestone"
    MINUTES = "minutes"


EXPIRING = (ClockKind.OVERRIDE, ClockKind.CONSENT)  # what ends by itself, and is not missed


ROUTINE = frozenset(
    {
        ClockKind.STAGE,
        ClockKind.CONTACT,
        ClockKind.REASSESSMENT,
        ClockKind.TASK,
        ClockKind.PLAN_REVIEW,
        ClockKind.SIGNATURE,
        ClockKind.INSTRUMENT,
        ClockKind.REVIEW,
    }
)


class KeptBy(StrEnum):
    """What keeps a promise by itself; without one, only the command that the promise is about."""

    CONTACT = "contact"
    VISIT = "visit"
    RECONCILIATION = "reconciliation"


class Mode(StrEnum):
    """How somebody was reached, or tried to be."""

    IN_PERSON = "in-person"
    TELEPHONE = "telephone"
    VIDEO = "video"
    MESSAGE = "message"
    LETTER = "letter"


VISITS = (Mode.IN_PERSON, Mode.VIDEO)
TALKS = (*VISITS, Mode.TELEPHONE)


class WaitsFor(StrEnum):
    """What a pause without an end waits for."""

    CONSENT = "consent"
    CRISIS = "crisis"
    TASK = "task"


class Party(StrEnum):
    """With whom a contact was. A reached caregiver is not a reached patient."""

    PATIENT = "patient"
    CAREGIVER = "caregiver"
    PROVIDER = "provider"


class Rank(StrEnum):
    """Whom a rung tells. The owner is whoever made the promise."""

    OWNER = "owner"
    SENIOR = "senior"
    SUPERVISOR = "supervisor"
    DIRECTOR = "director"


RANK_OF_ROLE = {
    Role.SENIOR: Rank.SENIOR,
    Role.SUPERVISOR: Rank.SUPERVISOR,
    Role.DIRECTOR: Rank.DIRECTOR,
}


class Rung(Value):
    """One step of a ladder: who is told, and when.

    `before` counts back from the deadline; `after` counts on from the rung before it, the first one from
    the missed deadline itself.
    """

    tell: Rank
    before: Budget | None = None
    after: Budget | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Rung":
        if (self.before is None) == (self.after is None):
            raise ValueError("give either before or after")
        if self.before is not None and self.before.unit is Unit.WORKING_HOURS:
            raise ValueError("a reminder is given in elapsed time, days or months")
        return self


class Ladder(Value):
    """Who is told of a promise, in order; an acknowledgement stops the climb for `acknowledged_for`.

    When a cadence lapses again the climb begins anew, `higher_each_time` rungs further up.
    """

    rungs: tuple[Rung, ...] = Field(min_length=1, max_length=12)
    acknowledged_for: Budget
    higher_each_time: int = Field(default=1, ge=0, le=11)

    @field_validator("rungs")
    @classmethod
    def _reminders_first(cls, rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
        kinds = [rung.before is None for rung in rungs]
        if kinds != sorted(kinds):
            raise ValueError("reminders (before) come first, then the rungs after the deadline")
        if not kinds[-1]:
            raise ValueError("a ladder needs a rung after the deadline, or a missed promise tells nobody")
        return rungs

    @property
    def first_after(self) -> int:
        return next(n for n, rung in enumerate(self.rungs) if rung.after is not None)

    def told_next(self, reminding: bool, climbed: int | None, raised: int) -> Rank:
        """The rank that a promise tells next: a reminder's, or the one after the rung climbed last.

        `climbed` and `raised` are of a climb that goes on: see `Clock.climbed` and `Clock.begun_anew`.
        """
        top = len(self.rungs) - 1
        if climbed is not None and (reminding or climbed >= self.first_after):
            return self.rungs[min(climbed + 1, top)].tell
        first = min(self.first_after + raised * self.higher_each_time, top)
        return self.rungs[0 if reminding else first].tell


class CountsFrom(StrEnum):
    """What a time limit counts from."""

    START = "start"
    ELIGIBILITY = "eligibility"  # the referral, on which the person was found to be eligible
    DISCHARGE = "discharge"


class ClockPolicy(Value):
    """A promise as a programme makes it. `source` names where the number comes from.

    `title` is what people call it, where it is not named by what it is about. It counts from when it begins,
    unless `counts_from` says otherwise. So many timely `attempts` to reach somebody count as kept at its deadline.

    `kept_by`, `parties` and `modes` say which contact keeps it: unless the programme says otherwise one in which
    both could speak, for a letter or a message is not known to be read. A `statutory` one is set by law, or a
    person's safety hangs on it: it is looked after in its own second, however many fall due with it.
    """

    title: Line | None = None
    within: Budget
    ladder: Slug
    calendar: Slug | None = None
    counts_from: CountsFrom = CountsFrom.START
    kept_by: KeptBy | None = None
    parties: tuple[Party, ...] = (Party.PATIENT,)
    modes: tuple[Mode, ...] = TALKS
    attempts: int | None = Field(default=None, ge=1, le=10)
    statutory: bool = False
    source: Text
    verified: bool = True


class Climb(Value):
    """One rung, climbed once. `told` are the people; `vacant` the ranks at which nobody was found."""

    rung: int
    round: int
    tell: Rank
    planned_at: Instant
    at: Instant
    told: tuple[Opaque, ...]
    vacant: tuple[Rank, ...] = ()


class Pause(Value):
    """Why and until when a clock stands still. Every pause ends: a clock paused for ever is forgotten."""

    since: Instant
    until: Instant | None = None
    reason: Text
    waits_for: WaitsFor | None = None

    @property
    def open_end(self) -> WaitsFor | None:
        """What a pause without an end waits for; those of the first release waited for consent only."""
        return None if self.until is not None else self.waits_for or WaitsFor.CONSENT


class Acknowledgement(Value):
    by: Opaque
    at: Instant


class Step(StrEnum):
    REMIND = "remind"
    MISS = "miss"
    CLIMB = "climb"
    EXPIRE = "expire"


class NextStep(Value):
    """What happens next on a clock if nobody does anything."""

    at: Instant
    step: Step
    rung: int | None = None


class Clock(Value):
    """A promise that is being kept, or not. `known_at` is when one became known whose time was over by then.

    `narrowed_by` is whose number or zone holds where it is not the programme's: a place, or this person.
    `lapses` is how often the cadence lapsed again while this contact was missed; `lapsed_at` when that last began
    the climb anew, `raised` how often it did.
    """

    id: Slug
    kind: ClockKind
    title: Line
    about: str | None = None
    policy: Line | None = None
    kept_by: KeptBy | None = None
    parties: tuple[Party, ...] = (Party.PATIENT,)
    modes: tuple[Mode, ...] = (*TALKS, Mode.MESSAGE)
    attempts: int | None = None
    statutory: bool = False
    budget: Budget
    ladder: Slug
    calendar: Slug
    zone: str
    anchor: Instant
    held: int = 0
    due_at: Instant
    next_at: Instant | None = None
    pause: Pause | None = None
    missed_at: Instant | None = None
    known_at: Instant | None = None
    narrowed_by: Line | None = None
    lapses: int = 0
    lapsed_at: Instant | None = None
    raised: int | None = None
    round: int = 0
    climbs: tuple[Climb, ...] = ()
    acknowledged: Acknowledgement | None = None
    settled: bool = False

    @property
    def escalation_id(self) -> str:
        """The id of the escalation that a miss of this clock opens."""
        return f"{self.id}-missed"

    @property
    def climbed(self) -> tuple[Climb, ...]:
        """The rungs climbed since the climb began; since it began anew, unless somebody has taken it up by now."""
        if self.lapsed_at is None or self.acknowledged is not None:
            return self.climbs
        return tuple(climb for climb in self.climbs if climb.planned_at >= self.lapsed_at)

    @property
    def begun_anew(self) -> int:
        """How often the climb began anew, and higher; in 0.4 every lapse began it."""
        return self.lapses if self.raised is None else self.raised

    @property
    def of_plan(self) -> bool:
        """Whether it is about a version of the plan: its signatures, its review, the review of a barrier."""
        return self.about is not None and self.about.startswith("plan/")

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def derived_due(self, working: WorkingCalendar) -> datetime:
        """The deadline that budget, anchor and pauses give under this calendar."""
        return deadline(self.anchor, self.budget, self.held, working, self.tz)

    def held_since_pause(self, now: datetime, working: WorkingCalendar) -> int:
        """What the running pause has taken out so far, in the budget's own counting.

        A pause that has ended counts to its end, however late somebody got to it.
        """
        if self.pause is None:
            return 0
        end = min(now, self.pause.until) if self.pause.until is not None else now
        return held_between(self.budget.unit, self.pause.since, end, working, self.tz)

    def counts_at(self, instant: datetime) -> bool:
        """Whether something done at this instant keeps the promise, or at least ends the wait for it."""
        return instant >= counts_from(self.anchor, self.budget, self.tz)

    def late_by(self, instant: datetime) -> int:
        """Seconds past the deadline at this instant; 0 when in time."""
        return max(0, int((instant - self.due_at).total_seconds()))

    def next_step(self, ladder: Ladder, working: WorkingCalendar) -> NextStep | None:
        """The next reminder, miss or rung, or None when the ladder is climbed, or the clock stands still."""
        if self.pause is not None or self.settled:
            return None
        if self.missed_at is not None:
            return self._next_climb(ladder, working)
        if reminders := self._reminders(ladder, working):
            return reminders[0]
        step = Step.EXPIRE if self.kind in EXPIRING else Step.MISS
        return NextStep(at=self.due_at + ONE_SECOND, step=step)

    def _reminders(self, ladder: Ladder, working: WorkingCalendar) -> list[NextStep]:
        climbed = {climb.rung for climb in self.climbs}
        steps = [
            NextStep(at=earlier(self.due_at, rung.before, working, self.tz), step=Step.REMIND, rung=n)
            for n, rung in enumerate(ladder.rungs)
            if rung.before is not None and n not in climbed
        ]
        return sorted((step for step in steps if step.at > self.anchor), key=lambda step: step.at)

    def _next_climb(self, ladder: Ladder, working: WorkingCalendar) -> NextStep | None:
        top = len(ladder.rungs) - 1
        climbed = [climb for climb in self.climbed if climb.rung >= ladder.first_after]
        if self.acknowledged is not None:
            base, wait = self.acknowledged.at, ladder.acknowledged_for
            rung = min(climbed[-1].rung + 1, top) if climbed else ladder.first_after
        else:
            missed = max(self.due_at + ONE_SECOND, self.known_at or self.due_at, self.lapsed_at or self.due_at)
            base = max(climbed[-1].planned_at, self.known_at or climbed[-1].planned_at) if climbed else missed
            first = min(ladder.first_after + self.begun_anew * ladder.higher_each_time, top)
            rung = climbed[-1].rung + 1 if climbed else first
            if rung > top:
                return None
            wait = ladder.rungs[rung].after or ladder.acknowledged_for
        return NextStep(at=later(base, wait, working, self.tz), step=Step.CLIMB, rung=rung)


class Terms(Value):
    """What one promise asks for: the part of a clock that a programme decides."""

    clock_id: Slug
    policy: Line | None = None
    budget: Budget
    ladder: Slug
    calendar: Slug
    kept_by: KeptBy | None = None
    parties: tuple[Party, ...]
    modes: tuple[Mode, ...] = (*TALKS, Mode.MESSAGE)
    attempts: int | None = None
    statutory: bool = False

    @classmethod
    def of(cls, clock: Clock) -> "Terms":
        kept = {name: getattr(clock, name) for name in cls.model_fields if name != "clock_id"}
        return cls(clock_id=clock.id, **kept)

    def onto(self, clock: Clock) -> Clock:
        return clock.changed(**{name: value for name, value in self if name != "clock_id"})
