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


def score(story: Story, **answers: int) -> int:
    story.do("record-score", instrument="phq-9", version="2001", answers={**PHQ, **answers})
    return last(story, "instrument-scored")


def mark(story: Story, entry: int, **more: Any) -> None:
    story.do("correct-entry", actor=SAM, entry=entry, reason="x", **more)


def test_an_alert_that_stands_keeps_its_task_its_safety_plan_and_the_tier() -> None:
    """The first positive answer was another person's, the second is hers."""
    story = Story().planned(tier="low")
    wrong = score(story, q9=3)
    story.wait(hours=1)
    score(story, q9=2)
    mark(story, wrong)
    assert "suicide-risk-assessment" in {t.type for t in story.known.open_tasks}
    assert "safety-plan" in {c.kind for c in story.known.running}
    assert story.known.risk is not None
    assert story.known.risk.tier == story.known.floor == "moderate"


def test_a_message_that_stands_keeps_its_answer() -> None:
    story = Story().followed_up()
    story.do("receive-message", channel="portal", text="x")
    wrong = last(story, "message-received")
    story.wait(hours=3)
    story.do("receive-message", channel="portal", text="y")
    since = story.now
    story.wait(hours=3)
    mark(story, wrong)
    [reply] = [c for c in story.known.running if c.kind == "reply"]
    assert reply.anchor == since


def test_marking_a_note_changes_nothing_but_the_note() -> None:
    """Whatever was corrected before: misses, acknowledgements, letters, decisions stay as they are."""
    story = Story().followed_up()
    story.do("add-note", text="n")
    note = last(story, "note-added")
    for mode in ("telephone", "telephone", "video"):
        story.wait(days=1)
        story.do("log-contact", mode=mode, party="patient", reached=False, outcome="x")
    mark(story, min(e.seq for e in story.timeline if e.kind == "attempt-counted") - 1)
    call(story)
    mark(story, last(story, "contact-logged"))
    story.wait(days=9)
    missed = contact_clock_missed(story)
    story.do("acknowledge-escalation", escalation_id=missed.escalation_id)
    before = story.known
    mark(story, note)
    seq = story.known.seq
    assert story.known.changed(seq=0) == before.changed(seq=0)
    assert seq == before.seq + 1 + (story.kinds[-1] == "people-told")


@pytest.mark.parametrize("since", ["retracted", "admitted", "withdrawn", "crisis", "closing", "tier"])
def test_what_is_owed_again_is_held_against_what_has_happened_since(since: str) -> None:
    """Nobody calls for a discharge that never was, in hospital, without consent; a crisis rests what it rests."""
    story = Story("complex-care").followed_up()
    story.wait(hours=2)
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": story.now.isoformat()}
    story.do("record-transition", **home)
    story.wait(hours=2)
    call(story)
    wrong = last(story, "contact-logged")
    story.wait(hours=2)
    again = {"event_id": "a1", "event": "admission", "setting": "inpatient", "occurred_at": story.now.isoformat()}
    later: dict[str, tuple[str, dict[str, Any]]] = {
        "retracted": ("record-transition", {**home, "retracted": True}),
        "admitted": ("record-transition", again),
        "withdrawn": ("withdraw-consent", {}),
        "crisis": ("raise-crisis", {"description": "x"}),
        "closing": ("evaluate-outcome", {"ratings": {"well_being": 5, "finances": 5, "appropriate_care": 5}}),
        "tier": ("raise-risk-tier", {"tier": "high", "reason": "x"}),
    }
    kind, body = later[since]
    if since == "closing":
        body["summary"] = "x"
    if since != "tier":
        story.do(kind, **body)
    mark(story, wrong)
    running = story.known.running
    contacts = [c for c in running if c.kind == "contact"]
    promised = {c.about for c in running if c.kind == "transition" and (c.about or "").startswith("d1/")}
    assert len(contacts) == (0 if since in ("withdrawn", "closing") else 1)
    if since in ("retracted", "admitted"):
        assert not promised
    if since == "crisis":
        assert contacts[0].pause is not None


def test_a_contact_that_kept_what_became_known_later_is_no_keeper_any_more() -> None:
    """The discharge was known after the call: its promises are owed when the call was another person's."""
    story = Story("transitions").followed_up()
    left = story.now
    story.wait(days=1)
    call(story)
    wrong = last(story, "contact-logged")
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": left.isoformat()}
    story.do("record-transition", **home)
    assert "d1/contact-2bd" not in {c.about for c in story.known.running}
    mark(story, wrong)
    assert {"d1/contact-2bd", "d1/outreach-48h"} <= {c.about for c in story.known.running}


def test_a_copy_that_was_taken_since_is_undone_first() -> None:
    """An amended plan holds the progress that is marked: the refusal names the entry."""
    story = Story().planned()
    story.do("record-goal-progress", goal="g1", achievement="improving", note="x")
    wrong = last(story, "goal-progressed")
    story.do("amend-plan", strengths=["patient"])
    outcome = story.send("correct-entry", entry=wrong, reason="x").outcome
    assert outcome.error == "NotCorrectable"
    assert "plan-amended" in str(outcome.detail)


