"""Escalation: a passed deadline is noticed, becomes an event of its own, and climbs until somebody answers.

It never completes anything, and never keeps the next promise from being made.
"""

from datetime import datetime
from typing import Any, ClassVar

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.event import Notice
from domain.clocks.budget import later
from domain.clocks.clock import Acknowledgement, Climb, Clock, ClockKind, KeptBy, NextStep, Rank, Step
from domain.notices import MISSED
from domain.promises.deadlines import ClockKept, ClockRescheduled, OfClock, is_duty, next_at_of, resume_clock
from domain.values import Instant, Opaque, Rejected, Slug, Text

MOST_STEPS_A_TICK = 100


class UnknownEscalation(Rejected):
    """The case has no open escalation of this id."""


class AlreadyAcknowledged(Rejected):
    """Somebody has taken this escalation up, and has not let it lapse."""


class ClockMissed(OfClock):
    """A promise was not kept in time. It stays open until somebody keeps it late.

    One whose time was over before it was known at `known_at` climbs from then on. `attempts` is how often somebody
    tried to reach the person in time.
    """

    kind: ClassVar[str] = "clock-missed"

    escalation_id: Slug
    due_at: Instant
    known_at: Instant | None = None
    attempts: int | None = None

    def onto(self, clock: Clock, at: datetime) -> Clock:
        return clock.changed(missed_at=at, known_at=self.known_at)


class CadenceLapsed(OfClock):
    """The next contact was missed as well, while this one was: one escalation.

    `anew`: somebody had taken it up, or its climb was over, so that it climbs again and higher. Else it climbs on.
    `raised`: how often it began anew; entries of 0.4 say nothing, and every lapse of theirs did.
    """

    kind: ClassVar[str] = "cadence-lapsed"

    escalation_id: Slug
    lapsed_at: Instant
    lapses: int
    anew: bool = True
    raised: int | None = None

    def onto(self, clock: Clock, at: datetime) -> Clock:
        counted = clock.changed(lapses=self.lapses, raised=self.raised)
        if not self.anew:
            return counted
        return counted.changed(lapsed_at=self.lapsed_at, acknowledged=None, round=clock.round + 1)


class RungClimbed(OfClock):
    """One rung told its people; where nobody was found, the next rung was told of that as well."""

    kind: ClassVar[str] = "rung-climbed"

    climb: Climb

    def onto(self, clock: Clock, at: datetime) -> Clock:
        return clock.changed(climbs=(*clock.climbs, self.climb), acknowledged=None)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        clock = case.clock(self.clock_id)
        subject = MISSED if clock and clock.missed_at else "reminder"
        key = f"{self.clock_id}-{self.climb.round}-{self.climb.rung}"
        return tuple(
            Notice(key=key, recipient=person, subject=subject, about=self.clock_id) for person in self.climb.told
        )


class EscalationAcknowledged(OfClock):
    """Somebody has taken a missed promise up. The climb rests; the promise is still not kept."""

    kind: ClassVar[str] = "escalation-acknowledged"

    escalation_id: Slug
    by: Opaque
    note: Text | None = None

    def onto(self, clock: Clock, at: datetime) -> Clock:
        return clock.changed(acknowledged=Acknowledgement(by=self.by, at=at), round=clock.round + 1)


def climb_due(draft: Draft) -> list[tuple[Clock, Step | None]]:
    """Do all that is due on the clocks by now, in the order of time; return what was done on which.

    None stands for a clock that ended its pause or was moved by a changed calendar.
    """
    _follow_calendars(draft)
    done: list[tuple[Clock, Step | None]] = []
    while len(done) < MOST_STEPS_A_TICK:
        due = [c for c in draft.case.running if c.next_at is not None and c.next_at <= draft.now]
        if not due:
            break
        clock = min(due, key=lambda c: (c.next_at or draft.now, c.id))
        done.append((clock, _step(draft, clock)))
    return done


def _step(draft: Draft, clock: Clock) -> Step | None:
    if clock.pause is not None:
        resume_clock(draft, clock)
        return None
    step = clock.next_step(draft.ladder(clock), draft.calendar(clock))
    if step is None or step.at > draft.now:  # the ladder or the calendar changed under the clock
        at = step.at if step else None
        draft.happen(ClockRescheduled(clock_id=clock.id, due_at=clock.due_at, next_at=at))
        return None
    if step.step is Step.MISS:
        _miss(draft, clock)
    elif step.step is Step.EXPIRE:
        draft.happen(ClockKept(clock_id=clock.id, kept_at=clock.due_at, late_by=0))
    else:
        _climb(draft, clock, step)
    return step.step


def miss_if_late(draft: Draft, clock: Clock) -> None:
    """A promise whose time was over before it was known is missed at once, and climbs from now on."""
    if clock.missed_at is None and clock.pause is None and clock.due_at < draft.now:
        _miss(draft, clock, known_at=draft.now)


def timely_attempts(case: Case, clock: Clock) -> tuple[datetime, ...]:
    """The attempts to reach somebody between the beginning of a promise and its deadline."""
    return tuple(at for at in case.attempted_at if clock.anchor <= at <= clock.due_at)


