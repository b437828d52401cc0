"""What was entered in error stays on the timeline, marked, and counts for nothing."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.case.command import Decision
from domain.case.event import Event
from domain.clocks.clock import Clock
from domain.commands import BY_KIND
from domain.corrections import BY_ENTRY, INSTEAD
from domain.values import Actor, Role
from tests.story import ANNA, SAM, Story

BEN = Actor(subject="cm-ben", role=Role.CASE_MANAGER)
PHQ = {f"q{n}": 0 for n in range(1, 10)}


def last(story: Story, kind: str) -> int:
    """The number of the newest entry of a kind."""
    return max(entry.seq for entry in story.timeline if entry.kind == kind)


def strike(story: Story, kind: str, actor: Actor = ANNA, **more: Any) -> Decision:
    return story.do("correct-entry", actor=actor, entry=last(story, kind), reason="another person's", **more)


def contact_clock(story: Story) -> Clock:
    [clock] = [c for c in story.known.running if c.kind == "contact"]
    return clock


def call(story: Story, reached: bool = True, **more: Any) -> None:
    story.do("log-contact", mode="telephone", party="patient", reached=reached, outcome="x", **more)


def test_a_contact_with_somebody_else_keeps_nothing_and_its_promise_is_owed_with_its_old_deadline() -> None:
    """Also the counters are as if it had never been written, and the promise that followed it is gone."""
    story = Story().followed_up()
    story.wait(days=2)
    before = story.known
    owed = contact_clock(story)
    call(story)
    following = contact_clock(story)
    story.wait(hours=3)
    strike(story, "contact-logged")
    assert contact_clock(story) == owed
    assert (story.known.last_contact_at, story.known.reached_at) == (before.last_contact_at, before.reached_at)
    assert following.id not in {c.id for c in story.known.running}
    story.wait(days=6)
    assert contact_clock_missed(story).id == owed.id


def contact_clock_missed(story: Story) -> Clock:
    return next(c for c in story.known.running if c.kind == "contact" and c.missed_at is not None)


def test_what_is_owed_again_is_kept_by_what_else_was_done() -> None:
    """Two calls, the first was another person's: the second keeps the promise, in time."""
    story = Story().followed_up()
    story.wait(days=2)
    owed = contact_clock(story)
    call(story)
    wrong = last(story, "contact-logged")
    story.wait(days=1)
    call(story)
    then = contact_clock(story)
    story.do("correct-entry", entry=wrong, reason="another person's")
    assert contact_clock(story) == then
    kept = [e.data for e in story.timeline if e.kind == "clock-kept" and e.data["clock_id"] == owed.id][-1]
    assert kept["late_by"] == 0
    assert datetime.fromisoformat(str(kept["kept_at"])) == story.now


def test_a_promise_whose_time_is_over_by_then_is_missed_once_and_climbs_from_now_on() -> None:
    """The ranks are not all told at once of what nobody could know."""
    story = Story().followed_up()
    owed = contact_clock(story)
    story.wait(hours=1)
    call(story)
    story.wait(days=6)
    call(story)
    first = min(e.seq for e in story.timeline if e.kind == "contact-logged" and e.at > owed.anchor)
    story.wait(days=3)
    for seq in (last(story, "contact-logged"), first):
        story.do("correct-entry", entry=seq, reason="another person's")
    again = contact_clock_missed(story)
    assert (again.id, again.due_at, again.missed_at) == (owed.id, owed.due_at, story.now)
    climbs = [e for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == owed.id]
    story.wait(minutes=1)
    told = [e for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == owed.id]
    assert len(told) - len(climbs) == 1


def test_a_mistyped_score_is_no_baseline_and_its_alarm_is_taken_back_in_words() -> None:
    """PHQ-9 of 24 by mistake, then 3: no change of minus 21, no task, and whoever was told is told that."""
    story = Story("behavioral-health").assessed("high")
    story.do("record-score", instrument="phq-9", version="2001", answers={**PHQ, "q1": 3, "q9": 3})
    told = [e.data["told"] for e in story.timeline if e.kind == "alert-raised"][-1]
    assert "suicide-risk-assessment" in {t.type for t in story.known.open_tasks}
    wrong = last(story, "instrument-scored")
    right = {"instrument": "phq-9", "version": "2001", "answers": {**PHQ, "q1": 3}}
    story.do("correct-entry", entry=wrong, reason="typed in wrong", right=right)
    assert "suicide-risk-assessment" not in {t.type for t in story.known.open_tasks}
    [withdrawn] = [e for e in story.timeline if e.kind == "alert-withdrawn"]
    assert withdrawn.data["told"] == told
    [score] = [s for s in story.known.scores if s.instrument == "phq-9"]
    assert (score.total, score.baseline) == (3, 0)


def test_what_is_right_keeps_the_time_that_was_given() -> None:
    story = Story("chronic-care").assessed("low")
    taken = story.now - timedelta(days=2)
    measured = {"indicator": "systolic", "value": 118, "unit": "mmHg"}
    story.do("record-observation", **{**measured, "value": 218}, taken_at=taken.isoformat())
    story.do("correct-entry", entry=last(story, "observation-recorded"), reason="typed in wrong", right=measured)
    [value] = [m for m in story.known.measured if m.indicator == "systolic"]
    assert (value.value, value.at) == (118, taken)


