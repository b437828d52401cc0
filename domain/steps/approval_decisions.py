"""Deciding what somebody else has asked to have approved."""

from typing import Any, ClassVar

from domain.case.command import Command, Draft
from domain.case.open_parts import Approval
from domain.programs.policies import Subject
from domain.promises.deadlines import keep_clock
from domain.steps.approvals import (
    APPROVERS,
    AlreadyGranted,
    ApprovalGranted,
    ApprovalRejected,
    ApprovalUsed,
    NotAnApprover,
    NotYourOwn,
)
from domain.steps.planning import approve_proposal
from domain.values import Slug, Text


class DecideApproval(Command):
    """Approve or reject, with a comment. A plan is in force from its approval on, and not before."""

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
            if approval.subject is Subject.PLAN:
                draft.happen(ApprovalUsed(approval_id=approval.id))
                if draft.case.proposed is not None:
                    approve_proposal(draft, draft.case.proposed)
            return
        draft.happen(ApprovalRejected(**said, comment=self.comment))

    def _may_decide(self, draft: Draft, approval: Approval) -> None:
        policy = draft.program.approvals.get(approval.subject)
        roles = policy.by if policy else APPROVERS
        if draft.actor.role not in roles:
            draft.refuse(NotAnApprover, f"this is for: {', '.join(roles)}")
        if approval.granted_by is not None:
            draft.refuse(AlreadyGranted, f"{approval.id} is granted")
        if draft.actor.subject in (approval.requested_by, draft.case.owner):
            draft.refuse(NotYourOwn, "have somebody else decide it")
