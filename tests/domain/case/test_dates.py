"""When something is said to have happened: one rule for days and one for times, wherever they are given."""

from datetime import date, timedelta
from typing import Any

import pytest

from tests.story import Story

CAREGIVER = {"role": "caregiver", "reference": "RelatedPerson/1"}
CONTACT = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "x"}


def section(story: Story, day: date) -> dict[str, Any]:
    name = story.rulebook.latest(story.program).sections[0].name
    return {"sections": [{"name": name, "findings": "x", "assessed_on": str(day), "complete": False}]}


def test_today_is_the_day_where_the_programme_is_at_work() -> None:
    """A day that has begun in UTC only is tomorrow for the people at work: nothing has happened on it yet."""
    story = Story().followed_up()
    story.wait(hours=12)  # ten in the evening in New York
    tomorrow = story.now.date()
    assert tomorrow == story.today + timedelta(days=1)
    assert story.refused("record-assessment", **section(story, tomorrow)) == "NotYetHappened"
    assert story.refused("join-care-team", **CAREGIVER, since=str(tomorrow)) == "NotYetHappened"
    story.do("record-assessment", **section(story, story.today))
    [member] = story.do("join-care-team", **CAREGIVER, since=str(story.today)).outcome.created
    for wrong in (tomorrow, story.today - timedelta(days=1)):
        assert story.refused("leave-care-team", member_id=member, until=str(wrong)) == "NotYetHappened"
    story.do("leave-care-team", member_id=member, until=str(story.today))


@pytest.mark.parametrize(
    ("kind", "field", "body"),
    [
        ("log-contact", "occurred_at", CONTACT),
        ("record-transition", "occurred_at", {"event": "discharge", "setting": "inpatient"}),
        ("record-observation", "taken_at", {"indicator": "weight", "value": 80, "unit": "kg"}),
    ],
)
def test_a_senders_clock_may_be_a_few_minutes_ahead_and_no_more(
    kind: str, field: str, body: dict[str, Any]
) -> None:
    """What is told may be older than the case, by a year at most unless the programme says otherwise."""
    story = Story("chronic-care" if kind == "record-observation" else "complex-care").followed_up()

    def said(**from_now: float) -> dict[str, Any]:
        event = {"event_id": f"e{story.sent}"} if kind == "record-transition" else {}
        return {**body, **event, field: (story.now + timedelta(**from_now)).isoformat()}

    assert story.refused(kind, **said(minutes=6)) == "NotYetHappened"
    assert story.refused(kind, **said(days=-367)) == "TooLongAgo"
    story.do(kind, **said(minutes=4))
