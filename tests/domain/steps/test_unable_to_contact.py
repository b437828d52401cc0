"""The unable-to-contact protocol runs by itself to its decision; a message of the person waits for an answer."""

from datetime import timedelta
from typing import Any

from domain.steps.closure import NOT_TRIED
from tests.domain.test_programs import opened
from tests.story import SAM, Story


def at_work() -> Story:
    story = opened("complex-care").assess("low")
    story.do("agree-plan", **story.plan("education"))
    return story


def attempt(story: Story, mode: str = "telephone", **more: Any) -> None:
    body = {"mode": mode, "party": "patient", "reached": False, "outcome": "nobody", **more}
    story.do("log-contact", **body)


def step(story: Story) -> str | None:
    return story.known.unreached.step if story.known.unreached else None


def tried(story: Story) -> None:
    """Three attempts on two days by two modes."""
    attempt(story)
    attempt(story, "message")
    story.wait(days=1)
    attempt(story)


def test_attempts_then_a_letter_then_a_decision() -> None:
    """Three attempts on one day, or by one mode, are not enough; the caregiver's number does not count."""
    story = at_work()
    for _ in range(3):
        attempt(story)
    assert step(story) == "trying"
    attempt(story, party="caregiver")
    story.wait(days=1)
    attempt(story, "message")
    assert step(story) == "letter"
    assert "send-letter" in {t.type for t in story.known.open_tasks}
    assert story.refused("keep-trying", note="x") == "NothingToDecide"
    attempt(story, "letter")
    assert step(story) == "waiting"
    assert story.refused("keep-trying", note="too soon") == "NothingToDecide"
    story.wait(days=15)
    decision = next(c for c in story.known.running if c.kind == "unreached")
    assert decision.missed_at is None
    story.do("keep-trying", note="a neighbour says she is back next week")
    assert step(story) is None


def test_nobody_decides_so_it_climbs() -> None:
    story = at_work()
    tried(story)
    attempt(story, "letter")
    story.wait(days=30)
    (clock,) = [c for c in story.known.running if c.kind == "unreached"]
    assert clock.missed_at is not None
    assert {climb.tell for climb in clock.climbs} >= {"owner", "supervisor"}
    story.do("acknowledge-escalation", escalation_id=clock.escalation_id)
    for other in story.known.running:
        if other.missed_at and not other.acknowledged:
            story.do("acknowledge-escalation", escalation_id=other.escalation_id)
    story.do("request-approval", subject="closure", reason="unreachable")
    (approval,) = story.known.approvals
    story.do("decide-approval", actor=SAM, approval_id=approval.id, approve=True, comment="tried enough")
    story.do("close", reason="unreachable")


def test_nobody_is_called_unreachable_before_the_protocol_has_run() -> None:
    """And a letter that nobody sends does not put the decision off; reached again, the letter is not sent."""
    story = at_work()
    assert NOT_TRIED in story.send("close", reason="unreachable").outcome.missing
    tried(story)
    letter = next(t for t in story.known.open_tasks if t.type == "send-letter")
    story.do("cancel-task", task_id=letter.id, reason="no address")
    assert NOT_TRIED in story.send("close", reason="unreachable").outcome.missing
    story.wait(days=15)
    assert NOT_TRIED not in story.send("close", reason="unreachable").outcome.missing
    story.do("keep-trying", note="her sister has another number")
    assert NOT_TRIED in story.send("close", reason="unreachable").outcome.missing
    again = at_work()
    tried(again)
    old = (again.now - timedelta(hours=20)).isoformat()
    again.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x", occurred_at=old)
    assert step(again) == "trying"  # the attempts since are too few, and the letter is not owed any more
    assert "send-letter" not in {t.type for t in again.known.open_tasks}
    again.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    assert step(again) is None
    assert "send-letter" not in {t.type for t in again.known.open_tasks}


def test_a_reached_person_ends_it_and_a_reached_caregiver_does_not() -> None:
    story = at_work()
    tried(story)
    attempt(story, "letter")
    story.do("log-contact", mode="telephone", party="caregiver", reached=True, outcome="her son")
    assert step(story) == "waiting"
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="there she is")
    assert step(story) is None
    assert not [c for c in story.known.running if c.kind == "unreached"]


def test_a_message_waits_for_an_answer_and_a_second_one_does_not_give_more_time() -> None:
    story = at_work()
    story.do("receive-message", channel="portal", text="may I take both?")
    (clock,) = [c for c in story.known.running if c.kind == "reply"]
    story.wait(hours=3)
    story.do("receive-message", channel="portal", text="hello?")
    assert [c.id for c in story.known.running if c.kind == "reply"] == [clock.id]
    attempt(story)
    assert [c for c in story.known.running if c.kind == "reply"]
    story.do("log-contact", mode="message", party="patient", reached=True, outcome="answered")
    assert not [c for c in story.known.running if c.kind == "reply"]
    assert clock.due_at - clock.anchor < timedelta(days=2)