def test_attempts_that_were_not_hers_do_not_make_her_unreachable() -> None:
    """With the third attempt the letter and its decision go; with another third one they come back."""
    story = Story().followed_up()
    for mode in ("telephone", "telephone", "video"):
        story.wait(days=1)
        story.do("log-contact", mode=mode, party="patient", reached=False, outcome="x")
    assert "send-letter" in {t.type for t in story.known.open_tasks}
    strike(story, "contact-logged")
    assert story.known.unreached is not None
    assert (story.known.unreached.attempts, story.known.unreached.step) == (2, "trying")
    assert "send-letter" not in {t.type for t in story.known.open_tasks}
    assert not [c for c in story.known.running if c.kind == "unreached"]
    story.do("log-contact", mode="video", party="patient", reached=False, outcome="x")
    assert "send-letter" in {t.type for t in story.known.open_tasks}


def test_who_was_reached_by_mistake_is_unreachable_again() -> None:
    """Three attempts, then a contact that was another person's: the letter is owed again."""
    story = Story().followed_up()
    for mode in ("telephone", "telephone", "video"):
        story.wait(days=1)
        story.do("log-contact", mode=mode, party="patient", reached=False, outcome="x")
    protocol = story.known.unreached
    call(story)
    assert story.known.unreached is None
    strike(story, "contact-logged")
    assert story.known.unreached == protocol
    assert "send-letter" in {t.type for t in story.known.open_tasks}


def test_a_task_that_was_not_done_is_open_again() -> None:
    """And with it the stage that its completion had ended."""
    story = Story().planned()
    *_, task = story.known.open_tasks
    for one in story.known.open_tasks:
        story.do("complete-task", task_id=one.id)
    assert story.known.stage == "follow-up"
    strike(story, "task-completed")
    assert [t.id for t in story.known.open_tasks] == [task.id]
    assert story.known.stage == "implementation"
    story.do("complete-task", task_id=task.id)
    assert story.known.stage == "follow-up"


def test_two_corrections_one_after_the_other_leave_what_none_of_the_entries_would_have_made() -> None:
    """Whatever is corrected first."""
    ends = []
    for first, second in ((0, 1), (1, 0)):
        story = Story().followed_up()
        call(story)
        story.wait(days=1)
        before = story.known
        owed = contact_clock(story)
        numbers = []
        for _ in range(2):
            call(story)
            numbers.append(last(story, "contact-logged"))
            story.wait(hours=1)
        for number in (numbers[first], numbers[second]):
            story.do("correct-entry", entry=number, reason="another person's")
        assert contact_clock(story) == owed
        ends.append((story.known.last_contact_at, story.known.reached_at))
        assert ends[-1] == (before.last_contact_at, before.reached_at)
    assert ends[0] == ends[1]


def test_what_replaced_an_entry_stands_when_another_one_is_corrected_and_can_be_corrected_itself() -> None:
    story = Story("chronic-care").assessed("low")
    measured = {"indicator": "systolic", "value": 118, "unit": "mmHg"}
    story.do("record-observation", **{**measured, "value": 128})
    story.do("correct-entry", entry=last(story, "observation-recorded"), reason="typed in wrong", right=measured)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    strike(story, "contact-logged")
    assert [m.value for m in story.known.measured if m.indicator == "systolic"] == [118]
    strike(story, "observation-recorded", right={**measured, "value": 120})
    assert [m.value for m in story.known.measured if m.indicator == "systolic"] == [120]


def test_who_wrote_it_or_a_lead_corrects_it_once() -> None:
    story = Story().followed_up()
    call(story)
    wrong = {"entry": last(story, "contact-logged"), "reason": "another person's"}
    assert story.refused("correct-entry", actor=BEN, **wrong) == "NotYours"
    story.do("correct-entry", actor=SAM, **wrong)
    assert story.refused("correct-entry", **wrong) == "AlreadyInError"
    assert story.refused("correct-entry", **{**wrong, "entry": 9999}) == "UnknownReference"


def test_what_cannot_be_taken_back_so_says_what_to_send_instead() -> None:
    """A consent, an opening; and what followed from another entry names that one."""
    story = Story().followed_up()
    call(story)
    instead = {"consent-recorded": "withdraw-consent", "case-opened": "stays", "clock-kept": "contact-logged"}
    for kind, says in instead.items():
        outcome = story.send("correct-entry", entry=last(story, kind), reason="x").outcome
        assert outcome.error == "NotCorrectable"
        assert says in str(outcome.detail)


def test_what_is_right_is_read_as_strictly_as_any_command() -> None:
    story = Story().followed_up()
    call(story)
    before = story.known
    body = {"entry": last(story, "contact-logged"), "reason": "x", "right": {"mode": "pigeon"}}
    assert story.refused("correct-entry", **body) == "UnreadableCommand"
    assert story.known == before


@pytest.mark.parametrize("kind", sorted(BY_ENTRY.keys() | INSTEAD.keys()))
def test_every_entry_that_can_be_corrected_is_one_that_exists(kind: str) -> None:
    assert kind in Event.kinds
    assert kind not in BY_ENTRY or BY_ENTRY[kind].kind in BY_KIND
