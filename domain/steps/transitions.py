"""Transitions of care: admissions, discharges and visits, and what they promise.

The sender's own id of an event makes it the same event however often and in whatever order it comes.
"""

from datetime import datetime, time
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case
from domain.case.command import CASE_WORK, Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event, Notice
from domain.case.open_parts import Transition
from domain.case.stays import Stay, point_of
from domain.clocks.budget import deadline
from domain.clocks.clock import Clock, ClockKind, ClockPolicy, KeptBy, WaitsFor
from domain.programs.policies import Disposition, Subject, TransitionPolicy
from domain.programs.program import NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, start_clock, stop_clock
from domain.promises.deeds import keep_if_done
from domain.promises.escalation import miss_if_late
from domain.steps.approvals import withdraw
from domain.steps.contacts import ensure_contact
from domain.steps.holds import add_waiting
from domain.steps.readmissions import notice_readmissions, stays_in
from domain.steps.stages import ClosingStopped, set_back
from domain.steps.tasks import TaskCancelled
from domain.values import Day, Instant, Invalid, Line, Opaque, Role, Slug

KEPT = 100  # transitions a case remembers, the latest of them
DIED = "death-reported"


class UnknownSetting(Invalid):
    """The programme has no such transition; the refusal lists those it has."""


class TransitionRecorded(Event):
    """`told` is the case manager, who is told what a feed or somebody else has recorded."""

    kind: ClassVar[str] = "transition-recorded"

    transition: Transition
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transitions=_remembered((*case.transitions, self.transition)))

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _told(
            case,
            self.told,
            DIED if self.transition.disposition is Disposition.DIED else "transition",
            self.transition.id,
        )


class TransitionCorrected(Event):
    """The sender sent the event again with other contents; clocks that still run are counted anew."""

    kind: ClassVar[str] = "transition-corrected"

    transition: Transition

    def apply(self, case: Case, at: datetime) -> Case:
        return case.put("transitions", self.transition)


class TransitionRetracted(Event):
    """The sender took the event back: it never happened, also should it come again, or come only now."""

    kind: ClassVar[str] = "transition-retracted"

    event_id: Opaque
    transition: Transition | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        taken_back = (*case.taken_back, self.transition)[-KEPT:] if self.transition else case.taken_back
        return case.less("transitions", self.event_id).changed(taken_back=taken_back)


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

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _told(case, self.told, "transition-long-past", self.event_id)


class TransitionPromisesRestored(Event):
    """The admission was taken back or corrected: what the discharge promised is owed again."""

    kind: ClassVar[str] = "transition-promises-restored"

    event_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return _with_dropped(case, self.event_id, ())


def _with_dropped(case: Case, event_id: str, names: tuple[str, ...]) -> Case:
    found = next((t for t in case.transitions if t.id == event_id), None)
    return case.put("transitions", found.changed(dropped=names)) if found else case


def _told(case: Case, person: str | None, subject: str, event_id: str) -> tuple[Notice, ...]:
    if person is None:
        return ()
    return (Notice(key=f"{subject}-{case.seq}", recipient=person, subject=subject, about=event_id),)


