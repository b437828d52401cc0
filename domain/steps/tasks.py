"""Tasks: the work that an intervention, or the day, asks for. Every task is a promise and has its clock."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from domain.case.case import MOST_OPEN_TASKS, Case, Task, TaskStatus
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.case.open_parts import Series
from domain.case.plan_parts import InterventionStatus
from domain.case.staff import StaffMember
from domain.clocks.budget import Budget
from domain.clocks.clock import ClockKind, Rank, WaitsFor
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import (
    Promise,
    is_duty,
    start_clock,
    stop_clock,
)
from domain.promises.escalation import miss_if_late
from domain.steps.stages import counts_from
from domain.values import Instant, Invalid, Line, Opaque, Rejected, Slug, Text


class UnknownTaskType(Invalid):
    """The programme has no task of this type; the refusal lists those it has."""


class TooManyTasks(Rejected):
    """The case holds as many open tasks as a case may."""


class WrongTaskState(Rejected):
    """The task's state does not allow this."""


class WaitsForTask(Rejected):
    """Another task has to be settled first; `missing` names it."""


class LicenceMissing(Rejected):
    """The programme lets only people with a certain licence do this."""


class StaffUnknown(Rejected):
    """The directory cannot be read, so nobody can tell who may do this."""


class NotRepeated(Invalid):
    """A count or an end is for a task that repeats."""


class DueInThePast(Invalid):
    """A task is due after now."""


class TaskAdded(Event):
    kind: ClassVar[str] = "task-added"

    task: Task

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(tasks=(*case.tasks, self.task), numbered=case.numbered + 1)


class OfTask(Event, abstract=True):
    """Base of what happens to a task that is there."""

    task_id: Slug

    def apply(self, case: Case, at: datetime) -> Case:
        task = case.task(self.task_id)
        return case.with_task(self.onto(task)) if task else case

    def onto(self, task: Task) -> Task:
        raise NotImplementedError


class TaskAssigned(OfTask):
    kind: ClassVar[str] = "task-assigned"

    assignee: Opaque

    def onto(self, task: Task) -> Task:
        return task.changed(assignee=self.assignee)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"{self.task_id}-{case.seq}"
        return (Notice(key=key, recipient=self.assignee, subject="task-assigned", about=self.task_id),)


class TaskReplanned(OfTask):
    """A new version of the plan calls the work otherwise, or has it come after other tasks."""

    kind: ClassVar[str] = "task-replanned"

    title: Line
    after: tuple[Slug, ...]

    def onto(self, task: Task) -> Task:
        return task.changed(title=self.title, after=self.after)


class TaskRouted(OfTask):
    """The task needs a licence that the case manager does not have: it goes to somebody who has it."""

    kind: ClassVar[str] = "task-routed"

    assignee: Opaque

    def onto(self, task: Task) -> Task:
        return task.changed(assignee=self.assignee)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"task-routed-{self.task_id}"
        return (Notice(key=key, recipient=self.assignee, subject="task-routed", about=self.task_id, urgent=True),)


class LicenceLacking(OfTask):
    """Nobody of the team may do the task: the leads are told at once, for its time runs."""

    kind: ClassVar[str] = "licence-lacking"

    licences: tuple[Slug, ...]
    told: tuple[Opaque, ...] = ()

    def onto(self, task: Task) -> Task:
        return task

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return tuple(
            Notice(
                key=f"licence-lacking-{self.task_id}",
                recipient=person,
                subject="licence-lacking",
                about=self.task_id,
                urgent=True,
            )
            for person in self.told
        )


class SeriesSet(OfTask):
    """The repeated task has an end, or a count."""

    kind: ClassVar[str] = "task-series-set"

    series: Series

    def onto(self, task: Task) -> Task:
        return task.changed(series=self.series)


class TaskStarted(OfTask):
    kind: ClassVar[str] = "task-started"

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.IN_PROGRESS)


class TaskClaimed(TaskAssigned):
    """Somebody took a task from its queue, and need not be told of it."""

    kind: ClassVar[str] = "task-claimed"

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return ()


class TaskReleased(OfTask):
    """The task is back in its queue."""

    kind: ClassVar[str] = "task-released"

    reason: Text

    def onto(self, task: Task) -> Task:
        return task.changed(assignee=None)


