"""What is coming is what will be: counted from the promises that run, and held against time that passes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.clocks.budget import Budget
from domain.clocks.forecast import occurrences
from tests.domain.steps.test_people import at_work
from tests.office import Office
from tests.recorded import put_on_record
from tests.story import Story, in_force, referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def ahead(office: Office, by: str = "sup-1", **asked: Any) -> dict[str | None, Any]:
    answer = await office.get(by, "/forecast", **asked)
    assert answer.status_code == 200, answer.text
    return {one["owner"]: one for one in answer.json()["people"]}


def test_a_cadence_that_is_kept_on_its_days_falls_due_when_the_forecast_says() -> None:
    """Eight weeks of a story in which each contact is made at its very end."""
    story = at_work()
    clock = next(c for c in story.known.running if c.kind == "contact")
    until = story.now + timedelta(days=56)
    working, budget = in_force().calendar(clock.calendar), clock.budget
    promised = list(occurrences(clock.due_at, budget, until, working, clock.tz))
    assert len(promised) >= 3
    for expected in promised:
        due = next(c for c in story.known.running if c.kind == "contact").due_at
        story.now = due
        story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="well")
        assert next(c for c in story.known.running if c.kind == "contact").due_at == expected


def test_a_promise_of_seconds_is_not_projected_for_ever() -> None:
    working = in_force().calendar("us-federal")
    now = datetime(2026, 3, 2, tzinfo=UTC)
    second = Budget.model_validate("1 second")
    found = list(occurrences(now, second, now + timedelta(days=30), working, ZoneInfo("UTC")))
    assert len(found) == 400


async def test_the_next_days_are_told_by_person_and_what_giving_cases_away_would_change(office: Office) -> None:
    """Two cases of Anna's: what is ahead of her; with one given to Ben it is his, and nothing has changed."""
    await office.hire()
    for number in (1, 2):
        case_id = await office.open(referral=referral(reference=f"Patient/{number}"))
        await office.walk(case_id)
    before = await ahead(office)
    anna = before["cm-anna"]
    assert (anna["cases"], anna["overdue"], anna["weight"]) == (2, 0, 2.0)
    assert anna["total"] == sum(day["due"] + day["again"] for day in anna["days"])
    assert sum(day["again"] for day in anna["days"]) >= 6, "a weekly contact comes three times more in thirty days"
    answer = (await office.get("sup-1", "/forecast", move=1, from_owner="cm-anna", to_owner="cm-ben")).json()
    given = {one["owner"]: one for one in answer["people"]}
    assert len(answer["moved"]) == 1
    assert (given["cm-anna"]["cases"], given["cm-ben"]["cases"]) == (1, 1)
    assert given["cm-anna"]["total"] + given["cm-ben"]["total"] == anna["total"]
    assert await ahead(office) == before
    assert await ahead(office, "sup-2") == {}
    assert (await office.get("sup-1", "/forecast", move=1)).status_code == 422
    assert (await office.get("ehr-1", "/forecast")).status_code == 403


@ONE
async def test_what_falls_due_while_nobody_is_there_is_at_risk(office: Office) -> None:
    """Away for a month without a cover; with one it is his to do."""
    await office.hire()
    case_id = await office.open()
    await office.walk(case_id)
    back = (datetime.now(UTC) + timedelta(days=60)).isoformat()
    entry = {"name": "Anna", "role": "case-manager", "team": "north", "supervisor": "sup-1", "absent_until": back}
    await office.http.put("/staff/cm-anna", json=entry, headers=office.sign_in("dir-1"))
    alone = (await ahead(office))["cm-anna"]
    assert alone["at_risk"]
    assert {risk["why"] for risk in alone["at_risk"]} == {"away"}
    covered = {**entry, "cover": "cm-ben"}
    await office.http.put("/staff/cm-anna", json=covered, headers=office.sign_in("dir-1"))
    assert (await ahead(office))["cm-anna"]["at_risk"] == []


@ONE
async def test_what_is_overdue_is_at_risk_first(office: Office) -> None:
    """A story of last spring, in which everything is late by now."""
    await office.hire()
    story: Story = at_work()
    put_on_record(office.parts.engine.url, office.parts.settings, "case-1", story.timeline)
    late = (await ahead(office))["cm-anna"]
    assert late["overdue"] == len([risk for risk in late["at_risk"] if risk["why"] == "overdue"]) > 0
