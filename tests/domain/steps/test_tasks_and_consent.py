"""Tasks, holds, pauses, and what stops when consent is withdrawn."""

from datetime import timedelta

from domain.case.case import MOST_OPEN_TASKS
from domain.case.staff import Directory
from tests.domain.test_programs import opened
from tests.story import SAM, plain_story


def test_a_task_is_started_completed_late_and_recorded_so() -> None:
    """Its clock is missed first; completing is still possible, and late."""
    story = plain_story().planned("education")
    task = story.known.open_tasks[0]
    story.do("start-task", task_id=task.id)
    assert story.refused("start-task", task_id=task.id) == "WrongTaskState"
    story.wait(days=20)
    assert story.known.open_tasks == (story.known.task(task.id),)
    story.do("complete-task", task_id=task.id, result="teach-back done")
    kept = next(e for e in story.timeline if e.kind == "clock-kept" and e.data["clock_id"] == task.clock_id)
    assert kept.data["late_by"] > 5 * 86400  # type: ignore[operator]
    assert story.refused("complete-task", task_id=task.id) == "UnknownTask"


def test_a_task_belongs_to_its_assignee_and_the_promise_does_not_renew() -> None:
    """The clock is the same; the new one answers for it; unknown people get no work."""
    story = plain_story().planned("education")
    task = story.known.open_tasks[0]
    due = story.known.clock(task.clock_id)
    story.do("assign-task", task_id=task.id, assignee="cm-ben")
    assert story.known.clock(task.clock_id) == due
    assert due is not None
    assert story.known.responsible_for(due) == "cm-ben"
    assert story.refused("assign-task", task_id=task.id, assignee="nobody") == "UnknownStaff"
    inactive = tuple(m.changed(active=False) if m.subject == "cm-ben" else m for m in story.staff.members)
    story.staff = Directory(members=inactive)
    assert story.refused("add-task", task="education", assignee="cm-ben") == "UnknownStaff"


def test_a_task_may_be_due_at_an_agreed_time_but_not_in_the_past_or_in_a_hundred_years() -> None:
    """The time given replaces the programme's."""
    story = plain_story().planned()
    at = story.now + timedelta(hours=30)
    done = story.do("add-task", task="follow-up-call", due_at=at.isoformat())
    task = story.known.task(done.outcome.created[0])
    assert task is not None
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    assert clock.due_at == at
    assert story.refused("add-task", task="follow-up-call", due_at="2020-01-01T00:00:00Z") == "DueInThePast"
    assert story.refused("add-task", task="follow-up-call", due_at="2150-01-01T00:00:00Z") == "DueInThePast"
    assert story.refused("add-task", task="follow-up-call", due_at="9999-01-01T00:00:00Z") == "UnreadableCommand"
    assert story.refused("add-task", task="juggling") == "UnknownTaskType"


def test_a_case_holds_no_more_tasks_than_it_may() -> None:
    """The refusal says how many, and nothing else breaks."""
    story = plain_story().planned("education")
    for _ in range(MOST_OPEN_TASKS - 1):
        story.do("add-task", task="education")
    assert story.refused("add-task", task="education") == "TooManyTasks"


def test_implementation_ends_with_the_plans_last_task_not_with_others() -> None:
    """A task added by the way does not keep the case from follow-up; cancelling settles too."""
    story = plain_story().planned("education", "benefits-help")
    story.do("add-task", task="follow-up-call")
    first, second, _ = story.known.open_tasks
    story.do("complete-task", task_id=first.id)
    assert story.known.stage == "implementation"
    story.do("cancel-task", task_id=second.id, reason="not wanted")
    assert story.known.stage == "follow-up"


def test_a_held_task_stands_still_returns_by_itself_and_is_due_later_by_the_hold() -> None:
    """Ten business days, three of them on hold over a weekend."""
    story = plain_story().planned("benefits-help")
    task = story.known.open_tasks[0]
    before = story.known.clock(task.clock_id)
    assert before is not None
    until = story.now + timedelta(days=3)
    story.do("hold-task", task_id=task.id, reason="waiting for the insurer", until=until.isoformat())
    assert story.refused("complete-task", task_id=task.id) == "WrongTaskState"
    assert story.refused("hold-task", task_id=task.id, reason="x", until=until.isoformat()) == "WrongTaskState"
    assert (
        story.refused("pause-clock", clock_id=task.clock_id, reason="x", until=until.isoformat())
        == "BelongsToTask"
    )
    story.wait(days=4)
    after = story.known.clock(task.clock_id)
    assert after is not None
    assert after.pause is None
    assert story.known.open_tasks[0].status == "ready"
    days = (after.due_at.astimezone(after.tz).date() - before.due_at.astimezone(before.tz).date()).days
    assert days == 3


