"""A question that leaves something open is refused by name: it would be answered, but not as it was meant."""

import pytest

from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.mark.parametrize("path", ["/cases", "/worklist", "/escalations", "/staff", "/notices", "/healthz"])
async def test_a_parameter_that_no_route_knows_is_named(office: Office, path: str) -> None:
    """A misspelt filter would list everything."""
    answer = await office.get("sup-1", path, ownr="cm-anna")
    assert (answer.status_code, answer.json()["code"]) == (422, "UnknownParameter")
    assert answer.json()["missing"] == ["ownr"]


async def test_what_a_route_takes_is_said_and_taken(office: Office) -> None:
    """Also the fields of a model of filters, and the page."""
    answer = await office.get("sup-1", "/cases", ownr="cm-anna")
    assert "cursor, escalated, in_crisis, limit, overdue, owner" in answer.json()["detail"]
    found = await office.get("sup-1", "/cases", owner="cm-anna", tier="high", sort="next_due_at", limit=3)
    assert found.status_code == 200


async def test_a_parameter_that_is_there_twice_is_refused(office: Office) -> None:
    """One of the two would be lost in silence."""
    answer = await office.http.get("/cases?team=north&team=south", headers=office.sign_in("sup-1"))
    assert (answer.json()["code"], answer.json()["missing"]) == ("RepeatedParameter", ["team"])


async def test_a_key_that_is_there_twice_is_refused_wherever_it_is(office: Office) -> None:
    """In the body itself, and deep inside it; nothing is changed."""
    case_id = await office.open()
    before = await office.kinds(case_id)
    headers = {**office.sign_in("cm-anna"), "Content-Type": "application/json"}
    for body in ('{"text": "a", "text": "b"}', '{"text": "a", "more": [{"x": 1, "x": 2}]}'):
        answer = await office.http.post(f"/cases/{case_id}/commands/add-note", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "RepeatedKey")
    assert await office.kinds(case_id) == before


async def test_a_cursor_of_another_list_or_sort_is_refused(office: Office) -> None:
    """It would leave out rows or show them twice."""
    for _ in range(2):
        await office.open()
    cursor = (await office.get("sup-1", "/cases", limit=1)).json()["next"]
    assert (await office.get("sup-1", "/cases", limit=1, cursor=cursor)).status_code == 200
    assert (await office.get("sup-1", "/cases", limit=1, sort="opened_at", cursor=cursor)).status_code == 422
    assert (await office.get("sup-1", "/worklist", cursor=cursor)).status_code == 422
    for none in ("W10=", "e30=", "WzFd", "x"):
        assert (await office.get("sup-1", "/cases", cursor=none)).json()["code"] == "Malformed"


async def test_what_could_only_be_read_as_meant_is_refused(office: Office) -> None:
    """A word for true, a number in quotes, a bare number for a day: nobody means what they would be read as."""
    case_id = await office.open()
    contact = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "x"}
    times = {"occurred_at": 1772722800}, {"occurred_at": "20260302"}
    for wrong in ({"reached": "yes"}, {"minutes": "20"}, {"minutes": True}, *times):
        assert await office.refused(case_id, "log-contact", **{**contact, **wrong}) == (422, "Malformed")
    person = {"reference": "Patient/1", "deceased": "no"}
    body = {"program": "demo", "team": "north", "referral": {"source": "self", "reason": "x", "patient": person}}
    assert (await office.post("cm-anna", "/cases", body)).status_code == 422
    budget = {"anchor": "2026-11-20T16:00:00-05:00", "budget": {"amount": "٢", "unit": "hours"}}
    assert (await office.post("cm-anna", "/clocks/preview", budget)).status_code == 422
    for day in ("0", "20260301", "2026-3-1", "9999-12-31", "0001-01-01"):
        answer = await office.get("sup-1", "/reports/goals-met", last=day)
        assert (day, answer.status_code, answer.json()["code"]) == (day, 422, "Malformed")


@pytest.mark.parametrize("anchor", ["1900-01-01T00:00:00Z", "2199-12-31T23:59:59Z", "2060-01-01T00:00:00Z"])
async def test_a_preview_beyond_the_calendars_is_refused(office: Office, anchor: str) -> None:
    for budget in ("120 months", "2 business days"):
        answer = await office.post("cm-anna", "/clocks/preview", {"anchor": anchor, "budget": budget})
        assert answer.status_code == 422
    both = {"anchor": "2026-01-05T12:00:00Z", "budget": "2 hours", "program": "transitions"}
    assert (await office.post("cm-anna", "/clocks/preview", both)).status_code == 422


async def test_a_word_of_a_query_is_true_or_false(office: Office) -> None:
    """Or 1 and 0; not yes, on or anything else."""
    for word, status in (("true", 200), ("0", 200), ("yes", 422), ("2", 422), ("on", 422)):
        assert (await office.get("sup-1", "/cases", overdue=word)).status_code == status
        assert (await office.get("sup-1", "/escalations", acknowledged=word)).status_code == status


async def test_a_text_in_which_nothing_can_be_seen_is_none(office: Office) -> None:
    """One zero-width space, or a mark on nothing."""
    case_id = await office.open()
    for text in ("\u200b", "\u2060 \u00a0", "\u0301"):
        assert await office.refused(case_id, "add-note", text=text) == (422, "Malformed")
    await office.do(case_id, "add-note", text="e\u0301 \u200d")
