"""How a command is decided: the envelope it comes in, the draft it writes, the decision that results."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import JsonValue, ValidationError

from domain.case.case import MOST_OPEN, Case, Task
from domain.case.event import Entry, Event, Timeline, follow
from domain.case.staff import Directory
from domain.clocks.budget import Budget, deadline
from domain.clocks.calendar import WorkingCalendar
from domain.clocks.clock import Clock, Ladder, Rank
from domain.programs.program import NeedsConsent, Program, Stage
from domain.programs.rulebook import Rulebook, ladder_of
from domain.values import Actor, Instant, Invalid, Opaque, Rejected, Role, Slug, Value

LEADS = frozenset({Role.SENIOR, Role.SUPERVISOR, Role.DIRECTOR})
CASE_WORK = frozenset({Role.CASE_MANAGER, Role.SENIOR, Role.SUPERVISOR, Role.DIRECTOR})


class WrongStage(Rejected):
    """The command belongs to another stage of the case."""


class CaseClosed(Rejected):
    """The case is closed; reopen it first, while its window lasts."""


class ConsentMissing(Rejected):
    """The person has not consented to this, or has withdrawn the consent."""


class CaseChanged(Rejected):
    """The case is not any more as the sender saw it (If-Match)."""


class UnknownTask(Rejected):
    """The case has no open task of this id."""


class UnknownClock(Rejected):
    """The case has no unsettled clock of this id."""


class StaffNeeded(Exception):
    """The decision depends on the staff directory: read it and decide again. Not a refusal."""


class TimelineNeeded(Exception):
    """The decision depends on what was recorded before: read the timeline and decide again. Not a refusal."""


class SamePersonNeeded(Exception):
    """The decision is about all open cases of the person: find out which, and decide again. Not a refusal."""


class OtherCaseNeeded(Exception):
    """The decision is about another case as well: read it and decide again. Not a refusal."""

    def __init__(self, case_id: str) -> None:
        super().__init__("another case is needed")
        self.case_id = case_id


class UnknownReference(Rejected):
    """The case has nothing open under this id."""


class TooMany(Rejected):
    """The case holds as many of these as a case may."""


class NotInProgram(Rejected):
    """The programme of the case has no such part."""


class Envelope(Value):
    """A command as it travels: who sends what, under which id, and for which state of the case.

    `seen` is how far the case went on record when it was sent: whoever knows less refuses nothing.
    """

    command_id: Opaque
    kind: Slug
    body: dict[str, JsonValue]
    actor: Actor
    expected_seq: int | None = None
    seen: int = 0

    @property
    def fingerprint(self) -> str:
        """Tells whether a repeated id carries the same request."""
        return fingerprint_of(self.kind, self.body, self.actor.subject)


def fingerprint_of(*said: JsonValue) -> str:
    """A short digest of what was asked: the same for the same request."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


ERASED = "Erased"  # the error of every command of a case that was erased


class Outcome(Value):
    """What became of a command: applied, refused by a rule, or failed by a fault of ours."""

    command_id: Opaque
    kind: Slug
    fingerprint: str
    status: Literal["applied", "refused", "failed"]
    at: Instant
    seq: int
    events: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    error: str | None = None
    invalid: bool = False
    detail: str | None = None
    missing: tuple[str, ...] = ()


class InOtherCase(Value):
    """What a decision brings about in another case, in the same transaction."""

    case_id: Opaque
    entries: tuple[Entry, ...]


class Decision(Value):
    """All that a decision says.

    `wake_at` is when the case asks for attention, `rings_at` when it is woken for it: never earlier, and a
    little later where many cases fall due at once.
    """

    outcome: Outcome
    entries: tuple[Entry, ...] = ()
    elsewhere: tuple[InOtherCase, ...] = ()
    wake_at: Instant | None = None
    rings_at: Instant | None = None


AT_ONCE = timedelta(0)


@dataclass(frozen=True)
class Moment:
    """What a decision may depend on besides the case: the time, the rules in force, the people there are.

    `spread` is the time over which promises that fall due in one second are looked after. `others` are the cases
    that the decision is about as well; None for one that the tenant does not have. `same_person` are the person's
    other open cases. `timeline` is what the record has of the case. `person_gone`: the person of a case that is
    to be opened was erased, or is being.
    """

    now: datetime
    rulebook: Rulebook
    staff: Directory | None = None
    spread: timedelta = AT_ONCE
    others: Mapping[str, Case | None] = field(default_factory=dict)
    same_person: tuple[str, ...] | None = None
    timeline: Timeline | None = None
    person_gone: bool = False


