"""Corrections: an entry that was wrong stays on the timeline, marked, and what followed from it is decided anew.

What is otherwise without the entry becomes so: a promise that it kept is owed again with its old deadline, a
baseline moves, counters fall, tasks that it opened are taken back. What others did since stays as it was decided
(docs/decisions/0019).
"""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from domain.case.case import NOTHING_OPEN, Case, Task
from domain.case.command import LEADS, Command, Draft, UnknownReference, read
from domain.case.event import ENTERED_IN_ERROR, Entry, Event, Notice, Timeline
from domain.clocks.clock import Clock, ClockKind
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import ClockKept, ClockStarted, cancel_clock
from domain.promises.deeds import deed_of
from domain.steps.alerts import AlertRaised, see_to_alert
from domain.steps.before_closure import RecordSatisfaction
from domain.steps.care_team import HoldConference
from domain.steps.consent import still_lacking
from domain.steps.contacts import AddNote, LogContact
from domain.steps.discharge import PlanDischarge, RecordAvoidableDays
from domain.steps.disclosures import RecordDisclosure
from domain.steps.goals import RecordGoalProgress, SignPlan
from domain.steps.holds import hold_for_consent
from domain.steps.medications import ReconcileMedications, RecordAdherence, ReportSideEffect
from domain.steps.minutes import RecordMinutes
from domain.steps.observations import RecordObservation
from domain.steps.owed_again import owe_again
from domain.steps.queues import CosignTask, NotYours
from domain.steps.risk_tier import keep_above_floor
from domain.steps.scores import RecordScore
from domain.steps.sections import AnswersKeptApart, RecordAssessment, SectionAssessed, act_again
from domain.steps.supervision import RecordQualityReview
from domain.steps.task_work import CompleteTask
from domain.steps.tasks import TaskAdded, TaskCancelled
from domain.steps.unable_to_contact import MessageReceived, ReceiveMessage, promise_reply, recount, written_at
from domain.values import Opaque, Rejected, Slug, Text

BY_ENTRY: dict[str, type[Command]] = {
    "adherence-measured": RecordAdherence,
    "avoidable-days-recorded": RecordAvoidableDays,
    "conference-held": HoldConference,
    "contact-logged": LogContact,
    "discharge-planned": PlanDischarge,
    "disclosure-recorded": RecordDisclosure,
    "goal-progressed": RecordGoalProgress,
    "instrument-scored": RecordScore,
    "medications-reconciled": ReconcileMedications,
    "message-received": ReceiveMessage,
    "minutes-recorded": RecordMinutes,
    "note-added": AddNote,
    "plan-signed": SignPlan,
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
    "consent-lapsed": "send record-consent",
    "consent-withdrawn": "send record-consent",
    "plan-agreed": "send revise-plan",
    "plan-revised": "send revise-plan",
    "plan-amended": "send amend-plan",
    "risk-stratified": "send stratify-risk",
    "risk-tier-set": "send set-risk-tier or stratify-risk",
    "case-ended": "send reopen-case",
    "death-reported": "send reopen-case to each of her cases",
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
IN_ERROR = "entered in error"
SAID_TOGETHER = (
    "section-assessed",
    "answers-kept-apart",
    "baseline-rated",
)  # one command says them together, each stands for itself
FINDINGS = ("instrument-scored", "observation-recorded", "medications-reconciled")
WORK = ("contact-logged", "task-completed")
COPIES: dict[str, tuple[str, ...]] = {  # what keeps a copy of what an entry made
    "goal-progressed": ("plan-amended",),
    **dict.fromkeys(FINDINGS, ("case-taken-in", "case-given-back")),
    **dict.fromkeys(WORK, ("case-taken-up-again", "case-given-back")),
}
KEEPS_ITS_OWN = {"id", "tenant", "seq", "numbered", "set_aside", "quarantined", "tasks", "clocks"}


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
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"entry": 17, "reason": "This was another person's call"}

    entry: int = Field(ge=1)
    reason: Text
    right: dict[str, JsonValue] | None = None

    def decide(self, draft: Draft) -> None:
        wrong = self._wrong(draft)
        together = [e for e in draft.timeline.entries if e.command_id == wrong.command_id]
        self._mark(draft, wrong, together)
        draft.command_id += RIGHT  # what is right stands when something else is corrected, and can be corrected
        for entry in together:
            if entry.kind in SAID_TOGETHER and not _same_section(entry, wrong):
                event = entry.event
                now = {"entry": draft.case.seq + 1} if isinstance(event, SectionAssessed) else {}
                draft.happen(event.changed(**now))
        if not draft.case.closed:
            _act_on_the_others(draft, together, wrong)
        if self.right is not None:
            draft.correcting = True  # it is written down as it was then, whatever the case allows today
            read(BY_ENTRY[wrong.kind], {**_when(wrong), **self.right}).decide(draft)

    def _wrong(self, draft: Draft) -> Entry:
        """The entry that is meant. Raises `UnknownReference`, `NotCorrectable`, `AlreadyInError`, `NotYours`."""
        timeline = draft.timeline
        entry = next((e for e in timeline.entries if e.seq == self.entry), None)
        if entry is None:
            draft.refuse(UnknownReference, f"the timeline has no entry {self.entry}")
        if entry.command_id in timeline.in_error:
            draft.refuse(AlreadyInError, f"entry {self.entry} is marked as entered in error already")
        together = [e for e in timeline.entries if e.command_id == entry.command_id]
        of_section = entry.kind == "instrument-scored" and any(e.kind == SectionAssessed.kind for e in together)
        if entry.kind not in BY_ENTRY or of_section:
            draft.refuse(NotCorrectable, INSTEAD.get(entry.kind) or _instead(together))
        if (later := _carried_on(timeline, entry)) is not None:
            draft.refuse(NotCorrectable, f"entry {later.seq}, {later.kind}, took it over since: undo that first")
        if entry.actor.subject != draft.actor.subject and draft.actor.role not in LEADS:
            draft.refuse(NotYours, "ask whoever wrote it, or a lead, to correct it")
        return entry

    def _mark(self, draft: Draft, wrong: Entry, together: list[Entry]) -> None:
        """The case without the entry, and what is owed again because of that."""
        event = EnteredInError(
            entry=wrong.seq,
            of_kind=wrong.kind,
            of_command=wrong.command_id,
            reason=self.reason,
            replaced=self.right is not None,
            left={},
        )
        before = draft.case
        standing, without = draft.timeline.without(), draft.timeline.without(wrong.command_id)
        if standing is None or without is None:
            draft.happen(event)
            return
        tasks, clocks = _owed_again(before, standing, without)
        known = {c.id for c in (*clocks, *before.running)}
        if not before.closed:
            clocks += [c for c in _kept_elsewhere(draft, wrong) if c.id not in known]
        owed = before.changed(
            **{name: getattr(without, name) for name in _otherwise(before, standing, without)},
            tasks=(*before.open_tasks, *tasks),
            clocks=(*before.running, *clocks),
        )
        draft.happen(event.changed(left=_left(before, owed)))
        if not before.closed:
            _take_back(draft, together)
            for clock in clocks:
                if any(c.id == clock.id for c in draft.case.running):
                    owe_again(draft, clock.id)
            if draft.case.consent is not None and NeedsConsent.TASKS in still_lacking(draft):
                hold_for_consent(draft, "no consent")
            _follow(draft, together)


