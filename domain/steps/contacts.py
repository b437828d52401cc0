"""Contacts and notes: who was reached, when, and the cadence that a risk tier promises."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.clocks.budget import deadline
from domain.clocks.clock import VISITS, Clock, ClockKind, ClockPolicy, Mode, Party
from domain.programs.program import NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.promises.deeds import Contact, Deed, keeps
from domain.promises.escalation import keep_by_attempts, lapse_again, miss_if_late
from domain.steps.minutes import count_minutes
from domain.steps.unable_to_contact import count_attempt, letter_sent, reached
from domain.values import Instant, Sensitivity, Text

MOST_ATTEMPTS = 50
MOST_CAUGHT_UP = 100  # a year of weekly contacts, twice; a cadence of seconds is not made up for


class ContactLogged(Event):
    """Somebody tried to reach the person or those around her, and did or did not.

    `owes_minutes`: the programme counts time, and this contact's is not recorded yet.
    """

    kind: ClassVar[str] = "contact-logged"

    contact: Contact
    owes_minutes: bool = False

    def apply(self, case: Case, at: datetime) -> Case:
        when, since = self.contact.occurred_at, case.last_contact_at
        if not self.contact.reached:
            counts = since is None or when >= since
            return _attempted(case, (*case.attempted_at, when)) if counts else case
        latest = max(since or when, when)
        case = _attempted(case.changed(last_contact_at=latest), tuple(a for a in case.attempted_at if a > latest))
        if self.contact.party is Party.PATIENT:
            case = case.changed(reached_at=max(case.reached_at or when, when))
        if self.owes_minutes:
            case = case.changed(unrecorded=(*case.unrecorded, case.seq + 1))
        if self.contact.mode in VISITS and self.contact.party is Party.PATIENT:
            case = case.changed(visited_at=max(case.visited_at or latest, self.contact.occurred_at))
        return case


def _attempted(case: Case, since_contact: tuple[datetime, ...]) -> Case:
    """The attempts since somebody was last reached, by when they were made and not by when they were typed in."""
    kept = tuple(sorted(since_contact))[-MOST_ATTEMPTS:]
    return case.changed(attempted_at=kept, attempts_since_contact=len(kept))


class NoteAdded(Event):
    kind: ClassVar[str] = "note-added"

    text: Text
    sensitivity: Sensitivity


def contact_policy(draft: Draft) -> ClockPolicy | None:
    """The cadence of the person's tier; None before the risk is known."""
    risk = draft.case.risk
    return draft.program.tiers[risk.tier].contact if risk else None


def promise_contact(draft: Draft, anchor: datetime, instead_of: Clock | None = None) -> None:
    """Promise the next contact of the tier's cadence, counted from `anchor`.

    The cadence begins with the first plan and goes on through reassessments, until closure begins.
    """
    policy, case = contact_policy(draft), draft.case
    wanted = case.consents_to(NeedsConsent.CONTACTS, draft.program.consent.covers)
    if wanted and policy is not None and case.plan is not None and case.stage is not Stage.CLOSURE:
        promise = Promise(kind=ClockKind.CONTACT, title="Contact the person")
        start_clock(draft, promise, policy, anchor, instead_of=instead_of)


def ensure_contact(draft: Draft) -> None:
    """Promise a contact from now, unless one is promised already."""
    if not _promised(draft.case):
        promise_contact(draft, draft.now)


def restart_cadence(draft: Draft) -> None:
    """Give the cadence of a changed tier at once; a contact that is already missed stays missed.

    Where the new cadence would have been due already, the promise that stands is kept, or one made from
    now, whichever asks for the person sooner.
    """
    for clock in draft.case.running:
        policy = contact_policy(draft)
        if clock.kind is not ClockKind.CONTACT or clock.missed_at is not None or policy is None:
            continue
        working = draft.moment.rulebook.calendar(draft.program.calendar_of(policy))
        from_last = deadline(clock.anchor, policy.within, 0, working, clock.tz)
        from_now = deadline(draft.now, policy.within, 0, working, clock.tz)
        if from_last <= draft.now and clock.due_at <= from_now:
            continue
        cancel_clock(draft, clock, "the cadence has changed")
        promise_contact(draft, clock.anchor if from_last > draft.now else draft.now, instead_of=clock)


