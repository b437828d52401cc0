"""Tasks: the work that an intervention, or the day, asks for. Every task is a promise and has its clock."""

import math
from datetime import datetime
from typing import ClassVar

from domain.budget import Budget, Unit
from domain.case import MOST_OPEN_TASKS, Case, Task, TaskStatus
from domain.clock import ClockKind
from domain.command import Command, Draft, require_staff
from domain.deadlines import (
    Promise,
    cancel_clock,
    check_pause,
    keep_clock,
    pause_clock,
    resume_clock,
    start_clock,
    stop_clock,
)
from domain.event import Event, Notice
from domain.program import NeedsConsent
from domain.stages import ACTIVE, leave_implementation_when_done
from domain.values import Instant, Invalid, Line, Opaque, Rejected, Slug, Text


class UnknownTaskType(Invalid):
    """The programme has no task of this type; the refusal lists those it has."""


class TooManyTasks(Rejected):
    """The case holds as many open tasks as a case may."""


class WrongTaskState(Rejected):
    """The task's state does not allow this."""


class DueInThePast(Invalid):
    """A task is due after now."""


class TaskAdded(Event):
    task: Task

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(tasks=(*case.tasks, self.task), numbered=case.numbered + 1)


class _OfTask(Event):
    task_id: Slug

    def apply(self, case: Case, at: datetime) -> Case:
        task = case.task(self.task_id)
        return case.with_task(self.onto(task)) if task else case

    def onto(self, task: Task) -> Task:
        raise NotImplementedError


class TaskAssigned(_OfTask):
    assignee: Opaque

    def onto(self, task: Task) -> Task:
        return task.changed(assignee=self.assignee)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"{self.task_id}-{case.seq}"
        return (Notice(key=key, recipient=self.assignee, subject="task-assigned", about=self.task_id),)


class TaskStarted(_OfTask):
    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.IN_PROGRESS)


class TaskCompleted(_OfTask):
    result: Text | None = None

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.COMPLETED)


class TaskCancelled(_OfTask):
    reason: Text

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.CANCELLED)


class TaskHeld(_OfTask):
    reason: Text
    until: Instant | None = None

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.ON_HOLD, resumes_as=task.status)


class TaskResumed(_OfTask):
    def onto(self, task: Task) -> Task:
        return task.changed(status=task.resumes_as)


def add_task(
    draft: Draft,
    type_name: str,
    title: str | None = None,
    assignee: str | None = None,
    within: Budget | None = None,
    from_plan: int | None = None,
) -> str:
    """Add a task of the programme with its clock; return its id. Raises `UnknownTaskType`, `TooManyTasks`."""
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
        clock_id=clock_id,
    )
    draft.happen(TaskAdded(task=task))
    promise = Promise(kind=ClockKind.TASK, title=title, about=task_id)
    start_clock(draft, promise, policy.clock, draft.now, within)
    draft.created.append(task_id)
    return task_id


def hold_for_consent(draft: Draft, reason: str) -> None:
    """Put every open task on hold; a deadline that has passed already goes on being missed."""
    for task in draft.case.open_tasks:
        if task.status is not TaskStatus.ON_HOLD:
            draft.happen(TaskHeld(task_id=task.id, reason=reason))
        clock = draft.open_clock(task.clock_id)
        if clock.missed_at is None:
            stop_clock(draft, clock, reason)


def resume_after_consent(draft: Draft) -> None:
    """Resume the tasks whose clocks are running again, or were never stopped, after a withdrawal."""
    for task in draft.case.open_tasks:
        clock = draft.case.clock(task.clock_id)
        if task.status is TaskStatus.ON_HOLD and clock is not None and clock.pause is None:
            draft.happen(TaskResumed(task_id=task.id))


def resume_returned(draft: Draft, clock_id: str) -> None:
    """A task whose hold has run out comes back by itself."""
    for task in draft.case.open_tasks:
        if task.clock_id == clock_id and task.status is TaskStatus.ON_HOLD:
            draft.happen(TaskResumed(task_id=task.id))


