"""What could not be read or decided. It is set aside where people see it, and the case goes on."""

from datetime import datetime

from domain.case import Case
from domain.event import Event
from domain.values import Opaque, Slug


class CommandQuarantined(Event):
    """A fault in a rule of ours met this command. It changed nothing; `fault` is the fault's type."""

    quarantined_id: Opaque
    quarantined_kind: Slug
    fault: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(quarantined=case.quarantined + 1)


class MessageUnreadable(Event):
    """A message arrived that nobody can read; only its size and a digest are kept."""

    size: int
    digest: str

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(quarantined=case.quarantined + 1)


class CaseRestored(Event):
    """The engine was set back, or the record had more than it knew: the case follows the record from here.

    `others` is how many commands and ticks were on record that this run of the case had not seen.
    """

    others: int

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(quarantined=case.quarantined + 1)
