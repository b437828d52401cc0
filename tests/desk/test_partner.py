"""A recipient without a system of her own answers a referral behind a link, and sees nothing else."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import partners
from tests.desk.conftest import Browser
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ALICE = {
    "names": [{"given": ["Alice"], "family": "Zephyrine"}],
    "birth_date": "1950-05-05",
    "contacts": [{"kind": "phone", "value": "+1 555 0100"}],
}


async def sent(office: Office) -> tuple[str, str]:
    """A case with a referral that was sent, and the referral's id."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    await office.walk(case_id)
    body = {"type": "community-resource", "recipient": "Food bank", "reason": "Food for two, no pork"}
    drafted = await office.post("cm-anna", f"/cases/{case_id}/commands/draft-referral", body)
    if drafted.status_code != 200:
        body["type"] = re.findall(r"[a-z-]+", drafted.json()["detail"].partition(": ")[2])[0]
        await office.do(case_id, "draft-referral", **body)
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    referral_id = str(case["referrals"][0]["id"])
    await office.do(case_id, "send-referral", referral_id=referral_id)
    return case_id, str(referral_id)


async def link_of(office: Office, case_id: str, referral_id: str) -> str:
    answer = await office.post("cm-anna", f"/cases/{case_id}/referrals/{referral_id}/link", {})
    assert answer.status_code == 200, answer.text
    return "/desk/partner/" + str(answer.json()["url"]).rpartition("/")[2]


def seq_of(html: str) -> str:
    found = re.search(r'name="seq" value="(\d+)"', html)
    assert found
    return found[1]


async def test_a_food_bank_accepts_waits_and_completes_and_the_case_manager_is_told(
    office: Office, at: Any
) -> None:
    """Who the person is stands there only after it is accepted; each answer is one, also sent twice."""
    case_id, referral_id = await sent(office)
    path = await link_of(office, case_id, referral_id)
    stranger = Browser(office, "nobody")
    before = await stranger.page(path)
    assert "Food for two" in before
    assert "Zephyrine" not in before
    for _ in range(2):
        answer = await stranger.post(path, kind="accept-referral", seq=seq_of(before), text="")
        assert answer.status_code == 303, answer.text
    accepted = await stranger.page(path)
    assert "Alice Zephyrine" in accepted
    assert "+1 555 0100" in accepted
    for kind in ("begin-referral-service", "hold-referral", "begin-referral-service", "complete-referral"):
        html = await stranger.page(path)
        assert (await stranger.post(path, kind=kind, seq=seq_of(html), text="a word")).status_code == 303
    kinds = [k for k in await office.kinds(case_id) if k.startswith("referral-")]
    assert kinds[-5:] == [
        "referral-accepted",
        "referral-in-progress",
        "referral-on-hold",
        "referral-in-progress",
        "referral-done",
    ]
    assert (await stranger.get(path)).status_code == 404, "what is done is over"
    again = await stranger.post(path, kind="complete-referral", seq=seq_of(html), text="a word")
    assert again.status_code == 200, "a second click on the last answer is thanked for like the first"
    told = {n["subject"] for n in (await office.get("cm-anna", "/notices", limit=200)).json()["items"]}
    assert {"referral-accepted", "referral-on-hold", "referral-done"} <= told


async def test_a_link_ends_with_its_day_its_recipient_or_the_referral(office: Office, at: Any) -> None:
    """One that was changed, one that is over, one of a referral that went to somebody else: all the same page."""
    case_id, referral_id = await sent(office)
    path = await link_of(office, case_id, referral_id)
    stranger = Browser(office, "nobody")
    for wrong in (path[:-3] + "AAA", "/desk/partner/x", "/desk/partner/" + "A" * 300):
        assert (await stranger.get(wrong)).status_code == 404
    parts, said = office.parts, partners.sealed_of(office.parts, path.rpartition("/")[2])
    old = said.model_copy(update={"ends_at": datetime.now(UTC) - timedelta(seconds=1)})
    with pytest.raises(partners.LinkOver):
        partners.sealed_of(parts, partners.token_of(parts, old))
    await office.do(case_id, "send-referral", referral_id=referral_id, recipient="Another food bank")
    assert (await stranger.get(path)).status_code == 404
    assert (await stranger.post(path, kind="accept-referral", seq="1", text="")).status_code == 404


async def test_a_link_does_nothing_that_is_not_the_recipients(office: Office, at: Any) -> None:
    """Not the sender's steps, not a step out of turn, and no link by whoever may not work in the case."""
    case_id, referral_id = await sent(office)
    path = await link_of(office, case_id, referral_id)
    stranger = Browser(office, "nobody")
    seq = seq_of(await stranger.page(path))
    for kind in ("revoke-referral", "close-referral-loop", "send-referral", "close"):
        assert (await stranger.post(path, kind=kind, seq=seq, text="x")).status_code == 422
    answer = await stranger.post(path, kind="complete-referral", seq=seq, text="x")
    assert answer.status_code == 409
    assert "not be taken" in answer.text
    assert "referral-done" not in await office.kinds(case_id)
    made = await office.post("cm-cora", f"/cases/{case_id}/referrals/{referral_id}/link", {})
    assert made.status_code == 404
    browser = await at("cm-anna")
    shown = await browser.post(f"/desk/cases/{case_id}/referrals/{referral_id}/link")
    assert "/desk/partner/" in shown.text
    rows = (await office.get("dir-1", "/audit", case_id=case_id)).json()["items"]
    assert {"partner-referral", "answer-partner-referral", "link-referral"} <= {row["action"] for row in rows}


async def test_who_has_taken_her_consent_back_is_named_to_nobody_any_more(office: Office, at: Any) -> None:
    """What the recipient has taken goes on; no new link is made."""
    case_id, referral_id = await sent(office)
    path = await link_of(office, case_id, referral_id)
    stranger = Browser(office, "nobody")
    html = await stranger.page(path)
    assert (await stranger.post(path, kind="accept-referral", seq=seq_of(html), text="")).status_code == 303
    assert "Zephyrine" in await stranger.page(path)
    await office.do(case_id, "withdraw-consent", reason="changed her mind")
    html = await stranger.page(path)
    assert "Zephyrine" not in html
    made = await office.post("cm-anna", f"/cases/{case_id}/referrals/{referral_id}/link", {})
    assert made.json()["code"] == "ConsentMissing"
