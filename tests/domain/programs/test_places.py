"""Numbers have a place: a team's zone and hours, a person's cadence and limits; the most particular one holds."""

from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from domain.simulation import moves
from infra import catalog
from infra.catalog import CatalogError
from tests.story import SAM, Story, in_force, plain

WEDNESDAY = datetime(2026, 12, 23, 18, 0, tzinfo=UTC)


def story_of(team: str, program: str = "complex-care") -> Story:
    story = Story(program, now=WEDNESDAY).open(team=team)
    story.do("record-consent", form="verbal")
    story.do("complete-screening", **moves.screen(story.rules))
    return story


def contact(story: Story) -> Any:
    [clock] = [c for c in story.known.running if c.kind == "contact"]
    return clock


def followed_up(team: str) -> Story:
    story = story_of(team).assess("high")
    story.do("agree-plan", **story.plan())
    return story


def test_a_teams_days_end_by_its_own_clock() -> None:
    """Midnight in Los Angeles is three hours later; the clock says whose zone it is."""
    east, west = contact(followed_up("north")), contact(followed_up("west"))
    assert (east.zone, west.zone) == ("America/New_York", "America/Los_Angeles")
    assert (east.due_at.hour, west.due_at.hour) == (4, 7)
    assert (east.narrowed_by, west.narrowed_by) == (None, "west")


def test_a_teams_own_time_replaces_the_programmes_and_other_promises_keep_theirs() -> None:
    assert str(contact(followed_up("west")).budget) == "5 calendar days"
    assert str(contact(followed_up("north")).budget) == "7 calendar days"


def test_closing_days_and_opening_hours_of_a_weekday_are_added_to_the_national_calendar() -> None:
    """Two working days after Wednesday 23 December: the county is closed on the 24th, Saturday is worked."""
    rules = in_force()
    local, federal = rules.calendar("us-west"), rules.calendar("us-federal")
    day = WEDNESDAY.date()
    assert local.add_working_days(day, 2).isoformat() == "2026-12-28"
    assert federal.add_working_days(day, 2).isoformat() == "2026-12-28"
    assert local.add_working_days(day, 1).isoformat() == "2026-12-26"
    assert federal.add_working_days(day, 1).isoformat() == "2026-12-24"
    saturday = local.hours_of(local.add_working_days(day, 1))
    assert [f"{t:%H:%M}" for t in saturday] == ["09:00", "12:00"]


def test_what_holds_for_a_person_goes_before_what_holds_for_her_team() -> None:
    """And moves what runs at once; its end gives the next contact the team's time again."""
    story = followed_up("west")
    body = {"policy": "tiers.high.contact", "reason": "alone since May", "source": "Dr. Lim, by telephone"}
    longer = {"amount": 9, "unit": "calendar days"}
    assert story.refused("narrow-policy", **body, within=longer) == "NotNarrower"
    assert story.refused("narrow-policy", **{**body, "policy": "x"}, within=longer) == "UnknownPolicy"
    due = contact(story).due_at
    story.do("narrow-policy", **body, within={"amount": 2, "unit": "calendar days"}, last="2026-12-26")
    assert contact(story).due_at < due
    assert contact(story).narrowed_by == "this person"
    story.wait(days=1)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="fine")
    assert str(contact(story).budget) == "2 calendar days"
    story.wait(days=2, hours=2)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="fine")
    story.wait(days=2)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="fine")
    assert str(contact(story).budget) == "5 calendar days"


def test_limits_of_a_persons_own_values_are_held_against_hers() -> None:
    story = story_of("north", "chronic-care").assess("low")
    measured = {"indicator": "systolic", "value": 170, "unit": "mmHg"}
    own = {"indicator": "systolic", "limits": [{"alert": "value-dangerous", "above": 160}]}
    wrong = {**own, "limits": [{"alert": "storm", "above": 1}]}
    told = {"reason": "aneurysm", "source": "cardiology"}
    assert story.refused("set-personal-limits", **wrong, **told) == "UnknownAlert"
    story.do("record-observation", **measured)
    story.do("set-personal-limits", **own, **told)
    story.do("record-observation", **measured)
    crossed = [e.data for e in story.timeline if e.kind == "observation-recorded"]
    assert [(e["crossed"], e["by_own_limits"]) for e in crossed] == [
        ("value-out-of-range", False),
        ("value-dangerous", True),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nteams: [a]\nsource: s\ncalendar: moon\n", "there is no calendar moon"),
        ("name: x\nteams: [west]\nsource: s\n", "team west is of another place"),
        ("name: x\nteams: [a]\nsource: s\ntime_zone: Mars/Base\n", "not an IANA time zone"),
        (
            "name: x\nteams: [a]\nsource: s\npolicies: [{policy: a.b, within: 1 hour, reason: r, source: s}]\n",
            "no programme promises a.b",
        ),
    ],
)
def test_a_place_that_names_what_is_not_there_is_refused(tmp_path: Path, text: str, says: str) -> None:
    copytree(catalog.CATALOG, tmp_path / "catalog")
    (tmp_path / "catalog/places/x.yaml").write_text(text)
    with pytest.raises(CatalogError, match=says):
        catalog.load(tmp_path / "catalog")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("national-de", "2026-10-03"),
        ("national-fr", "2026-07-14"),
        ("national-ca", "2026-07-01"),
        ("national-nl", "2026-04-27"),
        ("national-za", "2026-04-27"),
        ("national-mx", "2026-09-16"),
        ("national-no", "2026-05-17"),
    ],
)
def test_national_holidays_are_calendars_of_the_catalogue(name: str, day: str) -> None:
    """By the national day of each; twenty-two countries besides the federal one."""
    calendars = {c.name: c for c in in_force().calendars}
    assert day in {d.isoformat() for d in calendars[name].holidays}
    assert len([n for n in calendars if n.startswith("national-")]) >= 20


def test_a_place_holds_through_a_move_to_another_version() -> None:
    """The team's calendar and its own times are those of the new version too."""
    story = Story("complex-care", now=WEDNESDAY, rulebook=plain()).open(team="west")
    story.do("record-consent", form="verbal")
    story.do("complete-screening", **moves.screen(story.rules))
    story.assess("high").do("agree-plan", **story.plan("arrange-appointment"))
    before = {c.id: c.calendar for c in story.known.running}
    assert set(before.values()) == {"us-west"}
    story.rulebook = in_force()
    story.do("move-to-program-version", actor=SAM, version=2, reason="new rules")
    assert {c.id: c.calendar for c in story.known.running} == before
