"""Corrections: an entry that was wrong stays on the timeline, marked, and what followed from it is decided anew.

The case becomes what it would be had the entry never been written: a promise that it kept is owed again with its
old deadline, a baseline moves, counters fall, tasks that it opened are taken back. What others did since stays,
and keeps what is owed again where it can (docs/decisions/0019).
"""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from domain.case.case import Case
from domain.case.command import CASE_WORK, LEADS, Command, Draft, UnknownReference, read
from domain.case.event import ENTERED_IN_ERROR, Entry, Event, Notice
from domain.promises.deadlines import cancel_clock
from domain.promises.deeds import keep_if_done
from domain.promises.escalation import miss_if_late
from domain.steps.alerts import AlertRaised
from domain.steps.assessment import RecordAssessment
from domain.steps.before_closure import RecordSatisfaction
from domain.steps.care_team import HoldConference
from domain.steps.contacts import AddNote, LogContact
from domain.steps.discharge import PlanDischarge, RecordAvoidableDays
from domain.steps.goals import RecordGoalProgress
from domain.steps.medications import ReconcileMedications, RecordAdherence, ReportSideEffect
from domain.steps.minutes import RecordMinutes
from domain.steps.observations import RecordObservation
from domain.steps.queues import CosignTask, NotYours
from domain.steps.scores import RecordScore
from domain.steps.supervision import RecordQualityReview
from domain.steps.task_work import CompleteTask
from domain.steps.tasks import TaskCancelled
from domain.steps.unable_to_contact import ReceiveMessage, recount
from domain.values import Opaque, Rejected, Role, Slug, Text

BY_ENTRY: dict[str, type[Command]] = {
    "adherence-measured": RecordAdherence,
    "avoidable-days-recorded": RecordAvoidableDays,
    "conference-held": HoldConference,
    "contact-logged": LogContact,
    "discharge-planned": PlanDischarge,
    "goal-progressed": RecordGoalProgress,
    "instrument-scored": RecordScore,
    "medications-reconciled": ReconcileMedications,
    "message-received": ReceiveMessage,
    "minutes-recorded": RecordMinutes,
    "note-added": AddNote,
    "observation-recorded": RecordObservation,
    "quality-reviewed": RecordQualityReview,
    "satisfaction-recorded": RecordSatisfaction,
    "section-assessed": RecordAssessment,
    "side-effect-reported": ReportSideEffect,
    "task-completed": CompleteTask,
    "task-cosigned": CosignTask,
}
INSTEAD = {
    "consent-recorded": "send withdraw-consent",
    "consent-withdrawn": "send record-consent",
    "plan-agreed": "send revise-plan",
    "plan-revised": "send revise-plan",
    "plan-amended": "send amend-plan",
    "risk-stratified": "send stratify-risk",
    "risk-tier-set": "send set-risk-tier or stratify-risk",
    "case-ended": "send reopen-case",
    "crisis-raised": "record the disposition not-a-crisis and end it",
    "referral-sent": "send revoke-referral",
    "transition-recorded": "send record-transition with `retracted` and the sender's event_id",
    "transition-corrected": "send record-transition again with what is right",
    "case-reassigned": "send reassign-case",
    "flag-raised": "send resolve-flag",
}
WHEN = {  # under which name an entry says when it happened, and under which its command asks for that
    "taken_at": "taken_at",
    "occurred_at": "occurred_at",
    "scored_at": "occurred_at",
    "done_at": "occurred_at",
}
RIGHT = "-right"
KEEPS_ITS_OWN = {"seq", "numbered", "set_aside", "quarantined"}


class NotCorrectable(Rejected):
    """What this entry did is not taken back by marking it; the refusal says what to send instead."""


class AlreadyInError(Rejected):
    """The entry is marked as entered in error already."""


class EnteredInError(Event):
    """Entries of one command are wrong: they stay, marked, and count for nothing.

    `left` is what of the case is otherwise without them.
    """

    kind: ClassVar[str] = ENTERED_IN_ERROR

    entry: int
    of_kind: Slug
    of_command: Opaque
    reason: Text
    replaced: bool = False
    left: dict[str, JsonValue]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(**self.left)


class AlertWithdrawn(Event):
    """The finding behind an alert was entered in error; those who were told are told that as well."""

    kind: ClassVar[str] = "alert-withdrawn"

    alert: Slug
    told: tuple[Opaque, ...] = ()

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"alert-withdrawn-{self.alert}-{case.seq}"
        return tuple(
            Notice(key=key, recipient=person, subject="alert-withdrawn", about=self.alert) for person in self.told
        )


