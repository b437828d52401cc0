"""What a transition promises: made, kept by what was done before, dropped and restored."""

from datetime import datetime
from typing import ClassVar

from domain.case.case import Case
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.case.open_parts import Transition
from domain.case.stays import Stay, point_of
from domain.clocks.budget import deadline
from domain.clocks.clock import Clock, ClockKind, ClockPolicy, KeptBy, WaitsFor
from domain.programs.policies import TransitionPolicy
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, start_clock, stop_clock
from domain.promises.deeds import keep_if_done
from domain.promises.escalation import miss_if_late
from domain.steps.holds import add_waiting
from domain.steps.readmissions import notice_readmissions, stays_in
from domain.steps.stages import count_from_last_discharge
from domain.steps.tasks import TaskCancelled
from domain.values import Line, Opaque, Slug


class TransitionPromisesDropped(Event):
    """The person is in hospital again: what the discharge promised at home is not owed while she is."""

    kind: ClassVar[str] = "transition-promises-dropped"

    event_id: Opaque
    names: tuple[Slug, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return _with_dropped(case, self.event_id, self.names)


class TransitionLongPast(Event):
    """All that the event promised was over before it was known: nothing climbs, and one person is told."""

    kind: ClassVar[str] = "transition-long-past"

    event_id: Opaque
    names: tuple[Slug, ...]
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        found = next((t for t in case.transitions if t.id == self.event_id), None)
        return case.put("transitions", found.changed(over=self.names)) if found else case

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return told_once(case, self.told, "transition-long-past", self.event_id)


class TransitionPromisesRestored(Event):
    """The admission was taken back or corrected: what the discharge promised is owed again."""

    kind: ClassVar[str] = "transition-promises-restored"

    event_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return _with_dropped(case, self.event_id, ())


def _with_dropped(case: Case, event_id: str, names: tuple[str, ...]) -> Case:
    found = next((t for t in case.transitions if t.id == event_id), None)
    return case.put("transitions", found.changed(dropped=names)) if found else case


def told_once(case: Case, person: str | None, subject: str, event_id: str) -> tuple[Notice, ...]:
    if person is None:
        return ()
    return (Notice(key=f"{subject}-{case.seq}", recipient=person, subject=subject, about=event_id),)


def policy_of(draft: Draft, transition: Transition) -> TransitionPolicy | None:
    """What the programme promises after a transition of this setting and event, if anything."""
    return draft.program.transitions.get(f"{transition.setting}-{transition.event}")


def clocks_of(draft: Draft, policy: TransitionPolicy) -> dict[str, ClockPolicy]:
    """The clocks of a transition for the person's tier."""
    risk = draft.case.risk
    return {**policy.clocks, **(policy.by_tier.get(risk.tier, {}) if risk else {})}


def names_of(draft: Draft, transition: Transition) -> tuple[str, ...]:
    """All that a transition promises: its clocks and its tasks."""
    policy = policy_of(draft, transition)
    return tuple(sorted({*clocks_of(draft, policy), *policy.tasks})) if policy else ()


def is_owed(draft: Draft, transition: Transition) -> bool:
    """Whether what a transition promises is owed: not where the person went elsewhere, or is in hospital again.

    A person who is in hospital again is not called at home, whichever message came first.
    """
    own = next((s for s in stays_in(draft) if transition.id in s.messages), None)
    if own is not None and transition.id not in (own.begun_by, own.ended_by):
        return False  # another message of the same stay promises it
    if transition.event == "admission":
        return True
    policy = policy_of(draft, transition)
    if policy is not None and transition.disposition not in (None, *policy.owed_after):
        return False
    point = point_of(transition, draft.program.zone)
    return not any(_admits(stay, transition) and stay.since.not_before(point) for stay in stays_in(draft))


def transition_is_owed(draft: Draft, event_id: str) -> bool:
    """Whether what a transition promised is owed now: it is there, and the person is where it said."""
    found = next((t for t in draft.case.transitions if t.id == event_id), None)
    return found is not None and is_owed(draft, found)


def _admits(stay: Stay, transition: Transition) -> bool:
    """Whether a stay is an admission besides what this message tells of; a visit may have become one."""
    own = transition.id in stay.messages
    return stay.admitted and stay.started is not None and (not own or transition.event == "visit")


def settle(draft: Draft, retracted: str | None = None) -> None:
    """After any event, in whatever order they came: promises dropped and restored, readmissions noticed or not."""
    for transition in draft.case.transitions:
        owed = is_owed(draft, transition)
        if not owed and (names := cancel_promises(draft, transition.id, "admitted again")):
            names |= set(transition.dropped)
            draft.happen(TransitionPromisesDropped(event_id=transition.id, names=tuple(sorted(names))))
        elif owed and transition.dropped:
            draft.happen(TransitionPromisesRestored(event_id=transition.id))
            open_promises(draft, transition, only=set(transition.dropped))
    notice_readmissions(draft, retracted)
    count_from_last_discharge(draft)


def open_promises(draft: Draft, transition: Transition, only: set[str] | None, long_past: bool = False) -> None:
    """Make the promises of a transition, counted from when it happened. `only` limits them to those named.

    What was done before the message came keeps them; what was over by then is missed at once. Where all was over
    (`long_past`, for what is told for the first time) nothing climbs: the misses count, and one person is told.
    """
    policy = policy_of(draft, transition)
    if policy is None:
        return
    clocks = {n: c for n, c in clocks_of(draft, policy).items() if only is None or n in only}
    tasks = [task for task in policy.tasks if only is None or task in only]
    over = (
        long_past
        and bool(clocks)
        and all(due_of(draft, transition, clock) < draft.now for clock in clocks.values())
    )
    for name, clock in clocks.items():
        promise = Promise(kind=ClockKind.TRANSITION, title=_title(name, clock), about=f"{transition.id}/{name}")
        clock_id = start_clock(draft, promise, clock, transition.occurred_at)
        _judge(draft, draft.open_clock(clock_id))
    if over:
        names = tuple(sorted(cancel_promises(draft, transition.id, "over before it was known")))
        if names:
            draft.happen(TransitionLongPast(event_id=transition.id, names=names, told=draft.case.owner))
        return
    for task in tasks:
        add_waiting(draft, task, transition.id)


def due_of(draft: Draft, transition: Transition, policy: ClockPolicy) -> datetime:
    working = draft.moment.rulebook.calendar(draft.program.calendar_of(policy))
    return deadline(transition.occurred_at, policy.within, 0, working, draft.program.zone)


def _judge(draft: Draft, clock: Clock) -> None:
    """A promise that is known now: kept by what was done already, waiting for consent, missed, or running."""
    if keep_if_done(draft, clock):
        return
    covered = clock.kept_by is KeptBy.RECONCILIATION
    if covered and not draft.case.consents_to(NeedsConsent.ASSESSMENT, draft.program.consent.covers):
        stop_clock(draft, clock, "no consent yet", WaitsFor.CONSENT)
    miss_if_late(draft, draft.open_clock(clock.id))


def _title(name: str, policy: ClockPolicy) -> Line:
    return policy.title or name.replace("-", " ").capitalize()


def cancel_promises(draft: Draft, event_id: str, reason: str) -> set[str]:
    """Take back what an event promised and is still owed, clocks and tasks; return their names."""
    clocks = [
        c
        for c in draft.case.running
        if c.kind is ClockKind.TRANSITION and (c.about or "").startswith(f"{event_id}/")
    ]
    tasks = [task for task in draft.case.open_tasks if task.about == event_id]
    for clock in (*clocks, *(draft.open_clock(task.clock_id) for task in tasks)):
        cancel_clock(draft, clock, reason)
    for task in tasks:
        draft.happen(TaskCancelled(task_id=task.id, reason=reason))
    return {(clock.about or "").partition("/")[2] for clock in clocks} | {task.type for task in tasks}
