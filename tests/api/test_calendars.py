"""An agenda in somebody's own calendar: kinds and times only, hers alone, until she takes it back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest

from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def address(office: Office, by: str, **wanted: Any) -> str:
    made = await office.post(by, "/me/calendars", wanted)
    assert made.status_code == 201, made.text
    return str(made.json()["url"]).removeprefix(office.parts.settings.public_url)


async def events(office: Office, path: str) -> list[Any]:
    answer = await office.http.get(path)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/calendar")
    return list(icalendar.Calendar.from_ical(answer.text).walk("VEVENT"))


async def test_what_is_when_stands_in_her_calendar_without_a_word_of_anybody(
    office: Office,
) -> None:
    """What leaves the house says what kind of thing is when; a reader that has it already is sent nothing."""
    case_id = await office.open(owner="cm-anna", person={"names": [{"family": "Zephyrine"}]}, is_new=True)
    await office.walk(case_id)
    soon = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    visit = {"title": "Mrs Zephyrine's dialysis", "mode": "in-person", "starts_at": soon.isoformat()}
    await office.do(case_id, "make-appointment", **visit, attendee="cm-anna")
    path = await address(office, "cm-anna")
    found = await events(office, path)
    [meeting] = [e for e in found if e["summary"].startswith("Appointment")]
    assert (str(meeting["summary"]), meeting["dtstart"].dt) == ("Appointment: in person", soon)
    assert f"/desk/cases/{case_id}" in meeting["url"]
    assert {str(e["summary"]) for e in found} >= {"Due: contact", "Due: signature"}
    whole = await office.http.get(path)
    for word in ("Zephyrine", "dialysis", "complex-care"):
        assert word not in whole.text
    same = await office.http.get(path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.text) == (304, "")
    looked = (await office.get("aud-1", "/audit", actor="cm-anna", action="read-calendar")).json()["items"]
    assert {row["status"] for row in looked} == {200, 304}
    assert await events(office, await address(office, "cm-ben")) == []


async def test_a_lead_has_the_team_s_and_nobody_another_team_s(office: Office) -> None:
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    assert await events(office, await address(office, "sup-1", team="north"))
    assert (await office.post("cm-anna", "/me/calendars", {"team": "south"})).status_code == 403
    assert (await office.get("sup-1", "/me/calendars")).json()[0]["team"] == "north"


async def test_an_address_ends_when_it_is_made_anew_taken_back_or_its_person_leaves(office: Office) -> None:
    """Nothing of it can be made from what is kept, and who guesses is slowed down."""
    first = await address(office, "cm-anna")
    second = await address(office, "cm-anna")
    assert [(await office.http.get(path)).status_code for path in (first, second)] == [404, 200]
    assert (await office.http.delete("/me/calendars", headers=office.sign_in("cm-anna"))).status_code == 204
    assert (await office.http.get(second)).status_code == 404
    third = await address(office, "cm-ben")
    entry = {"name": "cm-ben", "role": "case-manager", "team": "north", "active": False}
    assert (await office.http.put("/staff/cm-ben", json=entry, headers=office.sign_in("dir-1"))).status_code == 200
    assert (await office.http.get(third)).status_code == 404
    guesses = [(await office.http.get(f"/calendar/{n:043d}.ics")).status_code for n in range(70)]
    assert set(guesses) == {404, 429}
