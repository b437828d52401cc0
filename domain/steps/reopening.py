"""What a closure ended by itself, for the case that is reopened: it comes back as it stood."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from domain.case.case import NOTHING_OPEN, Case, Task
from domain.case.command import Draft
from domain.clocks.budget import held_between
from domain.clocks.clock import Clock, ClockKind
from domain.programs.policies import Subject
from domain.promises.deadlines import is_duty, next_at_of
from domain.promises.escalation import miss_if_late

ENDED = "case-ended"
PROMISED_ANEW = (  # from now on: nobody owed them while the case was closed
    ClockKind.STAGE,
    ClockKind.CONTACT,
    ClockKind.REASSESSMENT,
    ClockKind.PLAN_REVIEW,
    ClockKind.SIGNATURE,
    ClockKind.RENEWAL,
    ClockKind.INSTRUMENT,
    ClockKind.OVERRIDE,
    ClockKind.CONSENT_DECISION,
)


def ended_by_closure(draft: Draft, closed_at: datetime) -> dict[str, JsonValue]:
    """Tasks, promises, referrals and the like that the closure ended, as fields of the case."""
    ended = max(e.seq for e in draft.timeline.entries if e.kind == ENDED)
    command = next(e.command_id for e in draft.timeline.entries if e.seq == ended)
    first = min(e.seq for e in draft.timeline.entries if e.command_id == command)
    before = draft.timeline.before(first)
    if before is None:
        return {}
    clocks = tuple(
        _as_it_stood(draft, before, c, closed_at) for c in before.running if c.kind not in PROMISED_ANEW
    )
    fields: dict[str, Any] = {name: getattr(before, name) for name in NOTHING_OPEN}
    fields["approvals"] = tuple(a for a in before.approvals if a.subject is not Subject.CLOSURE)
    again = before.changed(clocks=clocks, **fields)
    found: dict[str, JsonValue] = again.model_dump(mode="json", include={"tasks", "clocks", *NOTHING_OPEN})
    return {name: value for name, value in found.items() if value}


def tasks_of(again: Mapping[str, JsonValue]) -> list[Task]:
    """The tasks among what comes back."""
    found: Any = again.get("tasks", ())
    return [Task.model_validate(task) for task in found]


def _as_it_stood(draft: Draft, before: Case, clock: Clock, closed_at: datetime) -> Clock:
    """A promise with the time that the case was closed taken out; that of a duty ran on."""
    working = draft.calendar(clock)
    if is_duty(before, clock) or clock.missed_at is not None or clock.pause is not None:
        return clock
    held = clock.held + held_between(clock.budget.unit, closed_at, draft.now, working, clock.tz)
    moved = clock.changed(held=held)
    moved = moved.changed(due_at=moved.derived_due(working))
    return moved.changed(next_at=next_at_of(draft, moved))


def miss_what_is_over(draft: Draft) -> None:
    """Duties whose time passed while the case was closed are missed now, and climb from now on."""
    for clock in draft.case.running:
        if clock.kind not in PROMISED_ANEW:
            miss_if_late(draft, clock)
