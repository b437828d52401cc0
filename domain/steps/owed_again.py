"""A promise that is owed again after a correction, held against what has happened since."""

from domain.case.command import Draft
from domain.clocks.budget import deadline
from domain.clocks.clock import Clock, ClockKind, WaitsFor
from domain.programs.program import NeedsConsent, Stage
from domain.promises.deadlines import Promise, cancel_clock, rests_in_crisis, start_clock, stop_clock
from domain.promises.deeds import keep_if_done
from domain.promises.escalation import miss_if_late
from domain.steps.consent import needs_consent
from domain.steps.contacts import promise_contact
from domain.steps.transition_promises import transition_is_owed

ONE_OF_EACH = (
    ClockKind.STAGE,
    ClockKind.REASSESSMENT,
    ClockKind.PLAN_REVIEW,
    ClockKind.SIGNATURE,
    ClockKind.INSTRUMENT,
    ClockKind.SAFETY_PLAN,
    ClockKind.REPLY,
)


def owe_again(draft: Draft, clock_id: str) -> None:
    """Kept by what else was done, not owed any more, waiting, missed by now, or running to its old deadline."""
    clock = draft.open_clock(clock_id)
    if keep_if_done(draft, clock):
        return
    if (reason := _over(draft, clock)) is not None:
        cancel_clock(draft, clock, reason)
        return
    clock = _one_cadence(draft, clock) if clock.kind is ClockKind.CONTACT else make_sooner(draft, clock)
    if needs_consent(draft, clock):
        stop_clock(draft, clock, "no consent", WaitsFor.CONSENT)
    elif draft.case.crisis is not None and rests_in_crisis(draft.case, clock) and clock.pause is None:
        stop_clock(draft, clock, "a crisis", WaitsFor.CRISIS)
    miss_if_late(draft, draft.open_clock(clock.id))


def _over(draft: Draft, clock: Clock) -> str | None:
    """Why a promise is not owed any more, whoever cancelled its like since."""
    case = draft.case
    if clock.kind is ClockKind.TRANSITION and not transition_is_owed(draft, (clock.about or "").partition("/")[0]):
        return "taken back, or admitted again, since"
    if clock.kind is ClockKind.STAGE and clock.about != case.stage:
        return "the stage is over"
    if clock.kind is ClockKind.CONTACT and not _contacts_are_promised(draft):
        return "no contact is promised now"
    others = [c for c in case.running if c.id != clock.id and c.kind is clock.kind and c.about == clock.about]
    return "promised anew since" if clock.kind in ONE_OF_EACH and others else None


def _contacts_are_promised(draft: Draft) -> bool:
    consents = draft.case.consents_to(NeedsConsent.CONTACTS, draft.program.consent.covers)
    return consents and draft.case.stage is not Stage.CLOSURE


def _one_cadence(draft: Draft, clock: Clock) -> Clock:
    """One cadence, by the tier that holds now, counted from where this one did."""
    others = [c for c in draft.case.running if c.kind is ClockKind.CONTACT and c.id != clock.id]
    for other in others:
        if other.missed_at is None:
            cancel_clock(draft, other, "it counted from what was entered in error")
    risk = draft.case.risk
    if clock.missed_at is not None or risk is None:
        return clock
    policy = draft.program.tiers[risk.tier].contact
    if (clock.policy, clock.budget) == (draft.program.path_of(policy), policy.within):
        return clock
    cancel_clock(draft, clock, "the cadence has changed")
    promise_contact(draft, clock.anchor)
    return next(c for c in draft.case.running if c.kind is ClockKind.CONTACT and c.missed_at is None)


def make_sooner(draft: Draft, clock: Clock) -> Clock:
    """A promise by the time that holds now where that is shorter, counted from when it began."""
    policy = draft.program.policies.get(clock.policy or "")
    if policy is None or clock.missed_at is not None or policy.within == clock.budget:
        return clock
    working = draft.moment.rulebook.calendar(draft.program.calendar_of(policy))
    if deadline(clock.anchor, policy.within, 0, working, draft.program.zone) >= clock.due_at:
        return clock
    cancel_clock(draft, clock, "due sooner for this person")
    promise = Promise(kind=clock.kind, title=clock.title, about=clock.about)
    started = start_clock(draft, promise, policy, clock.anchor, instead_of=clock)
    miss_if_late(draft, draft.open_clock(started))
    return draft.open_clock(started)
