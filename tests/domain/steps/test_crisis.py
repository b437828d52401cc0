"""A crisis suspends routine work with its time kept, and ends with a disposition and a follow-up."""

from datetime import timedelta
from typing import Any

from domain.clocks.clock import ROUTINE
from domain.steps.crisis import EMERGENCY_FIRST, RaiseCrisis
from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.story import Story

SAFETY_PLAN: dict[str, Any] = {
    part: ["as she says"]
    for part in (
        "warning_signs",
        "coping",
        "distractions",
        "people",
        "professionals",
        "environment",
        "reasons_for_living",
    )
}


FEED = Actor(subject="hotline", role=Role.INTEGRATOR)


def at_work(program: str = "complex-care") -> Story:
    story = opened(program).assess("high")
    story.do("agree-plan", **story.plan("education", "arrange-appointment"))
    return story


def raised(story: Story) -> Story:
    story.do("raise-crisis", description="says she cannot go on")
    return story


def ended(story: Story) -> Story:
    story.do("record-disposition", disposition="safe-at-home", note="sister stays")
    story.do("end-crisis", follow_up_by=(story.now + timedelta(hours=48)).isoformat())
    return story


def test_routine_clocks_rest_with_their_remaining_time_kept_and_go_on_afterwards() -> None:
    """Three days of crisis move every routine deadline by three days; the crisis clock runs."""
    story = at_work()
    story.wait(hours=2)
    before = {c.id: c.due_at for c in story.known.running if c.kind in ROUTINE}
    raised(story)
    paused = {c.id for c in story.known.running if c.pause and c.pause.waits_for == "crisis"}
    assert paused == set(before)
    assert [c.title for c in story.known.running if c.kind == "crisis"] == ["Respond to the crisis"]
    story.wait(days=3)
    assert not [e for e in story.timeline if e.kind == "clock-missed" and e.data["clock_id"] in before]
    ended(story)
    for clock in story.known.running:
        if clock.id in before:
            assert clock.pause is None
            assert clock.due_at - before[clock.id] >= timedelta(days=2, hours=23), clock.title
    follow_up = next(c for c in story.known.running if c.title == "Follow up after the crisis")
    assert follow_up.due_at == story.now + timedelta(hours=48)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="safe")
    assert follow_up.id not in {c.id for c in story.known.running}


def test_people_are_told_now_without_quiet_hours_and_again_at_a_second_report() -> None:
    """Senior and supervisor, and the owner where somebody else has raised it; one crisis, not two."""
    story = raised(at_work())
    story.do("raise-crisis", actor=FEED, description="called again", immediate_danger=True)
    told = [e for e in story.timeline if e.kind in ("crisis-raised", "crisis-reported")]
    assert [e.data["told"] for e in told] == [
        ["senior-1", "sup-1"],
        ["cm-anna", "senior-1", "sup-1"],
    ]
    notices = told[0].event.notices(story.known)
    assert all(n.urgent for n in notices)
    assert sum(c.kind == "crisis" for c in story.known.running) == 1
    assert RaiseCrisis.advice == EMERGENCY_FIRST
    assert "911" in EMERGENCY_FIRST
    assert "988" in EMERGENCY_FIRST


def test_a_crisis_ends_only_with_a_disposition_and_a_follow_up_in_time() -> None:
    story = at_work()
    assert story.refused("end-crisis", follow_up_by=(story.now + timedelta(hours=1)).isoformat()) == "NoCrisis"
    raised(story)
    soon = (story.now + timedelta(hours=24)).isoformat()
    assert story.refused("end-crisis", follow_up_by=soon) == "DispositionMissing"
    assert story.refused("record-disposition", disposition="holiday", note="x") == "UnknownDisposition"
    story.do("record-disposition", disposition="mobile-crisis", note="seen at home")
    late = (story.now + timedelta(days=9)).isoformat()
    assert story.refused("end-crisis", follow_up_by=late) == "FollowUpTooLate"
    assert story.refused("end-crisis", follow_up_by=(story.now - timedelta(1)).isoformat()) == "FollowUpTooLate"
    story.do("end-crisis", follow_up_by=soon)


def test_what_was_urgent_before_goes_on_in_a_crisis() -> None:
    """The suicide-risk assessment that item 9 opened is not put to rest by the crisis that follows."""
    story = at_work()
    story.do("record-score", instrument="phq-9", version="2001", answers={"q9": 3})
    raised(story)
    urgent = next(t for t in story.known.open_tasks if t.type == "suicide-risk-assessment")
    clock = story.known.clock(urgent.clock_id)
    assert clock is not None
    assert clock.pause is None


def test_a_crisis_waits_for_no_consent_and_a_withdrawal_in_it_holds_on_after_it() -> None:
    story = raised(at_work())
    story.do("withdraw-consent")
    ended(story)
    waiting = {c.pause.waits_for for c in story.known.running if c.pause}
    assert waiting == {"consent"}
    story.do("record-consent", form="verbal")
    assert not [c for c in story.known.running if c.pause and c.pause.until is None]
    Story("complex-care").open().do("raise-crisis", description="before consent")


