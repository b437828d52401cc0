"""Ownership: whose case it is. Its clocks run on when it changes hands."""

from datetime import datetime
from typing import ClassVar

from domain.case import Case
from domain.command import Command, Draft, require_staff
from domain.event import Event, Notice
from domain.values import Opaque, Rejected, Slug, Text


class AlreadyTheirs(Rejected):
    """The case is with this person and team already."""


class CaseReassigned(Event):
    owner: Opaque
    team: Slug
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(owner=self.owner, team=self.team)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"reassigned-{case.seq}"
        return (Notice(key=key, recipient=self.owner, subject="case-assigned", about="case"),)


class ReassignCase(Command):
    """Give the case to another case manager; the team stays unless another is named."""

    kind: ClassVar[str] = "reassign-case"
    says: ClassVar[str] = "Reassign the case"
    needs_staff: ClassVar[bool] = True

    owner: Opaque
    team: Slug | None = None
    reason: Text

    def decide(self, draft: Draft) -> None:
        require_staff(draft, self.owner)
        team = self.team or draft.case.team
        if (draft.case.owner, draft.case.team) == (self.owner, team):
            draft.refuse(AlreadyTheirs, "name another person or another team")
        draft.happen(CaseReassigned(owner=self.owner, team=team, reason=self.reason))
