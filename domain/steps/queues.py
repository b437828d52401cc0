"""Group queues and co-signatures: taking a task, giving it back, and signing for somebody else's work."""

from typing import Any, ClassVar

from domain.case.case import TaskStatus
from domain.case.command import Command, Draft, ExcludedFromCase
from domain.steps.task_completion import finish
from domain.steps.tasks import (
    LicenceMissing,
    TaskClaimed,
    TaskCosigned,
    TaskReleased,
    WrongTaskState,
    check_may_do,
    licences_of_sender,
    require_consent_to,
)
from domain.values import Rejected, Slug, Text


class AlreadyClaimed(Rejected):
    """Somebody else has the task; ask for it to be released or assigned."""


class NotYours(Rejected):
    """Only who has the task, or a lead, gives it back."""


class OwnWork(Rejected):
    """Nobody co-signs what he did himself."""


class ClaimTask(Command):
    """Take an unassigned task, from a queue or the case. The first one has it."""

    kind: ClassVar[str] = "claim-task"
    says: ClassVar[str] = "Claim a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7"}

    task_id: Slug

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        if task.assignee is not None:
            draft.refuse(AlreadyClaimed, f"task {task.id} is taken")
        if draft.actor.subject in draft.case.excluded:
            draft.refuse(ExcludedFromCase, "you are kept from this case")
        policy = draft.program.tasks.get(task.type)
        if policy is not None and policy.licences:
            check_may_do(draft, task.changed(after=()))
        draft.happen(TaskClaimed(task_id=task.id, assignee=draft.actor.subject))


class ReleaseTask(Command):
    """Give a task back to its queue, with the reason. Its clock runs on."""

    kind: ClassVar[str] = "release-task"
    says: ClassVar[str] = "Release a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7", "reason": "Away from tomorrow"}

    task_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        if task.assignee is None:
            draft.refuse(WrongTaskState, f"task {task.id} is nobody's")
        if task.assignee != draft.actor.subject and draft.actor.role == "case-manager":
            draft.refuse(NotYours, f"task {task.id} is somebody else's")
        draft.happen(TaskReleased(task_id=task.id, reason=self.reason))


class CosignTask(Command):
    """Sign for work that somebody without the licence has done. This completes the task."""

    kind: ClassVar[str] = "cosign-task"
    says: ClassVar[str] = "Co-sign a task"
    example: ClassVar[dict[str, Any]] = {"task_id": "t7"}

    task_id: Slug
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        task = draft.open_task(self.task_id)
        require_consent_to(draft, task)
        if task.status is not TaskStatus.AWAITING_COSIGN or task.done_by is None:
            draft.refuse(WrongTaskState, f"task {task.id} is {task.status}; it waits for no signature")
        if task.done_by == draft.actor.subject:
            draft.refuse(OwnWork, "have somebody else with the licence sign")
        policy = draft.program.tasks.get(task.type)
        if policy is not None and policy.cosign and policy.cosign not in licences_of_sender(draft):
            draft.refuse(LicenceMissing, f"a licence is needed: {policy.cosign}")
        draft.happen(TaskCosigned(task_id=task.id, by=draft.actor.subject, done_by=task.done_by))
        finish(draft, draft.open_task(task.id), self.note)
