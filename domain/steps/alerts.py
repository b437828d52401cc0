"""Alerts: what an instrument or a measurement finds that must not wait for a total or for the next visit."""

from datetime import datetime
from typing import ClassVar

from domain.case.case import Case
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.clocks.clock import ClockKind, ClockPolicy, Rank
from domain.programs.policies import AlertPolicy
from domain.promises.deadlines import Promise, keep_clock, start_clock
from domain.steps.tasks import add_where_possible
from domain.values import Line, Opaque, Slug

# An alert that a programme says nothing about is told to the case manager and the supervisor, never to nobody.
UNFORESEEN = AlertPolicy(tell=(Rank.OWNER, Rank.SUPERVISOR))


class AlertRaised(Event):
    """Something was found that somebody has to look at now. `told` are the people who were told."""

    kind: ClassVar[str] = "alert-raised"

    alert: Slug
    found_by: Line
    told: tuple[Opaque, ...] = ()

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"alert-{self.alert}-{case.seq}"
        return tuple(
            Notice(key=key, recipient=person, subject="alert", about=self.alert, urgent=True)
            for person in self.told
        )


def raise_alert(draft: Draft, alert: str, found_by: str) -> None:
    """Raise an alert and do what the programme says of it: tell people, open its task, see to the safety plan.

    A case without consent to tasks, or one that is full, still raises the alert and tells the people.
    """
    policy = draft.program.alerts.get(alert, UNFORESEEN)
    draft.happen(AlertRaised(alert=alert, found_by=found_by, told=draft.people(policy.tell)))
    if policy.task and not any(task.type == policy.task for task in draft.case.open_tasks):
        add_where_possible(draft, policy.task)
    if policy.safety_plan:
        ask_for_safety_plan(draft, draft.now)


def ask_for_safety_plan(draft: Draft, anchor: datetime) -> None:
    """Promise to go through the safety plan with the person, unless that is promised already."""
    asked = any(c.kind is ClockKind.SAFETY_PLAN for c in draft.case.running)
    if draft.program.crisis is not None and not asked:
        title = "Review the safety plan" if draft.case.safety_plan else "Write a safety plan"
        start_clock(
            draft, Promise(kind=ClockKind.SAFETY_PLAN, title=title), draft.program.crisis.safety_plan, anchor
        )


def repeat_measure(draft: Draft, about: str, title: str, policy: ClockPolicy | None, at: datetime) -> None:
    """Keep the promise to measure something again, and make the next one; an older measurement changes nothing."""
    promised = [c for c in draft.case.running if c.kind is ClockKind.INSTRUMENT and c.about == about]
    if any(at < clock.anchor for clock in promised):
        return
    for clock in promised:
        keep_clock(draft, clock, at)
    if policy is not None:
        start_clock(draft, Promise(kind=ClockKind.INSTRUMENT, title=title, about=about), policy, at)