def test_a_correction_before_it_moves_no_number_of_a_contact() -> None:
    """The minutes of a contact are asked for by its number."""
    story = Story("chronic-care").assessed("low")
    story.do("add-note", text="n")
    note = last(story, "note-added")
    call(story)
    asked = story.known.unrecorded
    mark(story, note)
    assert story.known.unrecorded == asked


def test_one_completion_taken_back_does_not_make_two_series() -> None:
    story = Story("medicaid-tcm").followed_up()
    story.do("add-task", task="monitor-services", repeat={"amount": 1, "unit": "months"})

    def series() -> list[Any]:
        return [t for t in story.known.open_tasks if t.type == "monitor-services"]

    story.do("complete-task", task_id=series()[0].id)
    wrong = last(story, "task-completed")
    story.do("complete-task", task_id=series()[0].id)
    mark(story, wrong)
    assert len(series()) == 2
    for task in series():
        story.do("complete-task", task_id=task.id)
    assert len(series()) == 1


def test_what_is_right_is_written_down_as_it_was_then() -> None:
    """In closing, and after consent was withdrawn."""
    for kind, body in (
        ("withdraw-consent", {}),
        ("evaluate-outcome", {"ratings": {"well_being": 5, "finances": 5, "appropriate_care": 5}, "summary": "x"}),
    ):
        story = Story("chronic-care").followed_up()
        measured = {"indicator": "systolic", "value": 118, "unit": "mmHg"}
        story.do("record-observation", **{**measured, "value": 128})
        story.do(kind, **body)
        mark(story, last(story, "observation-recorded"), right=measured)
        assert [m.value for m in story.known.measured if m.indicator == "systolic"] == [118]


def test_a_closed_case_is_corrected_in_what_it_knows_and_owes_nothing() -> None:
    story = Story().followed_up()
    call(story)
    score(story, q1=3)
    story.do("close", reason="died")
    mark(story, last(story, "contact-logged"))
    mark(story, last(story, "instrument-scored"))
    assert story.known.closed
    assert not story.known.running
    assert not [s for s in story.known.scores if s.instrument == "phq-9" and s.total == 3]


def test_one_section_of_a_sitting_is_marked_and_the_others_stand() -> None:
    story = Story().accepted()
    begun = {"assessed_on": str(story.today), "findings": "x", "complete": False}
    found = [{"name": name, **begun} for name in ("benefits", "caregiver")]
    story.do("record-assessment", sections=found, baseline={"well_being": 3, "finances": 4, "appropriate_care": 5})
    mark(story, min(e.seq for e in story.timeline if e.kind == "section-assessed"))
    assert [s.name for s in story.known.sections] == ["caregiver"]
    assert story.known.baseline is not None


def test_what_only_followed_points_to_what_it_followed_from() -> None:
    story = Story().planned()
    story.do("complete-task", task_id=story.known.open_tasks[0].id)
    outcome = story.send("correct-entry", entry=last(story, "clock-kept"), reason="x").outcome
    assert "task-completed" in str(outcome.detail)


def test_a_task_that_is_open_again_waits_for_consent_like_the_others() -> None:
    story = Story().planned(tier="low")
    [task, *_] = story.known.open_tasks
    story.do("complete-task", task_id=task.id)
    wrong = last(story, "task-completed")
    story.do("withdraw-consent")
    mark(story, wrong)
    again = story.known.task(task.id)
    assert again is not None
    clock = story.known.clock(again.clock_id)
    assert (again.status, bool(clock and clock.pause)) == ("on-hold", True)


def test_a_persons_own_cadence_holds_for_what_is_owed_again() -> None:
    """Counted from where the promise began, by the days that hold for her now."""
    story = Story().followed_up()
    began = contact_clock(story).anchor
    story.wait(days=1)
    call(story)
    wrong = last(story, "contact-logged")
    told = {"reason": "alone", "source": "her physician"}
    story.do("narrow-policy", policy="tiers.high.contact", within={"amount": 3, "unit": "calendar days"}, **told)
    mark(story, wrong)
    clock = contact_clock(story)
    assert (clock.anchor, str(clock.budget)) == (began, "3 calendar days")


def test_a_task_that_is_open_again_waits_where_the_person_agrees_to_everything_but_tasks() -> None:
    """What is owed again is held like every other task, though the consent is in force for other things."""
    story = Story().planned("education")
    story.do("complete-task", task_id=story.known.open_tasks[0].id)
    story.do("record-consent", form="written", scopes=["assessment", "planning", "contacts"])
    mark(story, last(story, "task-completed"))
    assert {str(t.status) for t in story.known.open_tasks} == {"on-hold"}