def _remembered(transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
    return tuple(sorted(transitions, key=lambda t: (t.occurred_at, t.id)))[-KEPT:]


class RecordTransition(Command):
    """Record an admission, a discharge or a visit by the sender's id of the event. It is taken in every stage.

    The same event again changes nothing; with other contents it is corrected; `retracted` takes it back for good,
    also before it has come. Where only the day is known, `occurred_at` is a day.
    """

    kind: ClassVar[str] = "record-transition"
    says: ClassVar[str] = "Record an admission, discharge or visit"
    roles: ClassVar[frozenset[Role]] = CASE_WORK | {Role.INTEGRATOR}
    example: ClassVar[dict[str, Any]] = {
        "event_id": "adt-20300301-17",
        "event": "discharge",
        "setting": "inpatient",
        "occurred_at": "2026-03-06T15:00:00-05:00",
        "encounter": "enc-4711",
        "disposition": "home",
    }

    event_id: Opaque
    event: Literal["admission", "discharge", "visit"]
    setting: Slug
    occurred_at: Annotated[Instant | Day, Field(union_mode="left_to_right")]
    encounter: Opaque | None = None
    disposition: Disposition | None = None
    planned: bool = False
    retracted: bool = False

    def decide(self, draft: Draft) -> None:
        told = self._read(draft)
        if any(_is_taken_back(draft, gone, told) for gone in draft.case.taken_back):
            return
        known = _known(draft, told)
        if self.retracted:
            self._take_back(draft, known or told)
        elif known is None:
            self._record(draft, told)
        elif (right := _right(draft, known, told)) != known:
            _correct(draft, known, right)
            settle(draft)

    def _read(self, draft: Draft) -> Transition:
        """What the message says. Raises `UnknownSetting`, `NotYetHappened`, `TooLongAgo`."""
        settings = {name.rpartition("-")[0] for name in draft.program.transitions}
        if self.setting not in settings:
            draft.refuse(UnknownSetting, f"choose one of: {', '.join(sorted(settings)) or 'none'}")
        at, whole_day = self.occurred_at, not isinstance(self.occurred_at, datetime)
        if not isinstance(at, datetime):
            at = datetime.combine(at, time(), draft.program.zone)
        happened_at(draft, at)
        return Transition(
            id=self.event_id,
            event=self.event,
            setting=self.setting,
            encounter=self.encounter,
            occurred_at=at,
            whole_day=whole_day,
            disposition=self.disposition,
            planned=self.planned,
        )

    def _take_back(self, draft: Draft, transition: Transition) -> None:
        _cancel(draft, transition.id, "the event was taken back")
        draft.happen(TransitionRetracted(event_id=transition.id, transition=transition.changed(dropped=())))
        settle(draft, retracted=transition.id)

    def _record(self, draft: Draft, transition: Transition) -> None:
        owner = draft.case.owner
        told = owner if owner != draft.actor.subject else None
        draft.happen(TransitionRecorded(transition=transition, told=told))
        if draft.case.stage is Stage.CLOSURE:
            draft.happen(ClosingStopped(cause=f"{transition.setting} {transition.event}"))
            withdraw(draft, Subject.CLOSURE)
            set_back(draft, Stage.FOLLOW_UP, "something happened while the case was closing")
            ensure_contact(draft)
        if _is_owed(draft, transition):
            open_promises(draft, transition, only=None)
        elif names := _names(draft, transition):
            draft.happen(TransitionPromisesDropped(event_id=transition.id, names=names))
        settle(draft)


def _known(draft: Draft, told: Transition) -> Transition | None:
    """The transition that is meant: of this id, else the same fact under another id."""
    transitions = draft.case.transitions
    by_id = next((t for t in transitions if t.id == told.id), None)
    return by_id or next((t for t in transitions if _is_same(draft, t, told)), None)


def _is_same(draft: Draft, one: Transition, other: Transition) -> bool:
    """Whether two messages tell the same: of one encounter, else of one setting and time.

    In one setting no day has two admissions or two discharges, unless their encounters say so.
    """
    if one.event != other.event:
        return False
    if one.encounter and other.encounter:
        return one.encounter == other.encounter and one.setting == other.setting
    if one.setting != other.setting:
        return False
    vague = one.whole_day or other.whole_day or one.event != "visit"
    return one.occurred_at == other.occurred_at or (vague and _on_one_day(draft, one, other))


def _on_one_day(draft: Draft, one: Transition, other: Transition) -> bool:
    return draft.program.day_of(one.occurred_at) == draft.program.day_of(other.occurred_at)


def _is_taken_back(draft: Draft, gone: Transition, told: Transition) -> bool:
    """Whether a message was taken back: by its id, or as the same fact at the same time. Later ones are new."""
    at_once = (gone.occurred_at, gone.whole_day) == (told.occurred_at, told.whole_day)
    return gone.id == told.id or (at_once and _is_same(draft, gone, told))


def _right(draft: Draft, known: Transition, told: Transition) -> Transition:
    """What is known with what is told now; a day says nothing new about a time, nor silence about anything."""
    day_only = told.whole_day and _on_one_day(draft, known, told)
    return told.changed(
        id=known.id,
        encounter=told.encounter or known.encounter,
        occurred_at=known.occurred_at if day_only else told.occurred_at,
        whole_day=known.whole_day if day_only else told.whole_day,
        disposition=told.disposition or known.disposition,
        dropped=known.dropped,
    )


def _correct(draft: Draft, known: Transition, right: Transition) -> None:
    """Count anew what still runs; what is another kind of event now promises what that kind does."""
    owed = {*_cancel(draft, known.id, "the event was corrected"), *known.dropped}
    same = (known.event, known.setting) == (right.event, right.setting)
    names = tuple(sorted(owed)) if same else _names(draft, right)
    draft.happen(TransitionCorrected(transition=right.changed(dropped=())))
    if _is_owed(draft, right):
        open_promises(draft, right, only=set(names))
    elif names:
        draft.happen(TransitionPromisesDropped(event_id=right.id, names=names))


def policy_of(draft: Draft, transition: Transition) -> TransitionPolicy | None:
    """What the programme promises after a transition of this setting and event, if anything."""
    return draft.program.transitions.get(f"{transition.setting}-{transition.event}")


def clocks_of(draft: Draft, policy: TransitionPolicy) -> dict[str, ClockPolicy]:
    """The clocks of a transition for the person's tier."""
    risk = draft.case.risk
    return {**policy.clocks, **(policy.by_tier.get(risk.tier, {}) if risk else {})}


def _names(draft: Draft, transition: Transition) -> tuple[str, ...]:
    """All that a transition promises: its clocks and its tasks."""
    policy = policy_of(draft, transition)
    return tuple(sorted({*clocks_of(draft, policy), *policy.tasks})) if policy else ()


def _is_owed(draft: Draft, transition: Transition) -> bool:
    """Whether what a transition promises is owed: not where the person went elsewhere, or is in hospital again.

    A person who is in hospital again is not called at home, whichever message came first.
    """
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
    return found is not None and _is_owed(draft, found)


def _admits(stay: Stay, transition: Transition) -> bool:
    """Whether a stay is an admission besides what this message tells of; a visit may have become one."""
    own = transition.id in stay.messages
    return stay.admitted and stay.started is not None and (not own or transition.event == "visit")


def settle(draft: Draft, retracted: str | None = None) -> None:
    """After any event, in whatever order they came: promises dropped and restored, readmissions noticed or not."""
    for transition in draft.case.transitions:
        owed = _is_owed(draft, transition)
        if not owed and (names := _cancel(draft, transition.id, "admitted again")):
            names |= set(transition.dropped)
            draft.happen(TransitionPromisesDropped(event_id=transition.id, names=tuple(sorted(names))))
        elif owed and transition.dropped:
            draft.happen(TransitionPromisesRestored(event_id=transition.id))
            open_promises(draft, transition, only=set(transition.dropped))
    notice_readmissions(draft, retracted)


def open_promises(draft: Draft, transition: Transition, only: set[str] | None) -> None:
    """Make the promises of a transition, counted from when it happened. `only` limits them to those named.

    What was done before the message came keeps them; what was over by then is missed at once. Where all was over
    nothing climbs: the misses count, and the case manager is told once.
    """
    policy = policy_of(draft, transition)
    if policy is None:
        return
    clocks = {n: c for n, c in clocks_of(draft, policy).items() if only is None or n in only}
    tasks = [task for task in policy.tasks if only is None or task in only]
    over = bool(clocks) and all(due_of(draft, transition, clock) < draft.now for clock in clocks.values())
    for name, clock in clocks.items():
        promise = Promise(kind=ClockKind.TRANSITION, title=_title(name), about=f"{transition.id}/{name}")
        clock_id = start_clock(draft, promise, clock, transition.occurred_at)
        _judge(draft, draft.open_clock(clock_id))
    if over:
        names = tuple(sorted(_cancel(draft, transition.id, "over before it was known")))
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


def _title(name: str) -> Line:
    return name.replace("-", " ").capitalize()


def _cancel(draft: Draft, event_id: str, reason: str) -> set[str]:
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
