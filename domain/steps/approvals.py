"""Approvals: what somebody else has to agree to. Nobody approves his own, and an approval is used once."""

from datetime import datetime
from typing import Any, ClassVar

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event, Notice
from domain.case.open_parts import Approval
from domain.clocks.clock import ClockKind
from domain.programs.policies import ApprovalPolicy, Subject
from domain.programs.program import Stage
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.stages import UNDER_PLAN, set_back
from domain.values import Opaque, Rejected, Role, Slug, Text

# Who decides what was asked for before the programme's file stopped asking for this approval.
APPROVERS = (Role.SUPERVISOR, Role.DIRECTOR)


class ApprovalMissing(Rejected):
    """Somebody else has to approve this first; `missing` names the approval."""


class AlreadyRequested(Rejected):
    """The approval was asked for already, or is granted and waits to be used."""


class NotYourOwn(Rejected):
    """Nobody approves what he asked for himself, nor the closing of his own case."""


class NotAnApprover(Rejected):
    """The programme gives this approval to other roles."""


class AlreadyGranted(Rejected):
    """The approval was granted; it waits to be used."""


class ApprovalRequested(Event):
    kind: ClassVar[str] = "approval-requested"

    approval: Approval
    note: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("approvals", self.approval)


class ApprovalGranted(Event):
    kind: ClassVar[str] = "approval-granted"

    approval_id: Slug
    by: Opaque
    requested_by: Opaque
    comment: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        granted = [a.changed(granted_by=self.by) for a in case.approvals if a.id == self.approval_id]
        return case.put("approvals", granted[0]) if granted else case

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _answer(self.requested_by, "approval-granted", self.approval_id)


class ApprovalRejected(Event):
    kind: ClassVar[str] = "approval-rejected"

    approval_id: Slug
    by: Opaque
    requested_by: Opaque
    comment: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("approvals", self.approval_id)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _answer(self.requested_by, "approval-rejected", self.approval_id)


class ApprovalUsed(Event):
    kind: ClassVar[str] = "approval-used"

    approval_id: Slug

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("approvals", self.approval_id)


def _answer(person: str, subject: str, about: str) -> tuple[Notice, ...]:
    return (Notice(key=f"{subject}-{about}", recipient=person, subject=subject, about=about),)


def granted(case: Case, subject: Subject) -> Approval | None:
    return next((a for a in case.approvals if a.subject is subject and a.granted_by), None)


def require_approval(draft: Draft, subject: Subject) -> None:
    """Use the approval of a subject that needs one. Raises `ApprovalMissing`."""
    if subject not in draft.program.approvals:
        return
    approval = granted(draft.case, subject)
    if approval is None:
        draft.refuse(ApprovalMissing, "send request-approval, and have it approved", [f"approval of {subject}"])
    draft.happen(ApprovalUsed(approval_id=approval.id))


def request(draft: Draft, subject: Subject, policy: ApprovalPolicy, note: str | None) -> None:
    """Ask for an approval; it has a clock of its own."""
    draft.require_room("approvals")
    promise = Promise(kind=ClockKind.APPROVAL, title=f"Approve: {subject.replace('-', ' ')}")
    clock_id = start_clock(draft, promise, policy.clock, draft.now)
    approval = Approval(id=draft.new_id("a"), subject=subject, requested_by=draft.actor.subject, clock_id=clock_id)
    draft.happen(ApprovalRequested(approval=approval, note=note))
    draft.created.append(approval.id)


def withdraw(draft: Draft, subject: Subject) -> None:
    """Drop what was asked or granted for a subject that has changed since."""
    for approval in draft.case.approvals:
        if approval.subject is subject:
            clock = draft.case.clock(approval.clock_id)
            if clock is not None and not clock.settled:
                cancel_clock(draft, clock, "what was to be approved has changed")
            draft.happen(ApprovalUsed(approval_id=approval.id))


class RequestApproval(Command):
    """Ask for an approval that the programme wants."""

    kind: ClassVar[str] = "request-approval"
    says: ClassVar[str] = "Ask for an approval"
    example: ClassVar[dict[str, Any]] = {"subject": "closure", "note": "Goals reached"}

    subject: Subject
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        policy = draft.program.approvals.get(self.subject)
        if policy is None:
            draft.refuse(NotInProgram, f"this programme asks for no approval of {self.subject}")
        if any(a.subject is self.subject for a in draft.case.approvals):
            draft.refuse(AlreadyRequested, f"the approval of {self.subject} waits already")
        request(draft, self.subject, policy, self.note)


class DecideApproval(Command):
    """Approve or reject, with a comment. A rejected plan goes back to planning."""

    kind: ClassVar[str] = "decide-approval"
    says: ClassVar[str] = "Approve or reject"
    example: ClassVar[dict[str, Any]] = {"approval_id": "a9", "approve": True, "comment": "Agreed"}

    approval_id: Slug
    approve: bool
    comment: Text

    def decide(self, draft: Draft) -> None:
        approval: Approval = draft.find("approvals", self.approval_id)
        self._may_decide(draft, approval)
        keep_clock(draft, draft.open_clock(approval.clock_id), draft.now)
        said = {"approval_id": approval.id, "by": draft.actor.subject, "requested_by": approval.requested_by}
        if self.approve:
            draft.happen(ApprovalGranted(**said, comment=self.comment))
            if approval.subject is Subject.PLAN:  # the plan is in force already: nothing waits for the approval
                draft.happen(ApprovalUsed(approval_id=approval.id))
            return
        draft.happen(ApprovalRejected(**said, comment=self.comment))
        if approval.subject is Subject.PLAN and draft.case.stage in UNDER_PLAN:
            set_back(draft, Stage.PLANNING, "the plan was not approved")

    def _may_decide(self, draft: Draft, approval: Approval) -> None:
        policy = draft.program.approvals.get(approval.subject)
        roles = policy.by if policy else APPROVERS
        if draft.actor.role not in roles:
            draft.refuse(NotAnApprover, f"this is for: {', '.join(roles)}")
        if approval.granted_by is not None:
            draft.refuse(AlreadyGranted, f"{approval.id} is granted")
        if draft.actor.subject in (approval.requested_by, draft.case.owner):
            draft.refuse(NotYourOwn, "have somebody else decide it")