def _act_on_the_others(draft: Draft, together: list[Entry], wrong: Entry) -> None:
    """What other sections of the same command found stands: their alerts, work and scores are there again."""
    events: list[Any] = [e.event for e in together if not _same_section(e, wrong)]
    apart = [event for event in events if isinstance(event, AnswersKeptApart)]
    for event in events:
        if isinstance(event, SectionAssessed):
            act_again(draft, event, [one for one in apart if one.name == event.name])


def _same_section(entry: Entry, wrong: Entry) -> bool:
    """Whether an entry is the wrong one, or answers of the same section that are kept apart from it."""
    return entry.seq == wrong.seq or entry.data.get("name", entry.seq) == wrong.data.get("name")


def _instead(together: list[Entry]) -> str:
    """What to send instead, for an entry that only followed from another one, or that stays."""
    first = next((e for e in together if e.kind in BY_ENTRY), None)
    if first is not None:
        return f"it followed from entry {first.seq}, {first.kind}: correct that one"
    return "it stays; send what is right now"


def _carried_on(timeline: Timeline, wrong: Entry) -> Entry | None:
    """A later entry that keeps a copy of what this one made: it would bring the error back."""
    kinds = COPIES.get(wrong.kind, ())
    return next((e for e in timeline.entries if e.seq > wrong.seq and e.kind in kinds), None)


def _when(wrong: Entry) -> dict[str, JsonValue]:
    """When the entry said that it happened, under the name that its command has for it."""
    said: dict[str, JsonValue] = {**wrong.data, **(wrong.data.get("contact") or {})}  # type: ignore[dict-item]
    return {asked: said[name] for name, asked in WHEN.items() if said.get(name)}


def _otherwise(before: Case, standing: Case, without: Case) -> list[str]:
    """The fields that are otherwise without the entry, as far as nobody has changed them since."""
    names = [name for name in Case.model_fields if name not in KEEPS_ITS_OWN]
    changed = [name for name in names if getattr(standing, name) != getattr(without, name)]
    free = [name for name in changed if not before.closed or name not in NOTHING_OPEN]
    return [name for name in free if _untouched(before, standing, name)]


