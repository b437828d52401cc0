"""What happened. An event says it in the past tense and knows what it makes of the case, no more.

`apply` runs again on every replay, for years: it reads nothing but the case, the event and the time at
which it happened, and it must not change its mind (docs/decisions/0001).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import JsonValue

from domain.case.case import Case
from domain.values import Actor, Instant, Opaque, Sensitivity, Slug, Value

ENTERED_IN_ERROR = "entered-in-error"


class Notice(Value):
    """Something one person has to be told. `key` makes it the same notice however often it is written.

    An urgent one knows no quiet hours. `why` is what the person is to it: owner, approver, cover …
    """

    key: str
    recipient: Opaque
    subject: Slug
    about: str
    urgent: bool = False
    why: Slug | None = None


class Event(Value):
    """Base of all events.

    Each class writes down the kind under which it is stored: the class can be renamed, what years of timelines
    hold cannot. A base that several events share is `abstract` and is never stored.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type["Event"]]] = {}

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__()
        if abstract:
            return
        kind = cls.__dict__.get("kind")
        if kind is None:
            raise TypeError(f"{cls.__name__} has no kind of its own: write down under which it is stored")
        if kind in Event.kinds:
            raise TypeError(f"{cls.__name__}: {kind} is the kind of {Event.kinds[kind].__name__}")
        Event.kinds[kind] = cls

    def apply(self, case: Case, at: datetime) -> Case:
        """The case after this event. Events that only inform leave it as it is."""
        return case

    def notices(self, case: Case) -> tuple[Notice, ...]:
        """Who is told of it; `case` is the case after the event."""
        return ()


class Opening(Event, abstract=True):
    """Base of the one event that has no case before it."""

    def begin(self, at: datetime) -> Case:
        """The case as it is opened."""
        raise NotImplementedError


class Entry(Value):
    """One line of the timeline: an event with its number, its time and its author."""

    seq: int
    at: Instant
    kind: Slug
    actor: Actor
    command_id: Opaque
    data: dict[str, JsonValue]

    @classmethod
    def of(cls, event: Event, seq: int, at: datetime, actor: Actor, command_id: str) -> "Entry":
        data = event.model_dump(mode="json", exclude_none=True)
        return cls(seq=seq, at=at, kind=event.kind, actor=actor, command_id=command_id, data=data)

    @property
    def event(self) -> Event:
        """The event itself. Raises `KeyError` for a kind that this release does not know."""
        return Event.kinds[self.kind].model_validate(self.data)

    def apply(self, case: Case | None) -> Case:
        """The case after this entry; None stands before the first one."""
        return follow(case, self.event, self.seq, self.at)


@dataclass(frozen=True)
class Timeline:
    """All that is on record of a case: its entries in order, behind the state where those before are lost."""

    entries: tuple[Entry, ...]
    begins: Case | None = None

    @property
    def in_error(self) -> frozenset[str]:
        """The commands whose entries were entered in error."""
        return frozenset(str(e.data["of_command"]) for e in self.entries if e.kind == ENTERED_IN_ERROR)

    def standing(self, *kinds: str) -> tuple[Entry, ...]:
        """The entries of these kinds, without those that were entered in error."""
        wrong = self.in_error
        return tuple(e for e in self.entries if e.kind in kinds and e.command_id not in wrong)

    def before(self, seq: int) -> Case | None:
        """The case as it was before an entry."""
        case = self.begins
        for entry in self.entries:
            if entry.seq >= seq:
                break
            case = entry.apply(case)
        return case.without_settled() if case else None

    def without(self, *commands: str) -> Case | None:
        """The case as it would be had these commands never been sent, and nobody had corrected anything yet."""
        corrections = {e.command_id for e in self.entries if e.kind == ENTERED_IN_ERROR}
        wrong, case = {*self.in_error, *corrections, *commands}, self.begins
        for entry in self.entries:
            if entry.command_id not in wrong:
                case = entry.apply(case)
        return case.without_settled() if case else None


class Position(Value):
    """How far a case's timeline is known: the number of its last entry, and that entry's hash on record."""

    seq: int = 0
    head: str = ""


def follow(case: Case | None, event: Event, seq: int, at: datetime) -> Case:
    """The case after `event`, which is number `seq` of its timeline."""
    if isinstance(event, Opening):
        return event.begin(at).changed(seq=seq)
    if case is None:
        raise ValueError("a timeline begins with an opening")
    return event.apply(case.without_settled().changed(seq=seq - 1), at).changed(seq=seq)


def label_of(data: Mapping[str, Any]) -> Sensitivity:
    """The label under which an event's content stands: its own, or that of the contact or score that it holds."""
    held = [data, *(part for part in data.values() if isinstance(part, dict))]
    labels = [Sensitivity(part["sensitivity"]) for part in held if part.get("sensitivity")]
    return max(labels, key=list(Sensitivity).index, default=Sensitivity.GENERAL)
