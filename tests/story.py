"""A case played against the domain alone: time is a variable, and every decision is folded at once."""

import functools
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.case import Case
from domain.command import Decision, Envelope, Moment
from domain.decide import decide
from domain.event import Entry
from domain.rulebook import Rulebook
from domain.staff import Directory, StaffMember
from domain.values import SYSTEM, Actor, Role
from infra import catalog


@functools.cache
def in_force() -> Rulebook:
    """The catalogue's rulebook, read once for all tests."""
    return catalog.load()


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
MONDAY = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # ten in the morning in New York
BASELINE = {"well_being": 3, "finances": 4, "appropriate_care": 5}
BETTER = {"well_being": 7, "finances": 4, "appropriate_care": 8}


def referral(**patient: Any) -> dict[str, Any]:
    """A referral as it comes in a request body."""
    return {
        "source": "primary-care",
        "reason": "Two admissions in six months",
        "patient": {"reference": "Patient/1", "birth_date": "1950-05-05", **patient},
    }


class Story:
    """One case and its timeline."""

    def __init__(self, program: str = "complex-care", now: datetime = MONDAY, staff: Directory = STAFF) -> None:
        self.program = program
        self.now = now
        self.staff = staff
        self.case: Case | None = None
        self.timeline: list[Entry] = []
        self.sent = 0

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
        decision = decide(envelope, self.case, Moment(self.now, in_force(), self.staff))
        for entry in decision.entries:
            self.case = entry.apply(self.case)
            self.timeline.append(entry)
        return decision

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
        from domain.deadlines import wake_at

        return wake_at(self.known)

    def open(self, **more: Any) -> "Story":
        body = {"case_id": "case-1", "tenant": "local", "program": self.program, "referral": referral()}
        self.do("open", **{**body, "owner": "cm-anna", "team": "north", **more})
        return self

    def accepted(self) -> "Story":
        self.open().do("record-consent", form="verbal")
        self.do("complete-screening", accepted=True)
        return self

    def assess(self, tier: str = "high") -> "Story":
        program = in_force().latest(self.program)
        today = self.now.astimezone(program.zone).date()
        found = [{"name": s.name, "assessed_on": str(today), "findings": "as found"} for s in program.sections]
        self.do("record-assessment", sections=found, baseline=BASELINE)
        self.do("set-risk-tier", tier=tier, reasons=["frequent admissions"])
        return self

    def assessed(self, tier: str = "high") -> "Story":
        return self.accepted().assess(tier)

    def plan(self, *tasks: str, **more: Any) -> dict[str, Any]:
        goal = {
            "description": "Walk to the shop",
            "measure": "days a week",
            "target": "three",
            "due_on": str(self.now.date() + timedelta(days=60)),
        }
        return {"goals": [goal], "interventions": [{"task": t} for t in tasks], **more}

    def planned(self, *tasks: str, tier: str = "high") -> "Story":
        types = tasks or (next(iter(in_force().latest(self.program).tasks)),)
        self.assessed(tier).do("agree-plan", **self.plan(*types))
        return self

    def followed_up(self, tier: str = "high") -> "Story":
        self.planned(tier=tier)
        for task in self.known.open_tasks:
            self.do("complete-task", task_id=task.id)
        return self


def day(text: str) -> date:
    return date.fromisoformat(text)
