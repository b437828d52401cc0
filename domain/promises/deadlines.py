"""Promises over time: starting, pausing, resuming and settling the clocks of a case."""

import hashlib
from datetime import datetime, timedelta
from typing import Any, ClassVar

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.event import Event
from domain.clocks.budget import Budget
from domain.clocks.clock import (
    ROUTINE,
    Clock,
    ClockKind,
    ClockPolicy,
    Pause,
    WaitsFor,
)
from domain.values import Instant, Invalid, Line, Rejected, Slug, Text, Value

MOST_CLOCKS = 250
LIMITED = (  # what people ask for; what safety or time itself asks for is never refused for want of room
    ClockKind.TASK,
    ClockKind.REFERRAL,
    ClockKind.REVIEW,
    ClockKind.RENEWAL,
    ClockKind.CORRECTIVE_ACTION,
)
PAUSABLE = (
    ClockKind.STAGE,
    ClockKind.CONTACT,
    ClockKind.REASSESSMENT,
    ClockKind.PLAN_REVIEW,
    ClockKind.SIGNATURE,
    ClockKind.INSTRUMENT,
    ClockKind.REFERRAL,
    ClockKind.RENEWAL,
)


class TooManyClocks(Rejected):
    """The case holds as many running clocks as a case may."""


class AlreadyPaused(Rejected):
    """The clock stands still already."""


class AlreadyMissed(Rejected):
    """The deadline has passed. A pause cannot undo that; acknowledge the escalation instead."""


class NotPaused(Rejected):
    """The clock is running."""


class PauseTooLong(Invalid):
    """A pause must end, after now and within the programme's longest pause."""


class NotPausable(Rejected):
    """Others wait for this promise, or it is a duty: it is kept, acknowledged, or decided, never paused."""


class BelongsToTask(Rejected):
    """The clock is a task's: hold or resume the task, and its clock follows."""


class WaitsForConsent(Rejected):
    """The clock waits for the person's consent and runs on when that is recorded."""


class WaitsForCrisis(Rejected):
    """The clock rests while the crisis lasts and runs on when it ends."""


class ClockStarted(Event):
    """A promise was made."""

    kind: ClassVar[str] = "clock-started"

    clock: Clock

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(clocks=(*case.clocks, self.clock), numbered=case.numbered + 1)


class OfClock(Event, abstract=True):
    """Base of what happens to a clock that is there. `next_at` is when it asks for attention again."""

    clock_id: Slug
    next_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        clock = case.clock(self.clock_id)
        if clock is None:
            return case
        return case.with_clock(self.onto(clock, at).changed(next_at=self.next_at))

    def onto(self, clock: Clock, at: datetime) -> Clock:
        raise NotImplementedError


class ClockPaused(OfClock):
    """The service clock stands still, with a reason and, unless a decision is awaited, an end."""

    kind: ClassVar[str] = "clock-paused"

    until: Instant | None = None
    reason: Text
    waits_for: WaitsFor | None = None

    def onto(self, clock: Clock, at: datetime) -> Clock:
        pause = Pause(since=at, until=self.until, reason=self.reason, waits_for=self.waits_for)
        return clock.changed(pause=pause)


class ClockResumed(OfClock):
    """The clock runs on; the deadline has moved by what the pause took out. Its reminders come anew."""

    kind: ClassVar[str] = "clock-resumed"

    held: int
    due_at: Instant

    def onto(self, clock: Clock, at: datetime) -> Clock:
        resumed = clock.changed(pause=None, held=self.held, due_at=self.due_at)
        if clock.missed_at is not None or not clock.climbs:
            return resumed
        return resumed.changed(climbs=(), round=clock.round + 1)


class ClockRescheduled(OfClock):
    """The working calendar changed under a running clock, and its deadline with it."""

    kind: ClassVar[str] = "clock-rescheduled"

    due_at: Instant

    def onto(self, clock: Clock, at: datetime) -> Clock:
        return clock.changed(due_at=self.due_at)


class ClockKept(OfClock):
    """The promise was kept at `kept_at`, `late_by` seconds after its deadline (0 in time).

    With `attempts` so many timely ones count as kept, though nobody was reached.
    """

    kind: ClassVar[str] = "clock-kept"

    kept_at: Instant
    late_by: int
    attempts: int | None = None

    def onto(self, clock: Clock, at: datetime) -> Clock:
        return clock.changed(settled=True)


class ClockCancelled(OfClock):
    """The promise is no longer owed."""

    kind: ClassVar[str] = "clock-cancelled"

    reason: Line

    def onto(self, clock: Clock, at: datetime) -> Clock:
        return clock.changed(settled=True)


class Promise(Value):
    """What a new clock is for."""

    kind: ClockKind
    title: Line
    about: str | None = None


