"""An appointment is a thing of its own: made, moved, kept, missed or cancelled, and never silently forgotten."""

from datetime import datetime, timedelta
from typing import Any

from tests.domain.steps.test_people import at_work
from tests.story import Story


def booked(story: Story, **more: Any) -> str:
    at = (story.now + timedelta(days=1)).isoformat()
    body = {"title": "Home visit", "starts_at": at, "minutes": 45, "mode": "in-person", **more}
    return story.do("make-appointment", **body).outcome.created[0]


def promised(story: Story, appointment: str) -> Any:
    return next((c for c in story.known.running if c.about == f"appointment/{appointment}"), None)


def test_one_that_is_kept_is_a_contact_at_its_own_time_and_keeps_what_such_a_contact_keeps() -> None:
    """Told of two days later, the visit counts from when it was."""
    story = at_work()
    visit = booked(story)
    [held] = story.known.appointments
    clock = next(c for c in story.known.running if c.kind == "contact")
    story.wait(days=2)
    story.do("keep-appointment", appointment_id=visit, outcome="Walks without her stick")
    assert story.known.appointments == ()
    contact = next(e for e in reversed(story.timeline) if e.kind == "contact-logged")
    assert contact.data["contact"]["occurred_at"] == held.starts_at.isoformat().replace("+00:00", "Z")  # type: ignore[index,call-overload]
    kept = {e.data["clock_id"] for e in story.timeline if e.kind == "clock-kept"}
    assert {clock.id, held.clock_id} <= kept


def test_what_became_of_one_is_promised_from_its_end_and_missed_like_any_promise() -> None:
    """Whoever was to be there answers for it; moved, it is promised anew."""
    story = at_work()
    visit = booked(story, attendee="cm-ben")
    first = promised(story, visit)
    assert story.known.responsible_for(first) == "cm-ben"
    later = story.now + timedelta(days=5)
    story.do("move-appointment", appointment_id=visit, starts_at=later.isoformat(), reason="He is ill")
    moved = promised(story, visit)
    assert moved.anchor == later + timedelta(minutes=45)
    assert (story.known.appointments[0].moved, story.known.appointments[0].id) == (1, visit)
    story.wait(days=9)
    assert promised(story, visit).missed_at is not None


def test_one_that_she_did_not_come_to_is_an_attempt_and_one_that_we_missed_is_none() -> None:
    story = at_work()
    hers, ours = booked(story), booked(story)
    story.wait(days=2)
    story.do("miss-appointment", appointment_id=hers, reason="Nobody opened")
    assert story.known.attempts_since_contact == 1
    story.do("miss-appointment", appointment_id=ours, by_us=True)
    assert story.known.attempts_since_contact == 1
    assert [e.kind for e in story.timeline if e.kind.startswith("appointment-missed")] == [
        "appointment-missed"
    ] * 2


def test_one_with_somebody_else_is_no_contact_of_ours() -> None:
    """She goes to the heart clinic; what came of it is told, and no cadence is kept."""
    story = at_work()
    before = story.kinds.count("contact-logged")
    clinic = booked(story, mode=None, with_whom="Heart clinic", title="Echo")
    story.wait(days=2)
    story.do("keep-appointment", appointment_id=clinic, outcome="Stable")
    assert story.kinds.count("contact-logged") == before


def test_times_that_cannot_be_and_appointments_that_are_not_there_are_refused() -> None:
    story = at_work()
    past = (story.now - timedelta(hours=1)).isoformat()
    assert story.refused("make-appointment", title="x", starts_at=past) == "NotAhead"
    far = (story.now + timedelta(days=800)).isoformat()
    assert story.refused("make-appointment", title="x", starts_at=far) == "NotAhead"
    visit = booked(story)
    assert story.refused("keep-appointment", appointment_id=visit, outcome="x") == "NotYetHappened"
    assert story.refused("miss-appointment", appointment_id=visit) == "NotYetHappened"
    story.do("cancel-appointment", appointment_id=visit, reason="She is in hospital")
    assert promised(story, visit) is None
    for kind in ("keep-appointment", "move-appointment", "cancel-appointment"):
        more = {"outcome": "x"} if kind.startswith("keep") else {"reason": "x"}
        more |= {"starts_at": (story.now + timedelta(days=2)).isoformat()} if kind.startswith("move") else {}
        assert story.refused(kind, appointment_id=visit, **more) == "UnknownReference"


def test_a_closure_ends_them_and_a_reopening_brings_them_back() -> None:
    story = at_work()
    visit = booked(story)
    story.do("close", reason="moved")
    assert not story.known.appointments
    story.do("reopen-case", reason="did not move")
    assert [a.id for a in story.known.appointments] == [visit]
    assert isinstance(promised(story, visit).due_at, datetime)