class TaskAwaitsCosign(OfTask):
    """The work is done; it counts when somebody with the licence has signed as well."""

    kind: ClassVar[str] = "task-awaits-cosign"

    done_by: Opaque
    result: Text | None = None
    cosigner: Opaque | None = None

    def onto(self, task: Task) -> Task:
        status = TaskStatus.AWAITING_COSIGN
        return task.changed(status=status, done_by=self.done_by, cosigner=self.cosigner)


class TaskCosigned(OfTask):
    kind: ClassVar[str] = "task-cosigned"

    by: Opaque
    done_by: Opaque

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.READY)


class TaskCompleted(OfTask):
    """The work was done, at `done_at` where that was told; else when it was written."""

    kind: ClassVar[str] = "task-completed"

    result: Text | None = None
    done_at: Instant | None = None

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.COMPLETED)

    def apply(self, case: Case, at: datetime) -> Case:
        return _of_intervention(case, self.task_id, InterventionStatus.ACHIEVED, super().apply(case, at))


class TaskCancelled(OfTask):
    kind: ClassVar[str] = "task-cancelled"

    reason: Text

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.CANCELLED)

    def apply(self, case: Case, at: datetime) -> Case:
        return _of_intervention(case, self.task_id, InterventionStatus.NOT_ACHIEVED, super().apply(case, at))


def _of_intervention(case: Case, task_id: str, status: InterventionStatus, after: Case) -> Case:
    """The case in which the intervention that a task carried out has come to its end; a repeated one goes on."""
    task = case.task(task_id)
    one = after.plan.part("interventions", task.intervention) if after.plan and task else None
    if task is None or after.plan is None or one is None:
        return after
    status = InterventionStatus.IN_PROGRESS if task.repeat is not None else status
    return after.changed(plan=after.plan.with_part("interventions", one.changed(status=status)))


def add_task(
    draft: Draft,
    type_name: str,
    title: str | None = None,
    assignee: str | None = None,
    within: Budget | None = None,
    from_plan: int | None = None,
    after: tuple[str, ...] = (),
    repeat: Budget | None = None,
    about: str | None = None,
    series: Series | None = None,
    intervention: str | None = None,
) -> str:
    """Add a task of the programme with its clock; return its id. Raises `UnknownTaskType`, `TooManyTasks`.

    `about` is what it was added for, by the sender's id, so that it can be taken back with it. A task of a
    `series` is due by its schedule; `intervention` is the one of the plan that it carries out.
    """
    policy = draft.program.tasks.get(type_name)
    if policy is None:
        draft.refuse(UnknownTaskType, f"choose one of: {', '.join(sorted(draft.program.tasks))}")
    if len(draft.case.open_tasks) >= MOST_OPEN_TASKS:
        draft.refuse(TooManyTasks, f"a case holds at most {MOST_OPEN_TASKS} open tasks; settle some first")
    title = title or policy.title
    task_id, clock_id = f"t{draft.case.numbered + 1}", f"c{draft.case.numbered + 2}"
    task = Task(
        id=task_id,
        type=type_name,
        title=title,
        category=policy.category,
        assignee=assignee,
        from_plan=from_plan,
        intervention=intervention,
        clock_id=clock_id,
        after=after,
        queue=policy.queue,
        repeat=repeat or policy.repeat,
        series=series,
        urgent=policy.urgent,
        about=about,
    )
    draft.happen(TaskAdded(task=task))
    promise = Promise(kind=ClockKind.TASK, title=title, about=task_id)
    anchor = series.anchor if series else counts_from(draft, policy.clock)
    started = start_clock(draft, promise, policy.clock, anchor, within)
    miss_if_late(draft, draft.open_clock(started))
    if after:
        stop_clock(draft, draft.open_clock(clock_id), "waits for another task", WaitsFor.TASK)
    draft.created.append(task_id)
    if policy.licences and assignee is None:
        _find_licensed(draft, draft.open_task(task_id), policy.licences)
    return task_id


