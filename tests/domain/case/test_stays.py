"""Stays are made of messages in any order, number and completeness."""

import itertools
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.case.case import PastEncounter
from domain.case.open_parts import Transition
from domain.case.stays import episodes, following, stays_of

NEW_YORK = ZoneInfo("America/New_York")


def told(event: str, day: int, hour: int | None = 12, setting: str = "inpatient", **more: Any) -> Transition:
    """A message of a day of March, at an hour of New York or without any."""
    at = datetime(2026, 3, day, hour or 0, tzinfo=NEW_YORK).astimezone(UTC)
    named = {"id": f"{setting}-{event}-{day}-{hour}", "event": event, "setting": setting, "occurred_at": at}
    return Transition.model_validate({**named, "whole_day": hour is None, **more})


def spans(messages: Any, earlier: Any = ()) -> list[tuple[Any, ...]]:
    found = stays_of(messages, NEW_YORK, earlier)
    return [(s.setting, s.started and s.started.day.day, s.ended and s.ended.day.day) for s in found]


ONE_YEAR = [
    told("admission", 2),
    told("discharge", 5),
    told("admission", 5, 15, "snf"),
    told("discharge", 12, 9, "snf"),
    told("visit", 14, 3, "emergency"),
    told("discharge", 14, 8, "emergency"),
    told("admission", 20),
]


@pytest.mark.parametrize("seed", range(0, 5040, 210))
def test_any_order_of_messages_makes_the_same_stays(seed: int) -> None:
    order = next(itertools.islice(itertools.permutations(ONE_YEAR), seed, None))
    assert spans(order) == [("inpatient", 2, 5), ("snf", 5, 12), ("emergency", 14, 14), ("inpatient", 20, None)]
    [again] = following(stays_of(order, NEW_YORK), "inpatient")
    assert again.days == 15


def test_an_emergency_visit_that_became_an_admission_is_the_admission() -> None:
    """By the encounter that both name."""
    visit = told("visit", 3, 22, "emergency", encounter="e1")
    inside = told("admission", 4, 2, encounter="e1")
    assert spans([inside, visit]) == [("inpatient", 4, None)]
    assert spans([visit, told("admission", 4, 2, encounter="e2")]) == [("emergency", 3, 3), ("inpatient", 4, None)]


def test_who_is_moved_on_the_same_day_was_in_hospital_once() -> None:
    """Also where both messages have one and the same time, or no time at all."""
    for hours in ((10, 14), (10, 10), (None, None)):
        moved = [told("admission", 2), told("discharge", 5, hours[0]), told("admission", 5, hours[1])]
        stays = stays_of([*moved, told("discharge", 9)], NEW_YORK)
        [one] = episodes(stays, "inpatient")
        assert (one.since.day.day, one.until.day.day) == (2, 9)


def test_a_stay_of_which_only_its_end_is_known_is_a_stay() -> None:
    assert spans([told("discharge", 5)]) == [("inpatient", None, 5)]
    assert spans([told("discharge", 5), told("admission", 1)]) == [("inpatient", 1, 5)]


def test_a_stay_of_the_referral_that_the_feed_tells_of_as_well_is_one() -> None:
    """By its beginning, its end, or because one lies in the other; another one stays another one."""
    known = PastEncounter(setting="inpatient", started_on=date(2026, 3, 2), ended_on=date(2026, 3, 5))
    for messages in ([told("admission", 2)], [told("discharge", 5)], [told("admission", 3), told("discharge", 4)]):
        assert len(spans(messages, [known])) == 1
    assert len(spans([told("admission", 9)], [known])) == 2
    visit = PastEncounter(setting="emergency", started_on=date(2026, 3, 2))
    assert len(spans([told("visit", 2, 9, "emergency")], [visit])) == 1


def test_days_are_local_days() -> None:
    """Out at ten, in on the thirtieth day at three in the afternoon: thirty days, whatever the hours."""
    for out, back in ((10, 15), (15, 10), (23, 0)):
        [again] = following(
            stays_of([told("discharge", 1, out), told("admission", 31, back)], NEW_YORK), "inpatient"
        )
        assert again.days == 30
