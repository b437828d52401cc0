"""Supervision: flags, quality reviews and corrective actions."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.dates import until_day
from domain.case.event import Event, Notice
from domain.case.open_parts import CorrectiveAction, Flag
from domain.clocks.clock import ClockKind
from domain.programs.policies import SupervisionPolicy
from domain.promises.deadlines import Promise, keep_clock, start_clock
from domain.values import Day, Line, Opaque, Slug, Text


class FlagRaised(Event):
    """Somebody asks for attention to this case; the case manager is told."""

    kind: ClassVar[str] = "flag-raised"

    flag: Flag
    message: Text
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("flags", self.flag)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _told(self.told, "flag", self.flag.id)


class FlagResolved(Event):
    kind: ClassVar[str] = "flag-resolved"

    flag_id: Slug
    resolution: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("flags", self.flag_id)


class QualityReviewed(Event):
    """A supervisor's look at the case, criterion by criterion."""

    kind: ClassVar[str] = "quality-reviewed"

    criteria: dict[Slug, bool]
    note: Text | None = None


class CorrectiveActionOpened(Event):
    kind: ClassVar[str] = "corrective-action-opened"

    action: CorrectiveAction
    finding: Text
    what: Line
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("corrective_actions", self.action)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return _told(self.told, "corrective-action", self.action.id)


class CorrectiveActionDone(Event):
    kind: ClassVar[str] = "corrective-action-done"

    action_id: Slug
    result: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("corrective_actions", self.action_id)


def _told(person: str | None, subject: str, about: str) -> tuple[Notice, ...]:
    if person is None:
        return ()
    return (Notice(key=f"{subject}-{about}", recipient=person, subject=subject, about=about),)


def rules(draft: Draft) -> SupervisionPolicy:
    """Raises `NotInProgram`."""
    if draft.program.supervision is None:
        draft.refuse(NotInProgram, "this programme has no flags or corrective actions")
    return draft.program.supervision


class RaiseFlag(Command):
    """Ask for attention to this case, with a message. A flag is resolved by a deadline."""

    kind: ClassVar[str] = "raise-flag"
    says: ClassVar[str] = "Flag the case"
    example: ClassVar[dict[str, Any]] = {"message": "No contact with the family for six weeks"}

    message: Text

    def decide(self, draft: Draft) -> None:
        draft.require_room("flags")
        flag_id = draft.id_behind_clock("f")
        promise = Promise(kind=ClockKind.REVIEW, title="Resolve the flag", about=f"flag/{flag_id}")
        clock_id = start_clock(draft, promise, rules(draft).flag, draft.now)
        flag = Flag(id=flag_id, raised_by=draft.actor.subject, clock_id=clock_id)
        draft.happen(FlagRaised(flag=flag, message=self.message, told=draft.case.owner))
        draft.created.append(flag.id)


class ResolveFlag(Command):
    """Say how a flag was resolved."""

    kind: ClassVar[str] = "resolve-flag"
    says: ClassVar[str] = "Resolve a flag"
    example: ClassVar[dict[str, Any]] = {"flag_id": "f9", "resolution": "Family conference on Monday"}

    flag_id: Slug
    resolution: Text

    def decide(self, draft: Draft) -> None:
        flag: Flag = draft.find("flags", self.flag_id)
        keep_clock(draft, draft.open_clock(flag.clock_id), draft.now)
        draft.happen(FlagResolved(flag_id=flag.id, resolution=self.resolution))


class RecordQualityReview(Command):
    """Record a quality review of the case, one yes or no for each criterion."""

    kind: ClassVar[str] = "record-quality-review"
    says: ClassVar[str] = "Record a quality review"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"criteria": {"plan-signed": True, "goals-measurable": False}}

    criteria: dict[Slug, bool] = Field(min_length=1, max_length=40)
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        draft.happen(QualityReviewed(criteria=self.criteria, note=self.note))


class OpenCorrectiveAction(Command):
    """Ask for a correction by a day, with the finding that it answers."""

    kind: ClassVar[str] = "open-corrective-action"
    says: ClassVar[str] = "Open a corrective action"
    example: ClassVar[dict[str, Any]] = {
        "finding": "Goals without measure",
        "what": "Rewrite the goals",
        "due_on": "2030-06-30",
    }

    finding: Text
    what: Line
    due_on: Day

    def decide(self, draft: Draft) -> None:
        draft.require_room("corrective_actions")
        action_id = draft.id_behind_clock("k")
        promise = Promise(kind=ClockKind.CORRECTIVE_ACTION, title=self.what, about=f"action/{action_id}")
        within = until_day(draft, self.due_on)
        clock_id = start_clock(draft, promise, rules(draft).corrective_action, draft.now, within)
        action = CorrectiveAction(id=action_id, clock_id=clock_id)
        draft.happen(
            CorrectiveActionOpened(action=action, finding=self.finding, what=self.what, told=draft.case.owner)
        )
        draft.created.append(action.id)


class CompleteCorrectiveAction(Command):
    """Say what was corrected."""

    kind: ClassVar[str] = "complete-corrective-action"
    says: ClassVar[str] = "Complete a corrective action"
    example: ClassVar[dict[str, Any]] = {"action_id": "k9", "result": "Rewritten and agreed"}

    action_id: Slug
    result: Text

    def decide(self, draft: Draft) -> None:
        action: CorrectiveAction = draft.find("corrective_actions", self.action_id)
        keep_clock(draft, draft.open_clock(action.clock_id), draft.now)
        draft.happen(CorrectiveActionDone(action_id=action.id, result=self.result))
