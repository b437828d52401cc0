"""A case played against the domain alone: time is a variable, and every decision is folded at once."""

import functools
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.case.case import Case
from domain.case.command import Decision, Envelope, Moment
from domain.case.event import Entry, Timeline
from domain.case.staff import Directory, StaffMember
from domain.decide import decide
from domain.programs.rulebook import Rulebook
from domain.simulation import moves
from domain.values import SYSTEM, Actor, Role
from infra import catalog

# The newest version of each programme whose numbers tests tell of. A newer one, or another programme, is held by
# the tests that walk the whole catalogue: to publish one is to write its file and to change no test.
TOLD = {
    "behavioral-health": 1,
    "chronic-care": 1,
    "complex-care": 2,
    "demo": 1,
    "ltac": 1,
    "medicaid-tcm": 2,
    "medication-support": 1,
    "reintegration": 1,
    "transitions": 1,
}


@functools.cache
def whole_catalogue() -> Rulebook:
    """Everything that is published, read once for all tests."""
    return catalog.load()


@functools.cache
def in_force() -> Rulebook:
    """The rulebook of the tests: the catalogue without the versions that are newer than what they tell of."""
    programs = (p for p in whole_catalogue().programs if p.version <= TOLD.get(p.program, p.version))
    return whole_catalogue().changed(programs=tuple(programs))


TOOLS = [tool.model_dump(mode="json") for tool in in_force().instruments]
FORMS = [form.model_dump(mode="json") for form in in_force().forms]
SAM = Actor(subject="sup-1", role=Role.SUPERVISOR)


@functools.cache
def plain() -> Rulebook:
    """Only the first versions of the programmes, which ask for little: the core rules are easier to see there."""
    return in_force().changed(programs=tuple(p for p in in_force().programs if p.version == 1))


def plain_story(program: str = "complex-care", **more: Any) -> "Story":
    """A story under the first versions of the programmes."""
    return Story(program, rulebook=plain(), **more)


ANNA = Actor(subject="cm-anna", role=Role.CASE_MANAGER)
STAFF = Directory(
    members=(
        StaffMember(subject="cm-anna", role=Role.CASE_MANAGER, team="north", supervisor="sup-1"),
        StaffMember(subject="cm-ben", role=Role.CASE_MANAGER, team="north", supervisor="sup-1"),
        StaffMember(subject="senior-1", role=Role.SENIOR, team="north", supervisor="sup-1"),
        StaffMember(subject="sup-1", role=Role.SUPERVISOR, team="north", supervisor="dir-1"),
        StaffMember(subject="dir-1", role=Role.DIRECTOR),
    )
)
BASELINE, BETTER = moves.BASELINE, moves.BETTER
MONDAY = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # ten in the morning in New York


def referral(**patient: Any) -> dict[str, Any]:
    """A referral as it comes in a request body."""
    return {
        "source": "primary-care",
        "reason": "Two admissions in six months",
        "patient": {"reference": "Patient/1", "birth_date": "1950-05-05", **patient},
    }


class Story:
    """One case and its timeline."""

    def __init__(
        self,
        program: str = "complex-care",
        now: datetime = MONDAY,
        staff: Directory = STAFF,
        rulebook: Rulebook | None = None,
    ) -> None:
        self.program = program
        self.rulebook = rulebook or in_force()
        self.now = now
        self.staff = staff
        self.case: Case | None = None
        self.timeline: list[Entry] = []
        self.sent = 0
        self.others: tuple[Story, ...] = ()

    @property
    def known(self) -> Case:
        assert self.case is not None
        return self.case

    @property
    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.timeline]

    def send(self, kind: str, actor: Actor = ANNA, **body: Any) -> Decision:
        """Decide a command now and fold what happens."""
        self.sent += 1
        envelope = Envelope(command_id=f"k{self.sent}", kind=kind, body=body, actor=actor)
        others = {story.known.id: story.case for story in self.others}
        recorded = Timeline(tuple(self.timeline))
        moment = Moment(
            self.now,
            self.rulebook,
            self.staff,
            others=others,
            same_person=tuple(case_id for case_id, other in others.items() if other and not other.closed),
            timeline=recorded,
        )
        decision = decide(envelope, self.case, moment)
        self._follow(decision.entries)
        for told in decision.elsewhere:
            next(story for story in self.others if story.known.id == told.case_id)._follow(told.entries)
        return decision

    def _follow(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.case = entry.apply(self.case)
            self.timeline.append(entry)

    def do(self, kind: str, **body: Any) -> Decision:
        """Send a command that must be applied."""
        decision = self.send(kind, **body)
        assert decision.outcome.status == "applied", decision.outcome
        return decision

    def refused(self, kind: str, **body: Any) -> str:
        """Send a command that must be refused, changing nothing; return the reason's name."""
        before = self.case
        outcome = self.send(kind, **body).outcome
        assert outcome.status == "refused", outcome
        assert self.case == before
        return outcome.error or ""

    def wait(self, **span: float) -> None:
        """Let time pass, ticking whenever the case asks to be woken."""
        until = self.now + timedelta(**span)
        while (wake := self.wake_at()) is not None and wake <= until:
            self.now = max(self.now, wake)
            assert self.send("tick", actor=SYSTEM).outcome.status == "applied"
        self.now = until

    def wake_at(self) -> datetime | None:
        from domain.promises.deadlines import wake_at

        return wake_at(self.known)

    def open(self, **more: Any) -> "Story":
        body = {"case_id": "case-1", "tenant": "local", "program": self.program, "referral": referral()}
        self.do("open", **{**body, "owner": "cm-anna", "team": "north", **more})
        return self

    def accepted(self) -> "Story":
        self.open().do("record-consent", form="verbal")
        self.do("complete-screening", **moves.screen(self.rules))
        return self

    @property
    def rules(self) -> dict[str, Any]:
        return self.rulebook.latest(self.program).model_dump(mode="json")

    @property
    def today(self) -> date:
        return self.now.astimezone(in_force().latest(self.program).zone).date()

    def assess(self, tier: str = "high") -> "Story":
        for kind, body in moves.assess(self.rules, TOOLS, FORMS, self.today, tier, ["frequent admissions"]):
            self.do(kind, **body)
        return self

    def assessed(self, tier: str = "high") -> "Story":
        return self.accepted().assess(tier)

    def plan(self, *tasks: str, **more: Any) -> dict[str, Any]:
        return {**moves.plan(self.rules, self.today, tasks), **more}

    def planned(self, *tasks: str, tier: str = "high") -> "Story":
        self.assessed(tier).do("agree-plan", **self.plan(*tasks))
        return self

    def followed_up(self, tier: str = "high") -> "Story":
        self.planned(tier=tier)
        for task in self.known.open_tasks:
            self.do("complete-task", task_id=task.id)
        return self

    def ready_to_close(self, reason: str = "goals-met") -> "Story":
        """Do what the programme asks for before a closure: signatures, survey, notice and its days, approval."""
        for kind, body in moves.leave(self.rules, reason):
            self.do(kind, **body)
        if self.known.notice_until is not None:
            self.wait(days=12)
            for clock in self.known.running:
                if clock.missed_at is not None and clock.acknowledged is None:
                    self.do("acknowledge-escalation", escalation_id=clock.escalation_id)
        for approval in self.known.approvals:
            self.do("decide-approval", actor=SAM, approval_id=approval.id, approve=True, comment="agreed")
        return self


@functools.cache
def as_json(program: str) -> dict[str, Any]:
    """A programme as the API gives it."""
    return in_force().latest(program).model_dump(mode="json")


def day(text: str) -> date:
    return date.fromisoformat(text)
