"""The stage machine: what lets a case leave a stage, and what begins with the next one."""

from datetime import date, datetime
from typing import ClassVar

from domain.case.case import Case
from domain.case.command import Draft
from domain.case.event import Event
from domain.clocks.clock import ClockKind, ClockPolicy, CountsFrom
from domain.programs.program import SectionPolicy, Stage
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.promises.escalation import miss_if_late
from domain.values import Line, span_of

ACTIVE = (Stage.ASSESSMENT, Stage.PLANNING, Stage.IMPLEMENTATION, Stage.FOLLOW_UP)
UNDER_PLAN = (Stage.IMPLEMENTATION, Stage.FOLLOW_UP)


class StageEntered(Event):
    """The case has moved to another stage, or back to one."""

    kind: ClassVar[str] = "stage-entered"

    stage: Stage
    before: Stage
    cause: Line

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(stage=self.stage)


class ClosingStopped(Event):
    """Something happened while the case was closing: outcome, notice and survey are asked for again."""

    kind: ClassVar[str] = "closing-stopped"

    cause: Line

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(outcome=None, notice_until=None, satisfaction=None, graduated=())


def start_stage_clock(draft: Draft) -> None:
    """Promise the stage's time limit, if the programme gives it one."""
    stage = draft.case.stage
    if policy := draft.program.stages.of(stage):
        promise = Promise(kind=ClockKind.STAGE, title=f"Complete {stage}", about=stage)
        started = start_clock(draft, promise, policy, counts_from(draft, policy))
        miss_if_late(draft, draft.open_clock(started))


def count_from_last_discharge(draft: Draft) -> None:
    """A stage's limit that counts from the discharge follows the last one: after a readmission, a correction."""
    for clock in draft.case.running:
        policy = draft.program.policies.get(clock.policy or "") if clock.kind is ClockKind.STAGE else None
        if policy is None or policy.counts_from is not CountsFrom.DISCHARGE:
            continue
        gone = any(t.occurred_at == clock.anchor for t in draft.case.taken_back)
        last = _last_discharge(draft) or (draft.now if gone else None)
        if last is not None and last != clock.anchor:
            cancel_clock(draft, clock, "counted from another discharge")
            promise = Promise(kind=clock.kind, title=clock.title, about=clock.about)
            started = start_clock(draft, promise, policy, last, instead_of=clock)
            miss_if_late(draft, draft.open_clock(started))


def counts_from(draft: Draft, policy: ClockPolicy) -> datetime:
    """What a time limit counts from: now, the referral, or the last time the person left hospital."""
    if policy.counts_from is CountsFrom.ELIGIBILITY:
        return draft.case.opened_at
    last = _last_discharge(draft) if policy.counts_from is CountsFrom.DISCHARGE else None
    return last or draft.now


def _last_discharge(draft: Draft) -> datetime | None:
    return max((t.occurred_at for t in draft.case.transitions if t.event == "discharge"), default=None)


def enter(draft: Draft, stage: Stage, cause: str) -> None:
    """Leave the stage, keeping the promise of its time limit, and begin another one."""
    before = draft.case.stage
    for clock in draft.case.running:
        if clock.kind is ClockKind.STAGE:
            keep_clock(draft, clock, draft.now)
    draft.happen(StageEntered(stage=stage, before=before, cause=cause))
    start_stage_clock(draft)


def set_back(draft: Draft, stage: Stage, cause: str) -> None:
    """Return to an earlier stage: the limit of the stage that was interrupted is no longer owed."""
    before = draft.case.stage
    for clock in draft.case.running:
        if clock.kind is ClockKind.STAGE:
            cancel_clock(draft, clock, f"returned to {stage}")
    draft.happen(StageEntered(stage=stage, before=before, cause=cause))
    start_stage_clock(draft)


def missing_sections(draft: Draft) -> list[str]:
    """The required sections that this assessment does not have: done on a day since, and written down since."""
    since = draft.case.reassessing_since
    assessed = [s for s in draft.case.sections if s.complete]
    if since is not None:
        first = draft.program.day_of(since)
        assessed = [s for s in assessed if s.assessed_on >= first and (s.recorded_at or since) >= since]
    done = {s.name for s in assessed}
    return [f"section {s.name}" for s in draft.program.sections if _asked(draft, s) and s.name not in done]


def _asked(draft: Draft, section: SectionPolicy) -> bool:
    """Whether a section is asked of this person. An age that nobody knows asks for it: missing is not young."""
    age, group = age_on(draft, draft.now), draft.case.target_group
    old_enough = age is None or age >= section.minimum_age
    return section.required and old_enough and (not section.groups or group in section.groups)


def age_on(draft: Draft, instant: datetime) -> int | None:
    """The person's age in whole years on the local day of an instant; None where it is not known for certain."""
    born = draft.case.referral.patient.birth_date
    youngest, oldest = ages_on(born, draft.program.day_of(instant)) if born else (0, 1)
    return youngest if youngest == oldest else None


def ages_on(born: str, day: date) -> tuple[int, int]:
    """The ages that somebody may have on a day: two where only the year or the month of birth is known."""
    earliest, latest = span_of(born)
    return _years(latest, day), _years(earliest, day)


def _years(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def missing_instruments(draft: Draft) -> list[str]:
    """The required instruments without a total since this assessment began. One that cannot be scored is none."""
    since, age = draft.case.reassessing_since or draft.case.opened_at, age_on(draft, draft.now)
    done = {(s.instrument, s.version) for s in draft.case.scores if s.scored_at >= since}
    asked = [u for u in draft.program.instruments if u.required and (age is None or age >= u.minimum_age)]
    return [f"instrument {u.name}" for u in asked if (u.name, u.version) not in done]


def missing_for_planning(draft: Draft) -> list[str]:
    """What keeps the case in assessment: sections, instruments, and the baseline of the outcomes."""
    baseline = [] if draft.case.baseline else ["baseline of the three outcome domains"]
    return missing_sections(draft) + missing_instruments(draft) + baseline


def leave_implementation_when_done(draft: Draft) -> None:
    """Implementation ends when every intervention of the plan has been carried out or given up."""
    case = draft.case
    waiting = [t for t in case.open_tasks if case.plan and t.from_plan is not None]
    if case.stage is Stage.IMPLEMENTATION and not waiting:
        enter(draft, Stage.FOLLOW_UP, "every intervention of the plan is settled")
