"""Ownership: whose case it is. Its clocks run on when it changes hands."""

from datetime import datetime
from typing import Any, ClassVar

from domain.case.case import MOST_OPEN, Case
from domain.case.command import Command, Draft, NotInProgram, TooMany, UnknownStaff, require_staff
from domain.case.event import Event, Notice
from domain.case.open_parts import Transfer
from domain.clocks.clock import ClockKind, ClockPolicy, Rank
from domain.programs.policies import Subject
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.approvals import require_approval
from domain.steps.tasks import TaskAssigned
from domain.values import Opaque, Rejected, Role, Slug, Text


class AlreadyTheirs(Rejected):
    """The case is with this person and team already."""


class NoTransfer(Rejected):
    """No transfer is offered in this case."""


class TransferOpen(Rejected):
    """A transfer is offered or asked for already; it is answered first."""


FIND = "find-somebody"  # what a promise is about that asks somebody above


class NotOfferedToYou(Rejected):
    """Only the person to whom the case is offered takes it or declines it."""


class LeadsReassign(Rejected):
    """A case manager gives away her own case only, and within the team; the rest is for those above."""


class NotGone(Rejected):
    """The person is active in the staff directory: what she holds is reassigned, or covered while she is away."""


class NobodyAbove(Rejected):
    """The directory has nobody who could take the work: name a supervisor for this person or team."""


class CaseReassigned(Event):
    kind: ClassVar[str] = "case-reassigned"

    owner: Opaque
    team: Slug
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(owner=self.owner, team=self.team)


class TransferOffered(Event):
    kind: ClassVar[str] = "transfer-offered"

    transfer: Transfer
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transfer=self.transfer, numbered=case.numbered + 1)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        if self.transfer.to is None:
            return ()
        key = f"transfer-{self.transfer.id}"
        return (Notice(key=key, recipient=self.transfer.to, subject="transfer-offered", about="case"),)


class TransferRequested(Event):
    """The case manager asks for somebody else to take the case; `told` are those who can find one."""

    kind: ClassVar[str] = "transfer-requested"

    transfer: Transfer
    reason: Text
    told: tuple[Opaque, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transfer=self.transfer, numbered=case.numbered + 1)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"transfer-{self.transfer.id}"
        return tuple(Notice(key=key, recipient=p, subject="transfer-requested", about="case") for p in self.told)


class TransferAnswered(Event):
    kind: ClassVar[str] = "transfer-answered"

    accepted: bool
    by: Opaque
    note: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(transfer=None)


class AssigneeExcluded(Event):
    """This person is not given the case or its tasks: a conflict of interest, a boundary."""

    kind: ClassVar[str] = "assignee-excluded"

    person: Opaque
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(excluded=(*case.excluded, self.person))


class AssigneeAllowed(Event):
    kind: ClassVar[str] = "assignee-allowed"

    person: Opaque
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(excluded=tuple(p for p in case.excluded if p != self.person))


def settle_transfer(draft: Draft, reason: str | None = None) -> None:
    """The promise to answer a transfer is kept, or cancelled with a reason."""
    for clock in draft.case.running:
        if clock.kind is ClockKind.TRANSFER and reason is None:
            keep_clock(draft, clock, draft.now)
        elif clock.kind is ClockKind.TRANSFER:
            cancel_clock(draft, clock, reason or "")


class ReassignCase(Command):
    """Give the case to another case manager; the team stays unless another is named."""

    kind: ClassVar[str] = "reassign-case"
    says: ClassVar[str] = "Reassign the case"
    example: ClassVar[dict[str, Any]] = {"owner": "cm-ben", "reason": "Anna is on leave"}

    owner: Opaque
    team: Slug | None = None
    reason: Text

    def decide(self, draft: Draft) -> None:
        require_staff(draft, self.owner)
        team = self.team or draft.case.team
        _require_own(draft)
        if draft.actor.role is Role.CASE_MANAGER and team != draft.case.team:
            draft.refuse(LeadsReassign, "to another team those above give it")
        if (draft.case.owner, draft.case.team) == (self.owner, team):
            draft.refuse(AlreadyTheirs, "name another person or another team")
        draft.happen(CaseReassigned(owner=self.owner, team=team, reason=self.reason))
        if draft.case.transfer is not None:
            settle_transfer(draft)
            draft.happen(TransferAnswered(accepted=True, by=self.owner))


