"""A roster over the API: who keeps it, what it shows, what whoever is on duty may see and finds to do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api import duty
from tests.office import Office

ALWAYS = {"starts": "00:00", "ends": "00:00"}


async def put(office: Office, by: str, team: str, *shifts: dict[str, Any], **more: Any) -> tuple[int, Any]:
    body = {"zone": "America/Los_Angeles", "shifts": list(shifts), **more}
    answer = await office.http.put(f"/rosters/{team}", json=body, headers=office.sign_in(by))
    return answer.status_code, answer.json()


@pytest.fixture
async def hired(office: Office, monkeypatch: pytest.MonkeyPatch) -> Office:
    """An office with its directory, in which a roster is believed at once."""
    monkeypatch.setattr(duty, "KNOWN_SECONDS", 0.0)
    await office.hire()
    return office


async def test_a_roster_shows_its_turns_and_the_times_in_which_nobody_is_there(hired: Office) -> None:
    """Nights of the week with office hours between: the weekend is the gap; away without a cover is one too."""
    nights = {"person": "senior-1", "days": [1, 2, 3, 4, 5], "starts": "17:00", "ends": "08:00"}
    status, said = await put(hired, "sup-1", "north", nights, calendar="every-day")
    assert status == 200, said
    week = {"first": "2030-07-08", "last": "2030-07-14"}  # Monday to Sunday
    shown = (await hired.get("cm-anna", "/rosters/north", **week)).json()
    assert len(shown["turns"]) == 5
    assert {turn["there"] for turn in shown["turns"]} == {"senior-1"}
    found = [(gap["starts"], gap["ends"]) for gap in shown["gaps"]]
    await hired.http.put(
        "/staff/senior-1",
        json={"name": "s", "role": "senior-case-manager", "team": "north", "absent_until": "2031-01-01T00:00:00Z"},
        headers=hired.sign_in("dir-1"),
    )
    away = (await hired.get("cm-anna", "/rosters/north", **week)).json()
    assert {turn["there"] for turn in away["turns"]} == {None}
    assert len(away["gaps"]) > len(found)
    empty = (await hired.get("cm-anna", "/rosters/south")).json()
    assert (empty["shifts"], empty["on_duty"]) == ([], [])


async def test_a_crisis_of_the_last_minutes_of_a_turn_is_in_the_list_of_whoever_is_on_duty(hired: Office) -> None:
    """It is answered within the hour, which is after her turn; the next one does not know of it yet."""
    now = datetime.now(ZoneInfo("America/Los_Angeles"))
    shift = {"starts": f"{now - timedelta(hours=1):%H:%M}", "ends": f"{now + timedelta(minutes=10):%H:%M}"}
    assert (await put(hired, "sup-1", "north", {"person": "cm-cora", **shift}))[0] == 200
    case_id = await hired.open()
    await hired.do(case_id, "raise-crisis", description="x", immediate_danger=False)
    listed = (await hired.get("cm-cora", "/work", group="on-duty")).json()["items"]
    assert [(item["case_id"], item["kind"]) for item in listed] == [(case_id, "crisis")]


async def test_a_roster_is_kept_by_its_teams_lead_with_people_who_are_at_work(hired: Office) -> None:
    shift = {"person": "cm-ben", **ALWAYS}
    assert (await put(hired, "cm-anna", "north", shift))[0] == 403
    status, said = await put(hired, "sup-2", "north", shift)
    assert (status, said["code"]) == (403, "NotYourTeam")
    status, said = await put(hired, "sup-1", "north", {**shift, "person": "cm-nobody"})
    assert (status, said["code"], said["missing"]) == (409, "UnknownStaff", ["cm-nobody"])
    status, said = await put(hired, "sup-1", "north", shift, calendar="lunar")
    assert (status, said["code"]) == (422, "UnknownCalendar")
    for wrong in ({"starts": "25:00"}, {"starts": "08:00Z"}, {"days": [0]}, {"until": "08:00"}):
        assert (await put(hired, "sup-1", "north", {**shift, **wrong}))[0] == 422, wrong
    assert (await put(hired, "dir-1", "north", shift))[0] == 200


async def test_who_is_on_duty_sees_the_teams_cases_and_what_cannot_wait_until_her_turn_ends(
    hired: Office,
) -> None:
    """A case manager of the south for the north: its crisis is in her list, its case opens; then no more."""
    case_id = await hired.open()
    assert (await hired.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    assert (await put(hired, "sup-1", "north", {"person": "cm-cora", **ALWAYS}))[0] == 200
    me = (await hired.get("cm-cora", "/me")).json()
    [turn] = me["on_duty"]
    assert turn["team"] == "north"
    assert datetime.fromisoformat(turn["until"]) - datetime.now(UTC) <= timedelta(hours=25)
    await hired.do(case_id, "raise-crisis", description="x", immediate_danger=False)
    notices = (await hired.get("cm-cora", "/notices")).json()["items"]
    assert "crisis" in {notice["subject"] for notice in notices}
    listed = (await hired.get("cm-cora", "/work", group="on-duty")).json()["items"]
    assert {(item["case_id"], item["kind"]) for item in listed} == {(case_id, "crisis")}
    assert (await hired.get("cm-cora", "/me")).json()["counts"]["on_duty"] == len(listed)
    await hired.do(
        case_id, "log-contact", "cm-cora", mode="telephone", party="patient", reached=True, outcome="ok"
    )
    giving = {"owner": "cm-cora", "reason": "mine now"}
    assert (await hired.refused(case_id, "reassign-case", "cm-cora", **giving))[0] == 403
    assert (await put(hired, "sup-1", "north"))[0] == 200
    assert (await hired.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    assert (await hired.get("cm-cora", "/work", group="on-duty")).json()["items"] == []