def _untouched(before: Case, standing: Case, name: str) -> bool:
    return bool(getattr(before, name) == getattr(standing, name))


def _owed_again(before: Case, standing: Case, without: Case) -> tuple[list[Task], list[Clock]]:
    """Tasks and promises that are there without the entry only. In a closed case nothing is owed."""
    if before.closed:
        return [], []
    tasks = [t for t in without.open_tasks if t.id not in _ids(standing) | _ids(before)]
    clocks = [c for c in without.running if c.id not in _ids(standing) | _ids(before)]
    series = {(t.type, t.repeat) for t in before.open_tasks if t.repeat is not None}
    once = [t.changed(repeat=None, series=None) if (t.type, t.repeat) in series else t for t in tasks]
    return once, clocks


def _kept_elsewhere(draft: Draft, wrong: Entry) -> list[Clock]:
    """Promises that this deed kept though they became known, or were owed again, only afterwards."""
    deed = deed_of(wrong)
    found: dict[str, Clock] = {}
    for entry in draft.timeline.standing(ClockKept.kind) if deed is not None else ():
        at, clock_id = datetime.fromisoformat(str(entry.data["kept_at"])), str(entry.data["clock_id"])
        if deed is not None and at == deed.at and entry.command_id != wrong.command_id:
            before = draft.timeline.before(entry.seq)
            clock = before.clock(clock_id) if before else None
            if clock is not None and (clock.kept_by is not None or clock.kind is ClockKind.CONTACT):
                found[clock_id] = clock
    return list(found.values())


def _ids(case: Case) -> set[str]:
    return {t.id for t in case.open_tasks} | {c.id for c in case.running}


def _left(before: Case, owed: Case) -> dict[str, JsonValue]:
    names = {name for name in Case.model_fields if getattr(before, name) != getattr(owed, name)}
    left: dict[str, JsonValue] = owed.model_dump(mode="json", include=names)
    return left


def _take_back(draft: Draft, together: list[Entry]) -> None:
    """What the command itself brought about is not owed, nor to be done; who was told of an alert is told that."""
    data: list[Any] = [e.data for e in together]
    started = {d["clock"]["id"] for e, d in zip(together, data, strict=True) if e.kind == ClockStarted.kind}
    added = {d["task"]["id"] for e, d in zip(together, data, strict=True) if e.kind == TaskAdded.kind}
    for clock in draft.case.running:
        if clock.id in started or clock.about in added:
            cancel_clock(draft, clock, IN_ERROR)
    for task in draft.case.open_tasks:
        if task.id in added:
            draft.happen(TaskCancelled(task_id=task.id, reason=IN_ERROR))
    for entry, said in zip(together, data, strict=True):
        if entry.kind == AlertRaised.kind:
            draft.happen(AlertWithdrawn(alert=said["alert"], told=said.get("told", ())))


def _follow(draft: Draft, together: list[Entry]) -> None:
    """What still stands asks for what it asked for then: attempts, other alerts, other messages."""
    recount(draft)
    since = together[0].seq
    if any(e.kind == AlertRaised.kind for e in together):
        for entry in draft.timeline.standing(AlertRaised.kind):
            if entry.seq > since:
                see_to_alert(draft, str(entry.data["alert"]))
        _drop_what_no_alert_asks_for(draft, {str(e.data["alert"]) for e in together if e.kind == AlertRaised.kind})
        keep_above_floor(draft, "alerts that stand")
    if any(e.kind == MessageReceived.kind for e in together):
        later = [e for e in draft.timeline.standing(MessageReceived.kind) if e.seq > since]
        promise_reply(draft, min(map(written_at, later), default=None))


def _drop_what_no_alert_asks_for(draft: Draft, withdrawn: set[str]) -> None:
    """A task that an earlier correction put back for another alert ends with the last alert that asks for it."""
    alerts, timeline = draft.program.alerts, draft.timeline
    standing = {str(e.data["alert"]) for e in timeline.standing(AlertRaised.kind)}
    types = {alerts[name].task for name in withdrawn if name in alerts}
    types -= {alerts[name].task for name in standing if name in alerts}
    corrections = {e.command_id for e in timeline.entries if e.kind == ENTERED_IN_ERROR}
    added: list[Any] = [
        e.data for e in timeline.entries if e.kind == TaskAdded.kind and e.command_id in corrections
    ]
    for task in draft.case.open_tasks:
        if task.type in types and any(data["task"]["id"] == task.id for data in added):
            cancel_clock(draft, draft.open_clock(task.clock_id), IN_ERROR)
            draft.happen(TaskCancelled(task_id=task.id, reason=IN_ERROR))