def _require_own(draft: Draft) -> None:
    """Raises `LeadsReassign` for a case manager to whom the case does not belong, where it belongs to somebody."""
    if draft.actor.role is Role.CASE_MANAGER and draft.case.owner not in (None, draft.actor.subject):
        draft.refuse(LeadsReassign, "ask the supervisor, or have the owner offer the case")


class OfferTransfer(Command):
    """Offer the case to a colleague. It stays yours until the other accepts; the answer has a deadline."""

    kind: ClassVar[str] = "offer-transfer"
    says: ClassVar[str] = "Offer the case to somebody"
    example: ClassVar[dict[str, Any]] = {"to": "cm-ben", "reason": "Lives in his area now"}

    to: Opaque
    reason: Text

    def decide(self, draft: Draft) -> None:
        policy = _rules(draft)[0]
        _require_own(draft)
        require_staff(draft, self.to)
        if self.to == draft.case.owner:
            draft.refuse(AlreadyTheirs, "the case is with this person")
        _check_none_open(draft)
        promise = Promise(kind=ClockKind.TRANSFER, title="Answer the offered transfer")
        clock_id = start_clock(draft, promise, policy, draft.now)
        transfer = Transfer(id=draft.new_id("o"), to=self.to, by=draft.actor.subject, clock_id=clock_id)
        draft.happen(TransferOffered(transfer=transfer, reason=self.reason))
        draft.created.append(transfer.id)


class RequestTransfer(Command):
    """Ask that somebody else take the case. Those above are told, and have to find one in time."""

    kind: ClassVar[str] = "request-transfer"
    says: ClassVar[str] = "Ask that somebody else take the case"
    example: ClassVar[dict[str, Any]] = {"reason": "My caseload is over the limit"}

    reason: Text

    def decide(self, draft: Draft) -> None:
        policy = _rules(draft)[1]
        _require_own(draft)
        _check_none_open(draft)
        told = draft.staff.find(Rank.SUPERVISOR, draft.case.owner, draft.case.team, draft.now)
        promise = Promise(kind=ClockKind.TRANSFER, title="Find somebody to take the case", about=FIND)
        clock_id = start_clock(draft, promise, policy, draft.now)
        by, asked = draft.actor.subject, next(iter(told), None)
        transfer = Transfer(id=draft.new_id("o"), to=None, by=by, clock_id=clock_id, asked=asked)
        draft.happen(TransferRequested(transfer=transfer, reason=self.reason, told=told))
        draft.created.append(transfer.id)


def _rules(draft: Draft) -> tuple[ClockPolicy, ClockPolicy]:
    if draft.program.ownership is None:
        draft.refuse(NotInProgram, "this programme knows no transfers; send reassign-case")
    return draft.program.ownership.answer, draft.program.ownership.request


def _check_none_open(draft: Draft) -> None:
    if draft.case.transfer is not None:
        draft.refuse(TransferOpen, f"answer {draft.case.transfer.id} first")


