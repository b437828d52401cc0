"""What people do with a task: add it, give it to somebody, start it, complete it, cancel it."""

import math
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import TaskStatus
from domain.case.command import LEADS, Command, Draft, require_staff
from domain.case.dates import happened_at
from domain.case.open_parts import Series
from domain.clocks.budget import Budget, Unit
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import cancel_clock, is_duty
from domain.steps.stages import ACTIVE, leave_implementation_when_done
from domain.steps.task_completion import finish, let_followers_run, series_of
from domain.steps.tasks import (
    DueInThePast,
    NotRepeated,
    SeriesSet,
    TaskAssigned,
    TaskAwaitsCosign,
    TaskCancelled,
    TaskStarted,
    WrongTaskState,
    add_task,
    check_may_do,
    cosigners,
    must_be_cosigned,
    require_consent_to,
    require_licence_of,
)
from domain.values import Day, Instant, Line, Opaque, Rejected, Slug, Text


class DutyNotCancelled(Rejected):
    """The task is set by law, or a person's safety hangs on it: only a lead gives it up."""


class AddTask(Command):
    """Add a task of one of the programme's types. Without `due_at` the programme's time applies."""

    kind: ClassVar[str] = "add-task"
    says: ClassVar[str] = "Add a task"
    example: ClassVar[dict[str, Any]] = {"task": "follow-up-call", "due_at": "2030-06-30T17:00:00-04:00"}

    task: Slug
    title: Line | None = None
    assignee: Opaque | None = None
    due_at: Instant | None = None
    after: tuple[Slug, ...] = Field(default=(), max_length=20)
    repeat: Budget | None = None
    times: int | None = Field(default=None, ge=2, le=1000, description="How many there are in all, with `repeat`")
    until: Day | None = Field(default=None, description="The last day on which one is due, with `repeat`")

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        policy = draft.program.tasks.get(self.task)
        if policy is None or not policy.duty:
            draft.require_consent(NeedsConsent.TASKS)
        for before in self.after:
            draft.open_task(before)
        if self.repeat is not None and self.repeat.amount == 0:
            draft.refuse(DueInThePast, "repeat a task after at least one unit of time")
        if self.until is not None and self.until < draft.today:
            draft.refuse(DueInThePast, "give a last day that is not over")
        if self.repeat is None and (self.times or self.until) and (policy is None or policy.repeat is None):
            draft.refuse(NotRepeated, "give `repeat`, or a task that the programme repeats")
        if self.assignee is not None:
            require_staff(draft, self.assignee)
            require_licence_of(draft, self.task, self.assignee)
        within = None
        if self.due_at is not None:
            if self.due_at <= draft.now:
                draft.refuse(DueInThePast, "give a time after now")
            seconds = math.ceil((self.due_at - draft.now).total_seconds())
            within = _seconds(draft, seconds)
        repeat = self.repeat or (policy.repeat if policy else None)
        task_id = add_task(draft, self.task, self.title, self.assignee, within, after=self.after, repeat=repeat)
        if repeat is not None and (self.times or self.until):
            draft.happen(SeriesSet(task_id=task_id, series=self._series(draft, task_id, repeat)))

    def _series(self, draft: Draft, task_id: str, repeat: Budget) -> Series:
        clock = draft.open_clock(draft.open_task(task_id).clock_id)
        return series_of(clock, repeat).changed(times=self.times, until=self.until)


def _seconds(draft: Draft, seconds: int) -> Budget:
    longest = 10 * 365 * 24 * 3600
    if seconds > longest:
        draft.refuse(DueInThePast, "give a time within ten years")
    return Budget(amount=seconds, unit=Unit.SECONDS)


class AssignTask(Command):
    """Give a task to somebody. The clock runs on: a promise is not renewed by changing hands."""

    kind: ClassVar[str] = "assign-task"
    says: ClassVar[str] = "Assign a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7", "assignee": "cm-ben"}

    task_id: Slug
    assignee: Opaque

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        require_staff(draft, self.assignee)
        require_licence_of(draft, task.type, self.assignee)
        draft.happen(TaskAssigned(task_id=task.id, assignee=self.assignee))


class StartTask(Command):
    """Say that work on a task has begun."""

    kind: ClassVar[str] = "start-task"
    says: ClassVar[str] = "Start a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7"}

    task_id: Slug

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        require_consent_to(draft, task)
        if task.status is not TaskStatus.READY:
            draft.refuse(WrongTaskState, f"task {task.id} is {task.status}; only a ready task is started")
        check_may_do(draft, task)
        draft.happen(TaskStarted(task_id=task.id))


class CompleteTask(Command):
    """Complete a task. After its deadline it is completed late, and recorded so."""

    kind: ClassVar[str] = "complete-task"
    says: ClassVar[str] = "Complete a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7", "result": "Appointment on Thursday"}

    task_id: Slug
    result: Text | None = None
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")

    def decide(self, draft: Draft) -> None:
        done_at = happened_at(draft, self.occurred_at) if self.occurred_at else None
        task = draft.open_task(self.task_id)
        require_consent_to(draft, task)
        if task.status is TaskStatus.ON_HOLD:
            draft.refuse(WrongTaskState, f"task {task.id} is on hold; resume it first")
        check_may_do(draft, task)
        if must_be_cosigned(draft, task):
            if task.status is TaskStatus.AWAITING_COSIGN:
                draft.refuse(WrongTaskState, f"task {task.id} is done and waits for a signature: cosign-task")
            signs = next(iter(cosigners(draft, task, draft.actor.subject)), None)
            done_by = draft.actor.subject
            draft.happen(TaskAwaitsCosign(task_id=task.id, done_by=done_by, result=self.result, cosigner=signs))
            return
        finish(draft, task, self.result, done_at)


class CancelTask(Command):
    """Give a task up, with the reason. What the law or a person's safety asks for is given up by a lead only."""

    kind: ClassVar[str] = "cancel-task"
    says: ClassVar[str] = "Cancel a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7", "reason": "Done by the clinic"}

    task_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        clock = draft.open_clock(task.clock_id)
        if is_duty(draft.case, clock) and draft.actor.role not in LEADS:
            draft.refuse(DutyNotCancelled, f"{task.title}: ask a lead, or do it; it is set by law or for safety")
        cancel_clock(draft, clock, "task cancelled")
        draft.happen(TaskCancelled(task_id=task.id, reason=self.reason))
        let_followers_run(draft, task.id)
        leave_implementation_when_done(draft)
