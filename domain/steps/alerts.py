"""Alerts: what an instrument or a measurement finds that must not wait for a total or for the next visit."""

from datetime import datetime
from typing import ClassVar

from domain.case.case import Case, Task
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.clocks.clock import ClockKind, ClockPolicy, Rank
from domain.programs.policies import AlertPolicy, Subject, Tier
from domain.promises.deadlines import Promise, keep_clock, start_clock
from domain.steps.approvals import withdraw
from domain.steps.risk_tier import ask_for_safety_plan, higher, keep_above_floor
from domain.steps.tasks import OfTask, add_where_possible
from domain.values import Line, Opaque, Sensitivity, Slug

MOST_ALERTS = 20
# An alert that a programme says nothing about is told to the case manager and the supervisor, never to nobody.
UNFORESEEN = AlertPolicy(tell=(Rank.OWNER, Rank.SUPERVISOR))


class AlertRaised(Event):
    """Something was found that somebody has to look at now. `told` are the people who were told.

    While it stands the person's tier is not below `floor`. `sensitivity` is the label of what found it, where that
    is stricter than its section's.
    """

    kind: ClassVar[str] = "alert-raised"

    alert: Slug
    found_by: Line
    told: tuple[Opaque, ...] = ()
    floor: Tier | None = None
    sensitivity: Sensitivity | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(floor=higher(self.floor, case.floor)) if self.floor else case

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"alert-{self.alert}-{case.seq}"
        return tuple(
            Notice(key=key, recipient=person, subject="alert", about=self.alert, urgent=True)
            for person in self.told
        )


class TaskAlerted(OfTask):
    """The same danger was found again while its task is open."""

    kind: ClassVar[str] = "task-alerted"

    alert: Slug
    found_by: Line

    def onto(self, task: Task) -> Task:
        return task.changed(alerts=(*task.alerts, f"{self.alert}: {self.found_by}"[:200])[-MOST_ALERTS:])


def raise_alert(draft: Draft, alert: str, found_by: str, label: Sensitivity | None = None) -> None:
    """Raise an alert and do what the programme says of it: tell people, open its task, see to the safety plan.

    Where its task is open already the alert is written on it, and whoever has it is told again. A case without
    consent to tasks, or one that is full, still raises the alert and tells the people.
    """
    policy = draft.program.alerts.get(alert, UNFORESEEN)
    asked = [task for task in draft.case.open_tasks if task.type == policy.task]
    told = (*draft.people(policy.tell), *(task.assignee for task in asked if task.assignee))
    said = {"alert": alert, "found_by": found_by, "told": tuple(dict.fromkeys(told)), "floor": policy.floor}
    draft.happen(AlertRaised(**said, sensitivity=label))
    for task in asked:
        draft.happen(TaskAlerted(task_id=task.id, alert=alert, found_by=found_by))
    if policy.floor is not None:
        withdraw(draft, Subject.TIER_OVERRIDE)  # it was given before this was known
    see_to_alert(draft, alert)
    keep_above_floor(draft, f"alert: {alert}")


def see_to_alert(draft: Draft, alert: str) -> None:
    """See that what an alert asks for is there: its task, and the safety plan."""
    policy = draft.program.alerts.get(alert, UNFORESEEN)
    if policy.task and not any(task.type == policy.task for task in draft.case.open_tasks):
        add_where_possible(draft, policy.task)
    if policy.safety_plan:
        ask_for_safety_plan(draft, draft.now)


def repeat_measure(draft: Draft, about: str, title: str, policy: ClockPolicy | None, at: datetime) -> None:
    """Keep the promise to measure something again, and make the next one; an older measurement changes nothing."""
    promised = [c for c in draft.case.running if c.kind is ClockKind.INSTRUMENT and c.about == about]
    if any(at < clock.anchor for clock in promised):
        return
    for clock in promised:
        keep_clock(draft, clock, at)
    if policy is not None:
        start_clock(draft, Promise(kind=ClockKind.INSTRUMENT, title=title, about=about), policy, at)
