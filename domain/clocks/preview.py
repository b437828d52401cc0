"""What a promise would ask for: its deadline and every rung of its ladder, before anybody makes it."""

from datetime import datetime, timedelta

from domain.clocks.budget import counts_from
from domain.clocks.calendar import WorkingCalendar
from domain.clocks.clock import Climb, Clock, ClockKind, Ladder, Rank, Step
from domain.values import Instant, Line, Value

MOST_STEPS = 40


class PreviewedStep(Value):
    """One thing that would happen: a reminder, the miss, or a rung, and whom it would tell."""

    at: Instant
    step: Step
    tell: Rank | None = None


class Preview(Value):
    """When a promise counts from, when it falls due, and what follows if nobody does anything.

    `narrowed_by` is whose number or zone holds where it is not the programme's.
    """

    counts_from: Instant
    due_at: Instant
    steps: tuple[PreviewedStep, ...]
    narrowed_by: Line | None = None


def preview(clock: Clock, ladder: Ladder, working: WorkingCalendar) -> Preview:
    """Play a clock to the top of its ladder. `clock` is as it would be started, with any deadline."""
    clock = clock.changed(due_at=clock.derived_due(working))
    due = clock.due_at
    steps: list[PreviewedStep] = []
    while (step := clock.next_step(ladder, working)) is not None and len(steps) < MOST_STEPS:
        rung = ladder.rungs[step.rung] if step.rung is not None else None
        steps.append(PreviewedStep(at=step.at, step=step.step, tell=rung.tell if rung else None))
        if step.step is Step.EXPIRE:
            break
        clock = _after(clock, step.at, step.rung, rung.tell if rung else Rank.OWNER)
    return Preview(
        counts_from=counts_from(clock.anchor, clock.budget, clock.tz),
        due_at=due,
        steps=tuple(steps),
        narrowed_by=clock.narrowed_by,
    )


def _after(clock: Clock, at: datetime, rung: int | None, tell: Rank) -> Clock:
    if rung is None:
        return clock.changed(missed_at=at)
    climb = Climb(rung=rung, round=clock.round, tell=tell, planned_at=at, at=at, told=())
    return clock.changed(climbs=(*clock.climbs, climb))


def would_be(anchor: datetime, zone: str, calendar: str, **policy: object) -> Clock:
    """A clock that nobody has started, for a preview."""
    return Clock.model_validate(
        {
            "id": "preview",
            "kind": ClockKind.TASK,
            "title": "preview",
            "ladder": "preview",
            "calendar": calendar,
            "zone": zone,
            "anchor": anchor,
            "due_at": anchor + timedelta(0),
            **policy,
        }
    )
