"""A repeated task follows its schedule, not its last completion."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.story import Story

MONTHLY = {"task": "monitor-services", "repeat": {"amount": 1, "unit": "months"}}


def at_work(now: datetime) -> Story:
    return Story("medicaid-tcm", now=now).followed_up()


def series(story: Story, **more: Any) -> None:
    story.do("add-task", **{**MONTHLY, **more})


def due(story: Story) -> date:
    [task] = [t for t in story.known.open_tasks if t.type == MONTHLY["task"]]
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    return clock.due_at.astimezone(clock.tz).date()


def complete(story: Story) -> None:
    [task] = [t for t in story.known.open_tasks if t.type == MONTHLY["task"]]
    story.do("complete-task", task_id=task.id)


def test_the_last_day_of_a_month_comes_back_with_the_next_month_that_has_it() -> None:
    """Made on the 31st of January: 28 February, 31 March, 30 April, 31 May."""
    story = at_work(datetime(2026, 1, 31, 15, tzinfo=UTC))
    series(story)
    found = []
    for _ in range(4):
        found.append(due(story))
        complete(story)
    assert found == [date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31)]


def test_done_early_or_late_the_next_one_is_due_by_its_schedule() -> None:
    """February's done on the 25th of March: March has its own."""
    story = at_work(datetime(2026, 1, 31, 15, tzinfo=UTC))
    series(story)
    story.wait(days=53)
    assert story.now.date() == date(2026, 3, 25)
    complete(story)
    assert due(story) == date(2026, 3, 31)
    complete(story)
    assert due(story) == date(2026, 4, 30)


def test_months_that_are_over_when_it_is_done_are_not_made_up_for() -> None:
    story = at_work(datetime(2026, 1, 31, 15, tzinfo=UTC))
    series(story)
    story.wait(days=110)
    complete(story)
    assert due(story) == date(2026, 5, 31)


@pytest.mark.parametrize(("end", "made"), [({"times": 3}, 3), ({"until": "2026-04-30"}, 3), ({}, 5)])
def test_a_series_has_an_end_or_a_count(end: dict[str, Any], made: int) -> None:
    story = at_work(datetime(2026, 1, 31, 15, tzinfo=UTC))
    series(story, **end)
    done = 0
    while done < 5 and any(t.type == MONTHLY["task"] for t in story.known.open_tasks):
        complete(story)
        done += 1
    assert done == made


def test_a_count_is_for_what_repeats() -> None:
    story = at_work(datetime(2026, 1, 31, 15, tzinfo=UTC))
    assert story.refused("add-task", task="arrange-transport", times=3) == "NotRepeated"


def test_a_series_never_keeps_a_case_open() -> None:
    """It ends with the case."""
    story = at_work(datetime(2026, 1, 31, 15, tzinfo=UTC))
    series(story)
    outcome = story.send("close", reason="goals-met").outcome
    assert not [line for line in outcome.missing if line.startswith("task")]


def test_a_weekly_task_keeps_its_weekday() -> None:
    """Begun by another time than it repeats by: from its first day on."""
    story = at_work(datetime(2026, 3, 2, 15, tzinfo=UTC))
    first = story.now + timedelta(days=3)
    series(story, due_at=first.isoformat(), repeat={"amount": 7, "unit": "calendar days"})
    days = []
    for wait in (4, 6, 9):
        story.wait(days=wait)
        complete(story)
        days.append(due(story).isoweekday())
    assert set(days) == {4}
