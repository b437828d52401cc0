"""What people did that keeps promises: contacts, visits, reconciliations, whichever was known first."""

from typing import Self

from domain.case.command import Draft
from domain.case.event import Entry, Timeline
from domain.clocks.clock import VISITS, Clock, ClockKind, KeptBy, Mode, Party
from domain.promises.deadlines import keep_clock
from domain.values import Instant, Sensitivity, Text, Value

CONTACT_LOGGED, RECONCILED = "contact-logged", "medications-reconciled"


class Contact(Value):
    mode: Mode
    party: Party
    reached: bool
    outcome: Text
    sensitivity: Sensitivity
    occurred_at: Instant
    minutes: int | None = None


class Deed(Value):
    """Something that was done for the person, when, and what kind of promise it keeps.

    `mode` and `party` are those of a contact; a reconciliation has none.
    """

    at: Instant
    mode: Mode | None = None
    party: Party | None = None

    @classmethod
    def of(cls, contact: Contact) -> Self:
        return cls(at=contact.occurred_at, mode=contact.mode, party=contact.party)


def keeps(draft: Draft, clock: Clock, deed: Deed) -> bool:
    """Whether a deed keeps a promise: of the right kind, with the right party, and not before it was owed."""
    if not clock.counts_at(deed.at):
        return False
    if clock.kind is ClockKind.CONTACT:
        risk = draft.case.risk
        parties = draft.program.tiers[risk.tier].counts_with if risk else ()
        return deed.mode in clock.modes and deed.party in parties
    if clock.kept_by is KeptBy.RECONCILIATION:
        return deed.mode is None
    if deed.at < clock.anchor:
        return False
    modes = {KeptBy.CONTACT: clock.modes, KeptBy.VISIT: VISITS}.get(clock.kept_by) if clock.kept_by else None
    return modes is not None and deed.mode in modes and deed.party in clock.parties


def deeds_of(timeline: Timeline) -> list[Deed]:
    """What was done and is on record, in the order in which it was done."""
    found = [deed_of(entry) for entry in timeline.standing(CONTACT_LOGGED, RECONCILED)]
    return sorted((deed for deed in found if deed is not None), key=lambda deed: deed.at)


def deed_of(entry: Entry) -> Deed | None:
    """What an entry says was done; None for one that says nothing of the kind, or that nobody was reached."""
    if entry.kind == RECONCILED:
        return Deed.model_validate({"at": entry.data["occurred_at"]})
    if entry.kind != CONTACT_LOGGED:
        return None
    contact = Contact.model_validate(entry.data["contact"])
    return Deed.of(contact) if contact.reached else None


def keep_if_done(draft: Draft, clock: Clock) -> bool:
    """Keep a promise that became known after it was kept; whether it was.

    What it counts from (a contact that began a cadence, the moment of a discharge) does not keep it; a list that
    was reconciled on its day does.
    """
    for deed in deeds_of(draft.timeline):
        if (deed.at > clock.anchor or deed.mode is None) and keeps(draft, clock, deed):
            keep_clock(draft, clock, deed.at)
            return True
    return False
