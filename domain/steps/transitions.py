"""Transitions of care: admissions, discharges and visits, what they promise, and readmissions.

The sender's own id of an event makes it the same event however often and in whatever order it comes.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal

from domain.case.case import Case
from domain.case.command import CASE_WORK, Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event, Notice
from domain.case.open_parts import Transition
from domain.clocks.budget import later
from domain.clocks.clock import Clock, ClockKind, ClockPolicy
from domain.programs.policies import TransitionPolicy
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, start_clock
from domain.steps.stages import ACTIVE
from domain.steps.tasks import add_where_possible
from domain.values import Instant, Invalid, Line, Opaque, Role, Slug

ACUTE = "inpatient"
KEPT = 100  # transitions a case remembers, the latest of them


class UnknownSetting(Invalid):
    """The programme has no such transition; the refusal lists those it has."""


class NothingToCorrect(Invalid):
    """No event of this id was recorded in this case."""


class TransitionRecorded(Event):
    kind: ClassVar[str] = "transition-recorded"

    transition: Transition

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transitions=_remembered((*case.transitions, self.transition)))


class TransitionCorrected(Event):
    """The sender sent the event again with other contents; clocks that still run are counted anew."""

    kind: ClassVar[str] = "transition-corrected"

    transition: Transition

    def apply(self, case: Case, at: datetime) -> Case:
        return case.put("transitions", self.transition)


class TransitionRetracted(Event):
    """The sender took the event back: it never happened."""

    kind: ClassVar[str] = "transition-retracted"

    event_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("transitions", self.event_id)


class TransitionPromisesDropped(Event):
    """The person is in hospital again: what the discharge promised at home is not owed while she is."""

    kind: ClassVar[str] = "transition-promises-dropped"

    event_id: Opaque
    names: tuple[Slug, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return _with_dropped(case, self.event_id, self.names)


class TransitionPromisesRestored(Event):
    """The admission was taken back or corrected: what the discharge promised is owed again."""

    kind: ClassVar[str] = "transition-promises-restored"

    event_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return _with_dropped(case, self.event_id, ())


class ReadmissionWithdrawn(Event):
    """One of the two events was taken back or corrected, so that there was no readmission."""

    kind: ClassVar[str] = "readmission-withdrawn"

    discharge_id: Opaque
    admission_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        pair = f"{self.discharge_id}/{self.admission_id}"
        return case.changed(readmissions=tuple(p for p in case.readmissions if p != pair))


def _with_dropped(case: Case, event_id: str, names: tuple[str, ...]) -> Case:
    found = next((t for t in case.transitions if t.id == event_id), None)
    return case.put("transitions", found.changed(dropped=names)) if found else case


class ReadmissionNoticed(Event):
    """An unplanned admission within the watch after a discharge. Both are named by the sender's ids."""

    kind: ClassVar[str] = "readmission-noticed"

    discharge_id: Opaque
    admission_id: Opaque
    days: int
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(readmissions=(*case.readmissions, f"{self.discharge_id}/{self.admission_id}")[-KEPT:])

    def notices(self, case: Case) -> tuple[Notice, ...]:
        if self.told is None:
            return ()
        key = f"readmission-{case.seq}"
        return (Notice(key=key, recipient=self.told, subject="readmission", about=self.admission_id),)


