"""What belongs to no case is written at the desk as well: absences, the directory, rosters, who a person is."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.desk.conftest import fields
from tests.office import Office

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def later(**span: float) -> str:
    """A time to come as a browser's field has it, by the clocks of the team's programme."""
    return (datetime.now(UTC) + timedelta(**span)).strftime("%Y-%m-%dT%H:%M")


async def test_somebody_says_that_she_is_away_and_is_back(office: Office, at: Any) -> None:
    """Who covers is chosen by name; without one nothing is changed, and what was typed stays."""
    await office.hire()
    anna, until = await at("cm-anna"), later(days=9)
    form = fields(await anna.page("/desk/me/absence"))
    lacks = await anna.post("/desk/me/absence", **{**form, "absent_until": until})
    assert (lacks.status_code, "Say who covers" in lacks.text) == (422, True)
    assert fields(lacks.text)["absent_until"] == until
    done = await anna.post("/desk/me/absence", **{**form, "absent_until": until, "cover": "cm-ben"})
    assert done.headers["location"] == "/desk/me?saved=yes"
    html = await anna.page("/desk/me?saved=yes")
    for word in ("away until", "cm-ben", "It is saved"):
        assert word in html
    assert (await anna.post("/desk/me/back")).status_code == 303
    assert "You are at work." in await anna.page("/desk/me")


async def test_an_address_for_mail_is_checked_before_anything_is_sent(at: Any) -> None:
    """The zone stands already; no mail server is set here, which is said, and the address stays typed."""
    anna = await at("cm-anna")
    form = fields(await anna.page("/desk/me/email"))
    assert form["zone"]
    bad = await anna.post("/desk/me/email", **{**form, "address": "nobody"})
    assert (bad.status_code, "#f-address" in bad.text) == (422, True)
    none = await anna.post("/desk/me/email", **{**form, "address": "anna@example.org"})
    assert (none.status_code, fields(none.text)["address"]) == (503, "anna@example.org")
    assert "No mail server is set" in none.text
    code = await anna.post("/desk/me/email/code", code="12")
    assert (code.status_code, "6 digits" in code.text) == (422, True)


async def test_a_lead_keeps_the_directory_of_her_team_and_no_other(office: Office, at: Any) -> None:
    """Adding never writes over somebody; whoever leaves has her work handed over, which the next page shows."""
    await office.hire()
    lead = await at("sup-1")
    directory = await lead.page("/desk/staff")
    assert "/desk/staff/cm-anna/entry" in directory
    assert "/desk/staff/cm-cora/entry" not in directory
    new = {"name": "Dora Test", "subject": "cm-dora", "role": "case-manager", "team": "north"}
    assert (await lead.fill("/desk/staff/add", **new)).status_code == 303
    again = await lead.fill("/desk/staff/add", **{**new, "name": "Somebody Else"})
    assert (again.status_code, "Somebody has this id already" in again.text) == (409, True)
    assert "Dora Test" in await lead.page("/desk/staff")
    other = await lead.fill("/desk/staff/cm-cora/entry", name="Cora")
    assert (other.status_code, "another team" in other.text) == (403, True)
    gone = await lead.fill("/desk/staff/cm-dora/entry", active="no")
    assert gone.headers["location"].startswith("/desk/bulk/")
    assert (await lead.get(gone.headers["location"])).status_code == 200
    assert (await lead.get("/desk/staff/nobody-1/entry")).status_code == 404
    anna = await at("cm-anna")
    assert (await anna.get("/desk/staff/cm-ben/entry")).status_code == 403


async def test_a_lead_writes_her_teams_roster_row_by_row(office: Office, at: Any) -> None:
    """People and weekdays are chosen; a shift that nobody can stand is told at its field, with the rest kept."""
    await office.hire()
    lead = await at("sup-1")
    form = fields(await lead.page("/desk/rosters/north/entry"))
    shift: dict[str, Any] = {"shifts.0.person": "senior-1", "shifts.0.days": ["1", "2"]}
    shift |= {"shifts.0.starts": "17:00", "shifts.0.ends": "8 pm"}
    bad = await lead.post("/desk/rosters/north/entry", **{**form, **shift})
    assert (bad.status_code, "#f-shifts-0-ends" in bad.text) == (422, True)
    assert fields(bad.text)["shifts.0.starts"] == "17:00"
    done = await lead.post("/desk/rosters/north/entry", **{**form, **shift, "shifts.0.ends": "08:00"})
    assert done.headers["location"] == "/desk/rosters/north?saved=yes"
    kept = (await office.get("sup-1", "/rosters/north")).json()
    assert kept["shifts"][0]["days"] == [1, 2]
    again = await lead.page("/desk/rosters/north/entry")
    assert fields(again)["shifts.0.days"] == ["1", "2"]
    assert (await lead.fill("/desk/rosters/north/entry")).status_code == 303  # the empty row is no shift
    assert len((await office.get("sup-1", "/rosters/north")).json()["shifts"]) == 1
    assert (await lead.fill("/desk/rosters/south/entry")).status_code == 403
    assert (await (await at("cm-anna")).get("/desk/rosters/north/entry")).status_code == 403


async def test_a_person_is_put_right_and_nothing_of_another_is_written_over(office: Office, at: Any) -> None:
    """What two people change at once is refused to the second, who reads what the first wrote."""
    alice = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05"}
    await office.open(person=alice, owner="cm-anna")
    person_id = (await office.get("cm-anna", "/persons", q="zephyrine")).json()["items"][0]["person_id"]
    path, anna, ben = f"/desk/people/{person_id}/details", await at("cm-anna"), await at("sup-1")
    first, second = fields(await anna.page(path)), fields(await ben.page(path))
    assert "deceased" not in first
    assert "names.1.family" not in first
    more = await anna.post(path, **{**first, "wishes": "Slowly", "_add": "names"})
    assert {name: fields(more.text)[name] for name in ("wishes", "names.1.family")} == {
        "wishes": "Slowly",
        "names.1.family": "",
    }
    phone = {
        "contacts.0.kind": "mobile",
        "contacts.0.value": "+1 212 555 0100",
    }
    assert (await anna.post(path, **{**first, **phone})).status_code == 303
    late = await ben.post(path, **{**second, "wishes": "Calls after nine"})
    assert late.status_code == 412
    assert fields(late.text)["wishes"] == "Calls after nine"
    kept = (await office.get("cm-anna", f"/persons/{person_id}")).json()
    assert (kept["version"], kept["person"]["contacts"][0]["value"]) == (2, "+1 212 555 0100")
    assert kept["person"]["wishes"] is None
    assert (await ben.fill(path, wishes="Calls after nine")).status_code == 303
    kept = (await office.get("cm-anna", f"/persons/{person_id}")).json()["person"]
    assert (kept["wishes"], len(kept["contacts"]), kept["birth_date"]) == ("Calls after nine", 1, "1950-05-05")
    aud = await at("aud-1")
    assert (await aud.get(path)).status_code == 403


async def test_a_director_has_events_posted_elsewhere_and_sees_how_that_stands(at: Any) -> None:
    """The secret is shown once; an address that is none of the web is refused, and stays typed."""
    director = await at("dir-1")
    inside = await director.fill("/desk/webhooks/add", url="ftp://example.org/x")
    assert (inside.status_code, fields(inside.text)["url"]) == (422, "ftp://example.org/x")
    made = await director.fill("/desk/webhooks/add", url="https://example.org/x", kinds="case-ended\nclock-missed")
    assert (made.status_code, "whsec_" in made.text) == (201, True)
    listed = await director.page("/desk/webhooks")
    assert ("whsec_" in listed, "case-ended, clock-missed" in listed) == (False, True)
    path = re.findall(r'href="(/desk/webhooks/[0-9a-f]{16})"', listed)[-1]
    assert "Nothing was posted there yet." in await director.page(path)
    assert "whsec_" in (await director.post(f"{path}/rotate")).text
    assert (await director.post(f"{path}/replay", after="many")).status_code == 422
    assert (await director.post(f"{path}/replay", after="0")).status_code == 303
    assert (await director.post(f"{path}/delete")).status_code == 303
    assert (await director.get(path)).status_code == 404


async def test_a_director_plays_a_programme_and_a_file_that_nobody_has_published(at: Any) -> None:
    """What happens and what differs from now; a broken file is told what is wrong with it, and is there still."""
    director = await at("dir-1")
    path = "/desk/programs/transitions/1/simulation"
    assert "Discharged on the Friday before a holiday" in await director.page(path)
    played = await director.page(path, scenario="friday-discharge")
    assert "Outreach within 48 hours" in played
    text = (ROOT / "catalog/programs/transitions-1.yaml").read_text().replace("version: 1", "version: 2", 1)
    sooner = text.replace("within: 2 business days, attempts: 2", "within: 1 business day, attempts: 2")
    tried = await director.post(path, file=sooner, scenario="friday-discharge")
    assert "What differs from version 1" in tried.text
    assert "earlier" in tried.text
    broken = await director.post(path, file=text.replace("title: Trans", "titel: Trans"), scenario="")
    assert broken.status_code == 422
    assert "titel" in broken.text
    assert (await director.get("/desk/programs/transitions/2")).status_code == 404


async def test_somebody_takes_her_agenda_into_her_own_calendar_and_takes_it_back(office: Office, at: Any) -> None:
    anna = await at("cm-anna")
    shown = (await anna.post("/desk/me/calendar")).text
    path = "/calendar/" + shown.partition("/calendar/")[2].partition("<")[0]
    assert (await office.http.get(path)).headers["content-type"].startswith("text/calendar")
    assert "/desk/me/calendar/remove" in await anna.page("/desk/me")
    await anna.post("/desk/me/calendar/remove")
    assert (await office.http.get(path)).status_code == 404
    assert "/desk/me/calendar/remove" not in await anna.page("/desk/me")


async def test_a_supervisor_takes_up_what_she_chooses_with_one_note(office: Office, at: Any) -> None:
    """Two at once; what somebody else has taken up meanwhile is told by name, and the rest is done."""
    cases = [await office.open(owner="cm-anna") for _ in range(2)]
    for case_id in cases:
        await office.walk(case_id)
        await office.climb(case_id, "contact", "supervisor")
    sup = await at("sup-1")
    shown = await sup.page("/desk/escalations")
    chosen = sorted(set(re.findall(r'name="item" value="([^"]+)"', shown)))
    assert {one.partition("/")[0] for one in chosen} == set(cases)
    first, second = (one.partition("/") for one in chosen)
    await office.do(first[0], "acknowledge-escalation", "senior-1", escalation_id=first[2])
    told = await sup.post("/desk/escalations/acknowledge", item=chosen, note="Looked at this morning", _key="k")
    assert (told.status_code, "already" in told.text.lower() or "Already" in told.text) == (200, True)
    kinds = await office.kinds(second[0])
    assert "escalation-acknowledged" in kinds
    assert 'name="item"' not in await sup.page("/desk/escalations")
    nothing = await sup.post("/desk/escalations/acknowledge", note="x")
    assert nothing.headers["Location"] == "/desk/escalations"
    assert 'name="item"' not in await (await at("aud-1")).page("/desk/escalations")
