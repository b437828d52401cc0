"""Approvals, referrals, flags and the like of all cases are listed, open and settled, as JSON and as CSV."""

import csv
import io
from typing import Any

import httpx2
import pytest

from activities.derived import rebuild_case
from api.items import LISTS
from domain.items import KINDS
from infra import database
from tests.office import Office
from tests.story import referral

CALL = {"mode": "telephone", "party": "patient", "outcome": "nobody there"}


@pytest.fixture
async def case_id(office: Office) -> str:
    """A case that holds one of each."""
    await office.hire()
    found = await office.open()
    await office.walk(found)
    share = {"with_whom": "Meadow hospital", "what": ["the plan"], "purpose": "treatment", "reader": "ehr-1"}
    await office.do(found, "record-consent", form="written", shares=[share])
    await office.do(found, "raise-flag", message="No contact with the family")
    await office.do(found, "make-appointment", title="Home visit", starts_at="2027-10-01T10:00:00Z")
    await office.do(found, "raise-crisis", description="x", immediate_danger=False)
    await office.do(found, "draft-referral", type="specialist", recipient="Dr. Lim", reason="heart")
    await office.do(found, "request-approval", subject="tier-override", tier="low")
    await office.do(found, "offer-transfer", to="cm-ben", reason="lives there")
    await office.do(found, "open-guided-record", procedure="ethics-consult", concern="sons disagree")
    await office.do(found, "add-assistance", title="Fund for insulin", renew_by="2031-01-01")
    action = {"finding": "no measure", "what": "rewrite", "due_on": "2030-06-30"}
    await office.do(found, "open-corrective-action", "sup-1", **action)
    review = {"plan-signed": True, "goals-measurable": False, "calls-kept": False}
    await office.do(found, "record-quality-review", "sup-1", criteria=review)
    await office.do(found, "log-contact", reached=False, **CALL)
    await office.do(found, "break-glass", "cm-cora", reason="collapsed at the door")
    return found


async def listed(office: Office, path: str, by: str = "sup-1", **asked: Any) -> list[dict[str, Any]]:
    answer = await office.get(by, f"/{path}", **asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_every_kind_has_a_list_in_which_its_item_stands_with_its_case(office: Office, case_id: str) -> None:
    """One of each, with who asked and who answers; what the lists say is what the timeline makes again."""
    assert {kind for kind, _ in LISTS.values()} == set(KINDS)
    for path, (kind, _) in LISTS.items():
        found = await listed(office, path, state="all")
        assert [item["case_id"] for item in found] == [case_id], path
        [item] = found
        assert (item["owner"], item["team"], item["program"]) == ("cm-anna", "north", "complex-care")
        assert (item["settled_at"] is None) == (kind != "quality-review")
    [approval] = await listed(office, "approvals", asked="senior-1")
    assert (approval["type"], approval["by"], approval["status"]) == ("tier-override", "cm-anna", "open")
    assert approval["due_at"] is not None
    [offer] = await listed(office, "offers", "cm-ben", asked="cm-ben")
    assert (offer["by"], offer["type"]) == ("cm-anna", "offered")
    [review] = await listed(office, "quality-reviews", state="settled")
    assert (review["status"], review["title"]) == ("not-met", "goals-measurable, calls-kept")
    [sent] = await listed(office, "referrals")
    assert (sent["title"], sent["type"], sent["status"]) == ("Dr. Lim", "specialist", "draft")
    engine = database.blocking(office.parts.engine.url)
    with engine.begin() as connection:
        assert rebuild_case(connection, office.parts.keys, case_id)["items"]
    engine.dispose()


async def test_what_is_settled_leaves_the_list_and_keeps_who_asked_and_when(office: Office, case_id: str) -> None:
    """By `state`; its status is the event that settled it; changes on the way are shown."""
    [before] = await listed(office, "referrals")
    await office.do(case_id, "send-referral", referral_id=before["id"])
    [sent] = await listed(office, "referrals")
    assert (sent["status"], sent["opened_at"], sent["by"]) == ("sent", before["opened_at"], "cm-anna")
    [flag] = await listed(office, "flags")
    await office.do(case_id, "resolve-flag", "sup-1", flag_id=flag["id"], resolution="called")
    assert await listed(office, "flags") == []
    [resolved] = await listed(office, "flags", state="settled")
    assert (resolved["status"], resolved["by"], resolved["opened_at"]) == (
        "flag-resolved",
        "cm-anna",
        flag["opened_at"],
    )
    assert resolved["settled_at"] > flag["opened_at"]


async def test_lists_are_filtered_paged_and_given_as_csv_within_what_one_may_see(office: Office) -> None:
    """Three flags, page by page; another team and another tenant see none; a wrong word is refused."""
    await office.hire()
    for number in range(3):
        found = await office.open(referral=referral(reference=f"Patient/{number}"))
        await office.do(found, "raise-flag", message="x")
    first = (await office.get("sup-1", "/flags", limit=2)).json()
    second = (await office.get("sup-1", "/flags", limit=2, cursor=first["next"])).json()
    assert [len(page["items"]) for page in (first, second)] == [2, 1]
    assert second["next"] is None
    table = await office.get("sup-1", "/flags", limit=2, format="csv")
    assert len(list(csv.DictReader(io.StringIO(table.text)))) == 2
    following = table.headers["Link"].split(">")[0].strip("<")
    last = await office.get("sup-1", "/flags", **dict(httpx2.URL(following).params))
    assert len(list(csv.DictReader(io.StringIO(last.text)))) == 1
    assert await listed(office, "flags", program="ltac") == []
    assert len(await listed(office, "flags", by="cm-anna", team="north", owner="cm-anna")) == 3
    assert await listed(office, "flags", "sup-2") == []
    assert await listed(office, "flags", "dir-x") == []
    assert (await office.get("sup-1", "/flags", state="lost")).status_code == 422
    assert (await office.get("sup-1", "/flags", kinds="x")).status_code == 422
    assert (await office.get("ehr-1", "/flags")).status_code == 403