def test_a_pause_must_end_and_may_end_early() -> None:
    """A clock paused for ever would be a case forgotten."""
    story = plain_story().followed_up("low")
    clock = next(c for c in story.known.running if c.kind == "reassessment")
    late = (story.now + timedelta(days=200)).isoformat()
    assert story.refused("pause-clock", clock_id=clock.id, reason="away", until=late) == "PauseTooLong"
    past = (story.now - timedelta(days=1)).isoformat()
    assert story.refused("pause-clock", clock_id=clock.id, reason="away", until=past) == "PauseTooLong"
    assert story.refused("pause-clock", clock_id=clock.id, reason="away") == "UnreadableCommand"
    until = (story.now + timedelta(days=60)).isoformat()
    story.do("pause-clock", clock_id=clock.id, reason="abroad", until=until)
    assert story.refused("pause-clock", clock_id=clock.id, reason="again", until=until) == "AlreadyPaused"
    story.wait(days=30)
    story.do("resume-clock", clock_id=clock.id, reason="back early")
    moved = story.known.clock(clock.id)
    assert moved is not None
    assert (moved.due_at.date() - clock.due_at.date()).days == 30
    assert story.refused("resume-clock", clock_id=clock.id, reason="x") == "NotPaused"
    assert story.refused("resume-clock", clock_id="c999", reason="x") == "UnknownClock"


def test_a_missed_clock_is_acknowledged_not_paused() -> None:
    """A pause cannot undo that a deadline has passed."""
    story = plain_story().followed_up("high")
    story.wait(days=9)
    clock = next(c for c in story.known.running if c.missed_at)
    until = (story.now + timedelta(days=9)).isoformat()
    assert story.refused("pause-clock", clock_id=clock.id, reason="x", until=until) == "AlreadyMissed"
    held = plain_story().planned("education")
    held.wait(days=20)
    task = held.known.open_tasks[0]
    later = (held.now + timedelta(days=5)).isoformat()
    assert held.refused("hold-task", task_id=task.id, reason="x", until=later) == "WrongTaskState"


def test_withdrawn_consent_stops_what_needs_it_and_somebody_must_decide() -> None:
    """Tasks on hold, contacts no longer promised, the yearly clock still; one clock asks for a decision."""
    story = plain_story().planned("education")
    story.do("withdraw-consent", reason="wants no calls")
    assert [t.status for t in story.known.open_tasks] == ["on-hold"]
    running = {c.kind: c for c in story.known.running if c.pause is None}
    assert set(running) == {"consent-decision"}
    task = story.known.open_tasks[0]
    for kind, body in (
        ("complete-task", {"task_id": task.id}),
        ("add-task", {"task": "education"}),
        ("resume-task", {"task_id": task.id}),
        ("set-risk-tier", {"tier": "low", "reasons": ["x"]}),
        ("revise-plan", {**story.plan("education"), "reason": "x"}),
    ):
        assert story.refused(kind, **body) == "ConsentMissing"
    yearly = next(c for c in story.known.running if c.kind == "reassessment")
    assert story.refused("resume-clock", clock_id=yearly.id, reason="x") == "WaitsForConsent"
    assert story.refused("withdraw-consent") == "NoConsentToWithdraw"
    story.wait(days=20)
    assert any(c.missed_at for c in story.known.running if c.kind == "consent-decision")


