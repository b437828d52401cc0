"""What the law asks for, or what a person's safety hangs on, is never put to sleep."""

from datetime import timedelta

import pytest

from domain.case.case import Task
from domain.simulation import moves
from tests.domain.test_programs import opened
from tests.story import Story

SUICIDAL = {**{f"q{n}": 0 for n in range(1, 9)}, "q9": 2}


def at_risk() -> tuple[Story, Task]:
    """Item 9 of the PHQ-9 was answered with yes: the risk is assessed within hours."""
    story = Story().followed_up()
    story.do("record-score", instrument="phq-9", version="2001", answers=SUICIDAL)
    return story, next(task for task in story.known.open_tasks if task.type == "suicide-risk-assessment")


def missed(story: Story, task: Task) -> bool:
    clock = story.known.clock(task.clock_id)
    return clock is not None and clock.missed_at is not None


def test_a_duty_is_not_put_on_hold() -> None:
    story, task = at_risk()
    until = (story.now + timedelta(days=80)).isoformat()
    assert story.refused("hold-task", task_id=task.id, reason="later", until=until) == "DutyNotHeld"


def test_a_withdrawal_and_a_crisis_leave_duties_running_and_they_can_be_done() -> None:
    """Who must act can act and can write it down, with the ground that the law gives."""
    story, task = at_risk()
    story.do("withdraw-consent", reason="x")
    routine = {"instrument": "phq-9", "version": "2001", "answers": SUICIDAL}
    assert story.refused("record-score", **routine) == "ConsentMissing"
    story.do("record-score", **routine, legal_ground="imminent risk to life")
    scored = next(entry for entry in reversed(story.timeline) if entry.kind == "instrument-scored")
    assert scored.data["legal_ground"] == "imminent risk to life"
    story.do("raise-crisis", description="x")
    story.wait(hours=6)
    assert missed(story, task)
    story.do("assign-task", task_id=task.id, assignee="cm-anna")
    story.do("add-task", task="report-concern")


@pytest.mark.parametrize("means", ["hold", "withdrawal", "crisis"])
def test_a_routine_task_rests_where_a_duty_does_not(means: str) -> None:
    story, duty = at_risk()
    routine = story.do("add-task", task="education").outcome.created[0]
    if means == "hold":
        until = (story.now + timedelta(days=5)).isoformat()
        story.do("hold-task", task_id=routine, reason="x", until=until)
    elif means == "withdrawal":
        story.do("withdraw-consent", reason="x")
    else:
        story.do("raise-crisis", description="x")
    clocks = {clock.about: clock for clock in story.known.running}
    assert clocks[routine].pause is not None
    assert clocks[duty.id].pause is None


def test_a_statutory_reassessment_is_not_paused() -> None:
    story = opened("medicaid-tcm").assess("low")
    clock = next((c for c in story.known.running if c.statutory), None)
    assert clock is not None
    until = (story.now + timedelta(days=5)).isoformat()
    refused = story.refused("pause-clock", clock_id=clock.id, until=until, reason="x")
    assert refused == "NotPausable"


def test_a_pause_takes_out_its_own_time_however_late_somebody_got_to_it() -> None:
    """The system was away when the hold ended: fifteen minutes are fifteen minutes."""
    story = Story().followed_up()
    due = story.now + timedelta(hours=5)
    task = story.do("add-task", task="follow-up-call", due_at=due.isoformat()).outcome.created[0]
    until = story.now + timedelta(minutes=15)
    story.do("hold-task", task_id=task, reason="x", until=until.isoformat())
    story.now += timedelta(hours=2)
    story.wait(minutes=1)
    clock = next(clock for clock in story.known.running if clock.about == task)
    assert (clock.held, clock.due_at) == (15 * 60, due + timedelta(minutes=15))


def test_a_promise_that_another_tier_replaces_takes_over_the_pause_and_the_time_held() -> None:
    """Paused for a week, then the tier changes: the new cadence waits for the same day."""
    story = Story().followed_up("low")
    clock = next(c for c in story.known.running if c.kind == "contact")
    until = story.now + timedelta(days=7)
    story.do("pause-clock", clock_id=clock.id, until=until.isoformat(), reason="in hospital abroad")
    values = moves.values_for(story.rules["stratification"], "moderate")
    story.do("stratify-risk", given=values, reason="the practice's chart")
    new = next(c for c in story.known.running if c.kind == "contact")
    assert new.id != clock.id
    assert new.pause is not None
    assert new.pause.until == until
    story.wait(days=8)
    resumed = next(c for c in story.known.running if c.id == new.id)
    assert resumed.held > 0
    assert resumed.due_at > new.due_at


def test_what_begins_in_a_crisis_rests_with_it() -> None:
    """A routine task added while the crisis lasts is not missed in it."""
    story = Story().followed_up()
    story.do("raise-crisis", description="x")
    task = story.do("add-task", task="education").outcome.created[0]
    clock = next(c for c in story.known.running if c.about == task)
    assert clock.pause is not None
    assert clock.pause.open_end == "crisis"


def test_when_a_hold_has_run_out_whoever_does_the_task_is_told_and_reminded_anew() -> None:
    story = Story().followed_up()
    due = story.now + timedelta(days=3)
    task = story.do("add-task", task="follow-up-call", assignee="cm-ben", due_at=due.isoformat()).outcome.created[
        0
    ]
    story.wait(days=2, hours=12)
    reminded = [e for e in story.timeline if e.kind == "rung-climbed"]
    until = (story.now + timedelta(days=5)).isoformat()
    story.do("hold-task", task_id=task, reason="x", until=until)
    story.wait(days=5, hours=13)
    [back] = [e for e in story.timeline if e.kind == "task-resumed"]
    assert [notice.recipient for notice in back.event.notices(story.known)] == ["cm-ben"]
    again = [e for e in story.timeline if e.kind == "rung-climbed" and e not in reminded]
    clock_id = next(c.id for c in story.known.running if c.about == task)
    assert [e.data["clock_id"] for e in reminded].count(clock_id) == 1
    assert [e.data["clock_id"] for e in again].count(clock_id) >= 1
