"""Approvals: what somebody else has to agree to. Nobody approves his own, and an approval is used once."""

from datetime import datetime
from typing import Any, ClassVar

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event, Notice
from domain.case.open_parts import Approval
from domain.clocks.clock import RANK_OF_ROLE, ClockKind
from domain.programs.policies import ApprovalPolicy, Subject, Tier
from domain.programs.program import ClosureNeeds
from domain.promises.deadlines import Promise, cancel_clock, start_clock
from domain.values import Invalid, Opaque, Rejected, Role, Slug, Text

# Who decides what was asked for before the programme's file stopped asking for this approval.
APPROVERS = (Role.SUPERVISOR, Role.DIRECTOR)


class ApprovalMissing(Rejected):
    """Somebody else has to approve this first; `missing` names the approval."""


class NotNamed(Invalid):
    """An approval is asked for something: a tier, a reason of closing."""


class AskedByItself(Invalid):
    """The approval of a plan is asked for when the plan is proposed."""


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
        of_plan = any(a.id == self.approval_id and a.subject is Subject.PLAN for a in case.approvals)
        left = case.less("approvals", self.approval_id)
        return left.changed(proposed=None) if of_plan else left

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


def require_approval(draft: Draft, subject: Subject, of: str) -> None:
    """Use the approval of a subject that needs one, given for exactly this. Raises `ApprovalMissing`."""
    if subject not in draft.program.approvals:
        return
    approval = granted(draft.case, subject)
    if approval is None:
        draft.refuse(ApprovalMissing, "send request-approval, and have it approved", [f"approval of {subject}"])
    if approval.of != of:
        missing = [f"approval of {subject}: {of}"]
        draft.refuse(ApprovalMissing, f"{approval.id} was given for {approval.of}, not for this", missing)
    draft.happen(ApprovalUsed(approval_id=approval.id))


def request(
    draft: Draft, subject: Subject, policy: ApprovalPolicy, note: str | None, of: str | None = None
) -> None:
    """Ask for an approval; it has a clock of its own."""
    draft.require_room("approvals")
    approval_id, what = draft.id_behind_clock("a"), subject.replace("-", " ")
    promise = Promise(kind=ClockKind.APPROVAL, title=f"Approve: {what}", about=f"approval/{approval_id}")
    clock_id = start_clock(draft, promise, policy.clock, draft.now)
    approval = Approval(
        id=approval_id,
        subject=subject,
        of=of,
        requested_by=draft.actor.subject,
        clock_id=clock_id,
        asked=next(iter(approvers(draft, policy)), None),
    )
    draft.happen(ApprovalRequested(approval=approval, note=note))
    draft.created.append(approval.id)


def approvers(draft: Draft, policy: ApprovalPolicy) -> tuple[str, ...]:
    """Who is asked: the available people of the first role that may decide it and has somebody who did not ask."""
    case, kept_out = draft.case, (draft.actor.subject, draft.case.owner)
    for role in policy.by:
        rank = RANK_OF_ROLE.get(role)
        found = draft.staff.find(rank, case.owner, case.team, draft.now) if rank else ()
        if able := tuple(person for person in found if person not in kept_out):
            return able
    return ()


def withdraw(draft: Draft, subject: Subject) -> None:
    """Drop what was asked or granted for a subject that has changed since."""
    for approval in draft.case.approvals:
        if approval.subject is subject:
            clock = draft.case.clock(approval.clock_id)
            if clock is not None and not clock.settled:
                cancel_clock(draft, clock, "what was to be approved has changed")
            draft.happen(ApprovalUsed(approval_id=approval.id))


class RequestApproval(Command):
    """Ask for an approval that the programme wants: of a tier below or above what the factors give, of a closure.

    It is given for the `tier`, the `reason` of closing, the person `to` whom the case goes, and for no other.
    """

    kind: ClassVar[str] = "request-approval"
    says: ClassVar[str] = "Ask for an approval"
    example: ClassVar[dict[str, Any]] = {"subject": "closure", "reason": "goals-met", "note": "Goals reached"}

    subject: Subject
    tier: Tier | None = None
    reason: Slug | None = None
    to: Opaque | None = None
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        policy = draft.program.approvals.get(self.subject)
        if policy is None:
            draft.refuse(NotInProgram, f"this programme asks for no approval of {self.subject}")
        if self.subject is Subject.PLAN:
            draft.refuse(AskedByItself, "a plan asks for its approval by itself when it is proposed")
        named = {Subject.TIER_OVERRIDE: self.tier, Subject.CLOSURE: self.reason, Subject.TRANSFER: self.to}
        if (of := named[self.subject]) is None:
            draft.refuse(NotNamed, "name the `tier`, the `reason` of closing, or `to` whom the case goes")
        if self.subject is Subject.CLOSURE:
            reasons = [r for r, c in draft.program.closure.items() if ClosureNeeds.SIGN_OFF in c.needs]
            if of not in reasons:
                draft.refuse(NotNamed, f"closing is approved for: {', '.join(reasons)}; other reasons need none")
        for asked in draft.case.approvals:
            if asked.subject is self.subject and (asked.of == of or not asked.granted_by):
                waits = "to be used" if asked.granted_by else "to be decided"
                draft.refuse(AlreadyRequested, f"{asked.id}, for {asked.of}, waits {waits}")
        withdraw(draft, self.subject)  # one that was asked for something else
        request(draft, self.subject, policy, self.note, of)
