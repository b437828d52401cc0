"""The care team around the person, conferences and what comes out of them, and guided records."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import NotYetHappened, check_day, happened_at
from domain.case.event import Event
from domain.case.open_parts import CareTeamMember, Guided
from domain.clocks.clock import ClockKind
from domain.programs.policies import ProcedurePolicy
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.steps.stages import ACTIVE
from domain.steps.tasks import add_task
from domain.values import Day, Instant, Invalid, Line, Rejected, Slug, Text, Value


class UnknownProcedure(Invalid):
    """The programme leads no record of this kind; the refusal lists those it has."""


class WrongStep(Rejected):
    """The steps of a guided record come in their order; the refusal says which one is next."""


class StepsMissing(Rejected):
    """The record is concluded when its needed steps are written; `missing` lists them."""


class CareTeamJoined(Event):
    kind: ClassVar[str] = "care-team-joined"

    member: CareTeamMember

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("care_team", self.member)


class CareTeamLeft(Event):
    kind: ClassVar[str] = "care-team-left"

    member_id: Slug
    role: Slug
    until: Day

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("care_team", self.member_id)


class CaregiverNeedsRecorded(Event):
    """What the caregiver needs, apart from what the person needs."""

    kind: ClassVar[str] = "caregiver-needs-recorded"

    member_id: Slug
    needs: tuple[Line, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        member = next((m for m in case.care_team if m.id == self.member_id), None)
        return case.put("care_team", member.changed(needs=self.needs)) if member else case


class ConferenceHeld(Event):
    """A case conference: who was there, what was decided, and the tasks that came out of it."""

    kind: ClassVar[str] = "conference-held"

    held_at: Instant
    attendees: tuple[Line, ...]
    decisions: tuple[Text, ...]
    tasks: tuple[Slug, ...]


class GuidedOpened(Event):
    kind: ClassVar[str] = "guided-opened"

    guided: Guided
    concern: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("guided", self.guided)


class GuidedStepWritten(Event):
    kind: ClassVar[str] = "guided-step-written"

    guided_id: Slug
    step: Slug
    text: Text

    def apply(self, case: Case, at: datetime) -> Case:
        guided = next((g for g in case.guided if g.id == self.guided_id), None)
        return case.put("guided", guided.changed(written=(*guided.written, self.step))) if guided else case


class GuidedConcluded(Event):
    kind: ClassVar[str] = "guided-concluded"

    guided_id: Slug
    procedure: Slug
    conclusion: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("guided", self.guided_id)


class JoinCareTeam(Command):
    """Add a person to the care team, with role and since when. A caregiver is one of them."""

    kind: ClassVar[str] = "join-care-team"
    says: ClassVar[str] = "Add a member of the care team"
    example: ClassVar[dict[str, Any]] = {
        "role": "caregiver",
        "reference": "RelatedPerson/12",
        "needs": ["A free evening a week"],
    }

    role: Slug
    reference: Line
    since: Day | None = None
    needs: tuple[Line, ...] = Field(default=(), max_length=20)

    def decide(self, draft: Draft) -> None:
        draft.require_room("care_team")
        since = self.since or draft.today
        check_day(draft, since, "the beginning")
        member = CareTeamMember(
            id=draft.new_id("m"), role=self.role, reference=self.reference, since=since, needs=self.needs
        )
        draft.happen(CareTeamJoined(member=member))
        draft.created.append(member.id)


class LeaveCareTeam(Command):
    """End somebody's part in the care team."""

    kind: ClassVar[str] = "leave-care-team"
    says: ClassVar[str] = "End a member's part in the care team"
    example: ClassVar[dict[str, Any]] = {"member_id": "m9"}

    member_id: Slug
    until: Day | None = None

    def decide(self, draft: Draft) -> None:
        member: CareTeamMember = draft.find("care_team", self.member_id)
        until = self.until or draft.today
        check_day(draft, until, "the end")
        if until < member.since:
            draft.refuse(NotYetHappened, f"the member joined on {member.since}; give that day or a later one")
        draft.happen(CareTeamLeft(member_id=member.id, role=member.role, until=until))


class RecordCaregiverNeeds(Command):
    """Record what a caregiver needs: a caregiver has needs of their own, besides what they do for the person."""

    kind: ClassVar[str] = "record-caregiver-needs"
    says: ClassVar[str] = "Record a caregiver's needs"
    example: ClassVar[dict[str, Any]] = {"member_id": "m9", "needs": ["Somebody to talk to"]}

    member_id: Slug
    needs: tuple[Line, ...] = Field(max_length=20)

    def decide(self, draft: Draft) -> None:
        member: CareTeamMember = draft.find("care_team", self.member_id)
        draft.happen(CaregiverNeedsRecorded(member_id=member.id, needs=self.needs))