def start_clock(
    draft: Draft,
    promise: Promise,
    policy: ClockPolicy,
    anchor: datetime,
    within: Budget | None = None,
    instead_of: Clock | None = None,
) -> str:
    """Start a clock by a policy of the programme and return its id. Raises `TooManyClocks`.

    `within` replaces the policy's budget where a person agreed another time. A promise made instead of another
    one takes over the time that was held, and the pause that runs.
    """
    if promise.kind in LIMITED and len(draft.case.running) >= MOST_CLOCKS:
        draft.refuse(TooManyClocks, f"a case holds at most {MOST_CLOCKS} running clocks; settle some first")
    budget, calendar = within or policy.within, draft.program.calendar_of(policy)
    program = draft.program
    path = program.path_of(policy)
    clock = Clock(
        id=draft.new_id("c"),
        **dict(promise),
        policy=path,
        narrowed_by=program.narrowed.get(path or "") or program.place,
        kept_by=policy.kept_by,
        statutory=policy.statutory,
        parties=policy.parties,
        modes=policy.modes,
        attempts=policy.attempts,
        budget=budget,
        ladder=policy.ladder,
        calendar=calendar,
        zone=program.time_zone,
        anchor=anchor,
        due_at=anchor,
    )
    clock = clock.changed(held=_taken_over(draft, clock, instead_of))
    clock = clock.changed(due_at=clock.derived_due(draft.calendar(clock)))
    draft.happen(ClockStarted(clock=clock.changed(next_at=next_at_of(draft, clock))))
    pause = instead_of.pause if instead_of is not None else None
    if pause is not None and pause.until is not None and pause.until > draft.now:
        pause_clock(draft, draft.open_clock(clock.id), pause.until, pause.reason)
    elif draft.case.crisis is not None and rests_in_crisis(draft.case, draft.open_clock(clock.id)):
        stop_clock(draft, draft.open_clock(clock.id), "a crisis", WaitsFor.CRISIS)
    return clock.id


def _taken_over(draft: Draft, clock: Clock, instead_of: Clock | None) -> int:
    """The time held that a replaced promise hands on, in the new one's own counting."""
    if instead_of is None or instead_of.anchor != clock.anchor:
        return 0
    same = instead_of.budget.unit is clock.budget.unit
    running = clock.changed(pause=instead_of.pause).held_since_pause(draft.now, draft.calendar(clock))
    return (instead_of.held if same else 0) + running


def keep_clock(draft: Draft, clock: Clock, kept_at: datetime) -> None:
    """The promise is kept, in time or late. A paused clock is judged as if it had stood still until now."""
    held = clock.held_since_pause(kept_at, draft.calendar(clock))
    judged = clock.changed(held=clock.held + held)
    late = judged.changed(due_at=judged.derived_due(draft.calendar(clock))).late_by(kept_at)
    draft.happen(ClockKept(clock_id=clock.id, kept_at=kept_at, late_by=late))


def cancel_clock(draft: Draft, clock: Clock, reason: str) -> None:
    draft.happen(ClockCancelled(clock_id=clock.id, reason=reason))


def pause_clock(draft: Draft, clock: Clock, until: datetime, reason: str) -> None:
    """Stop a clock; it wakes at `until`. Raises `AlreadyPaused`."""
    if clock.pause is not None:
        draft.refuse(AlreadyPaused, f"clock {clock.id} is paused since {clock.pause.since:%Y-%m-%d}")
    draft.happen(ClockPaused(clock_id=clock.id, until=until, reason=reason, next_at=until))


def resume_clock(draft: Draft, clock: Clock) -> None:
    """Let a paused clock run on, with what the pause took out. Raises `NotPaused`.

    What it has to wait for besides stops it again at once.
    """
    if clock.pause is None:
        draft.refuse(NotPaused, f"clock {clock.id} is running")
    working = draft.calendar(clock)
    held = clock.held + clock.held_since_pause(draft.now, working)
    clock = clock.changed(pause=None, held=held)
    clock = clock.changed(due_at=clock.derived_due(working))
    draft.happen(ClockResumed(clock_id=clock.id, held=held, due_at=clock.due_at, next_at=next_at_of(draft, clock)))
    if (waits_for := waits_still(draft.case, clock)) is not None:
        stop_clock(draft, draft.open_clock(clock.id), f"waits for: {waits_for}", waits_for)


def waits_still(case: Case, clock: Clock) -> WaitsFor | None:
    """What a clock that could run on has to wait for all the same: a crisis, or an earlier task."""
    if case.crisis is not None and rests_in_crisis(case, clock):
        return WaitsFor.CRISIS
    task = case.task(clock.about) if clock.about else None
    waits = task is not None and any(t.id in task.after for t in case.open_tasks)
    return WaitsFor.TASK if waits and clock.missed_at is None else None


