"""Holds: a task waits for somebody outside and returns by itself, or waits for the person's consent."""

from typing import Any, ClassVar

from domain.case.case import MOST_OPEN_TASKS, Case, Task, TaskStatus
from domain.case.command import Command, Draft
from domain.case.event import Notice
from domain.clocks.clock import Clock, WaitsFor
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import check_pause, is_duty, pause_clock, resume_clock, stop_clock
from domain.steps.tasks import OfTask, WrongTaskState, add_task, require_consent_to
from domain.values import Instant, Opaque, Rejected, Slug, Text

NO_CONSENT_YET, NO_CONSENT = "no consent yet", "no consent"


class DutyNotHeld(Rejected):
    """The task is set by law, or a person's safety hangs on it: it is not put on hold."""


class TaskHeld(OfTask):
    kind: ClassVar[str] = "task-held"

    reason: Text
    until: Instant | None = None

    def onto(self, task: Task) -> Task:
        return task.changed(status=TaskStatus.ON_HOLD, resumes_as=task.status)


class TaskResumed(OfTask):
    """The task goes on. `told` is who does it, where its hold has run out by itself."""

    kind: ClassVar[str] = "task-resumed"

    told: Opaque | None = None

    def notices(self, case: Case) -> tuple[Notice, ...]:
        if self.told is None:
            return ()
        key = f"task-returned-{self.task_id}-{case.seq}"
        return (Notice(key=key, recipient=self.told, subject="task-returned", about=self.task_id),)

    def onto(self, task: Task) -> Task:
        return task.changed(status=task.resumes_as)


def hold_for_consent(draft: Draft, reason: str) -> None:
    """Put every open task on hold but for duties; a deadline that has passed already goes on being missed."""
    for task in draft.case.open_tasks:
        if is_duty(draft.case, draft.open_clock(task.clock_id)):
            continue
        if task.status is not TaskStatus.ON_HOLD:
            draft.happen(TaskHeld(task_id=task.id, reason=reason))
        clock = draft.open_clock(task.clock_id)
        if clock.missed_at is None and not _held(clock):  # a hold until a day ends then, and consent is asked for
            stop_clock(draft, clock, reason, WaitsFor.CONSENT)


def waits_for_consent(clock: Clock) -> bool:
    """Whether a promise stands still until the person agrees."""
    return clock.pause is not None and clock.pause.open_end is WaitsFor.CONSENT


def add_waiting(draft: Draft, type_name: str, about: str) -> None:
    """Add a task that follows from something that happened; without consent to tasks it waits for it, visibly.

    In a case that is full there is none: otherwise what happened could not be recorded.
    """
    if type_name not in draft.program.tasks or len(draft.case.open_tasks) >= MOST_OPEN_TASKS:
        return
    task = draft.open_task(add_task(draft, type_name, about=about))
    clock = draft.open_clock(task.clock_id)
    consents = draft.case.consents_to(NeedsConsent.TASKS, draft.program.consent.covers)
    if not consents and not is_duty(draft.case, clock):
        draft.happen(TaskHeld(task_id=task.id, reason=NO_CONSENT_YET))
        stop_clock(draft, clock, NO_CONSENT_YET, WaitsFor.CONSENT)


def resume_after_consent(draft: Draft) -> None:
    """Resume the tasks whose clocks are running again, or were never stopped, after a withdrawal."""
    for task in draft.case.open_tasks:
        clock = draft.case.clock(task.clock_id)
        if task.status is TaskStatus.ON_HOLD and clock is not None and not _held(clock):
            draft.happen(TaskResumed(task_id=task.id))


def _held(clock: Clock) -> bool:
    """Whether a clock is held for consent, or until a day; one that rests for another cause holds no task."""
    return waits_for_consent(clock) or (clock.pause is not None and clock.pause.until is not None)


def resume_returned(draft: Draft, clock_id: str) -> None:
    """A task whose hold has run out comes back by itself, or waits on for the person's consent."""
    consents = draft.case.consents_to(NeedsConsent.TASKS, draft.program.consent.covers)
    for task in draft.case.open_tasks:
        if task.clock_id != clock_id or task.status is not TaskStatus.ON_HOLD:
            continue
        if not consents:
            stop_clock(draft, draft.open_clock(clock_id), NO_CONSENT, WaitsFor.CONSENT)
        else:
            draft.happen(TaskResumed(task_id=task.id, told=task.assignee or draft.case.owner))


class HoldTask(Command):
    """Put a task on hold until a day; it returns by itself. A deadline that has passed stays missed."""

    kind: ClassVar[str] = "hold-task"
    says: ClassVar[str] = "Put a task on hold"
    example: ClassVar[dict[str, Any]] = {
        "task_id": "t7",
        "reason": "Waiting for the pharmacy",
        "until": "2030-06-30T17:00:00Z",
    }

    task_id: Slug
    reason: Text
    until: Instant

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        clock = draft.open_clock(task.clock_id)
        if is_duty(draft.case, clock):
            draft.refuse(DutyNotHeld, f"{task.title}: it is done, or given to somebody who can do it at once")
        if task.status is TaskStatus.ON_HOLD:
            draft.refuse(WrongTaskState, f"task {task.id} is on hold already")
        if clock.pause is not None and clock.pause.open_end:
            draft.refuse(WrongTaskState, f"task {task.id} waits already, for: {clock.pause.open_end}")
        if clock.missed_at is not None:
            draft.refuse(WrongTaskState, f"task {task.id} is overdue; acknowledge {clock.escalation_id}")
        check_pause(draft, self.until)
        draft.happen(TaskHeld(task_id=task.id, reason=self.reason, until=self.until))
        pause_clock(draft, clock, self.until, self.reason)


class ResumeTask(Command):
    """Take a task off hold before its hold ends."""

    kind: ClassVar[str] = "resume-task"
    says: ClassVar[str] = "Resume a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7"}

    task_id: Slug

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        require_consent_to(draft, task)
        if task.status is not TaskStatus.ON_HOLD:
            draft.refuse(WrongTaskState, f"task {task.id} is {task.status}, not on hold")
        draft.happen(TaskResumed(task_id=task.id))
        clock = draft.open_clock(task.clock_id)
        if clock.pause is not None and clock.pause.until is not None:
            resume_clock(draft, clock)