class ConferenceTask(Value):
    """A task that a conference gives somebody."""

    task: Slug
    title: Line | None = None


class HoldConference(Command):
    """Record a case conference: attendees, decisions, and the tasks that come out of it."""

    kind: ClassVar[str] = "hold-conference"
    says: ClassVar[str] = "Record a case conference"
    example: ClassVar[dict[str, Any]] = {
        "attendees": ["Case manager", "Primary care", "Her daughter"],
        "decisions": ["Home health three times a week"],
        "tasks": [{"task": "arrange-appointment", "title": "Arrange home health"}],
    }

    attendees: tuple[Line, ...] = Field(min_length=2, max_length=40)
    decisions: tuple[Text, ...] = Field(min_length=1, max_length=40)
    tasks: tuple[ConferenceTask, ...] = Field(default=(), max_length=20)
    held_at: Instant | None = None

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.TASKS)
        happened_at(draft, self.held_at)
        created = tuple(add_task(draft, item.task, item.title) for item in self.tasks)
        draft.happen(
            ConferenceHeld(
                held_at=min(self.held_at or draft.now, draft.now),
                attendees=self.attendees,
                decisions=self.decisions,
                tasks=created,
            )
        )


def procedure(draft: Draft, name: str) -> ProcedurePolicy:
    """Raises `UnknownProcedure`."""
    found = draft.program.procedures.get(name)
    if found is None:
        draft.refuse(UnknownProcedure, f"choose one of: {', '.join(draft.program.procedures) or 'none'}")
    return found


class OpenGuidedRecord(Command):
    """Open a guided record, such as an ethics consult or a mediation, with its review clock."""

    kind: ClassVar[str] = "open-guided-record"
    says: ClassVar[str] = "Open an ethics consult or a mediation"
    example: ClassVar[dict[str, Any]] = {
        "procedure": "ethics-consult",
        "concern": "She refuses food and her sons disagree",
    }

    procedure: Slug
    concern: Text

    def decide(self, draft: Draft) -> None:
        draft.require_room("guided")
        policy = procedure(draft, self.procedure)
        title = f"Review: {policy.title}"[:200]
        guided_id = draft.id_behind_clock("g")
        promise = Promise(kind=ClockKind.REVIEW, title=title, about=f"guided/{guided_id}")
        clock_id = start_clock(draft, promise, policy.review, draft.now)
        guided = Guided(id=guided_id, procedure=self.procedure, clock_id=clock_id)
        draft.happen(GuidedOpened(guided=guided, concern=self.concern))
        draft.created.append(guided.id)


class WriteGuidedStep(Command):
    """Write the next step of a guided record. Steps come in their order."""

    kind: ClassVar[str] = "write-guided-step"
    says: ClassVar[str] = "Write a step of a guided record"
    example: ClassVar[dict[str, Any]] = {
        "guided_id": "g9",
        "step": "assess",
        "text": "What is known, and who is affected",
    }

    guided_id: Slug
    step: Slug
    text: Text

    def decide(self, draft: Draft) -> None:
        guided: Guided = draft.find("guided", self.guided_id)
        steps = procedure(draft, guided.procedure).steps
        following = next((s for s in steps if s not in guided.written), None)
        if self.step != following:
            draft.refuse(WrongStep, f"next is: {following}" if following else "all steps are written; conclude it")
        draft.happen(GuidedStepWritten(guided_id=guided.id, step=self.step, text=self.text))


class ConcludeGuidedRecord(Command):
    """Conclude a guided record with its decision or agreement, or give it up before its steps are done."""

    kind: ClassVar[str] = "conclude-guided-record"
    says: ClassVar[str] = "Conclude a guided record"
    example: ClassVar[dict[str, Any]] = {
        "guided_id": "g9",
        "conclusion": "Her wish stands; the sons were told why",
    }

    guided_id: Slug
    conclusion: Text
    given_up: bool = False

    def decide(self, draft: Draft) -> None:
        guided: Guided = draft.find("guided", self.guided_id)
        policy = draft.program.procedures.get(guided.procedure)
        needed = policy.needed if policy else ()  # taken out of the file: concluded with the steps that it has
        missing = [step for step in needed if step not in guided.written]
        if missing and not self.given_up:
            draft.refuse(StepsMissing, "write the needed steps, or say that it was given up", missing)
        clock = draft.open_clock(guided.clock_id)
        if self.given_up:
            cancel_clock(draft, clock, "given up")
        else:
            keep_clock(draft, clock, draft.now)
        draft.happen(GuidedConcluded(guided_id=guided.id, procedure=guided.procedure, conclusion=self.conclusion))