def keep_promised(draft: Draft, deed: Deed) -> None:
    """Keep every promise that a deed keeps. A contact that was promised makes the next one count from it."""
    kept = [clock for clock in draft.case.running if keeps(draft, clock, deed)]
    for clock in kept:
        keep_clock(draft, clock, deed.at)
    if any(c.kind is ClockKind.CONTACT for c in kept):
        for clock in _contacts(draft.case):
            cancel_clock(draft, clock, "counts from the contact that was made")
        promise_contact(draft, deed.at)
        _catch_up(draft)


def _catch_up(draft: Draft) -> None:
    """A contact that was typed in late may leave the next ones missed by now: one escalation, with its count."""
    for _ in range(MOST_CAUGHT_UP):
        waits = [c for c in _contacts(draft.case) if c.missed_at is None and c.pause is None]
        late = next((c for c in waits if c.due_at < draft.now), None)
        if late is None:
            return
        missed = next((c for c in _contacts(draft.case) if c.missed_at is not None), None)
        if missed is None:
            miss_if_late(draft, late)
        else:
            cancel_clock(draft, late, f"lapsed again: see {missed.escalation_id}")
            lapse_again(draft, missed, draft.now)
        promise_contact(draft, late.due_at)


def _contacts(case: Case) -> tuple[Clock, ...]:
    return tuple(c for c in case.running if c.kind is ClockKind.CONTACT)


def _promised(case: Case) -> bool:
    return bool(_contacts(case))


class LogContact(Command):
    """Record an attempt to reach somebody. Only one that reached the right person keeps a promised contact."""

    kind: ClassVar[str] = "log-contact"
    says: ClassVar[str] = "Log a contact or an attempt"
    example: ClassVar[dict[str, Any]] = {
        "mode": "telephone",
        "party": "patient",
        "reached": True,
        "outcome": "Feels better",
    }

    mode: Mode
    party: Party
    reached: bool
    outcome: Text
    occurred_at: Instant | None = None
    minutes: int | None = Field(default=None, ge=1, le=720)
    sensitivity: Sensitivity | None = None

    def decide(self, draft: Draft) -> None:
        occurred_at = happened_at(draft, self.occurred_at)
        contact = Contact(
            mode=self.mode,
            party=self.party,
            reached=self.reached,
            outcome=self.outcome,
            sensitivity=self.sensitivity or draft.program.sensitivity,
            occurred_at=occurred_at,
            minutes=self.minutes,
        )
        counted = draft.program.minutes is not None
        owes = counted and self.reached and self.minutes is None
        draft.happen(ContactLogged(contact=contact, owes_minutes=owes))
        if counted and self.minutes is not None:
            count_minutes(draft, self.minutes, occurred_at)
        if self.reached:
            keep_promised(draft, Deed.of(contact))
        else:
            for clock in draft.case.running:
                keep_by_attempts(draft, clock)
        self._follow_protocol(draft, occurred_at)

    def _follow_protocol(self, draft: Draft, occurred_at: datetime) -> None:
        """What this means for the unable-to-contact protocol: only the person herself counts as reached."""
        if self.party is not Party.PATIENT:
            return
        if self.reached:
            reached(draft, occurred_at)
        elif self.mode is Mode.LETTER:
            letter_sent(draft, occurred_at)
        else:
            count_attempt(draft, self.mode, occurred_at)


class AddNote(Command):
    """Write a note into the timeline."""

    kind: ClassVar[str] = "add-note"
    says: ClassVar[str] = "Add a note"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"text": "Prefers to be called in the morning"}

    text: Text
    sensitivity: Sensitivity | None = None

    def decide(self, draft: Draft) -> None:
        draft.happen(NoteAdded(text=self.text, sensitivity=self.sensitivity or draft.program.sensitivity))
