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
from domain.promises.deadlines import Promise, cancel_clock, is_duty, next_at_of, start_clock
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
    ClockKind.MINUTES,
)
NOT_PUT_OFF = (
    ClockKind.STAGE,
    ClockKind.CONTACT,
    ClockKind.REASSESSMENT,
    ClockKind.PLAN_REVIEW,
    ClockKind.SIGNATURE,
    ClockKind.INSTRUMENT,
)


def before_closure(draft: Draft) -> Case | None:
    """The case as it stood before it was closed last; None where its timeline does not say."""
    ended = [e for e in draft.timeline.entries if e.kind == ENDED]
    if not ended:
        return None
    first = min(e.seq for e in draft.timeline.entries if e.command_id == ended[-1].command_id)
    return draft.timeline.before(first)


def ended_by_closure(draft: Draft, before: Case, closed_at: datetime) -> dict[str, JsonValue]:
    """Tasks, promises, referrals and the like that the closure ended, and the plan, as fields of the case."""
    used = {a.clock_id for a in before.approvals if a.subject is Subject.CLOSURE}
    kept = [c for c in before.running if c.kind not in PROMISED_ANEW and c.id not in used]
    fields: dict[str, Any] = {name: getattr(before, name) for name in NOTHING_OPEN}
    fields["approvals"] = tuple(a for a in before.approvals if a.subject is not Subject.CLOSURE)
    again = before.changed(clocks=tuple(_as_it_stood(draft, before, c, closed_at) for c in kept), **fields)
    found: dict[str, JsonValue] = again.model_dump(mode="json", include={"tasks", "clocks", "plan", *NOTHING_OPEN})
    return {name: value for name, value in found.items() if value}


def tasks_of(again: Mapping[str, JsonValue]) -> list[Task]:
    """The tasks among what comes back."""
    found: Any = again.get("tasks", ())
    return [Task.model_validate(task) for task in found]


def _as_it_stood(draft: Draft, before: Case, clock: Clock, closed_at: datetime) -> Clock:
    """A promise with the time that the case was closed taken out; that of a duty ran on.

    One that was missed climbs on from now. A hold that had an end goes on for what was left of it.
    """
    if clock.missed_at is not None:
        late = clock.changed(known_at=draft.now)
        return late.changed(next_at=next_at_of(draft, late))
    if clock.kind is ClockKind.CONSENT:  # the person named its last day; a closure does not move it
        return clock.changed(next_at=next_at_of(draft, clock))
    if clock.pause is not None:
        if clock.pause.until is None:
            return clock
        until = clock.pause.until + (draft.now - closed_at)
        return clock.changed(pause=clock.pause.changed(until=until), next_at=until)
    if is_duty(before, clock):
        return clock
    working = draft.calendar(clock)
    held = clock.held + held_between(clock.budget.unit, closed_at, draft.now, working, clock.tz)
    moved = clock.changed(held=held)
    moved = moved.changed(due_at=moved.derived_due(working))
    return moved.changed(next_at=next_at_of(draft, moved))


def due_no_later(draft: Draft, before: Case, closed_at: datetime) -> None:
    """What counts from now is not put off by a closure: it is due when what was left of it is over, if sooner.

    What was missed before the closure counts from now.
    """
    for old in before.running:
        stood = _as_it_stood(draft, before, old, closed_at)
        policy = draft.program.policies.get(old.policy or "")
        anew = [c for c in draft.case.running if (c.kind, c.about, c.policy) == (old.kind, old.about, old.policy)]
        if old.kind not in NOT_PUT_OFF or old.missed_at or old.pause or policy is None:
            continue
        for clock in anew:
            if stood.due_at < clock.due_at:
                cancel_clock(draft, clock, "due sooner: what was left of it before the closure")
                promise = Promise(kind=old.kind, title=old.title, about=old.about)
                start_clock(draft, promise, policy, old.anchor, old.budget, instead_of=stood)


def miss_what_is_over(draft: Draft) -> None:
    """Duties whose time passed while the case was closed are missed now, and climb from now on."""
    for clock in draft.case.running:
        if clock.kind not in (*PROMISED_ANEW, ClockKind.CONSENT):  # a consent ends, and nobody misses it
            miss_if_late(draft, clock)
