"""Somebody has died: her cases end together, in any stage, and whoever works for her is told."""

from typing import Any

import pytest

from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.story import SAM, Story

FEED = Actor(subject="adt-feed", role=Role.INTEGRATOR)
SAID: dict[str, Any] = {"actor": FEED, "source": "discharge letter", "died_on": "2026-03-01"}


def told(story: Story) -> set[str]:
    """Who was told that she has died."""
    found = set[str]()
    case = None
    for entry in story.timeline:
        case = entry.apply(case)
        found |= {n.recipient for n in entry.event.notices(case) if n.subject == "death-reported"}
    return found


def in_two_cases() -> tuple[Story, Story]:
    one = opened("complex-care")
    other = Story("transitions").open(case_id="case-2", owner="cm-ben")
    one.others = (other,)
    return one, other


@pytest.mark.parametrize("stage", ["open", "accepted", "assessed", "planned", "followed_up", "ready_to_close"])
def test_a_feed_may_say_so_in_every_stage(stage: str) -> None:
    story = Story()
    if stage == "ready_to_close":
        story.followed_up()
    getattr(story, stage)()
    story.do("report-death", **SAID)
    closure = story.known.closure
    assert closure is not None
    assert (closure.reason, story.known.running, story.known.open_tasks) == ("died", (), ())
    assert told(story) == {"cm-anna"}


def test_her_other_case_ends_with_it_and_its_people_are_told() -> None:
    one, other = in_two_cases()
    one.do("report-death", **SAID)
    assert (one.known.closed, other.known.closed) == (True, True)
    assert (told(one), told(other)) == ({"cm-anna"}, {"cm-ben"})
    [entry] = [e for e in other.timeline if e.kind == "death-reported"]
    assert entry.data["reported_in"] == one.known.id


def test_a_closure_by_death_ends_the_other_case_too() -> None:
    one, other = in_two_cases()
    one.do("close", reason="died")
    assert other.known.closed
    assert told(other) == {"cm-ben"}
    assert told(one) == set()  # she has just said so herself


def test_reported_by_mistake_each_case_is_reopened_as_it_stood() -> None:
    one, other = in_two_cases()
    other.do("raise-flag", actor=SAM, message="no answer for a week")
    before = other.known.flags
    one.do("report-death", **SAID)
    other.do("reopen-case", actor=SAM, reason="another person")
    assert other.known.flags == before
    assert one.known.closed


def test_reported_again_it_changes_nothing() -> None:
    story = opened("complex-care")
    story.do("report-death", **SAID)
    before = story.known
    story.do("report-death", **SAID)
    assert story.known == before


def test_a_case_that_was_closed_before_keeps_its_reason_and_says_it() -> None:
    one, other = in_two_cases()
    one.do("close", reason="moved")
    one.do("report-death", **SAID)
    assert one.known.closure is not None
    assert (one.known.closure.reason, "death-reported" in one.kinds) == ("moved", True)
    assert other.known.closed


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2026-03-03", "NotYetHappened"),
        ("2027", "NotYetHappened"),
        ("1950-05-04", "BeforeBirth"),
        ("1949", "BeforeBirth"),
    ],
)
def test_a_day_that_cannot_be_is_refused(day: str, why: str) -> None:
    assert opened("complex-care").refused("report-death", source="a letter", died_on=day) == why


@pytest.mark.parametrize("day", ["2026-03-02", "2026-03", "2026", "1950", "1950-05", "1950-05-05"])
def test_a_day_known_in_part_is_compared_as_far_as_it_is_known(day: str) -> None:
    opened("complex-care").do("report-death", source="a letter", died_on=day)


def test_where_nobody_has_the_case_the_leads_are_told() -> None:
    story = Story().open(owner=None)
    story.do("report-death", **SAID)
    assert told(story) == {"senior-1", "sup-1"}
