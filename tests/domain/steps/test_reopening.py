"""A case that was closed by mistake goes on as it stood."""

from datetime import timedelta
from typing import Any

import pytest

from tests.domain.test_programs import opened
from tests.story import BETTER, SAM, Story


def at_work() -> Story:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education", "arrange-appointment"))
    referral = story.do("draft-referral", type="specialist", recipient="Dr. Lim", reason="heart").outcome.created[
        0
    ]
    story.do("send-referral", referral_id=referral)
    story.do("raise-flag", actor=SAM, message="no visit in a month")
    story.do("raise-crisis", description="x")
    return story


def test_what_the_closure_itself_ended_comes_back() -> None:
    """Closed as died by mistake and reopened a second later: tasks, referral, flag and crisis are there."""
    story = at_work()
    before: Any = story.known
    story.do("close", reason="died")
    assert story.known.open_tasks == ()
    story.wait(seconds=1)
    story.do("reopen-case", reason="another person")
    after: Any = story.known
    assert [t.id for t in after.open_tasks] == [t.id for t in before.open_tasks]
    for field in ("referrals", "flags", "crisis", "stage", "plan"):
        assert getattr(after, field) == getattr(before, field), field
    for task in after.open_tasks:
        old, new = before.clock(task.clock_id), after.clock(task.clock_id)
        assert (new.due_at.date(), new.missed_at) == (old.due_at.date(), None)
    [referral] = after.referrals
    story.do("accept-referral", referral_id=referral.id)


def test_the_time_that_the_case_was_closed_does_not_count_and_a_duty_ran_on() -> None:
    """Ten days later a task has ten days more; the answer to a crisis is missed, once, and climbs from now."""
    story = at_work()
    before: Any = story.known
    story.do("close", reason="died")
    story.wait(days=10)
    story.do("reopen-case", reason="another person")
    routine = [t for t in story.known.open_tasks if not t.urgent]
    assert routine
    for task in routine:
        old, new = before.clock(task.clock_id), story.known.clock(task.clock_id)
        assert new is not None
        assert new.due_at > old.due_at or new.pause is not None
    late = [c for c in story.known.running if c.statutory and c.missed_at is not None]
    assert late
    assert all(c.known_at == story.now and not [k for k in c.climbs if k.at > c.due_at] for c in late)


def test_a_signed_plan_is_not_to_be_signed_again() -> None:
    """A promise that nobody can keep would climb to the director."""
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    for signer in story.rules["plan"]["signatures"]:
        story.do("sign-plan", signer=signer)
    story.do("close", reason="moved")
    story.do("reopen-case", reason="moved back")
    [clock] = [c for c in story.known.running if c.kind == "signature"]
    assert clock.due_at == min(s.expires_at for s in story.known.signatures)  # again before they expire, as before


def test_a_barrier_whose_day_has_passed_and_an_approval_that_was_asked_do_not_stand_in_the_way() -> None:
    """The barrier is looked at tomorrow; nobody waits for the approval of a closure that is undone."""
    story = opened("complex-care").assess("high")
    day = str(story.today + timedelta(days=5))
    barrier = {"description": "stairs", "response": "bed downstairs", "review_on": day}
    story.do("agree-plan", **{**story.plan("education"), "barriers": [barrier]})
    story.do("request-approval", subject="closure", reason="goals-met")
    story.do("close", reason="died")
    story.wait(days=10)
    story.do("reopen-case", reason="another person")
    assert not [c for c in story.known.running if c.kind == "approval"]
    [review] = [c for c in story.known.running if c.kind == "review"]
    assert review.due_at > story.now


def test_what_was_missed_before_climbs_on_from_now_and_a_hold_goes_on_for_what_was_left() -> None:
    """Not all ranks in one minute; not eaten up by the time that the case was closed."""
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education", "arrange-appointment"))
    task, held = story.known.open_tasks[:2]
    story.do("hold-task", task_id=held.id, reason="r", until=(story.now + timedelta(days=40)).isoformat())
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    story.wait(seconds=(clock.due_at - story.now).total_seconds() + 60)
    story.do("close", reason="died")
    closed_at = story.now
    story.wait(days=20)
    story.do("reopen-case", reason="another person")

    def climbs() -> int:
        return len([e for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == task.clock_id])

    before = climbs()
    story.wait(minutes=5)
    assert climbs() - before <= 1
    waits = story.known.clock(held.clock_id)
    assert waits is not None
    assert waits.pause is not None
    assert waits.pause.until is not None
    assert waits.pause.until > closed_at + timedelta(days=40)


@pytest.mark.parametrize("again", ["in planning", "in closure"])
def test_what_a_plan_promised_is_owed_again_in_every_stage(again: str) -> None:
    """Its review, and new signatures before the old ones end."""
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    for signer in story.rules["plan"]["signatures"]:
        story.do("sign-plan", signer=signer)
    if again == "in planning":
        story.do("report-significant-change", description="second stroke")
        story.wait(days=1)
        story.assess("high")
        assert story.known.stage == "planning"
    else:
        story.do("evaluate-outcome", ratings=BETTER, summary="well")
    before = {(c.kind, c.title) for c in story.known.running if c.of_plan}
    assert len(before) == 2
    story.do("close", reason="moved")
    story.do("reopen-case", reason="moved back")
    assert {(c.kind, c.title) for c in story.known.running if c.of_plan} == before


def test_no_reason_but_death_closes_over_a_duty_and_only_a_lead_gives_one_up() -> None:
    story = opened("behavioral-health")
    answers = {f"q{n}": 1 for n in range(1, 10)}
    story.do("record-score", instrument="phq-9", version="2001", answers=answers)
    [duty] = [t for t in story.known.open_tasks if t.type == "suicide-risk-assessment"]
    assert story.refused("close", reason="declined") == "StillOpen"
    assert story.refused("cancel-task", task_id=duty.id, reason="not needed") == "DutyNotCancelled"
    story.do("cancel-task", actor=SAM, task_id=duty.id, reason="done by the hospital")


def agreed_until(day: str) -> Story:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    story.do("record-consent", form="written", until=day)
    return story


def consent(story: Story) -> Any:
    return story.known.consent


def test_a_closure_does_not_move_the_last_day_of_the_consent() -> None:
    """Closed for ten days and reopened before that day, the consent ends on it as the person said."""
    story = agreed_until("2026-03-20")
    story.do("close", reason="moved")
    story.wait(days=10)
    story.do("reopen-case", reason="moved back")
    [clock] = [c for c in story.known.running if c.kind == "consent"]
    assert str(clock.due_at.astimezone(clock.tz).date()) == "2026-03-20"
    assert consent(story).in_force
    story.wait(days=12)
    assert not consent(story).in_force


def test_a_consent_that_ended_while_the_case_was_closed_has_lapsed_when_it_is_reopened() -> None:
    """What needs it waits at once, nobody has missed anything, and one decision is owed."""
    story = agreed_until("2026-03-05")
    story.do("close", reason="moved")
    story.wait(days=10)
    story.do("reopen-case", reason="moved back")
    assert not consent(story).in_force
    assert "consent-lapsed" in story.kinds
    kinds = [str(c.kind) for c in story.known.running]
    assert ("consent" in kinds, kinds.count("consent-decision")) == (False, 1)
    assert {str(t.status) for t in story.known.open_tasks if not t.urgent} == {"on-hold"}
