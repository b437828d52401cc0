"""Random commands and clock ticks never reach a state that breaks an invariant of tests/invariants.py."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.commands import BY_KIND, FROM_PEOPLE
from domain.corrections import BY_ENTRY
from domain.values import Actor, Role
from tests.invariants import ALWAYS
from tests.story import ANNA, BETTER, SAM, Story


class AnyCase(RuleBasedStateMachine):
    """People act in any order, at any time, on one case of the demo programme."""

    @initialize()
    def open(self) -> None:
        self.story = Story("demo").open()
        self.faults = 0

    def send(self, kind: str, **body: Any) -> None:
        assert self.story.send(kind, **body).outcome.status in ("applied", "refused")

    @rule(seconds=st.sampled_from([0, 1, 7, 20, 61, 300, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.story.wait(seconds=seconds)

    @rule()
    def consent(self) -> None:
        self.send("record-consent", form="verbal")

    @rule()
    def withdraw(self) -> None:
        self.send("withdraw-consent")

    @rule(accepted=st.sampled_from([True, True, True, False]))
    def screen(self, accepted: bool) -> None:
        self.send("complete-screening", accepted=accepted, reason="not-interested")

    @rule(tier=st.sampled_from(["high", "moderate", "low"]))
    def assess(self, tier: str) -> None:
        today = str((self.story.now - timedelta(hours=5)).date())
        found = [{"name": n, "assessed_on": today, "findings": "x"} for n in ("health", "home")]
        self.send("record-assessment", sections=found, baseline=BETTER)
        self.send("set-risk-tier", tier=tier, reasons=["r"])

    @rule(revise=st.booleans(), tasks=st.lists(st.sampled_from(["call", "arrange-appointment"]), min_size=1))
    def plan(self, revise: bool, tasks: list[str]) -> None:
        plan = self.story.plan(*tasks)
        self.send("revise-plan", **plan, reason="r") if revise else self.send("agree-plan", **plan)

    @rule(
        kind=st.sampled_from(["start-task", "complete-task", "cancel-task", "hold-task", "resume-task"]),
        pick=st.integers(0, 5),
    )
    def task(self, kind: str, pick: int) -> None:
        tasks = self.story.known.tasks
        until = (self.story.now + timedelta(seconds=90)).isoformat()
        more = {"cancel-task": {"reason": "r"}, "hold-task": {"reason": "r", "until": until}}.get(kind, {})
        self.send(kind, task_id=tasks[pick % len(tasks)].id if tasks else "t0", **more)

    @rule(party=st.sampled_from(["patient", "caregiver"]), reached=st.booleans())
    def contact(self, party: str, reached: bool) -> None:
        self.send("log-contact", mode="telephone", party=party, reached=reached, outcome="x")

    @rule(kind=st.sampled_from(["pause-clock", "resume-clock", "acknowledge-escalation"]), pick=st.integers(0, 9))
    def clock(self, kind: str, pick: int) -> None:
        clocks = self.story.known.clocks
        clock_id = clocks[pick % len(clocks)].id if clocks else "c0"
        until = (self.story.now + timedelta(seconds=200)).isoformat()
        body = {
            "pause-clock": {"clock_id": clock_id, "until": until, "reason": "r"},
            "resume-clock": {"clock_id": clock_id, "reason": "r"},
            "acknowledge-escalation": {"escalation_id": f"{clock_id}-missed"},
        }
        self.send(kind, **body[kind])

    @rule()
    def change(self) -> None:
        self.send("report-significant-change", description="x")

    @rule(reason=st.sampled_from(["goals-met", "declined", "died"]))
    def close(self, reason: str) -> None:
        self.send("evaluate-outcome", ratings=BETTER, summary="x")
        self.send("close", reason=reason)

    @rule()
    def reopen(self) -> None:
        self.send("reopen-case", reason="x")

    @invariant()
    def what_always_holds(self) -> None:
        for holds in ALWAYS:
            holds(self.story)


AnyCase.TestCase.settings = settings(max_examples=10, stateful_step_count=35, deadline=None)
TestAnyCase = AnyCase.TestCase


COMMANDS = sorted(command.kind for command in FROM_PEOPLE)
ACTORS = (ANNA, Actor(subject="cm-ben", role=Role.CASE_MANAGER), SAM)
REFERS = {
    "task_id": "tasks",
    "clock_id": "clocks",
    "referral_id": "referrals",
    "approval_id": "approvals",
    "assistance_id": "assistance",
    "member_id": "care_team",
    "guided_id": "guided",
    "flag_id": "flags",
    "action_id": "corrective_actions",
}


class AnyCommand(RuleBasedStateMachine):
    """Every command of the catalogue, in any order, about whatever the case holds, in two programmes."""

    @initialize(program=st.sampled_from(["complex-care", "behavioral-health"]), steps=st.integers(0, 3))
    def begin(self, program: str, steps: int) -> None:
        self.story = Story(program).open()
        if steps > 0:
            self.story.do("record-consent", form="verbal")
            self.story.do("complete-screening", accepted=True)
        if steps > 1:
            self.story.assess("high")
        if steps > 2:
            self.story.do("agree-plan", **self.story.plan())

    @rule(hours=st.sampled_from([0, 1, 5, 30, 24 * 9, 24 * 40, 24 * 200]))
    def time_passes(self, hours: int) -> None:
        self.story.wait(hours=hours)

    @rule(kind=st.sampled_from(COMMANDS), pick=st.integers(0, 30), by=st.sampled_from(ACTORS))
    def somebody_does_something(self, kind: str, pick: int, by: Actor) -> None:
        body = self.body(kind, pick)
        assert self.story.send(kind, actor=by, **body).outcome.status in ("applied", "refused")

    def body(self, kind: str, pick: int) -> dict[str, Any]:
        """The example of a command, about something the case holds and at a time that it knows."""
        body, now = dict(BY_KIND[kind].example), self.story.now
        for field, collection in REFERS.items():
            items = getattr(self.story.known, collection)
            if field in body and items:
                body[field] = items[pick % len(items)].id
        if "escalation_id" in body and self.story.known.clocks:
            clock = self.story.known.clocks[pick % len(self.story.known.clocks)]
            body["escalation_id"] = clock.escalation_id
        for field in ("until", "due_at", "follow_up_by"):
            if field in body and isinstance(body[field], str):
                body[field] = (now + timedelta(hours=3 + pick)).isoformat()
        if "occurred_at" in body:
            body |= {"occurred_at": (now - timedelta(hours=pick)).isoformat(), "event_id": f"e{pick % 3}"}
        return {**body, **self.special(kind, pick)}

    def can_be_wrong(self, pick: int) -> int:
        """The number of an entry that somebody may correct, where there is one."""
        found = [entry.seq for entry in self.story.timeline if entry.kind in BY_ENTRY]
        return found[pick % len(found)] if found else 1

    def special(self, kind: str, pick: int) -> dict[str, Any]:
        """What the example of some commands leaves out."""
        before = [task.id for task in self.story.known.open_tasks[: pick % 3]]
        mode = ("telephone", "letter", "in-person")[pick % 3]
        reason = ("died", "moved", "declined", "goals-met")[pick % 4]
        bodies: dict[str, dict[str, Any]] = {
            "add-task": {"task": "education", "after": before},
            "agree-plan": self.story.plan(),
            "revise-plan": self.story.plan(reason="r"),
            "log-contact": {"reached": pick % 2 == 0, "mode": mode},
            "close": {"reason": reason, "note": "n"},
            "correct-entry": {"entry": self.can_be_wrong(pick)},
        }
        return bodies.get(kind, {})

    @invariant()
    def what_always_holds(self) -> None:
        for holds in ALWAYS:
            holds(self.story)


AnyCommand.TestCase.settings = settings(max_examples=6, stateful_step_count=30, deadline=None)
TestAnyCommand = AnyCommand.TestCase
