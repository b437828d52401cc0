"""Contacts and notes: who was reached, when, and the cadence that a risk tier promises."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from domain.budget import deadline
from domain.case import Case
from domain.clock import ClockKind, ClockPolicy
from domain.command import Command, Draft
from domain.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.event import Event
from domain.program import NeedsConsent, Party, Stage
from domain.values import Instant, Invalid, Sensitivity, Text, Value

CLOCKS_AHEAD = timedelta(minutes=5)


class Mode(StrEnum):
    IN_PERSON = "in-person"
    TELEPHONE = "telephone"
    VIDEO = "video"
    MESSAGE = "message"
    LETTER = "letter"


class NotYetHappened(Invalid):
    """The date lies in the future, or before the case was opened."""


class Contact(Value):
    mode: Mode
    party: Party
    reached: bool
    outcome: Text
    sensitivity: Sensitivity
    occurred_at: Instant


class ContactLogged(Event):
    """Somebody tried to reach the person or those around her, and did or did not."""

    contact: Contact

    def apply(self, case: Case, at: datetime) -> Case:
        if not self.contact.reached:
            return case.changed(attempts_since_contact=case.attempts_since_contact + 1)
        latest = max(case.last_contact_at or self.contact.occurred_at, self.contact.occurred_at)
        return case.changed(last_contact_at=latest, attempts_since_contact=0)


class NoteAdded(Event):
    text: Text
    sensitivity: Sensitivity


def contact_policy(draft: Draft) -> ClockPolicy | None:
    """The cadence of the person's tier; None before the risk is known."""
    risk = draft.case.risk
    return draft.program.tiers[risk.tier].contact if risk else None


def promise_contact(draft: Draft, anchor: datetime) -> None:
    """Promise the next contact of the tier's cadence, counted from `anchor`.

    The cadence begins with the first plan and goes on through reassessments, until closure begins.
    """
    policy, case = contact_policy(draft), draft.case
    wanted = case.consents_to(NeedsConsent.CONTACTS, draft.program.consent.covers)
    if wanted and policy is not None and case.plan is not None and case.stage is not Stage.CLOSURE:
        promise = Promise(kind=ClockKind.CONTACT, title="Contact the person")
        start_clock(draft, promise, policy, anchor)


def ensure_contact(draft: Draft) -> None:
    """Promise a contact from now, unless one is promised already."""
    if not any(c.kind is ClockKind.CONTACT for c in draft.case.running):
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
        promise_contact(draft, clock.anchor if from_last > draft.now else draft.now)


def check_happened(draft: Draft, instant: datetime) -> None:
    """Raises `NotYetHappened` for a time after now (a few minutes of clock error allowed) or before the case."""
    if instant > draft.now + CLOCKS_AHEAD or instant < draft.case.opened_at - CLOCKS_AHEAD:
        draft.refuse(NotYetHappened, "give a time between the opening of the case and now")


class LogContact(Command):
    """Record an attempt to reach somebody. Only one that reached the right person keeps a promised contact."""

    kind: ClassVar[str] = "log-contact"
    says: ClassVar[str] = "Log a contact or an attempt"

    mode: Mode
    party: Party
    reached: bool
    outcome: Text
    occurred_at: Instant | None = None
    sensitivity: Sensitivity | None = None

    def decide(self, draft: Draft) -> None:
        occurred_at = min(self.occurred_at or draft.now, draft.now)
        check_happened(draft, self.occurred_at or draft.now)
        contact = Contact(
            mode=self.mode,
            party=self.party,
            reached=self.reached,
            outcome=self.outcome,
            sensitivity=self.sensitivity or draft.program.sensitivity,
            occurred_at=occurred_at,
        )
        draft.happen(ContactLogged(contact=contact))
        if self.reached:
            self._keep_cadence(draft, occurred_at)

    def _keep_cadence(self, draft: Draft, occurred_at: datetime) -> None:
        risk = draft.case.risk
        if risk is None or self.party not in draft.program.tiers[risk.tier].counts_with:
            return
        promised = [c for c in draft.case.running if c.kind is ClockKind.CONTACT]
        kept = [c for c in promised if c.counts_at(occurred_at)]
        for clock in kept:
            keep_clock(draft, clock, occurred_at)
        if kept and len(kept) == len(promised):
            promise_contact(draft, occurred_at)


class AddNote(Command):
    """Write a note into the timeline."""

    kind: ClassVar[str] = "add-note"
    says: ClassVar[str] = "Add a note"
    when_closed: ClassVar[bool] = True

    text: Text
    sensitivity: Sensitivity | None = None

    def decide(self, draft: Draft) -> None:
        draft.happen(NoteAdded(text=self.text, sensitivity=self.sensitivity or draft.program.sensitivity))
