"""The person has died: her cases end together, and those who worked for her are told."""

from typing import Any, ClassVar

from domain.case.command import Command, Draft
from domain.case.dates import NotYetHappened
from domain.case.event import Event
from domain.programs.program import DIED
from domain.steps.ending import end_case
from domain.values import Instant, Invalid, Line, Opaque, PartialDay, Text


class BeforeBirth(Invalid):
    """The day of death lies before the day of birth."""


class DeathReported(Event):
    """The person has died, as `source` says. `reported_in` is her other case in which that was written down."""

    kind: ClassVar[str] = "death-reported"

    source: Line | None = None
    died_on: PartialDay | None = None
    reported_in: Opaque | None = None


class ReportDeath(Command):
    """Write down that the person has died. All of her open cases end with it, in any stage; their people are told.

    `source` is who says so. Reported again it changes nothing. Where it was wrong, reopen each case.
    """

    kind: ClassVar[str] = "report-death"
    says: ClassVar[str] = "Report that the person has died"
    feed: ClassVar[bool] = True
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"source": "The hospital's discharge letter", "died_on": "2026-03-04"}

    source: Line
    died_on: PartialDay | None = None
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        if draft.case.closure is not None and draft.case.closure.reason == DIED:
            return
        self._check(draft)
        report = DeathReported(source=self.source, died_on=self.died_on)
        end_for_death(draft, report, self.note)

    def _check(self, draft: Draft) -> None:
        """Raises `NotYetHappened`, `BeforeBirth`; a day that is partly known is compared as far as it is."""
        if self.died_on is None:
            return
        if self.died_on > draft.today.isoformat()[: len(self.died_on)]:
            draft.refuse(NotYetHappened, f"a death cannot be dated after today, {draft.today}")
        born = draft.case.referral.patient.birth_date
        if born is not None and self.died_on[: len(born)] < born[: len(self.died_on)]:
            draft.refuse(BeforeBirth, "the person was born after that day; correct the one or the other")


def end_for_death(draft: Draft, report: DeathReported, summary: str | None, at: Instant | None = None) -> None:
    """End this case and all other open cases of the person. Raises `SamePersonNeeded`, `OtherCaseNeeded`."""
    others = [draft.other(case_id) for case_id in draft.same_person]
    _end(draft, report, summary, at)
    for other in others:
        _end(other, report.changed(reported_in=draft.case.id), None, at)


def _end(draft: Draft, report: DeathReported, summary: str | None, at: Instant | None) -> None:
    """A case of a programme that closes for no death stays open, and its people are told all the same."""
    draft.happen(report)
    if not draft.case.closed and DIED in draft.program.closure:
        end_case(draft, DIED, summary, occurred_at=at)
