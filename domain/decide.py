"""The one place where a command meets a case: refuse it, or say what happens."""

from datetime import datetime, timedelta

from domain.addressees.telling import tell
from domain.case.case import Case
from domain.case.command import (
    AT_ONCE,
    CaseChanged,
    CaseClosed,
    Command,
    Decision,
    Draft,
    Envelope,
    ExcludedFromCase,
    InOtherCase,
    Moment,
    Outcome,
)
from domain.case.event import Entry
from domain.case.quarantine import CommandQuarantined
from domain.commands import parse
from domain.promises.deadlines import rings_at, wake_at
from domain.steps.intake import Open
from domain.tick import Tick
from domain.values import SYSTEM, Invalid, Rejected

LONGEST_WAIT_MINUTES = 10


class NotPermitted(Rejected):
    """The sender's role may not do this."""


class NoSuchCase(Rejected):
    """The case was never opened."""


class CaseSealed(Rejected):
    """The case is closed and its window for reopening is over: it is a record, and nothing else happens."""


class AlreadyOpen(Rejected):
    """A case is opened once."""


def decide(envelope: Envelope, case: Case | None, moment: Moment) -> Decision:
    """Decide a command. A refusal is a decision too; only a fault in a rule raises.

    `case` is None for the command that opens one.
    """
    draft = Draft(moment, envelope.actor, envelope.command_id, case)
    try:
        write(draft, envelope)
    except Rejected as refusal:
        return Decision(outcome=_refused(envelope, refusal, case, moment), **wakes(case, moment.spread))
    outcome = Outcome(
        command_id=envelope.command_id,
        kind=envelope.kind,
        fingerprint=envelope.fingerprint,
        status="applied",
        at=moment.now,
        seq=draft.case.seq if draft.before else 0,
        events=tuple(entry.kind for entry in draft.entries),
        created=tuple(draft.created),
    )
    others = draft.others.items()
    elsewhere = tuple(InOtherCase(case_id=name, entries=tuple(d.entries)) for name, d in others if d.entries)
    entries = tuple(draft.entries)
    return Decision(outcome=outcome, entries=entries, elsewhere=elsewhere, **wakes(draft.before, moment.spread))


class PersonErased(Rejected):
    """The record of the person whom the case would be about was erased meanwhile."""


def write(draft: Draft, envelope: Envelope) -> None:
    """Write the draft of a command. Raises `Rejected` with the reason when nothing may happen."""
    command = parse(envelope.kind, envelope.body)
    _may_be_sent(draft, envelope, command)
    command.decide(draft)
    for one in (draft, *draft.others.values()):
        tell(one)


def _may_be_sent(draft: Draft, envelope: Envelope, command: Command) -> None:
    case = draft.before
    roles = draft.moment.rulebook.policy.roles_of(command.kind)
    if envelope.actor.role not in roles:
        draft.refuse(NotPermitted, f"{command.kind} is for: {', '.join(roles)}")
    if case is not None and envelope.actor.subject in case.excluded:
        draft.refuse(ExcludedFromCase, "you are kept from this case; whoever leads its team can tell more")
    if case is None:
        if command.kind != Open.kind:
            draft.refuse(NoSuchCase, "open it first")
        if draft.moment.person_gone:
            draft.refuse(PersonErased, "what was known of this person is erased; refer her as somebody new")
        return
    if command.kind == Open.kind:
        draft.refuse(AlreadyOpen, "the case is open")
    if envelope.expected_seq is not None and envelope.expected_seq != case.seq:
        draft.refuse(CaseChanged, f"the case is at {case.seq}; read it again and decide anew")
    if case.sealed:
        draft.refuse(CaseSealed, "the window for reopening is over; refer the person again")
    if case.closed and not command.when_closed:
        draft.refuse(CaseClosed, "reopen the case first, while its window lasts")


def set_aside(envelope: Envelope, case: Case | None, now: datetime, fault: str, again: int = 0) -> Decision:
    """The decision that there is none: a fault of ours, by its type's name, kept the rules from deciding.

    The command is set aside on record. A tick comes back by itself, `again` being how often it has failed in a
    row: within ten minutes at the latest, and it is set aside once.
    """
    outcome = Outcome(
        command_id=envelope.command_id,
        kind=envelope.kind,
        fingerprint=envelope.fingerprint,
        status="failed",
        at=now,
        seq=case.seq if case else 0,
        error=fault,
        detail="the command was set aside; nothing was changed",
    )
    if case is None:
        return Decision(outcome=outcome)
    event = CommandQuarantined(quarantined_id=envelope.command_id, quarantined_kind=envelope.kind, fault=fault)
    entry = Entry.of(event, case.seq + 1, now, SYSTEM, envelope.command_id)
    if envelope.kind != Tick.kind:
        return Decision(outcome=outcome, entries=(entry,), **wakes(case))
    at = now + timedelta(minutes=min(2 ** min(again, 6), LONGEST_WAIT_MINUTES))
    return Decision(outcome=outcome, entries=() if again else (entry,), wake_at=at, rings_at=at)


def _refused(envelope: Envelope, refusal: Rejected, case: Case | None, moment: Moment) -> Outcome:
    return Outcome(
        command_id=envelope.command_id,
        kind=envelope.kind,
        fingerprint=envelope.fingerprint,
        status="refused",
        at=moment.now,
        seq=case.seq if case else 0,
        error=refusal.code,
        invalid=isinstance(refusal, Invalid),
        detail=refusal.detail,
        missing=refusal.missing,
    )


def wakes(case: Case | None, spread: timedelta = AT_ONCE) -> dict[str, datetime | None]:
    """When a case asks for attention, and when it is woken for that; see `Decision`."""
    return {"wake_at": wake_at(case), "rings_at": rings_at(case, spread)} if case else {}