def test_consent_given_again_lets_everything_go_on_where_it_stood() -> None:
    """Also a task that was on hold for another reason, and the contact cadence."""
    story = plain_story().planned("education", "benefits-help")
    first, second = story.known.open_tasks
    hold = (story.now + timedelta(days=5)).isoformat()
    story.do("hold-task", task_id=second.id, reason="insurer", until=hold)
    due = story.known.clock(first.clock_id)
    assert due is not None
    story.do("withdraw-consent")
    story.wait(days=9)
    assert {t.status for t in story.known.open_tasks} == {"on-hold"}
    story.do("record-consent", form="written")
    assert {t.status for t in story.known.open_tasks} == {"ready"}
    moved = story.known.clock(first.clock_id)
    assert moved is not None
    assert (moved.due_at.date() - due.due_at.date()).days == 9
    kinds = [c.kind for c in story.known.running if c.pause is None]
    assert sorted(kinds) == ["contact", "reassessment", "stage", "task", "task"]
    assert story.refused("record-consent", form="verbal") == "AlreadyConsented"
    story.do("complete-task", task_id=first.id)


def test_a_case_is_reassigned_to_somebody_the_directory_knows() -> None:
    """Its clocks run on; a repetition is refused."""
    story = plain_story().accepted()
    clocks = story.known.clocks
    assert story.refused("reassign-case", owner="nobody", reason="x") == "UnknownStaff"
    story.do("reassign-case", owner="cm-ben", reason="leave")
    assert (story.known.owner, story.known.team, story.known.clocks) == ("cm-ben", "north", clocks)
    assert story.refused("reassign-case", owner="cm-anna", reason="back") == "LeadsReassign"
    assert story.refused("reassign-case", actor=SAM, owner="cm-ben", reason="x") == "AlreadyTheirs"


def test_a_case_closed_after_a_withdrawal_is_reopened_with_the_decision_still_owed() -> None:
    """Nothing that needs consent runs, and somebody is asked to decide."""
    story = plain_story().followed_up("high")
    story.do("withdraw-consent")
    assert story.refused("report-significant-change", description="x") == "ConsentMissing"
    story.do("close", reason="declined")
    story.do("reopen-case", reason="changed her mind")
    assert [c.kind for c in story.known.running if c.pause is None] == ["consent-decision"]
    story.do("record-consent", form="verbal")
    assert sorted(c.kind for c in story.known.running) == ["contact", "reassessment"]


def test_a_reassessment_that_was_owed_is_owed_after_reopening() -> None:
    """Closing and reopening does not make old sections new."""
    story = plain_story().followed_up("high")
    story.wait(days=3)
    story.do("report-significant-change", description="stroke")
    story.do("close", reason="moved")
    story.do("reopen-case", reason="moved back")
    assert story.refused("set-risk-tier", tier="low", reasons=["x"]) == "AssessmentIncomplete"
    [owed] = [c for c in story.known.running if c.kind == "reassessment"]
    assert (owed.due_at - story.now).days == 14


def test_a_pause_that_a_person_called_consent_withdrawn_is_a_pause_like_any_other() -> None:
    """Recording consent resumes what waited for it, by what it is and not by what somebody wrote."""
    story = plain_story().followed_up("high")
    clock = next(c for c in story.known.running if c.kind == "reassessment")
    until = (story.now + timedelta(days=30)).isoformat()
    story.do("pause-clock", clock_id=clock.id, until=until, reason="consent withdrawn")
    paused = story.known.clock(clock.id)
    assert paused is not None
    assert paused.pause is not None
    assert paused.pause.until is not None


def test_a_hold_until_a_day_outlasts_a_withdrawal_and_waits_for_consent_after_it() -> None:
    """Held for the pharmacy until Friday: consent withdrawn and given again changes nothing of that."""
    story = opened("complex-care").assess("high")
    [task_id] = story.do("add-task", task="education").outcome.created
    until = story.now + timedelta(days=4)
    story.do("hold-task", task_id=task_id, reason="pharmacy", until=until.isoformat())
    story.do("withdraw-consent", reason="unsure")
    story.wait(days=1)
    story.do("record-consent", form="verbal")
    task = story.known.task(task_id)
    assert task is not None
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    assert clock.pause is not None
    assert (task.status, clock.pause.until) == ("on-hold", until)
    story.do("withdraw-consent", reason="unsure again")
    story.wait(days=5)
    task = story.known.task(task_id)
    assert task is not None
    assert task.status == "on-hold"  # its day is over; now it is consent that it waits for
    story.do("record-consent", form="verbal")
    task = story.known.task(task_id)
    assert task is not None
    assert task.status == "ready"