@dataclass
class Draft:
    """A decision being written: the case as it would be so far, and the events that would make it so.

    `happened` are these events with the case before and after each.
    """

    moment: Moment
    actor: Actor
    command_id: str
    before: Case | None
    entries: list[Entry] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    others: dict[str, "Draft"] = field(default_factory=dict)
    correcting: bool = False
    happened: list[tuple[Event, Case | None, Case]] = field(default_factory=list)

    @property
    def case(self) -> Case:
        if self.before is None:
            raise ValueError("there is no case yet")
        return self.before

    @property
    def now(self) -> datetime:
        return self.moment.now

    @property
    def today(self) -> date:
        """The day that it is now where the case's people are at work."""
        return self.program.day_of(self.now)

    @property
    def program(self) -> Program:
        """The programme as it holds for the case's team and person today."""
        case, day = self.case, self.now.date()
        return self.moment.rulebook.at(case.program, case.program_version, case.team, day, case.narrowed)

    @property
    def working(self) -> WorkingCalendar:
        """The programme's own calendar."""
        return self.moment.rulebook.calendar(self.program.calendar)

    def happen(self, *events: Event) -> None:
        """Write down events, each on the case that the one before has left."""
        for event in events:
            seq = (self.before.seq if self.before else 0) + 1
            self.entries.append(Entry.of(event, seq, self.now, self.actor, self.command_id))
            before, self.before = self.before, follow(self.before, event, seq, self.now)
            self.happened.append((event, before, self.before))

    @property
    def staff(self) -> Directory:
        """The people there are, but for those who are kept from the case.

        Raises `StaffNeeded` where the decision was tried without them.
        """
        if self.moment.staff is None:
            raise StaffNeeded
        return self.moment.staff.without(self.before.excluded) if self.before else self.moment.staff

    @property
    def timeline(self) -> Timeline:
        """What is on record, with what this decision adds. Raises `TimelineNeeded` where it was tried without."""
        recorded = self.moment.timeline
        if recorded is None:
            raise TimelineNeeded
        return replace(recorded, entries=(*recorded.entries, *self.entries))

    def other(self, case_id: str) -> "Draft":
        """The draft of another case, decided together with this one: both hold, or neither.

        Raises `OtherCaseNeeded` where the decision was tried without it, `UnknownReference` where there is none.
        """
        if case_id not in self.moment.others:
            raise OtherCaseNeeded(case_id)
        if (case := self.moment.others[case_id]) is None:
            self.refuse(UnknownReference, "there is no such other case")
        if case_id not in self.others:
            self.others[case_id] = Draft(self.moment, self.actor, self.command_id, case)
        return self.others[case_id]

    @property
    def same_person(self) -> tuple[str, ...]:
        """The ids of the person's other open cases. Raises `SamePersonNeeded` where it was tried without them."""
        if self.moment.same_person is None:
            raise SamePersonNeeded
        return self.moment.same_person

    def new_id(self, letter: str) -> str:
        """The next id of a task or a clock, unique within the case and the same on every replay."""
        return f"{letter}{self.case.numbered + 1}"

    def id_behind_clock(self, letter: str) -> str:
        """The id that is next when a clock is started first, so that the clock can say what it is about."""
        return f"{letter}{self.case.numbered + 2}"

    def deadline_of(self, budget: Budget) -> datetime:
        """When a budget of the programme, counted from now in its own calendar, is used up."""
        return deadline(self.now, budget, 0, self.working, self.program.zone)

    def people(self, ranks: Iterable[Rank]) -> tuple[str, ...]:
        """Who is told at once at these ranks, and who is on duty; the case manager where there is no directory."""
        case = self.case
        if not self.staff.known:
            return (case.owner,) if case.owner else ()
        return self.staff.find_at_once(ranks, case.owner, case.team, self.now)

    def calendar(self, clock: Clock) -> WorkingCalendar:
        return self.moment.rulebook.calendar_of(clock, self.program)

    def ladder(self, clock: Clock) -> Ladder:
        return ladder_of(clock, self.program)

    def refuse(self, error: type[Rejected], detail: str, missing: Iterable[str] = ()) -> NoReturn:
        raise error(detail, tuple(missing))

    def require_stage(self, *stages: Stage) -> None:
        """Raises `WrongStage` unless the case is in one of these stages; a correction is of another day."""
        if self.case.stage not in stages and not self.correcting:
            names = " or ".join(stages)
            self.refuse(WrongStage, f"the case is in {self.case.stage}; this belongs to {names}")

    def require_consent(self, what: NeedsConsent, legal_ground: str | None = None) -> None:
        """Raises `ConsentMissing` when the programme asks for consent to this and there is none in force.

        A legal ground, where the law asks for the act whatever the person says, stands in its place.
        """
        if self.correcting:
            return
        if legal_ground is None and not self.case.consents_to(what, self.program.consent.covers):
            self.refuse(ConsentMissing, f"record the person's consent before {what} goes on")

    def open_task(self, task_id: str) -> Task:
        """Raises `UnknownTask`; a completed or cancelled task has left the case."""
        task = self.case.task(task_id)
        if task is None or not task.open:
            self.refuse(UnknownTask, f"no open task {task_id}: it may be completed or cancelled")
        return task

    def require_room(self, collection: str) -> None:
        """Raises `TooMany` when the case holds as many open items of a collection as it may."""
        if len(getattr(self.case, collection)) >= MOST_OPEN[collection]:
            words = collection.replace("_", " ")
            self.refuse(TooMany, f"a case holds at most {MOST_OPEN[collection]} open {words}; settle some first")

    def find(self, collection: str, item_id: str) -> Any:
        """An open item of a collection by its id. Raises `UnknownReference`."""
        found = next((item for item in getattr(self.case, collection) if item.id == item_id), None)
        if found is None:
            words = collection.replace("_", " ")
            self.refuse(UnknownReference, f"no {item_id} among the open {words} of this case")
        return found

    def open_clock(self, clock_id: str) -> Clock:
        """Raises `UnknownClock`; a settled clock has left the case."""
        clock = self.case.clock(clock_id)
        if clock is None or clock.settled:
            self.refuse(UnknownClock, f"no running clock {clock_id}: it may be settled")
        return clock


