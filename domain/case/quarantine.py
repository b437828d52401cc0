"""What could not be read or decided. It is set aside where people see it, and the case goes on."""

from datetime import datetime
from typing import Any, ClassVar

from domain.case.case import Case
from domain.case.command import Command, Draft, UnknownReference
from domain.case.event import Event
from domain.case.open_parts import SetAside
from domain.values import Opaque, Slug, Text

MOST_SHOWN = 50


def _with(case: Case, item: SetAside) -> Case:
    """The case with one thing more that somebody must look at; of very many only the newest are named."""
    shown = (*case.set_aside, item)[-MOST_SHOWN:]
    return case.changed(quarantined=case.quarantined + 1, set_aside=shown)


class CommandQuarantined(Event):
    """A fault in a rule of ours met this command. It changed nothing; `fault` is the fault's type."""

    kind: ClassVar[str] = "command-quarantined"

    quarantined_id: Opaque
    quarantined_kind: Slug
    fault: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return _with(case, SetAside(id=self.quarantined_id, kind=self.quarantined_kind, fault=self.fault, at=at))


class MessageUnreadable(Event):
    """A message arrived that nobody can read; only its size and a digest are kept."""

    kind: ClassVar[str] = "message-unreadable"

    size: int
    digest: str

    def apply(self, case: Case, at: datetime) -> Case:
        return _with(case, SetAside(id=f"unreadable-{self.digest}", kind="message", fault="Unreadable", at=at))


class CaseRestored(Event):
    """Written by releases up to 0.3: the engine was set back, and the case followed the record from here.

    `others` is how many commands and ticks were on record that this run of the case had not seen.
    """

    kind: ClassVar[str] = "case-restored"

    others: int

    def apply(self, case: Case, at: datetime) -> Case:
        return _with(case, SetAside(id="restored", kind="run", fault="Restored", at=at))


class QuarantineDismissed(Event):
    """Somebody has looked at what was set aside and says why nothing more has to be done about it."""

    kind: ClassVar[str] = "quarantine-dismissed"

    quarantined_id: Opaque | None = None
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        if self.quarantined_id is None:
            return case.changed(quarantined=0, set_aside=())
        left = tuple(item for item in case.set_aside if item.id != self.quarantined_id)
        gone = len(case.set_aside) - len(left)
        return case.changed(quarantined=max(0, case.quarantined - gone), set_aside=left)


class ReportUnreadable(Command):
    """The case's workflow found a message that it cannot read. Sent by the case to itself, by nobody else."""

    kind: ClassVar[str] = "report-unreadable"
    says: ClassVar[str] = "Set aside a message that nobody can read"
    when_closed: ClassVar[bool] = True

    size: int
    digest: Slug

    def decide(self, draft: Draft) -> None:
        draft.happen(MessageUnreadable(size=self.size, digest=self.digest))


class DismissQuarantined(Command):
    """Say why something that was set aside needs nothing more; without an id: all of it in this case."""

    kind: ClassVar[str] = "dismiss-quarantined"
    says: ClassVar[str] = "Dismiss what was set aside"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"reason": "Sent by a test of the feed; nothing is lost"}

    quarantined_id: Opaque | None = None
    reason: Text

    def decide(self, draft: Draft) -> None:
        known = {item.id for item in draft.case.set_aside}
        if not draft.case.quarantined or (self.quarantined_id and self.quarantined_id not in known):
            draft.refuse(UnknownReference, "nothing of this id is set aside in this case")
        draft.happen(QuarantineDismissed(quarantined_id=self.quarantined_id, reason=self.reason))