def _remembered(transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
    return tuple(sorted(transitions, key=lambda t: (t.occurred_at, t.id)))[-KEPT:]


class RecordTransition(Command):
    """Record an admission, a discharge or a visit by the sender's id of the event.

    The same event again changes nothing; with other contents it is corrected; `retracted` takes it back.
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
    }

    event_id: Opaque
    event: Literal["admission", "discharge", "visit"]
    setting: Slug
    occurred_at: Instant
    encounter: Opaque | None = None
    planned: bool = False
    retracted: bool = False

    def decide(self, draft: Draft) -> None:
        known = next((t for t in draft.case.transitions if t.id == self.event_id), None)
        if self.retracted:
            if known is None:
                draft.refuse(NothingToCorrect, "there is nothing to take back under this id")
            _cancel_clocks(draft, self.event_id, "the event was taken back")
            draft.happen(TransitionRetracted(event_id=self.event_id))
            settle(draft, retracted=self.event_id)
            return
        self._check(draft)
        transition = Transition(
            id=self.event_id,
            event=self.event,
            setting=self.setting,
            encounter=self.encounter,
            occurred_at=self.occurred_at,
            planned=self.planned,
        )
        if known is not None and transition == known.changed(dropped=()):
            return
        if known is None and _same_elsewhere(draft.case, transition):
            return
        if known is None:
            draft.happen(TransitionRecorded(transition=transition))
            open_clocks(draft, transition, only=None)
        else:
            self._correct(draft, known, transition)
        settle(draft)

    def _correct(self, draft: Draft, known: Transition, transition: Transition) -> None:
        """Count anew what still runs; what is another kind of event now promises what that kind does."""
        owed = {*_cancel_clocks(draft, known.id, "the event was corrected"), *known.dropped}
        draft.happen(TransitionCorrected(transition=transition))
        same = (known.event, known.setting) == (transition.event, transition.setting)
        open_clocks(draft, transition, only=owed if same else None)

    def _check(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        settings = {name.rpartition("-")[0] for name in draft.program.transitions}
        if self.setting not in settings:
            draft.refuse(UnknownSetting, f"choose one of: {', '.join(sorted(settings)) or 'none'}")
        happened_at(draft, self.occurred_at)


def _same_elsewhere(case: Case, transition: Transition) -> bool:
    """Whether the same thing of the same encounter was sent under another id: it happened once."""
    said = ("encounter", "event", "setting", "occurred_at")
    return transition.encounter is not None and any(
        all(getattr(t, name) == getattr(transition, name) for name in said) for t in case.transitions
    )


def policy_of(draft: Draft, transition: Transition) -> TransitionPolicy | None:
    """What the programme promises after a transition of this setting and event, if anything."""
    return draft.program.transitions.get(f"{transition.setting}-{transition.event}")


def clocks_of(draft: Draft, policy: TransitionPolicy) -> dict[str, ClockPolicy]:
    """The clocks of a transition for the person's tier."""
    risk = draft.case.risk
    return {**policy.clocks, **(policy.by_tier.get(risk.tier, {}) if risk else {})}


def settle(draft: Draft, retracted: str | None = None) -> None:
    """After any event, in whatever order they came: drop and restore promises, notice and withdraw readmissions.

    A person who is in hospital again is not called at home: a later admission ends what a discharge promised.
    """
    for transition in draft.case.transitions:
        if transition.event == "admission":
            continue
        if _admitted_since(draft, transition):
            if names := _cancel_clocks(draft, transition.id, "admitted again"):
                draft.happen(TransitionPromisesDropped(event_id=transition.id, names=tuple(sorted(names))))
        elif transition.dropped:
            draft.happen(TransitionPromisesRestored(event_id=transition.id))
            open_clocks(draft, transition, only=set(transition.dropped))
    _notice_readmissions(draft, retracted)


def open_clocks(draft: Draft, transition: Transition, only: set[str] | None) -> None:
    """Start the clocks of a transition, counted from when it happened. `only` limits them to those named."""
    policy = policy_of(draft, transition)
    if policy is None:
        return
    for name, clock in clocks_of(draft, policy).items():
        if only is None or name in only:
            promise = Promise(kind=ClockKind.TRANSITION, title=_title(name), about=f"{transition.id}/{name}")
            start_clock(draft, promise, clock, transition.occurred_at)
    for task in policy.tasks if only is None else ():
        add_where_possible(draft, task)


def _title(name: str) -> Line:
    return name.replace("-", " ").capitalize()


def _admitted_since(draft: Draft, discharge: Transition) -> bool:
    """Whether the person was admitted after this discharge, in whatever order the two were recorded."""
    return any(t.event == "admission" and t.occurred_at > discharge.occurred_at for t in draft.case.transitions)


def _cancel_clocks(draft: Draft, event_id: str, reason: str) -> set[str]:
    """Cancel the clocks of an event that still run; return their names."""
    clocks: list[Clock] = [
        c
        for c in draft.case.running
        if c.kind is ClockKind.TRANSITION and (c.about or "").startswith(f"{event_id}/")
    ]
    for clock in clocks:
        cancel_clock(draft, clock, reason)
    return {(clock.about or "").partition("/")[2] for clock in clocks}


def _is_readmission_to(discharge: Transition, admission: Transition) -> bool:
    """An unplanned admission to acute care, or to where the person was discharged from."""
    unplanned = admission.event == "admission" and not admission.planned
    return unplanned and admission.setting in (ACUTE, discharge.setting)


def _discharged_between(case: Case, discharge: Transition, admission: Transition) -> bool:
    """Whether a later discharge came before the admission: then the admission follows that one."""
    later_ones = (t for t in case.transitions if t.event == "discharge" and t.id != discharge.id)
    return any(discharge.occurred_at < t.occurred_at < admission.occurred_at for t in later_ones)


def readmissions_of(draft: Draft) -> list[tuple[Transition, Transition]]:
    """Every discharge and the unplanned admission within its watch, whichever came first."""
    case, found = draft.case, []
    for discharge in case.transitions:
        policy = policy_of(draft, discharge)
        if discharge.event != "discharge" or policy is None or policy.watch is None:
            continue
        until = later(discharge.occurred_at, policy.watch, draft.working, draft.program.zone)
        found += [
            (discharge, admission)
            for admission in case.transitions
            if discharge.occurred_at < admission.occurred_at <= until
            and _is_readmission_to(discharge, admission)
            and not _discharged_between(case, discharge, admission)
        ]
    return found


def _notice_readmissions(draft: Draft, retracted: str | None) -> None:
    """Notice each readmission once, and withdraw those that a correction has undone, not those long past."""
    known, there = draft.case.readmissions, readmissions_of(draft)
    pairs = {f"{discharge.id}/{admission.id}" for discharge, admission in there}
    for pair in known:
        discharge_id, _, admission_id = pair.partition("/")
        seen = {t.id for t in draft.case.transitions} | {retracted}
        if pair not in pairs and {discharge_id, admission_id} <= seen:
            draft.happen(ReadmissionWithdrawn(discharge_id=discharge_id, admission_id=admission_id))
    for discharge, admission in there:
        if f"{discharge.id}/{admission.id}" not in known:
            draft.happen(
                ReadmissionNoticed(
                    discharge_id=discharge.id,
                    admission_id=admission.id,
                    days=(admission.occurred_at - discharge.occurred_at).days,
                    told=draft.case.owner,
                )
            )