def keep_by_attempts(draft: Draft, clock: Clock) -> bool:
    """Count a promise as kept by timely attempts, where its rule does, once its time is over; whether it was."""
    made = timely_attempts(draft.case, clock)
    if clock.attempts is None or len(made) < clock.attempts or draft.now <= clock.due_at:
        return False
    at = made[clock.attempts - 1]
    draft.happen(ClockKept(clock_id=clock.id, kept_at=at, late_by=0, attempts=len(made)))
    return True


def _miss(draft: Draft, clock: Clock, known_at: datetime | None = None) -> None:
    if keep_by_attempts(draft, clock):
        return
    missed = clock.changed(missed_at=draft.now, known_at=known_at)
    event = ClockMissed(
        clock_id=clock.id,
        escalation_id=clock.escalation_id,
        due_at=clock.due_at,
        known_at=known_at,
        attempts=len(timely_attempts(draft.case, clock)) if clock.kept_by is KeptBy.CONTACT else None,
        next_at=next_at_of(draft, missed),
    )
    draft.happen(event)


def lapse_again(draft: Draft, missed: Clock, lapsed_at: datetime) -> None:
    """Count one more lapse of a cadence on the contact that is missed already."""
    anew = missed.acknowledged is not None or missed.next_at is None
    event = CadenceLapsed(
        clock_id=missed.id,
        escalation_id=missed.escalation_id,
        lapsed_at=lapsed_at,
        lapses=missed.lapses + 1,
        anew=anew,
        raised=missed.begun_anew + int(anew),
    )
    after = event.onto(missed, draft.now)
    draft.happen(event.changed(next_at=next_at_of(draft, after)))


def _climb(draft: Draft, clock: Clock, step: NextStep) -> None:
    rung = step.rung or 0
    told, vacant = _people(draft, clock, rung)
    if is_urgent(draft.case, clock):
        told = draft.staff.with_duty(told, draft.case.team, draft.now)
    climb = Climb(
        rung=rung,
        round=clock.round,
        tell=draft.ladder(clock).rungs[rung].tell,
        planned_at=step.at,
        at=draft.now,
        told=told,
        vacant=vacant,
    )
    after = clock.changed(climbs=(*clock.climbs, climb), acknowledged=None)
    draft.happen(RungClimbed(clock_id=clock.id, climb=climb, next_at=next_at_of(draft, after)))


def is_urgent(case: Case, clock: Clock) -> bool:
    """Whether a promise cannot wait for the morning: at every rung whoever is on duty hears of it as well."""
    return clock.kind is ClockKind.CRISIS or is_duty(case, clock)


def _people(draft: Draft, clock: Clock, rung: int) -> tuple[tuple[str, ...], tuple[Rank, ...]]:
    """Who is told at a rung. Where it finds nobody, or nobody who has not heard it in this round, the next rank is
    told now, and so on to the top; who has heard it is told again where there is nobody else.
    """
    owner, team, ladder = draft.case.responsible_for(clock), draft.case.team, draft.ladder(clock)
    this_round = [c for c in clock.climbs if c.round == clock.round and c.rung >= ladder.first_after]
    heard = {person for climb in this_round for person in climb.told}
    vacant: list[Rank] = []
    again: tuple[str, ...] = ()
    for rank in [r.tell for r in ladder.rungs[rung:]]:
        told = draft.staff.find(rank, owner, team, draft.now)
        if told and (rank is Rank.OWNER or not heard.issuperset(told)):
            return told, tuple(vacant)
        again = again or told
        if not told and rank not in vacant:
            vacant.append(rank)
    return again, tuple(vacant)


def _follow_calendars(draft: Draft) -> None:
    """Move the deadlines that a changed working calendar gives another day, and say so."""
    for clock in draft.case.running:
        due = clock.derived_due(draft.calendar(clock))
        if clock.pause is None and clock.missed_at is None and due != clock.due_at:
            moved = clock.changed(due_at=due)
            draft.happen(ClockRescheduled(clock_id=clock.id, due_at=due, next_at=next_at_of(draft, moved)))


class AcknowledgeEscalation(Command):
    """Take a missed promise up: the climb rests for the ladder's time, the promise stays owed."""

    kind: ClassVar[str] = "acknowledge-escalation"
    says: ClassVar[str] = "Acknowledge an escalation"
    example: ClassVar[dict[str, Any]] = {"escalation_id": "c9-missed", "note": "I call him today"}

    escalation_id: Slug
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        clock = next((c for c in draft.case.running if c.escalation_id == self.escalation_id), None)
        if clock is None or clock.missed_at is None:
            draft.refuse(UnknownEscalation, f"no open escalation {self.escalation_id} in this case")
        if clock.acknowledged is not None:
            draft.refuse(AlreadyAcknowledged, f"{self.escalation_id} is acknowledged; keep its promise now")
        rests_until = later(draft.now, draft.ladder(clock).acknowledged_for, draft.calendar(clock), clock.tz)
        event = EscalationAcknowledged(
            clock_id=clock.id,
            escalation_id=self.escalation_id,
            by=draft.actor.subject,
            note=self.note,
            next_at=rests_until,
        )
        draft.happen(event)