def test_a_hold_that_ends_in_a_crisis_goes_on_resting() -> None:
    """Its clock runs when the crisis is over."""
    story = at_work()
    task = story.known.open_tasks[0]
    until = (story.now + timedelta(hours=5)).isoformat()
    story.do("hold-task", task_id=task.id, reason="waits for the clinic", until=until)
    raised(story)
    story.wait(hours=6)
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    assert clock.pause is not None
    assert clock.pause.waits_for == "crisis"
    assert story.refused("resume-clock", clock_id=clock.id, reason="x") in ("BelongsToTask", "WaitsForCrisis")
    ended(story)
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    assert clock.pause is None


def test_a_case_in_crisis_is_not_closed_but_for_death() -> None:
    story = raised(at_work())
    outcome = story.send("close", reason="declined").outcome
    assert "crisis" in outcome.missing
    story.do("close", reason="died")
    assert story.known.crisis is None


def test_the_safety_plan_has_its_parts_and_is_gone_through_on_every_change() -> None:
    """Every part is needed; a change of condition, a crisis or a new tier asks for it again, once."""
    story = at_work()
    assert story.refused("review-safety-plan", note="x") == "NoSafetyPlan"
    short: dict[str, Any] = {**SAFETY_PLAN, "people": []}
    assert story.refused("write-safety-plan", **short) == "UnreadableCommand"
    story.do("write-safety-plan", **SAFETY_PLAN)
    story.do("report-significant-change", description="lost her home")
    assert sum(c.kind == "safety-plan" for c in story.known.running) == 1
    ended(raised(story))
    assert sum(c.kind == "safety-plan" for c in story.known.running) == 1
    story.do("review-safety-plan", note="still right")
    assert not [c for c in story.known.running if c.kind == "safety-plan"]
    story.do("write-safety-plan", **SAFETY_PLAN)
    assert story.known.safety_plan is not None
    assert story.known.safety_plan.version == 2


def test_danger_reported_again_after_the_disposition_asks_for_an_answer_again() -> None:
    story = raised(at_work())
    story.do("record-disposition", disposition="safe-at-home", note="x")
    story.do("raise-crisis", description="called again", immediate_danger=True)
    assert [c.title for c in story.known.running if c.kind == "crisis"] == ["Respond to the crisis"]
    soon = (story.now + timedelta(hours=24)).isoformat()
    assert story.refused("end-crisis", follow_up_by=soon) == "DispositionMissing"


def test_consent_recorded_in_a_crisis_frees_the_tasks_when_it_ends() -> None:
    story = at_work()
    story.do("withdraw-consent")
    raised(story)
    story.do("record-consent", form="verbal")
    ended(story)
    assert all(t.status == "ready" for t in story.known.open_tasks)
    assert not [c for c in story.known.running if c.pause]


def test_duties_are_not_paused_and_a_full_case_still_takes_a_crisis() -> None:
    """Nobody stops the clock of a crisis; 250 promises that people asked for leave room for those of safety."""
    story = at_work()
    while story.send("add-task", task="education").outcome.status == "applied":
        pass
    while story.send("raise-flag", message="x").outcome.status == "applied":
        pass
    while story.send("draft-referral", type="specialist", recipient="x", reason="y").outcome.status == "applied":
        pass
    assert story.refused("open-guided-record", procedure="mediation", concern="x") == "TooManyClocks"
    raised(story)
    story.do("receive-message", channel="portal", text="x")
    clock = next(c for c in story.known.running if c.kind == "crisis")
    until = (story.now + timedelta(days=3)).isoformat()
    assert story.refused("pause-clock", clock_id=clock.id, until=until, reason="x") == "NotPausable"


def test_a_task_that_waits_for_another_goes_on_waiting_after_consent() -> None:
    story = at_work()
    first = story.do("add-task", task="education").outcome.created[0]
    second = story.do("add-task", task="home-visit", after=[first]).outcome.created[0]
    story.do("withdraw-consent")
    story.do("record-consent", form="verbal")
    clock = next(c for c in story.known.running if c.about == second)
    assert clock.pause is not None
    assert clock.pause.waits_for == "task"


def test_a_late_call_that_is_typed_in_during_a_crisis_leaves_one_resting_contact() -> None:
    story = Story().followed_up()
    story.wait(days=20)
    story.do("raise-crisis", description="x")
    at = (story.now - timedelta(days=15)).isoformat()
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x", occurred_at=at)
    assert len([c for c in story.known.running if c.kind == "contact"]) == 1


def test_a_crisis_that_was_answered_is_ended_within_a_day_or_somebody_hears_of_it() -> None:
    """While it is open nothing else runs in the case: it must not be forgotten."""
    story = raised(at_work())
    story.do("record-disposition", disposition="safe-at-home", note="sister stays")
    [clock] = [c for c in story.known.running if c.title == "End the crisis, or answer it again"]
    assert clock.due_at - story.now == timedelta(hours=24)
    assert story.wake_at() is not None
    story.wait(hours=30)
    missed = story.known.clock(clock.id)
    assert missed is not None
    assert missed.missed_at is not None
    story.do("end-crisis", follow_up_by=(story.now + timedelta(hours=20)).isoformat())
    assert not [c for c in story.known.running if c.title.startswith("End the crisis")]
