"""The agenda has appointments and promises in order, of oneself, of somebody else, of a team."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.office import Office


async def listed(office: Office, by: str, **asked: Any) -> list[dict[str, Any]]:
    answer = await office.get(by, "/agenda", **asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_appointments_and_promises_stand_in_one_order_for_whom_they_are(office: Office) -> None:
    """An attendee sees what she is to be at in a colleague's case; another team sees nothing."""
    await office.hire()
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    soon = datetime.now(UTC) + timedelta(days=1)
    body = {"title": "Home visit", "mode": "in-person", "starts_at": soon.isoformat()}
    visit = (await office.do(case_id, "make-appointment", **body, attendee="cm-ben"))["created"][0]
    await office.do(case_id, "make-appointment", title="Echo", starts_at=(soon + timedelta(hours=2)).isoformat())
    share = {
        "with_whom": "Meadow",
        "what": ["all"],
        "purpose": "care",
        "reader": "ehr-1",
        "until": str(soon.date()),
    }
    await office.do(
        case_id, "record-consent", form="written", shares=[share]
    )  # it ends then, and is no appointment
    span = {"last": str((soon + timedelta(days=60)).date())}
    anna = await listed(office, "cm-anna", **span)
    assert [entry["at"] for entry in anna] == sorted(entry["at"] for entry in anna)
    assert [e["title"] for e in anna if e["kind"] == "appointment"] == ["Echo"]
    assert {e["how"] for e in anna if e["kind"] == "promise"} >= {"contact", "signature"}
    [ben] = [e for e in await listed(office, "cm-ben", **span) if e["kind"] == "appointment"]
    assert (ben["id"], ben["how"], ben["whose"]) == (visit, "in-person", "cm-ben")
    team = await listed(office, "sup-1", team="north", **span)
    assert {e["title"] for e in team if e["kind"] == "appointment"} == {"Home visit", "Echo"}
    assert await listed(office, "sup-2", team="north", **span) == []
    [made] = [n for n in (await office.get("cm-ben", "/notices")).json()["items"] if n["subject"] == "appointment"]
    assert made["about"] == visit
    table = await office.get("sup-1", "/agenda", team="north", format="csv", **span)
    assert len(table.text.splitlines()) == len(team) + 1
    assert (await office.get("cm-anna", "/agenda", first="2030-01-02", last="2030-01-01")).status_code == 422