class AddTask(Command):
    """Add a task of one of the programme's types. Without `due_at` the programme's time applies."""

    kind: ClassVar[str] = "add-task"
    says: ClassVar[str] = "Add a task"
    needs_staff: ClassVar[bool] = True

    task: Slug
    title: Line | None = None
    assignee: Opaque | None = None
    due_at: Instant | None = None

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.TASKS)
        if self.assignee is not None:
            require_staff(draft, self.assignee)
        within = None
        if self.due_at is not None:
            if self.due_at <= draft.now:
                draft.refuse(DueInThePast, "give a time after now")
            seconds = math.ceil((self.due_at - draft.now).total_seconds())
            within = _seconds(draft, seconds)
        add_task(draft, self.task, self.title, self.assignee, within)


def _seconds(draft: Draft, seconds: int) -> Budget:
    longest = 10 * 365 * 24 * 3600
    if seconds > longest:
        draft.refuse(DueInThePast, "give a time within ten years")
    return Budget(amount=seconds, unit=Unit.SECONDS)


class AssignTask(Command):
    """Give a task to somebody. The clock runs on: a promise is not renewed by changing hands."""

    kind: ClassVar[str] = "assign-task"
    says: ClassVar[str] = "Assign a task"
    needs_staff: ClassVar[bool] = True

    task_id: Slug
    assignee: Opaque

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        require_staff(draft, self.assignee)
        draft.happen(TaskAssigned(task_id=task.id, assignee=self.assignee))


class StartTask(Command):
    """Say that work on a task has begun."""

    kind: ClassVar[str] = "start-task"
    says: ClassVar[str] = "Start a task"

    task_id: Slug

    def decide(self, draft: Draft) -> None:
        draft.require_consent(NeedsConsent.TASKS)
        task = draft.open_task(self.task_id)
        if task.status is not TaskStatus.READY:
            draft.refuse(WrongTaskState, f"task {task.id} is {task.status}; only a ready task is started")
        draft.happen(TaskStarted(task_id=task.id))


class CompleteTask(Command):
    """Complete a task. After its deadline it is completed late, and recorded so."""

    kind: ClassVar[str] = "complete-task"
    says: ClassVar[str] = "Complete a task"

    task_id: Slug
    result: Text | None = None

    def decide(self, draft: Draft) -> None:
        draft.require_consent(NeedsConsent.TASKS)
        task = draft.open_task(self.task_id)
        if task.status is TaskStatus.ON_HOLD:
            draft.refuse(WrongTaskState, f"task {task.id} is on hold; resume it first")
        keep_clock(draft, draft.open_clock(task.clock_id), draft.now)  # while it is the assignee's
        draft.happen(TaskCompleted(task_id=task.id, result=self.result))
        leave_implementation_when_done(draft)


class CancelTask(Command):
    """Give a task up, with the reason."""

    kind: ClassVar[str] = "cancel-task"
    says: ClassVar[str] = "Cancel a task"

    task_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        cancel_clock(draft, draft.open_clock(task.clock_id), "task cancelled")
        draft.happen(TaskCancelled(task_id=task.id, reason=self.reason))
        leave_implementation_when_done(draft)


class HoldTask(Command):
    """Put a task on hold until a day; it returns by itself. A deadline that has passed stays missed."""

    kind: ClassVar[str] = "hold-task"
    says: ClassVar[str] = "Put a task on hold"

    task_id: Slug
    reason: Text
    until: Instant

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        clock = draft.open_clock(task.clock_id)
        if task.status is TaskStatus.ON_HOLD:
            draft.refuse(WrongTaskState, f"task {task.id} is on hold already")
        if clock.missed_at is not None:
            draft.refuse(WrongTaskState, f"task {task.id} is overdue; acknowledge {clock.escalation_id}")
        check_pause(draft, self.until)
        draft.happen(TaskHeld(task_id=task.id, reason=self.reason, until=self.until))
        pause_clock(draft, clock, self.until, self.reason)


class ResumeTask(Command):
    """Take a task off hold before its hold ends."""

    kind: ClassVar[str] = "resume-task"
    says: ClassVar[str] = "Resume a task"

    task_id: Slug

    def decide(self, draft: Draft) -> None:
        draft.require_consent(NeedsConsent.TASKS)
        task = draft.open_task(self.task_id)
        if task.status is not TaskStatus.ON_HOLD:
            draft.refuse(WrongTaskState, f"task {task.id} is {task.status}, not on hold")
        draft.happen(TaskResumed(task_id=task.id))
        clock = draft.open_clock(task.clock_id)
        if clock.pause is not None:
            resume_clock(draft, clock)
