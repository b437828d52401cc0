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
