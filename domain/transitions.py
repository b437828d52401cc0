"""Transitions of care: admissions, discharges and visits, what they promise, and readmissions.

The sender's own id of an event makes it the same event however often and in whatever order it comes.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from domain.budget import later
from domain.case import Case
from domain.clock import Clock, ClockKind, ClockPolicy
from domain.command import CASE_WORK, Command, Draft
from domain.contacts import CLOCKS_AHEAD, NotYetHappened
from domain.deadlines import Promise, cancel_clock, start_clock
from domain.event import Event, Notice
from domain.observations import TooLongAgo
from domain.parts import Transition
from domain.policies import TransitionPolicy
from domain.program import NeedsConsent
from domain.stages import ACTIVE
from domain.tasks import add_task
from domain.values import Instant, Invalid, Line, Opaque, Role, Slug

ACUTE = "inpatient"  # a readmission is to acute care; rehabilitation after a stay is not one
KEPT = 100  # transitions a case remembers, the latest of them
OLDEST = timedelta(days=366)


class UnknownSetting(Invalid):
    """The programme has no such transition; the refusal lists those it has."""


class NothingToCorrect(Invalid):
    """No event of this id was recorded in this case."""


class TransitionRecorded(Event):
    transition: Transition

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transitions=_remembered((*case.transitions, self.transition)))


class TransitionCorrected(Event):
    """The sender sent the event again with other contents; clocks that still run are counted anew."""

    transition: Transition

    def apply(self, case: Case, at: datetime) -> Case:
        return case.put("transitions", self.transition)


class TransitionRetracted(Event):
    """The sender took the event back: it never happened."""

    event_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("transitions", self.event_id)


class ReadmissionNoticed(Event):
    """An unplanned admission within the watch after a discharge. Both are named by the sender's ids."""

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
        if transition == known:
            return
        if known is None:
            draft.happen(TransitionRecorded(transition=transition))
            open_clocks(draft, transition, only=None)
        else:
            restarted = _cancel_clocks(draft, known.id, "the event was corrected")
            draft.happen(TransitionCorrected(transition=transition))
            open_clocks(draft, transition, only=restarted)
        _notice_readmissions(draft)

    def _check(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        settings = {name.rpartition("-")[0] for name in draft.program.transitions}
        if self.setting not in settings:
            draft.refuse(UnknownSetting, f"choose one of: {', '.join(sorted(settings)) or 'none'}")
        if self.occurred_at > draft.now + CLOCKS_AHEAD:
            draft.refuse(NotYetHappened, "give a time that is not in the future")
        if self.occurred_at < draft.now - OLDEST:
            draft.refuse(TooLongAgo, "give an event of the last twelve months")


def policy_of(draft: Draft, transition: Transition) -> TransitionPolicy | None:
    """What the programme promises after a transition; an admission of itself promises nothing."""
    return draft.program.transitions.get(f"{transition.setting}-{transition.event}")


def clocks_of(draft: Draft, policy: TransitionPolicy) -> dict[str, ClockPolicy]:
    """The clocks of a transition for the person's tier."""
    risk = draft.case.risk
    return {**policy.clocks, **(policy.by_tier.get(risk.tier, {}) if risk else {})}


def open_clocks(draft: Draft, transition: Transition, only: set[str] | None) -> None:
    """Start the clocks of a transition, counted from when it happened. `only` limits them to those named.

    A person who is in hospital again is not called at home: a later admission ends what an earlier
    discharge promised.
    """
    if transition.event == "admission":
        for earlier in draft.case.transitions:
            if earlier.event == "discharge" and earlier.occurred_at < transition.occurred_at:
                _cancel_clocks(draft, earlier.id, "admitted again")
        return
    policy = policy_of(draft, transition)
    if policy is None or _admitted_since(draft, transition):
        return
    for name, clock in clocks_of(draft, policy).items():
        if only is None or name in only:
            promise = Promise(kind=ClockKind.TRANSITION, title=_title(name), about=f"{transition.id}/{name}")
            start_clock(draft, promise, clock, transition.occurred_at)
    if only is None and draft.case.consents_to(NeedsConsent.TASKS, draft.program.consent.covers):
        for task in policy.tasks:
            add_task(draft, task)


def _title(name: str) -> Line:
    return name.replace("-", " ").capitalize()


def _admitted_since(draft: Draft, discharge: Transition) -> bool:
    """Whether an admission after this discharge was recorded before it: events come in any order."""
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


def _is_unplanned(admission: Transition) -> bool:
    return admission.event == "admission" and not admission.planned and admission.setting == ACUTE


def _discharged_between(case: Case, discharge: Transition, admission: Transition) -> bool:
    """Whether a later discharge came before the admission: then the admission follows that one."""
    later_ones = (t for t in case.transitions if t.event == "discharge" and t.id != discharge.id)
    return any(discharge.occurred_at < t.occurred_at < admission.occurred_at for t in later_ones)


def _notice_readmissions(draft: Draft) -> None:
    """Notice every unplanned admission within the watch after a discharge, once, in whatever order they came."""
    case = draft.case
    for discharge in case.transitions:
        policy = policy_of(draft, discharge)
        if discharge.event != "discharge" or policy is None or policy.watch is None:
            continue
        until = later(discharge.occurred_at, policy.watch, draft.working, draft.program.zone)
        for admission in case.transitions:
            within = discharge.occurred_at < admission.occurred_at <= until
            new = f"{discharge.id}/{admission.id}" not in draft.case.readmissions
            if within and new and _is_unplanned(admission) and not _discharged_between(case, discharge, admission):
                days = (admission.occurred_at - discharge.occurred_at).days
                draft.happen(
                    ReadmissionNoticed(
                        discharge_id=discharge.id, admission_id=admission.id, days=days, told=case.owner
                    )
                )
