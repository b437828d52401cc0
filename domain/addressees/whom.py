"""Whom an event is for: who must act on it, or has waited for it. A rule gives what somebody is to it, and who."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from domain.case.case import Case
from domain.case.command import Draft
from domain.clocks.clock import Clock, ClockKind
from domain.programs.policies import Tier
from domain.programs.program import DIED
from domain.steps.approvals import approvers
from domain.steps.death import DeathReported
from domain.steps.tasks import cosigners
from domain.values import SYSTEM


@dataclass(frozen=True)
class Happened:
    """An event, the case before and after it, and the decision that it is a part of."""

    event: Any
    before: Case | None
    case: Case
    draft: Draft

    @property
    def by_itself(self) -> bool:
        """Whether time brought it about, and no person."""
        return self.draft.actor == SYSTEM


Wanted = Iterable[tuple[str, str | None]]  # what the person is to it, and who; None: whoever leads the team
Rule = Callable[[Happened], Wanted]


def owner(h: Happened) -> Wanted:
    yield "owner", h.case.owner


def leads(h: Happened) -> Wanted:
    yield "lead", None


def owner_and_leads(h: Happened) -> Wanted:
    yield "owner", h.case.owner
    yield "lead", None


def changed_by_somebody(h: Happened) -> Wanted:
    if not h.by_itself:
        yield "owner", h.case.owner


def assignee(h: Happened) -> Wanted:
    """Who has the task, or had it."""
    task = h.case.task(h.event.task_id) or (h.before.task(h.event.task_id) if h.before else None)
    if task is not None and task.assignee is not None:
        yield "assignee", task.assignee


def attending(h: Happened) -> Wanted:
    """Who is to be at an appointment: of the staff the one that is named, else the case manager."""
    yield "assignee", h.event.appointment.attendee or h.case.owner


def added(h: Happened) -> Wanted:
    if h.event.task.assignee is not None:
        yield "assignee", h.event.task.assignee


def signers(h: Happened) -> Wanted:
    task = h.case.task(h.event.task_id)
    found = cosigners(h.draft, task, h.event.done_by) if task is not None else ()
    yield from (("co-signer", person) for person in found or (None,))


def asked_to_approve(h: Happened) -> Wanted:
    policy = h.draft.program.approvals.get(h.event.approval.subject)
    found = approvers(h.draft, policy) if policy is not None else ()
    yield from (("approver", person) for person in found or (None,))


def asked_for_approval(h: Happened) -> Wanted:
    yield "requester", h.event.requested_by


def did_the_work(h: Happened) -> Wanted:
    yield "requester", h.event.done_by


def undecided(h: Happened) -> Wanted:
    """Who was asked, where what was to be decided has changed or is not wanted any more."""
    asked = [a for a in h.before.approvals if a.id == h.event.approval_id] if h.before else []
    yield from (("approver", a.asked) for a in asked if a.granted_by is None and a.asked is not None)


def looked(h: Happened) -> Wanted:
    """Whoever looked into the case in an emergency."""
    found = [a for a in h.before.accesses if a.id == h.event.access_id] if h.before else []
    yield from (("requester", a.by) for a in found)


def opened(h: Happened) -> Wanted:
    yield ("owner" if h.case.owner else "lead"), h.case.owner


def owner_before(h: Happened) -> Wanted:
    """Who had the case until now, where that is somebody else."""
    if h.before is not None and h.before.owner not in (None, h.case.owner):
        yield "owner-before", h.before.owner


def of_closed(h: Happened) -> Wanted:
    """Of a death everybody at work hears by the report itself."""
    if h.event.reason != DIED or not any(isinstance(e, DeathReported) for e, *_ in h.draft.happened):
        yield "owner", h.case.owner


def in_crisis(h: Happened) -> Wanted:
    """Those whom the programme names, and who has a duty in the case: she may be with the person now."""
    yield from itself(h)
    yield from (("assignee", t.assignee) for t in h.case.open_tasks if t.urgent and t.assignee is not None)


def was_offered(h: Happened) -> Wanted:
    """To whom the case was offered, where whoever offered it has taken that back."""
    transfer = h.before.transfer if h.before is not None else None
    if transfer is not None and transfer.to is not None and h.event.by == transfer.by:
        yield "offered-to", transfer.to


def offered(h: Happened) -> Wanted:
    if h.event.transfer.to is not None:
        yield "offered-to", h.event.transfer.to


def asked_for_transfer(h: Happened) -> Wanted:
    if h.before is not None and h.before.transfer is not None:
        yield "requester", h.before.transfer.by


def flagged(h: Happened) -> Wanted:
    found = [f for f in h.before.flags if f.id == h.event.flag_id] if h.before else []
    yield from (("requester", f.raised_by) for f in found)


def responsible(h: Happened) -> Wanted:
    """Who answers for a promise, where somebody else or time itself has touched it."""
    if (clock := clock_of(h)) is not None:
        yield "owner", h.case.responsible_for(clock)


def resumed(h: Happened) -> Wanted:
    clock = clock_of(h)
    if h.by_itself and clock is not None and clock.kind is not ClockKind.TASK:
        yield "owner", h.case.responsible_for(clock)


def paused(h: Happened) -> Wanted:
    """The leads hear that somebody at high risk is contacted less."""
    clock, risk = clock_of(h), h.case.risk
    of_high_risk = risk is not None and risk.tier is Tier.HIGH
    if h.event.until is not None and clock is not None and clock.kind is ClockKind.CONTACT and of_high_risk:
        yield "lead", None


def clock_of(h: Happened) -> Clock | None:
    return h.case.clock(h.event.clock_id)


def everybody_at_work(h: Happened) -> Wanted:
    yield "owner", h.case.owner
    yield from (("assignee", t.assignee) for t in h.case.open_tasks if t.assignee is not None)


def itself(h: Happened) -> Wanted:
    """Those whom the event names, found anew: where one of them is away, whoever stands in."""
    told = h.event.told if isinstance(h.event.told, tuple) else (h.event.told,)
    yield from (("named", person) for person in told if person is not None)
    if not any(told):
        yield "lead", None
