"""The interventions of a plan: what becomes a task, what goes on in a new version, and what came of each."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import happened_at, until_day_or_tomorrow
from domain.case.event import Event
from domain.case.plan_parts import Intervention, InterventionStatus, Plan
from domain.clocks.clock import ClockKind
from domain.programs.policies import PlanPolicy
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, is_duty, keep_clock, start_clock
from domain.steps.tasks import TaskCancelled, add_task
from domain.values import Instant, Invalid, Line, Rejected, Slug, Text

NO_LONGER = "no longer in the plan"


class UnknownIntervention(Invalid):
    """The plan has no intervention of this id; the refusal lists those it has."""


class DoneByItsTask(Rejected):
    """The intervention has an open task: complete or cancel that."""


class InterventionProgressed(Event):
    """How an intervention goes, or what came of it."""

    kind: ClassVar[str] = "intervention-progressed"

    intervention: Slug
    status: InterventionStatus
    title: Line | None = None
    note: Text | None = None
    done_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        part = case.plan.part("interventions", self.intervention) if case.plan else None
        if case.plan is None or part is None:
            return case
        return case.changed(plan=case.plan.with_part("interventions", part.changed(status=self.status)))


def carry_out(draft: Draft, plan: Plan, before: Plan | None) -> None:
    """Turn the interventions into tasks. One that was in the plan before goes on with the task that it has.

    The tasks of what is not in the plan any more are given up, but for duties.
    """
    give_up(draft, plan)
    tasks: dict[str | None, str] = {t.intervention: t.id for t in draft.case.open_tasks if t.intervention}
    for one in plan.interventions:
        if one.task is None or one.id in tasks or one.status.over:
            continue
        tasks[one.id] = add_task(
            draft,
            one.task,
            one.title,
            assignee=one.responsible,
            within=until_day_or_tomorrow(draft, one.due_on) if one.due_on else None,
            from_plan=plan.version,
            after=tuple(tasks[name] for name in one.after if name in tasks),
            repeat=one.repeat,
            intervention=one.id,
        )


def give_up(draft: Draft, plan: Plan) -> None:
    """Give up the tasks of interventions that the plan does not have any more."""
    kept = {one.id for one in plan.interventions}
    for task in draft.case.open_tasks:
        if task.intervention is not None and task.intervention not in kept:
            clock = draft.open_clock(task.clock_id)
            if not is_duty(draft.case, clock):
                cancel_clock(draft, clock, NO_LONGER)
                draft.happen(TaskCancelled(task_id=task.id, reason=NO_LONGER))


def promise_days(draft: Draft, plan: Plan, policy: PlanPolicy) -> None:
    """What has a day and no task of ours is asked about on that day."""
    for one in plan.interventions:
        if one.task is None and one.due_on is not None and not one.status.over:
            title = f"Ask about: {one.title}"[:200]
            promise = Promise(kind=ClockKind.REVIEW, title=title, about=about(plan, one))
            start_clock(draft, promise, policy.review, draft.now, until_day_or_tomorrow(draft, one.due_on))


def about(plan: Plan, one: Intervention) -> str:
    return f"plan/{plan.version}/{one.id}"


class RecordIntervention(Command):
    """Say how an intervention goes, or what came of it: learnt, done or obtained; in part; not; not wanted."""

    kind: ClassVar[str] = "record-intervention"
    says: ClassVar[str] = "Record what came of an intervention"
    example: ClassVar[dict[str, Any]] = {
        "intervention": "i1",
        "status": "partly",
        "note": "Names two of three warning signs by herself",
    }

    intervention: Slug
    status: InterventionStatus
    note: Text | None = None
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")

    def decide(self, draft: Draft) -> None:
        plan = draft.case.plan
        draft.require_consent(NeedsConsent.PLANNING)
        one = plan.part("interventions", self.intervention) if plan is not None else None
        if plan is None or one is None:
            ids = [i.id for i in plan.interventions if i.id] if plan else []
            draft.refuse(UnknownIntervention, f"the plan has: {', '.join(ids) or 'none'}")
        if self.status.over and any(t.intervention == one.id for t in draft.case.open_tasks):
            draft.refuse(DoneByItsTask, "complete or cancel its task; what came of it can be said afterwards")
        done_at = happened_at(draft, self.occurred_at)
        title = one.title or draft.program.tasks[one.task].title
        draft.happen(
            InterventionProgressed(
                intervention=one.id, status=self.status, title=title, note=self.note, done_at=done_at
            )
        )
        for clock in draft.case.running:
            if self.status.over and clock.kind is ClockKind.REVIEW and clock.about == about(plan, one):
                keep_clock(draft, clock, done_at)
