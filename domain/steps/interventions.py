"""The interventions of a plan: what becomes a task, what goes on in a new version, and what came of each."""

from datetime import date, datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case, Task
from domain.case.command import Command, Draft
from domain.case.dates import happened_at, until_day_or_tomorrow
from domain.case.event import Event
from domain.case.plan_parts import Intervention, InterventionStatus, Plan
from domain.clocks.clock import ClockKind, WaitsFor
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, is_duty, keep_clock, start_clock, stop_clock
from domain.steps.task_completion import let_followers_run, run_if_it_waited
from domain.steps.tasks import TaskAssigned, TaskCancelled, TaskReplanned, add_task, waits_for_task
from domain.values import Instant, Invalid, Line, Rejected, Slug, Text

NO_LONGER = "no longer in the plan"
OTHER_WORK = ("task", "due_on", "repeat")  # what makes an intervention of the same id another piece of work
Days = dict[str, tuple[str, date]]


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


def carry_out(draft: Draft, plan: Plan) -> None:
    """Turn the interventions into tasks. One that was in the plan before goes on with the task that it has."""
    open_tasks: dict[str | None, Task] = {t.intervention: t for t in draft.case.open_tasks if t.intervention}
    tasks = {name: task.id for name, task in open_tasks.items()}
    for one in plan.interventions:
        after = tuple(tasks[name] for name in one.after if name in tasks)
        open_task = open_tasks.get(one.id)
        if open_task is not None and open_task.type == one.task:  # a duty stays beside what takes its place
            _go_on(draft, open_task, one, after)
        elif one.task is not None and not one.status.over:
            tasks[one.id] = add_task(
                draft,
                one.task,
                one.title,
                assignee=one.responsible,
                within=until_day_or_tomorrow(draft, one.due_on) if one.due_on else None,
                from_plan=plan.version,
                after=after,
                repeat=one.repeat,
                intervention=one.id,
            )


def _go_on(draft: Draft, task: Task, one: Intervention, after: tuple[str, ...]) -> None:
    """The open task of an intervention has the title, the person and the order that the new version says."""
    title = one.title or draft.program.tasks[task.type].title
    if (title, after) != (task.title, task.after):
        draft.happen(TaskReplanned(task_id=task.id, title=title, after=after))
        clock, waits = draft.open_clock(task.clock_id), waits_for_task(draft, draft.open_task(task.id))
        if waits and clock.pause is None:
            stop_clock(draft, clock, "waits for another task", WaitsFor.TASK)
        if not waits:
            run_if_it_waited(draft, clock)
    if one.responsible is not None and one.responsible != task.assignee:
        draft.happen(TaskAssigned(task_id=task.id, assignee=one.responsible))


def give_up(draft: Draft, plan: Plan, before: Plan | None) -> None:
    """Give up the tasks of what the plan does not have any more, or has as other work; but for duties."""
    for task in draft.case.open_tasks:
        if task.intervention is None or not _ended(task.intervention, plan, before):
            continue
        clock = draft.open_clock(task.clock_id)
        if not is_duty(draft.case, clock):
            cancel_clock(draft, clock, NO_LONGER)
            draft.happen(TaskCancelled(task_id=task.id, reason=NO_LONGER))
            let_followers_run(draft, task.id)


def _ended(name: str, plan: Plan, before: Plan | None) -> bool:
    """Whether an intervention is not in the plan any more, is over, or is other work, or due on another day."""
    one = plan.part("interventions", name)
    was = before.part("interventions", name) if before is not None else None
    if one is None or one.status.over:
        return True
    return was is not None and any(getattr(one, field) != getattr(was, field) for field in OTHER_WORK)


def promise_days(draft: Draft, plan: Plan, before: Plan | None) -> None:
    """Barriers are looked at again, and what the person does without us is asked about, on their days.

    A promise goes on, late or not, while its part and its day are in the plan. One of an earlier text is dropped.
    """
    policy = draft.program.plan
    days = _days(plan) if policy is not None else {}
    known = _days(before) if before is not None else {}
    for clock in draft.case.running:
        if clock.kind is ClockKind.REVIEW and clock.of_plan and _changed(days, known, clock.about):
            cancel_clock(draft, clock, "the plan has changed")
    for about, (title, day) in days.items():
        if policy is not None and _changed(days, known, about):
            promise = Promise(kind=ClockKind.REVIEW, title=title, about=about)
            start_clock(draft, promise, policy.review, draft.now, until_day_or_tomorrow(draft, day))


def _changed(days: Days, known: Days, about: str | None) -> bool:
    """Whether a part has another day than in the plan before, or is in one of them only."""
    was, now = known.get(str(about)), days.get(str(about))
    return was is None or now is None or was[1] != now[1]


def _days(plan: Plan) -> Days:
    """What a promise is about, with its title and its day, for each part that has a day and no task of ours."""
    barriers = {
        f"plan/barrier/{one.id}": (f"Look at barrier {n} again", one.review_on)
        for n, one in enumerate(plan.barriers, 1)
        if one.review_on is not None
    }
    others = {
        about(one): (f"Ask about: {one.title}"[:200], one.due_on)
        for one in plan.interventions
        if one.task is None and one.due_on is not None and not one.status.over
    }
    return {**barriers, **others}


def about(one: Intervention) -> str:
    """What the promise to ask about an intervention is about."""
    return f"plan/intervention/{one.id}"


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
            if self.status.over and clock.kind is ClockKind.REVIEW and clock.about == about(one):
                keep_clock(draft, clock, done_at)