def is_duty(case: Case, clock: Clock) -> bool:
    """Whether a promise is set by law, or a person's safety hangs on it: it is never put to sleep."""
    task = case.task(clock.about) if clock.about else None
    return clock.statutory or (task is not None and task.urgent)


def rests_in_crisis(case: Case, clock: Clock) -> bool:
    """Whether a crisis suspends this clock: routine work rests, duties go on."""
    return clock.kind in ROUTINE and clock.missed_at is None and not is_duty(case, clock)


def stop_clock(draft: Draft, clock: Clock, reason: str, waits_for: WaitsFor) -> None:
    """Stop a clock without an end, also one that was paused for a time: something is awaited."""
    if clock.pause is not None:
        held = clock.held + clock.held_since_pause(draft.now, draft.calendar(clock))
        due = clock.changed(held=held).derived_due(draft.calendar(clock))
        draft.happen(ClockResumed(clock_id=clock.id, held=held, due_at=due))
    draft.happen(ClockPaused(clock_id=clock.id, reason=reason, waits_for=waits_for))


def check_pause(draft: Draft, until: datetime) -> None:
    """Raises `PauseTooLong` unless the pause ends after now and within the programme's longest."""
    program = draft.program
    latest = draft.deadline_of(program.longest_pause)
    if not draft.now < until <= latest:
        draft.refuse(PauseTooLong, f"give an end after now and not later than {latest:%Y-%m-%dT%H:%MZ}")


def wake_at(case: Case) -> datetime | None:
    """When the case asks for attention if nobody acts: its earliest next step or its reopening window's end."""
    times = [c.next_at for c in case.running if c.next_at is not None]
    if case.closure is not None and not case.sealed:
        times.append(min(case.closure.reoffer_at or case.closure.reopen_until, case.closure.reopen_until))
    return min(times, default=None)


def rings_at(case: Case, spread: timedelta) -> datetime | None:
    """When the case is woken for it: a case's own share of `spread` later, the same for every clock and rung.

    So a thousand promises of one morning do not stand in the way of the people at work. What a statute sets is
    not delayed at all, and nothing by more than a quarter of its own time: a promise of seconds stays one.
    """
    part = int.from_bytes(hashlib.sha256(case.id.encode()).digest()[:4], "big") / 2**32
    times = [c.next_at + _share(c, spread) * part for c in case.running if c.next_at is not None]
    ending = wake_at(case.changed(clocks=())) if case.closed else None
    return min((*times, ending) if ending else times, default=None)


def _share(clock: Clock, spread: timedelta) -> timedelta:
    return timedelta(0) if clock.statutory else min(spread, (clock.due_at - clock.anchor) / 4)


def next_at_of(draft: Draft, clock: Clock) -> datetime | None:
    step = clock.next_step(draft.ladder(clock), draft.calendar(clock))
    return step.at if step else None


class PauseClock(Command):
    """Stop a service clock while the case waits for somebody outside."""

    kind: ClassVar[str] = "pause-clock"
    says: ClassVar[str] = "Pause a clock"
    example: ClassVar[dict[str, Any]] = {
        "clock_id": "c9",
        "until": "2030-06-30T17:00:00Z",
        "reason": "Away for a month",
    }

    clock_id: Slug
    until: Instant
    reason: Text

    def decide(self, draft: Draft) -> None:
        clock = _of_its_own(draft, self.clock_id)
        if clock.missed_at is not None:
            draft.refuse(AlreadyMissed, f"acknowledge {clock.escalation_id} instead of pausing its clock")
        check_pause(draft, self.until)
        pause_clock(draft, clock, self.until, self.reason)


class ResumeClock(Command):
    """Let a paused clock run on before its pause ends."""

    kind: ClassVar[str] = "resume-clock"
    says: ClassVar[str] = "Resume a clock"
    example: ClassVar[dict[str, Any]] = {"clock_id": "c9", "reason": "Back earlier"}

    clock_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        clock = _of_its_own(draft, self.clock_id)
        waits_for = clock.pause.open_end if clock.pause else None
        if waits_for is WaitsFor.CONSENT:
            draft.refuse(WaitsForConsent, "record the person's consent, or close the case")
        if waits_for is WaitsFor.CRISIS:
            draft.refuse(WaitsForCrisis, "end the crisis first; the clock then goes on where it stood")
        resume_clock(draft, clock)


def _of_its_own(draft: Draft, clock_id: str) -> Clock:
    clock = draft.open_clock(clock_id)
    if clock.kind is ClockKind.TASK:
        draft.refuse(BelongsToTask, f"hold or resume task {clock.about} instead")
    if clock.kind not in PAUSABLE or is_duty(draft.case, clock):
        draft.refuse(NotPausable, f"{clock.title}: a duty, or a promise that others wait for, is not paused")
    return clock
