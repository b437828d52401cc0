"""A roster says who is on duty at every minute of the year, and what cannot wait finds them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from domain.case.roster import Roster, Shift, gaps
from tests.domain.steps.test_people import with_staff
from tests.domain.test_programs import opened
from tests.story import SAM, STAFF, Story

NEW_YORK = ZoneInfo("America/New_York")


def roster(*shifts: dict[str, Any]) -> Roster:
    return Roster(team="north", zone="America/New_York", shifts=tuple(Shift.model_validate(s) for s in shifts))


def at(day: str, hour: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=NEW_YORK).astimezone(UTC)


NIGHTS = {"person": "senior-1", "days": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "08:00"}


@pytest.mark.parametrize(
    ("day", "hour", "on"),
    [
        ("2026-03-02", "16:59:59", False),
        ("2026-03-02", "17:00", True),
        ("2026-03-03", "07:59:59", True),
        ("2026-03-03", "08:00", False),
        ("2026-03-07", "03:00", True),  # Saturday: Friday's night
        ("2026-03-07", "17:00", False),
        ("2026-03-02", "03:00", False),  # Monday: Sunday has no shift
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(day: str, hour: str, on: bool) -> None:
    """Its first second counts and its end does not."""
    assert bool(roster(NIGHTS).on_duty(at(day, hour))) == on


def test_the_night_of_the_change_of_clocks_is_an_hour_shorter_and_the_times_stay_local() -> None:
    """In New York clocks go forward on 8 March 2026 and back on 1 November."""
    weekend = roster({"person": "cm-ben", "starts": "20:00", "ends": "08:00"})
    for day, hours in (("2026-03-07", 11), ("2026-10-31", 13), ("2026-06-01", 12)):
        [turn] = [t for t in weekend.turns(at(day, "20:00"), at(day, "20:01")) if t.starts == at(day, "20:00")]
        assert turn.ends - turn.starts == timedelta(hours=hours)


def test_a_shift_on_one_day_alone_and_one_of_a_whole_day() -> None:
    """The same first and last day; an end that is not after its beginning is on the next day."""
    holiday = roster(
        {"person": "a", "starts": "08:00", "ends": "08:00", "first": "2026-12-25", "last": "2026-12-25"}
    )
    [turn] = holiday.turns(at("2026-12-01", "00:00"), at("2027-01-31", "00:00"))
    assert (turn.starts, turn.ends) == (at("2026-12-25", "08:00"), at("2026-12-26", "08:00"))


def test_gaps_are_what_nothing_covers() -> None:
    """Overlapping turns, one that reaches over the end, none at all."""
    hours = [datetime(2026, 3, 2, h, tzinfo=UTC) for h in range(13)]
    covered = [(hours[1], hours[4]), (hours[2], hours[3]), (hours[6], hours[12])]
    assert gaps(covered, hours[0], hours[10]) == ((hours[0], hours[1]), (hours[4], hours[6]))
    assert gaps([], hours[0], hours[10]) == ((hours[0], hours[10]),)
    assert gaps([(hours[0], hours[10])], hours[0], hours[10]) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": []},
        {"days": [8]},
        {"starts": "17:00Z"},
        {"first": "2026-03-02", "last": "2026-03-01"},
        {"person": "Dr. Lim"},
    ],
)
def test_a_shift_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Shift.model_validate({**NIGHTS, **wrong})


def at_night(**people: Any) -> Story:
    """An open case on a Monday night on which cm-ben is on duty."""
    story = opened("complex-care").assess("high")
    story.staff = with_staff(**people).changed(rosters=(roster({**NIGHTS, "person": "cm-ben"}),))
    story.wait(hours=12)
    return story


def raised(story: Story) -> list[str]:
    story.do("raise-crisis", description="x", immediate_danger=False)
    [event] = [e for e in story.timeline if e.kind == "crisis-raised"]
    told: Any = event.data["told"]
    return list(told)


def test_a_crisis_at_night_reaches_who_is_on_duty_and_not_only_a_sleeping_owner() -> None:
    """By day the roster adds nobody; who is on duty and told already is told once."""
    assert "cm-ben" in raised(at_night())
    day = opened("complex-care").assess("high")
    day.staff = STAFF.changed(rosters=(roster({**NIGHTS, "person": "cm-ben"}),))
    assert "cm-ben" not in raised(day)


def test_whoever_covers_is_on_duty_for_who_is_away_and_who_is_excluded_is_not() -> None:
    """The cover of the person of the shift; nobody who is kept from the case."""
    away = STAFF.members[1].changed(absent_until=datetime(2026, 4, 1, tzinfo=UTC), cover="dir-1")
    told = raised(at_night(cm_ben=away))
    assert "dir-1" in told
    assert "cm-ben" not in told
    kept_out = at_night()
    kept_out.do("exclude-assignee", person="cm-ben", reason="a relative", actor=SAM)
    assert "cm-ben" not in raised(kept_out)


def told_of(story: Story, kind: str) -> list[Any]:
    """Whom the ladders of promises of a kind told, rung by rung."""
    climbs: list[Any] = [e.data for e in story.timeline if e.kind == "rung-climbed"]
    clocks = {clock.id for clock in story.known.clocks if clock.kind == kind}
    return [said["climb"]["told"] for said in climbs if said["clock_id"] in clocks]


def test_a_duty_that_is_missed_at_night_tells_who_is_on_duty_at_every_rung_and_routine_work_does_not() -> None:
    """The response to a crisis is a duty; a call of the month is not."""
    story = at_night()
    story.do("raise-crisis", description="x", immediate_danger=False)
    story.wait(hours=2)
    duties = told_of(story, "crisis")
    assert len(duties) >= 3
    assert all("cm-ben" in told for told in duties)
    late = at_night()
    late.wait(days=70)
    assert told_of(late, "stage")
    assert not any("cm-ben" in told for told in told_of(late, "stage"))
