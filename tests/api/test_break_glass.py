"""In an emergency somebody may look into a case that is not hers: for an hour, with people told, and reviewed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col

from infra.tables import CaseRow
from tests.office import Office

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
WHY = "She collapsed at our desk; nobody answers"


async def told(office: Office, who: str) -> list[tuple[str, bool]]:
    return [(n["subject"], n["urgent"]) for n in (await office.get(who, "/notices")).json()["items"]]


async def test_a_look_is_for_one_case_and_an_hour_and_a_lead_goes_through_it(office: Office) -> None:
    """Kept out before and after; she reads and writes nothing; what she read stands in the review."""
    case_id = await office.open(owner="cm-anna")
    other = await office.open(owner="cm-anna")
    await office.do(case_id, "add-note", text="Insulin at noon", sensitivity="behavioral")
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    unsaid = await office.post("cm-cora", f"/cases/{case_id}/commands/break-glass", {"reason": " "})
    assert unsaid.status_code == 422
    look = (await office.do(case_id, "break-glass", "cm-cora", reason=WHY))["created"][0]
    for who in ("cm-anna", "senior-1", "sup-1"):
        assert ("glass-broken", True) in await told(office, who)
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 200
    entries = (await office.get("cm-cora", f"/cases/{case_id}/timeline")).json()["items"]
    [note] = [e for e in entries if e["kind"] == "note-added"]
    assert note["data"]["text"] == "Insulin at noon"
    assert (await office.refused(case_id, "add-note", "cm-cora", text="x"))[0] == 403
    assert (await office.get("cm-cora", f"/cases/{other}")).status_code == 404
    again = await office.refused(case_id, "break-glass", "cm-cora", reason=WHY)
    assert again == (409, "AccessHolds")
    review = (await office.get("sup-1", f"/cases/{case_id}/accesses/{look}")).json()
    assert review["by"] == "cm-cora"
    assert {"read-case", "read-timeline"} <= {r["action"] for r in review["requests"]}
    [owed] = [i for i in (await office.get("sup-1", "/work")).json()["items"] if "emergency" in i["title"]]
    assert owed["do"] == {"command": "review-access", "body": {"access_id": look}}
    said = {"access_id": look, "justified": True, "finding": "She had collapsed"}
    assert (await office.refused(case_id, "review-access", "cm-cora", **said))[0] == 403
    await office.do(case_id, "review-access", "sup-1", **said)
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    assert ("access-reviewed", False) in await told(office, "cm-cora")


@ONE
async def test_it_ends_by_itself_and_before_that_when_she_says_so(office: Office) -> None:
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "break-glass", "cm-cora", reason=WHY)
    past = f"|cm-cora@{datetime.now(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    async with office.parts.engine.begin() as connection:
        await connection.execute(update(CaseRow).where(col(CaseRow.id) == case_id).values(glass=past))
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    second = await office.open(owner="cm-anna")
    look = (await office.do(second, "break-glass", "cm-cora", reason=WHY))["created"][0]
    await office.do(second, "end-access", "cm-cora", access_id=look)
    assert (await office.get("cm-cora", f"/cases/{second}")).status_code == 404


@ONE
async def test_whoever_is_kept_from_the_case_does_not_get_in(office: Office) -> None:
    """Nor an integrator, nor anybody of another tenant; and who sees it anyhow alarms nobody."""
    case_id = await office.open(owner="cm-anna")
    for who in ("cm-anna", "senior-1"):
        assert await office.refused(case_id, "break-glass", who, reason=WHY) == (409, "AccessHolds")
    await office.do(case_id, "exclude-assignee", "sup-1", person="cm-ben", reason="his aunt")
    for who in ("cm-ben", "ehr-1", "dir-x"):
        assert (await office.refused(case_id, "break-glass", who, reason=WHY))[0] == 404


@ONE
async def test_a_look_that_nobody_reviews_climbs(office: Office) -> None:
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "break-glass", "cm-cora", reason=WHY)
    await office.forward(case_id, days=6)
    kinds: list[Any] = await office.kinds(case_id)
    assert "clock-missed" in kinds
    missed = (await office.get("dir-1", "/escalations")).json()["items"]
    assert "Review an emergency look" in [e["title"] for e in missed]
