"""Random commands and clock ticks never reach a state that breaks an invariant."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.deadlines import wake_at
from domain.event import Entry
from domain.record import Page
from tests.story import BETTER, Story


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
    def the_timeline_makes_the_case(self) -> None:
        """No gap in `seq`; folding what was recorded, from its JSON, gives the same case."""
        folded = None
        for n, entry in enumerate(self.story.timeline, 1):
            assert entry.seq == n
            folded = Entry.model_validate_json(entry.model_dump_json()).apply(folded)
        assert folded == self.story.case

    @invariant()
    def no_rung_is_climbed_twice_and_none_early(self) -> None:
        climbs = [(e.data["clock_id"], e.data["climb"]) for e in self.story.timeline if e.kind == "rung-climbed"]
        keys = [(clock, c["round"], c["rung"]) for clock, c in climbs]  # type: ignore[index,call-overload]
        assert len(keys) == len(set(keys))
        assert all(c["planned_at"] <= c["at"] for _, c in climbs)  # type: ignore[index,call-overload,operator]
        missed = [e.data["clock_id"] for e in self.story.timeline if e.kind == "clock-missed"]
        assert len(missed) == len(set(missed))

    @invariant()
    def nothing_open_is_forgotten(self) -> None:
        """An open case has a clock that will ask for it, unless it waits for somebody to answer an escalation."""
        case = self.story.known
        if case.sealed:
            return
        escalated = any(c.missed_at and c.next_at is None for c in case.running)
        assert wake_at(case) is not None or escalated

    @invariant()
    def without_consent_nothing_that_needs_it_runs(self) -> None:
        """No promised contact, no task at work; somebody is asked to decide."""
        case = self.story.known
        if case.closed or case.consent is None or case.consent.in_force:
            return
        kinds = [c.kind for c in case.running]
        assert "contact" not in kinds
        assert "consent-decision" in kinds
        assert all(task.status == "on-hold" for task in case.open_tasks)

    @invariant()
    def closed_means_nothing_open(self) -> None:
        case = self.story.known
        if case.closed:
            assert not case.running
            assert not case.open_tasks

    @invariant()
    def every_open_task_has_its_clock_and_its_deadline_is_derived(self) -> None:
        case = self.story.known
        for task in case.open_tasks:
            clock = case.clock(task.clock_id)
            assert clock is not None
            assert not clock.settled
        from tests.story import in_force

        working = in_force().calendar("every-day")
        assert all(c.due_at == c.derived_due(working) for c in case.running if not c.pause)

    @invariant()
    def the_page_of_the_record_can_be_made(self) -> None:
        """Whatever happened, the database can be told of it."""
        page, before = Page(), None
        for entry in self.story.timeline[-3:]:
            page = page.told(before, entry, self.story.known)
        assert page.case is not None


AnyCase.TestCase.settings = settings(max_examples=10, stateful_step_count=35, deadline=None)
TestAnyCase = AnyCase.TestCase
