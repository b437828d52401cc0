"""Transitions of care: admissions, discharges and visits, and what they promise.

The sender's own id of an event makes it the same event however often and in whatever order it comes.
"""

from datetime import datetime, time
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import happened_at, is_history
from domain.case.event import Event, Notice
from domain.case.open_parts import Transition
from domain.programs.policies import Disposition, Subject
from domain.programs.program import Stage
from domain.steps.approvals import withdraw
from domain.steps.contacts import ensure_contact
from domain.steps.stages import ClosingStopped, set_back
from domain.steps.transition_promises import (
    TransitionPromisesDropped,
    cancel_promises,
    is_owed,
    names_of,
    open_promises,
    settle,
    told_once,
)
from domain.values import Day, Instant, Invalid, Opaque, Slug

KEPT = 100  # transitions a case remembers, the latest of them
DIED = "death-reported"


class UnknownSetting(Invalid):
    """The programme has no such transition; the refusal lists those it has."""


class DispositionNotHere(Invalid):
    """A disposition says where somebody went from a stay: it belongs to a discharge."""


class TransitionRecorded(Event):
    """`told` is the case manager, who is told what a feed or somebody else has recorded."""

    kind: ClassVar[str] = "transition-recorded"

    transition: Transition
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transitions=_remembered((*case.transitions, self.transition)))

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return told_once(
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
    """The sender took the event back: it never happened, also should it come again, or come only now.

    It `stands` where another message says the same.
    """

    kind: ClassVar[str] = "transition-retracted"

    event_id: Opaque
    transition: Transition | None = None
    stands: bool = False

    def apply(self, case: Case, at: datetime) -> Case:
        taken_back = (*case.taken_back, self.transition)[-KEPT:] if self.transition else case.taken_back
        if not self.stands:
            return case.less("transitions", self.event_id).changed(taken_back=taken_back)
        left = tuple(t.changed(also=tuple(i for i in t.also if i != self.event_id)) for t in case.transitions)
        return case.changed(transitions=left, taken_back=taken_back)


def _remembered(transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
    return tuple(sorted(transitions, key=lambda t: (t.occurred_at, t.id)))[-KEPT:]


class RecordTransition(Command):
    """Record an admission, a discharge or a visit by the sender's id of the event. It is taken in every stage.

    The same event again changes nothing; with other contents it is corrected; `retracted` takes it back for good,
    also before it has come. Where only the day is known, `occurred_at` is a day.
    """

    kind: ClassVar[str] = "record-transition"
    says: ClassVar[str] = "Record an admission, discharge or visit"
    feed: ClassVar[bool] = True
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
    planned: bool | None = None
    retracted: bool = False

    def decide(self, draft: Draft) -> None:
        told = self._read(draft)
        if any(_is_taken_back(draft, gone, told) for gone in draft.case.taken_back):
            return
        known = _known(draft, told)
        if self.retracted:
            self._take_back(draft, known, told)
        elif known is None:
            self._record(draft, told)
        elif (right := _right(known, told, self.planned, draft)) != known:
            _correct(draft, known, right)
            settle(draft)

    def _read(self, draft: Draft) -> Transition:
        """What the message says. Raises `UnknownSetting`, `DispositionNotHere`, `NotYetHappened`, `TooLongAgo`."""
        settings = {name.rpartition("-")[0] for name in draft.program.transitions}
        if self.setting not in settings:
            draft.refuse(UnknownSetting, f"choose one of: {', '.join(sorted(settings)) or 'none'}")
        if self.disposition is not None and self.event != "discharge":
            draft.refuse(DispositionNotHere, f"only a discharge says where somebody went; this is an {self.event}")
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
            planned=bool(self.planned),
        )

    def _take_back(self, draft: Draft, known: Transition | None, told: Transition) -> None:
        """The message is taken back. What another message says as well stays."""
        told = told.changed(dropped=())
        if known is not None and told.id in (known.id, *known.also) and known.also:
            draft.happen(TransitionRetracted(event_id=told.id, transition=told, stands=True))
            return
        gone = known or told
        cancel_promises(draft, gone.id, "the event was taken back")
        draft.happen(TransitionRetracted(event_id=gone.id, transition=told.changed(id=gone.id)))
        if told.id != gone.id:
            draft.happen(TransitionRetracted(event_id=told.id, transition=told))
        settle(draft, retracted=gone.id)

    def _record(self, draft: Draft, transition: Transition) -> None:
        owner = draft.case.owner
        told = owner if owner != draft.actor.subject else None
        draft.happen(TransitionRecorded(transition=transition, told=told))
        if draft.case.stage is Stage.CLOSURE and not is_history(draft, transition.occurred_at, None):
            draft.happen(ClosingStopped(cause=f"{transition.setting} {transition.event}"))
            withdraw(draft, Subject.CLOSURE)
            set_back(draft, Stage.FOLLOW_UP, "something happened while the case was closing")
            ensure_contact(draft)
        if is_owed(draft, transition):
            open_promises(draft, transition, only=None, long_past=True)
        elif names := names_of(draft, transition):
            draft.happen(TransitionPromisesDropped(event_id=transition.id, names=names))
        settle(draft)


def _known(draft: Draft, told: Transition) -> Transition | None:
    """The transition that is meant: of this id, else the same fact under another id."""
    transitions = draft.case.transitions
    by_id = next((t for t in transitions if told.id in (t.id, *t.also)), None)
    return by_id or next((t for t in transitions if _is_same(draft, t, told)), None)


def _is_same(draft: Draft, one: Transition, other: Transition) -> bool:
    """Whether two messages tell the same: of one encounter, else of one setting and time.

    Where one of them names a day only, it is that day's.
    """
    if one.event != other.event:
        return False
    if one.encounter and other.encounter:
        return one.encounter == other.encounter and one.setting == other.setting
    if one.setting != other.setting:
        return False
    vague = one.whole_day or other.whole_day
    return one.occurred_at == other.occurred_at or (vague and _on_one_day(draft, one, other))


def _on_one_day(draft: Draft, one: Transition, other: Transition) -> bool:
    return draft.program.day_of(one.occurred_at) == draft.program.day_of(other.occurred_at)


def _is_taken_back(draft: Draft, gone: Transition, told: Transition) -> bool:
    """Whether a message was taken back: by its id, or as the same fact at the same time. Later ones are new."""
    at_once = (gone.occurred_at, gone.whole_day) == (told.occurred_at, told.whole_day)
    named = gone.encounter is not None and gone.encounter == told.encounter
    return gone.id == told.id or (at_once and named and _is_same(draft, gone, told))


def _right(known: Transition, told: Transition, planned: bool | None, draft: Draft) -> Transition:
    """What is known with what is told now; a day says nothing new about a time, nor silence about anything."""
    day_only = told.whole_day and _on_one_day(draft, known, told)
    return told.changed(
        id=known.id,
        encounter=told.encounter or known.encounter,
        occurred_at=known.occurred_at if day_only else told.occurred_at,
        whole_day=known.whole_day if day_only else told.whole_day,
        disposition=told.disposition or known.disposition,
        planned=known.planned if planned is None else planned,
        also=tuple(dict.fromkeys((*known.also, *(() if told.id == known.id else (told.id,))))),
        dropped=known.dropped,
        over=known.over,
    )


def _correct(draft: Draft, known: Transition, right: Transition) -> None:
    """Count anew what still runs; what is another kind of event now promises what that kind does.

    An update that moves no time and names no other place leaves what runs and climbs as it is.
    """
    same = (known.event, known.setting) == (right.event, right.setting)
    if same and (known.occurred_at, known.whole_day) == (right.occurred_at, right.whole_day):
        draft.happen(TransitionCorrected(transition=right))
        return
    owed = {*cancel_promises(draft, known.id, "the event was corrected"), *known.dropped, *known.over}
    names = tuple(sorted(owed)) if same else names_of(draft, right)
    draft.happen(TransitionCorrected(transition=right.changed(dropped=(), over=())))
    if is_owed(draft, right):
        open_promises(draft, right, only=set(names), long_past=True)
    elif names:
        draft.happen(TransitionPromisesDropped(event_id=right.id, names=names))
