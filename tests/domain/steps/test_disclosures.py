"""What leaves the house leaves on a ground: by consent while it holds, and under Part 2 by few grounds only."""

from datetime import timedelta
from typing import Any

import pytest

from domain.steps.disclosures import PART2_NOTICE
from tests.domain.test_programs import opened
from tests.story import Story

TOLD = {"to": "Meadow Hospital", "what": ["the care plan"], "purpose": "treatment", "mode": "letter"}
SHARE = {"with_whom": "meadow hospital", "what": ["the care plan"], "purpose": "treatment"}


def agreed(program: str = "complex-care", **share: Any) -> Story:
    story = opened(program).assess("high")
    story.do("record-consent", form="written", shares=[{**SHARE, **share}])
    return story


def last(story: Story) -> dict[str, Any]:
    assert story.timeline[-1].kind == "disclosure-recorded"
    return story.timeline[-1].data


def test_by_consent_only_whom_a_share_names_is_told_and_only_while_it_holds() -> None:
    story = agreed()
    story.do("record-disclosure", ground="consent", **TOLD)
    assert (last(story)["to"], last(story).get("notice")) == ("Meadow Hospital", None)
    assert story.refused("record-disclosure", ground="consent", **{**TOLD, "to": "Employer"}) == "ShareMissing"
    yesterday = str(story.today - timedelta(days=1))
    ended = agreed(until=yesterday)
    assert ended.refused("record-disclosure", ground="consent", **TOLD) == "ShareMissing"
    told_at = story.now.isoformat()
    story.wait(days=1)
    story.do("withdraw-consent")
    assert story.refused("record-disclosure", ground="consent", **TOLD) == "ShareMissing"
    story.do("record-disclosure", ground="consent", occurred_at=told_at, **TOLD)
    story.do("record-disclosure", ground="asked-by-person", **TOLD)


def test_what_was_told_before_the_consent_was_given_was_not_told_by_it() -> None:
    story = agreed()
    before = (story.now - timedelta(days=40)).isoformat()
    assert story.refused("record-disclosure", ground="consent", occurred_at=before, **TOLD) == "ShareMissing"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"ground": "law"}, "OrderNeeded"),
        ({"ground": "order"}, "GroundUnproved"),
        ({"ground": "emergency"}, "GroundUnproved"),
        ({"ground": "consent"}, "LabelNotShared"),
    ],
)
def test_records_under_part_2_leave_on_few_grounds(said: dict[str, Any], code: str) -> None:
    """42 CFR 2.31, 2.51, 2.61: consent that names them, an emergency that is described, an order's number."""
    story = agreed()
    assert story.refused("record-disclosure", labels=["part2"], **TOLD, **said) == code


@pytest.mark.parametrize(
    "said",
    [
        {"ground": "order", "matter": "CV-2026-00417"},
        {"ground": "emergency", "reason": "found unconscious; the emergency department asked what she takes"},
        {"ground": "consent"},
    ],
)
def test_the_notice_goes_with_what_leaves_under_part_2(said: dict[str, Any]) -> None:
    story = agreed(labels=["part2"])
    story.do("record-disclosure", labels=["part2"], **TOLD, **said)
    assert (last(story)["notice"], last(story)["sensitivity"]) == (PART2_NOTICE, "part2")


def test_the_label_of_the_programme_counts_without_being_said() -> None:
    story = agreed("behavioral-health")
    assert story.refused("record-disclosure", ground="consent", **TOLD) == "LabelNotShared"
    story.do("record-disclosure", ground="law", **TOLD)
    assert list(last(story)["labels"]) == ["behavioral"]