class AnswerTransfer(Command):
    """Take the case that is offered to you, or decline it; whoever offered it takes that back by declining.

    Its clocks run on either way.
    """

    kind: ClassVar[str] = "answer-transfer"
    says: ClassVar[str] = "Accept or decline an offered transfer"
    example: ClassVar[dict[str, Any]] = {"accept": True}

    accept: bool
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        transfer = draft.case.transfer
        if transfer is None or transfer.to is None:
            draft.refuse(NoTransfer, "no transfer is offered")
        takes_back = transfer.by == draft.actor.subject and not self.accept
        if transfer.to != draft.actor.subject and not takes_back:
            draft.refuse(NotOfferedToYou, "the case is offered to somebody else")
        if self.accept:
            require_staff(draft, transfer.to)
            require_approval(draft, Subject.TRANSFER, transfer.to)
            draft.happen(CaseReassigned(owner=transfer.to, team=draft.case.team, reason="transfer accepted"))
        settle_transfer(draft)
        draft.happen(TransferAnswered(accepted=self.accept, by=draft.actor.subject, note=self.note))


class ExcludeAssignee(Command):
    """Keep somebody from the case: he neither sees it, nor works in it, nor is told of it any more.

    What he holds of it goes to those above him, or to whoever excludes him where there is nobody.
    """

    kind: ClassVar[str] = "exclude-assignee"
    says: ClassVar[str] = "Exclude somebody from the case"
    example: ClassVar[dict[str, Any]] = {"person": "cm-ben", "reason": "Related to the family"}

    person: Opaque
    reason: Text

    def decide(self, draft: Draft) -> None:
        if self.person in draft.case.excluded:
            return
        if len(draft.case.excluded) >= MOST_OPEN["excluded"]:
            draft.refuse(TooMany, f"a case excludes at most {MOST_OPEN['excluded']} people")
        heir = _above(draft, self.person) or draft.actor.subject
        _give(draft, self.person, heir, self.reason)
        draft.happen(AssigneeExcluded(person=self.person, reason=self.reason))


class AllowAssignee(Command):
    """Lift an exclusion."""

    kind: ClassVar[str] = "allow-assignee"
    says: ClassVar[str] = "Lift an exclusion from the case"
    example: ClassVar[dict[str, Any]] = {"person": "cm-ben", "reason": "Was a mistake"}

    person: Opaque
    reason: Text

    def decide(self, draft: Draft) -> None:
        if self.person not in draft.case.excluded:
            draft.refuse(UnknownStaff, "this person is not excluded")
        draft.happen(AssigneeAllowed(person=self.person, reason=self.reason))


class HandOver(Command):
    """Give all that a person who has left holds in this case to the supervisor, who gives it on."""

    kind: ClassVar[str] = "hand-over"
    says: ClassVar[str] = "Hand over the work of somebody who has left"
    example: ClassVar[dict[str, Any]] = {"person": "cm-ben", "reason": "Has left"}

    person: Opaque
    reason: Text

    def decide(self, draft: Draft) -> None:
        member = draft.staff.member(self.person)
        if member is not None and member.active:
            draft.refuse(NotGone, "the person has not left; use reassign-case and assign-task, or set an absence")
        if not _holds(draft.case, self.person):
            return
        heir = _above(draft, self.person)
        if heir is None:
            draft.refuse(NobodyAbove, "name a supervisor in the directory first")
        _give(draft, self.person, heir, self.reason)


def _holds(case: Case, person: str) -> bool:
    return case.owner == person or any(task.assignee == person for task in case.open_tasks)


def _above(draft: Draft, person: str) -> str | None:
    """Who takes over from a person: the first above who is there and is not kept from the case."""
    ranks = (Rank.SUPERVISOR, Rank.SENIOR, Rank.DIRECTOR)
    above = (p for rank in ranks for p in draft.staff.find(rank, person, draft.case.team, draft.now))
    return next((found for found in above if found != person), None)


def _give(draft: Draft, person: str, heir: str, reason: str) -> None:
    """All that a person holds of the case is another's."""
    if draft.case.owner == person:
        draft.happen(CaseReassigned(owner=heir, team=draft.case.team, reason=reason))
    for task in draft.case.open_tasks:
        if task.assignee == person:
            draft.happen(TaskAssigned(task_id=task.id, assignee=heir))