class CorrectEntry(Command):
    """Mark an entry of the timeline as entered in error; with `right`, write down what is right in its place.

    `entry` is the number that the timeline shows. `right` is the body of the command that wrote it; a time that is
    left out there is the one that was given at first. Everything that followed is decided anew from what is left.
    """

    kind: ClassVar[str] = "correct-entry"
    says: ClassVar[str] = "Mark an entry as entered in error, or correct it"
    roles: ClassVar[frozenset[Role]] = CASE_WORK | {Role.INTEGRATOR}
    example: ClassVar[dict[str, Any]] = {"entry": 17, "reason": "This was another person's call"}

    entry: int = Field(ge=1)
    reason: Text
    right: dict[str, JsonValue] | None = None

    def decide(self, draft: Draft) -> None:
        wrong = self._wrong(draft)
        together = [e for e in draft.timeline.entries if e.command_id == wrong.command_id]
        self._mark(draft, wrong)
        for entry in together:
            if entry.kind == AlertRaised.kind:
                draft.happen(AlertWithdrawn(alert=entry.data["alert"], told=entry.data.get("told", ())))
        if self.right is not None:
            draft.command_id += (
                RIGHT  # what is right stands when something else is corrected, and can be corrected
            )
            read(BY_ENTRY[wrong.kind], {**_when(wrong), **self.right}).decide(draft)

    def _wrong(self, draft: Draft) -> Entry:
        """The entry that is meant. Raises `UnknownReference`, `NotCorrectable`, `AlreadyInError`, `NotYours`."""
        timeline = draft.timeline
        entry = next((e for e in timeline.entries if e.seq == self.entry), None)
        if entry is None:
            draft.refuse(UnknownReference, f"the timeline has no entry {self.entry}")
        if entry.command_id in timeline.in_error:
            draft.refuse(AlreadyInError, f"entry {self.entry} is marked as entered in error already")
        first = next(e for e in timeline.entries if e.command_id == entry.command_id)
        if entry.kind not in BY_ENTRY:
            draft.refuse(NotCorrectable, INSTEAD.get(entry.kind) or _instead(first))
        if entry.actor.subject != draft.actor.subject and draft.actor.role not in LEADS:
            draft.refuse(NotYours, "ask whoever wrote it, or a lead, to correct it")
        return entry

    def _mark(self, draft: Draft, wrong: Entry) -> None:
        """The case without the entry, and what is owed again because of that."""
        before = draft.case
        without = draft.timeline.without(wrong.command_id) or before
        gone = _gone(before, without)
        draft.happen(
            EnteredInError(
                entry=wrong.seq,
                of_kind=wrong.kind,
                of_command=wrong.command_id,
                reason=self.reason,
                replaced=self.right is not None,
                left=_left(before, without.changed(**gone)),
            )
        )
        _take_back(draft, {i.id for items in gone.values() for i in items} - _ids(without))
        recount(draft)
        _keep_or_owe(draft, {c.id for c in before.running})


def _instead(first: Entry) -> str:
    if first.kind in BY_ENTRY:
        return f"it followed from entry {first.seq}, {first.kind}: correct that one"
    return "it stays; send what is right now"


def _when(wrong: Entry) -> dict[str, JsonValue]:
    """When the entry said that it happened, under the name that its command has for it."""
    said: dict[str, JsonValue] = {**wrong.data, **(wrong.data.get("contact") or {})}  # type: ignore[dict-item]
    return {asked: said[name] for name, asked in WHEN.items() if said.get(name)}


def _gone(before: Case, without: Case) -> dict[str, tuple[Any, ...]]:
    """Tasks and clocks as they are without the entry, and behind them those that only it brought about."""
    tasks, clocks = _ids(without), {c.id for c in without.running}
    return {
        "tasks": (*without.open_tasks, *(t for t in before.open_tasks if t.id not in tasks)),
        "clocks": (*without.running, *(c for c in before.running if c.id not in clocks)),
    }


def _ids(case: Case) -> set[str]:
    return {t.id for t in case.open_tasks} | {c.id for c in case.running}


def _left(before: Case, without: Case) -> dict[str, JsonValue]:
    names = {name for name in Case.model_fields if getattr(before, name) != getattr(without, name)}
    left: dict[str, JsonValue] = without.model_dump(mode="json", include=names - KEEPS_ITS_OWN)
    return left


def _take_back(draft: Draft, gone: set[str]) -> None:
    """What only the entry brought about is not owed, nor to be done."""
    for clock in draft.case.running:
        if clock.id in gone:
            cancel_clock(draft, clock, "entered in error")
    for task in draft.case.open_tasks:
        if task.id in gone:
            draft.happen(TaskCancelled(task_id=task.id, reason="entered in error"))


def _keep_or_owe(draft: Draft, known: set[str]) -> None:
    """What is owed again is kept by what else was done, or missed already, or owed with its old deadline."""
    for clock in draft.case.running:
        if clock.id not in known and not keep_if_done(draft, clock):
            miss_if_late(draft, clock)