def _find_licensed(draft: Draft, task: Task, licences: tuple[str, ...]) -> None:
    """See that a task which needs a licence has somebody who may do it: the case manager, a colleague, or leads.

    One of a queue waits there for whoever has the licence. Nobody is looked for in an outage of the directory.
    """
    staff, case = draft.staff, draft.case
    able = [m for m in staff.members if set(m.licences) & set(licences) and m.available(draft.now)]
    able = [m for m in able if m.subject not in case.excluded and m.team in (None, case.team)]
    if not staff.known or any(m.subject == case.owner for m in able):
        return
    if not able:
        told = draft.people((Rank.SENIOR, Rank.SUPERVISOR))
        draft.happen(LicenceLacking(task_id=task.id, licences=licences, told=told))
    elif task.queue is None:
        draft.happen(TaskRouted(task_id=task.id, assignee=min(able, key=_carries(draft)).subject))


def cosigners(draft: Draft, task: Task, done_by: str) -> tuple[str, ...]:
    """Who of the team may sign for work that somebody without the licence has done."""
    policy = draft.program.tasks.get(task.type)
    licence, case = policy.cosign if policy else None, draft.case
    able = [m for m in draft.staff.members if licence in m.licences and m.available(draft.now)]
    able = [m for m in able if m.subject != done_by and m.team in (None, case.team)]
    return tuple(m.subject for m in sorted(able, key=_carries(draft)))


def _carries(draft: Draft) -> Callable[[StaffMember], tuple[int, str]]:
    """Who has fewer tasks of this case goes first, and one that is always the same among equals."""
    mine = Counter(task.assignee for task in draft.case.open_tasks)
    return lambda member: (mine[member.subject], member.subject)


def add_where_possible(draft: Draft, type_name: str, title: str | None = None, about: str | None = None) -> None:
    """Add a task that follows from something else: an alert, a transition, a template.

    Without consent to tasks there are only duties; in a case that is full there is no task. Nothing is refused:
    otherwise the alert or the transition itself could not be recorded.
    """
    policy = draft.program.tasks.get(type_name)
    duty = policy is not None and policy.duty
    wanted = duty or draft.case.consents_to(NeedsConsent.TASKS, draft.program.consent.covers)
    if wanted and len(draft.case.open_tasks) < MOST_OPEN_TASKS:
        add_task(draft, type_name, title, about=about)


def apply_template(draft: Draft, trigger: str) -> None:
    """Add the tasks that the programme lists for an occasion."""
    for task in draft.program.templates.get(trigger, ()):
        add_where_possible(draft, task)


def require_consent_to(draft: Draft, task: Task) -> None:
    """Raises `ConsentMissing` unless the person consents to tasks, or this one is a duty."""
    if not is_duty(draft.case, draft.open_clock(task.clock_id)):
        draft.require_consent(NeedsConsent.TASKS)


def waits_for_task(draft: Draft, task: Task) -> list[str]:
    """The open tasks that have to be settled before this one."""
    return [t.id for t in draft.case.open_tasks if t.id in task.after]


def check_may_do(draft: Draft, task: Task) -> None:
    """Raises `WaitsForTask` while an earlier task is open, `LicenceMissing` without the type's licence."""
    if before := waits_for_task(draft, task):
        draft.refuse(WaitsForTask, f"task {task.id} waits; settle these first", before)
    policy = draft.program.tasks.get(task.type)
    if policy is not None and policy.licences and not licences_of_sender(draft) & {*policy.licences}:
        draft.refuse(LicenceMissing, f"a licence is needed: {' or '.join(policy.licences)}")


def require_licence_of(draft: Draft, type_name: str, person: str) -> None:
    """Raises `LicenceMissing` where a type of task needs a licence that the person does not have."""
    policy, member = draft.program.tasks.get(type_name), draft.staff.member(person)
    if policy is None or not policy.licences or not draft.staff.known or member is None:
        return
    if not {*member.licences} & {*policy.licences}:
        draft.refuse(
            LicenceMissing, f"a licence is needed: {' or '.join(policy.licences)}; choose somebody who has it"
        )


def licences_of_sender(draft: Draft) -> set[str]:
    """The licences of whoever sends the command. Raises `StaffUnknown`: nobody is licensed by an outage."""
    if not draft.staff.known:
        draft.refuse(StaffUnknown, "the staff directory cannot be read now; try again in a minute")
    member = draft.staff.member(draft.actor.subject)
    return set(member.licences) if member else set()


def must_be_cosigned(draft: Draft, task: Task) -> bool:
    """Whether somebody with a licence has to sign as well, because who did it has none."""
    policy = draft.program.tasks.get(task.type)
    if policy is None or policy.cosign is None:
        return False
    return policy.cosign not in licences_of_sender(draft)
