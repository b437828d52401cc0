"""A lead sees whom a screening has found, and decides, at the desk."""

from typing import Any

import pytest

from tests.api.test_screenings import HIGH, NEW, ndjson, screened, somebody
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_whom_a_screening_has_found_is_seen_today_opened_declined_or_looked_at_later(
    office: Office, at: Any
) -> None:
    """With the reasons beside each; who may not decide sees nothing of it."""
    sick = ("I50.9", "J44.9", "E11.9", "C34.9")
    others = [somebody(name, sick, stays=2, visits=3) for name in ("p-second", "p-third")]
    await screened(office, HIGH, ndjson(*others))
    sam, anna = await at("sup-1"), await at("cm-anna")
    assert 'href="/desk/found"' in await sam.page("/desk/")
    assert 'href="/desk/found"' not in await anna.page("/desk/")
    shown = await sam.page("/desk/found")
    assert "Admissions in twelve months: 2 (4)" in shown
    ids = [one["id"] for one in (await office.get("sup-1", "/screened")).json()["items"]]
    assert len(ids) == 3
    nothing = await sam.fill(f"/desk/found/{ids[1]}/decline")
    assert nothing.status_code == 422
    await sam.fill(f"/desk/found/{ids[1]}/decline", reason="Has moved to another county")
    later = await sam.fill(f"/desk/found/{ids[2]}/snooze", until="2040-03-06T15:00")
    assert later.headers["Location"].startswith("/desk/found"), later.text
    opened = await sam.fill(f"/desk/found/{ids[0]}/accept", owner="cm-anna")
    assert opened.headers["Location"].startswith("/desk/cases/"), opened.text
    assert "Probe p-high" in await anna.page(opened.headers["Location"])
    assert "Probe" not in await sam.page("/desk/found")


async def test_how_each_screening_stands_is_said_in_words(office: Office, at: Any) -> None:
    sam = await at("sup-1")
    await office.post("sup-1", "/screenings", NEW)
    assert "waits for its parts" in await sam.page("/desk/found")
    await screened(office, HIGH)
    assert "proposed 1" in await sam.page("/desk/found")


async def test_somebody_who_may_be_on_record_is_chosen_in_the_form_that_opens_her_case(
    office: Office, at: Any
) -> None:
    person = {"names": [{"given": ["Ada"], "family": "Probe p-high"}], "birth_date": "1950-05-05"}
    known = (await office.post("sup-1", "/persons", person)).json()["id"]
    await screened(office, HIGH)
    [one] = (await office.get("sup-1", "/screened")).json()["items"]
    sam = await at("sup-1")
    asked = await sam.fill(f"/desk/found/{one['id']}/accept", owner="cm-anna")
    assert (asked.status_code, f'value="{known}"' in asked.text) == (409, True), asked.text
    opened = await sam.fill(f"/desk/found/{one['id']}/accept", owner="cm-anna", person_id=known)
    case_id = opened.headers["Location"].rpartition("/")[2]
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    assert case["referral"]["patient"]["reference"] == known