class Command(Value):
    """Base of all commands. The fields are the request's body; `decide` writes the draft or raises `Rejected`.

    Who may send it says `catalog/policy.yaml`. A `feed` of the tenant may send it to any case. `when_closed`
    admits it to a closed case. `advice` stands in every answer to it. `example` is a body, as OpenAPI shows it.
    """

    kind: ClassVar[str]
    says: ClassVar[str]
    example: ClassVar[dict[str, Any]]
    when_closed: ClassVar[bool] = False
    feed: ClassVar[bool] = False
    advice: ClassVar[str | None] = None

    def decide(self, draft: Draft) -> None:
        """Write what happens. Raises a `Rejected` that names the reason when nothing may."""
        raise NotImplementedError


class UnknownCommand(Invalid):
    """There is no command of this kind in this release."""


class UnreadableCommand(Invalid):
    """The body does not fit the command; `missing` lists field and fault."""


def read(kind: type[Command], body: dict[str, JsonValue]) -> Command:
    """The command with this body. A number in quotes is no number, and "yes" is not true.

    Raises `UnreadableCommand`, which names fields and faults, never values.
    """
    try:
        return kind.model_validate_json(json.dumps(body), strict=True)
    except ValidationError as fault:
        faults = fault.errors(include_input=False, include_url=False, include_context=False)
        missing = tuple(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)
        raise UnreadableCommand(f"{kind.kind} does not have this form", missing) from None


class UnknownStaff(Rejected):
    """The directory does not know this person, or as inactive only."""


class ExcludedFromCase(Rejected):
    """A conflict of interest or a boundary keeps this person from the case."""


def require_staff(draft: Draft, subject: str) -> None:
    """Raises `UnknownStaff`, `ExcludedFromCase` unless work of this case may be given to this person."""
    if draft.before is not None and subject in draft.before.excluded:
        draft.refuse(ExcludedFromCase, "this person is kept from the case; choose somebody else")
    if not draft.staff.may_take_work(subject):
        draft.refuse(UnknownStaff, "add the person to the staff directory, or choose somebody active")
