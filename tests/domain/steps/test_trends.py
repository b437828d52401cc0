"""Values over time: trends though each value is in range, two in a row, oftener while out of goal, refills."""

from datetime import timedelta
from typing import Any

import pytest

from domain.steps.observations import ObservationRecorded
from tests.domain.test_programs import opened
from tests.story import Story


def weigh(story: Story, kilos: float, **ago: float) -> list[str]:
    at = (story.now - timedelta(**ago)).isoformat() if ago else None
    more = {"taken_at": at} if at else {}
    sent = story.do("record-observation", indicator="weight", value=kilos, unit="kg", **more)
    return list(sent.outcome.events)


def alerts(story: Story) -> list[Any]:
    return [e.data["found_by"] for e in story.timeline if e.kind == "alert-raised"]


def test_two_kilos_in_three_days_alarm_and_the_same_in_four_days_do_not() -> None:
    story = opened("chronic-care")
    weigh(story, 80)
    story.wait(days=3, hours=1)
    weigh(story, 82)
    assert alerts(story) == []
    story.wait(days=1)
    weigh(story, 84)
    assert alerts(story) == ["weight: 2 kg and more in three days"]
    [observed] = [e.data for e in story.timeline if e.kind == "observation-recorded" and e.data.get("trend")]
    assert observed["crossed"] == "value-dangerous"
    assert "same-day-review" in {t.type for t in story.known.open_tasks}


def test_a_value_that_is_typed_in_late_counts_for_the_trend_and_alarms_nobody_itself() -> None:
    story = opened("chronic-care")
    weigh(story, 81)
    weigh(story, 80, days=2)
    weigh(story, 82.5, days=1)
    assert alerts(story) == []
    assert [m.value for m in story.known.measured] == [81]
    assert [r.value for r in story.known.measured[0].before] == [80, 82.5]
    story.wait(hours=2)
    weigh(story, 82)
    assert alerts(story) == ["weight: 2 kg and more in three days"]


def test_a_limit_may_ask_for_two_in_a_row() -> None:
    story = opened("chronic-care")
    limits = [{"alert": "value-out-of-range", "above": 90, "in_a_row": 2}]
    story.do("set-personal-limits", indicator="weight", limits=limits, reason="x", source="clinic")
    weigh(story, 91)
    assert alerts(story) == []
    story.wait(days=10)
    weigh(story, 89)
    story.wait(days=10)
    weigh(story, 90.5)
    assert alerts(story) == []
    story.wait(days=10)
    weigh(story, 91)
    assert alerts(story) == ["weight"]


def test_a_case_remembers_what_the_longest_trend_needs_and_no_more() -> None:
    """However often she is weighed: the last ten, and the lowest and the highest of each of ninety days."""
    story = opened("chronic-care")
    case = story.known
    for n in range(8 * 120):
        at = story.now + timedelta(hours=3 * n)
        seen = ObservationRecorded(indicator="weight", value=80 + n % 8, unit="kg", taken_at=at)
        case = seen.apply(case, at)
    [measured] = case.measured
    assert 170 < len(measured.before) <= 192
    assert [r.at for r in measured.before] == sorted(r.at for r in measured.before)
    whole_day = [r.value for r in measured.before if r.at.date() == (at - timedelta(days=30)).date()]
    assert sorted(whole_day) == [80, 87]


def test_three_kilos_lost_in_a_month_of_daily_weights_alarm() -> None:
    """A little each day is found by the first day of the thirty, not by the last ten weights."""
    story = opened("chronic-care")
    for n in range(28):
        weigh(story, round(80 - 0.12 * n, 2))
        story.wait(days=1)
    assert "weight: 3 kg and more lost in thirty days" in alerts(story)


def test_a_reading_that_is_told_late_shows_what_the_latest_one_is_a_sign_of() -> None:
    """It alarms once: another late one that shows the same says nothing new."""
    story = opened("chronic-care")
    weigh(story, 80.0)
    weigh(story, 77.0, days=1)
    assert alerts(story) == ["weight: 2 kg and more in three days"]
    weigh(story, 77.5, days=2)
    assert alerts(story) == ["weight: 2 kg and more in three days"]


def test_a_latest_reading_of_long_ago_alarms_nobody_though_one_before_it_is_told() -> None:
    """What is too old for an alarm of the programme stays history."""
    story = opened("chronic-care")
    weigh(story, 80.0, days=40)
    weigh(story, 77.0, days=41)
    assert alerts(story) == []


@pytest.mark.parametrize(("before", "after"), [(62.1, 64.1), (63.6, 65.6), (126.2, 128.2)])
def test_exactly_two_kilos_count_as_two_kilos(before: float, after: float) -> None:
    """A difference is that of the numbers as they are written, to four places."""
    story = opened("chronic-care")
    weigh(story, before)
    story.wait(days=1)
    weigh(story, after)
    assert alerts(story) == ["weight: 2 kg and more in three days"]


def test_a1c_is_measured_each_quarter_while_the_goal_is_not_met_and_twice_a_year_when_it_is() -> None:
    story = opened("chronic-care").assess("low")
    for value, budget in ((8.1, "3 months"), (6.8, "6 months"), (7.0, "3 months")):
        story.do("record-observation", indicator="a1c", value=value, unit="%")
        [clock] = [c for c in story.known.running if c.kind == "instrument" and c.about == "a1c"]
        assert str(clock.budget) == budget
        story.wait(days=1)


def fills(story: Story, *days_ago: int, days: int = 30) -> dict[str, Any]:
    found = [{"drug": "Atorvastatin", "on": str(story.today - timedelta(days=n)), "days": days} for n in days_ago]
    return {"drug_class": "statin", "fills": found, "until": str(story.today)}


def refill(story: Story) -> list[Any]:
    return [c for c in story.known.running if c.kind == "refill"]


def test_a_supply_that_runs_out_is_a_promise_that_the_next_fill_keeps() -> None:
    """Two fills of thirty days, the second early: sixty days in all, the last in eighteen days."""
    story = opened("medication-support")
    story.do("record-adherence", **fills(story, 41, 15))
    [clock] = refill(story)
    assert clock.due_at.astimezone(clock.tz).date() == story.today + timedelta(days=18)
    story.wait(days=16)
    assert [c.tell for c in refill(story)[0].climbs] == ["owner"]
    story.do("record-adherence", **fills(story, 57, 31, 1))
    assert refill(story)[0].id != clock.id
    kept = [e for e in story.timeline if e.kind == "clock-kept" and e.data["clock_id"] == clock.id]
    assert len(kept) == 1


def test_a_supply_that_has_run_out_already_asks_what_keeps_her_from_it() -> None:
    story = opened("medication-support")
    story.do("record-adherence", **fills(story, 62, 33, days=30))
    assert refill(story) == []
    assert "adherence-check" in {t.type for t in story.known.open_tasks}


def test_fills_of_an_earlier_time_end_no_promise_of_a_refill_and_ask_for_nothing() -> None:
    """The supply that is known lasts longer than what they tell of."""
    story = opened("medication-support")
    story.do("record-adherence", **fills(story, 41, 15))
    promised = refill(story)
    old = {**fills(story, 420, 400, days=10), "until": str(story.today - timedelta(days=366))}
    story.do("record-adherence", **old)
    assert refill(story) == promised
    assert "adherence-check" not in {t.type for t in story.known.open_tasks}


def test_the_same_fills_told_again_after_the_supply_has_run_out_ask_what_keeps_her_from_it() -> None:
    """Also where the supply ended on the very day on which it was told."""
    story = opened("medication-support")
    told = fills(story, 59, 29)
    story.do("record-adherence", **told)
    assert len(refill(story)) == 1
    story.wait(days=1)
    story.do("record-adherence", **told)
    assert refill(story) == []
    assert "adherence-check" in {t.type for t in story.known.open_tasks}


def test_a_supply_of_many_years_is_looked_at_after_one() -> None:
    """However many fills there are, they are taken, and the refill is promised within a year."""
    story = opened("medication-support")
    story.do("record-adherence", **fills(story, *range(1, 16), days=366))
    [clock] = refill(story)
    assert clock.due_at.astimezone(clock.tz).date() == story.today + timedelta(days=366)


def test_the_urgent_task_of_a_trend_ends_when_every_value_behind_it_was_entered_in_error() -> None:
    """While one of them stands somebody still has to look."""
    story = opened("chronic-care")
    for kilos in (80, 82.5, 83):
        weigh(story, kilos)
        story.wait(hours=2)
    wrong = [e.seq for e in story.timeline if e.kind == "observation-recorded"][1:]
    story.do("correct-entry", entry=wrong[0], reason="another person's")
    assert "same-day-review" in {t.type for t in story.known.open_tasks}
    story.do("correct-entry", entry=wrong[1], reason="another person's")
    assert "same-day-review" not in {t.type for t in story.known.open_tasks}
