"""A food bank with a system of its own plays the other side of a referral: it reads its Task and updates it."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
SHARE = {"with_whom": "Food bank", "what": ["name", "what she needs"], "purpose": "food", "reader": "ehr-2"}


@pytest.fixture
async def case_id(office: Office) -> str:
    """Two referrals are out, one of them to the food bank, which reads those to it alone."""
    case_id = await office.open()
    await office.walk(case_id)
    await office.do(case_id, "record-consent", form="written", shares=[{**SHARE, "reads": "referrals"}])
    for recipient in ("Food bank", "Dr. Lim"):
        await office.do(case_id, "draft-referral", type="community", recipient=recipient, reason="x")
    for referral in (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referrals"]:
        await office.do(case_id, "send-referral", referral_id=referral["id"])
    return case_id


async def tasks(office: Office, by: str = "ehr-2", **asked: Any) -> list[dict[str, Any]]:
    answer = await office.get(by, "/fhir/Task", **asked)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json()["entry"]]


async def put(office: Office, task: dict[str, Any], by: str = "ehr-2", **headers: str) -> httpx2.Response:
    named = {**office.sign_in(by), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await office.http.put(f"/fhir/Task/{task['id']}", json=task, headers=named)


async def test_a_recipients_system_finds_its_referrals_and_takes_them_through_the_loop(
    office: Office, case_id: str
) -> None:
    """Accepted, begun, held, begun again, completed; told twice is told once; the case manager closes the loop."""
    [task] = await tasks(office)
    assert (task["status"], task["owner"]["display"]) == ("requested", "Food bank")
    asked = await office.get("ehr-2", f"/fhir/{task['focus']['reference']}")
    assert asked.json()["performer"] == [{"display": "Food bank"}]
    for path in (f"/fhir/CarePlan/{case_id}-plan", f"/fhir/EpisodeOfCare/{case_id}-episode", f"/cases/{case_id}"):
        assert (await office.get("ehr-2", path)).status_code in (403, 404), path
    accepted = await put(office, {**task, "status": "accepted", "note": [{"text": "First box on Tuesday"}]})
    assert (accepted.status_code, accepted.json()["status"]) == (200, "accepted")
    version = accepted.headers["ETag"]
    again = await put(office, {**task, "status": "accepted"})
    assert (again.status_code, again.headers["ETag"]) == (200, version)
    for status in ("in-progress", "on-hold", "in-progress", "completed"):
        answer = await put(office, {**task, "status": status, "statusReason": {"text": f"now {status}"}})
        assert (answer.status_code, answer.json()["status"]) == (200, status), answer.text
    kinds = await office.kinds(case_id)
    answered = ("accepted", "in-progress", "on-hold", "in-progress", "done")
    assert [k.removeprefix("referral-") for k in kinds if k.removeprefix("referral-") in answered] == [*answered]
    held = (await office.get("cm-anna", f"/cases/{case_id}/timeline", kind="referral-on-hold")).json()["items"]
    assert (held[0]["data"]["reason"], held[0]["actor"]) == ("now on-hold", "ehr-2")
    referral = task["id"].rpartition("-")[2]
    await office.do(case_id, "close-referral-loop", referral_id=referral, report="gone through with her")
    [over] = await tasks(office)
    assert over["status"] == "completed"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"status": "completed"}, 422, "WrongReferralState"),
        ({"status": "cancelled"}, 403, "NotYourStep"),
        ({"status": "draft"}, 403, "NotYourStep"),
        ({"status": "received"}, 422, "WrongReferralState"),
        ({"status": 7}, 400, "Malformed"),
        ({"status": "accepted", "for": {"reference": "Patient/another"}}, 400, "Malformed"),
        ({"status": "accepted", "focus": "x"}, 400, "Malformed"),
        ({"status": "accepted", "resourceType": "Patient"}, 400, "Malformed"),
    ],
)
async def test_a_step_that_the_loop_does_not_have_changes_nothing(
    office: Office, case_id: str, change: dict[str, Any], status: int, code: str
) -> None:
    """An OperationOutcome names the element, never what was sent."""
    [task] = await tasks(office)
    before = len(await office.kinds(case_id))
    answer = await put(office, {**task, **change})
    said = answer.json()["issue"][0]["details"]["coding"][0]["code"]
    assert (answer.status_code, said) == (status, code), answer.text
    assert len(await office.kinds(case_id)) == before


async def test_it_answers_its_own_referrals_only_while_the_person_agrees_and_on_what_it_has_read(
    office: Office, case_id: str
) -> None:
    """Another's referral is not there for it, and a command past FHIR is refused by name."""
    [task] = await tasks(office)
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    [other] = [r["id"] for r in case["referrals"] if r["recipient"] == "Dr. Lim"]
    assert (
        await put(office, {**task, "id": f"{case_id}-fulfil-{other}", "status": "accepted"})
    ).status_code == 404
    past = await office.refused(case_id, "accept-referral", "ehr-2", referral_id=other)
    assert past == (409, "NotYourReferral")
    stale = await put(office, {**task, "status": "accepted"}, If_Match='W/"1"')
    assert (stale.status_code, stale.json()["issue"][0]["code"]) == (412, "conflict")
    fresh = await put(office, {**task, "status": "accepted"}, If_Match=f'W/"{task["meta"]["versionId"]}"')
    assert fresh.status_code == 200
    nothing = {"resourceType": "Task", "id": task["id"], "status": "cancelled"}
    assert (await put(office, nothing, "cm-anna")).json()["issue"][0]["details"]["coding"][0][
        "code"
    ] == "ReasonMissing"
    revoked = await put(office, {**nothing, "statusReason": {"text": "moved away"}}, "cm-anna")
    assert revoked.json()["status"] == "cancelled"
    await office.do(case_id, "withdraw-consent", reason="no more")
    assert await tasks(office) == []
    assert (await put(office, {**task, "status": "in-progress"})).status_code == 404


async def test_two_steps_on_one_version_are_one_and_a_repeat_is_answered_as_the_first_time(
    office: Office, case_id: str
) -> None:
    """After a lost answer the same request tells that it was applied, though the Task has moved on by it."""
    [task] = await tasks(office)
    version = {"If_Match": f'W/"{task["meta"]["versionId"]}"', "Idempotency_Key": "k-1"}
    first = await put(office, {**task, "status": "accepted"}, **version)
    again = await put(office, {**task, "status": "accepted"}, **version)
    assert [(one.status_code, one.json()["status"]) for one in (first, again)] == [(200, "accepted")] * 2
    now = {"If_Match": first.headers["ETag"]}
    both = await asyncio.gather(
        put(office, {**task, "status": "in-progress"}, **now),
        put(office, {**task, "status": "on-hold", "statusReason": {"text": "x"}}, **now),
    )
    assert sorted(one.status_code for one in both) == [200, 412], [one.text for one in both]


async def test_what_an_update_shows_is_accounted_for_and_one_that_waits_says_where_to_ask(
    office: Office, case_id: str
) -> None:
    [task] = await tasks(office)
    for _ in range(2):  # it has this status already: nothing changes, and it is read again
        assert (await put(office, task)).status_code == 200
    person = task["for"]["reference"].removeprefix("Patient/")
    rows = (await office.get("cm-anna", f"/persons/{person}/disclosures")).json()["items"]
    assert [row["what"] for row in rows if row["to"] == "Food bank" and row["how"] == "read here"] == ["Task"] * 3
    queued = await put(office, {**task, "status": "accepted"}, Prefer="respond-async")
    assert (queued.status_code, queued.headers["Location"].startswith(f"/cases/{case_id}/commands/")) == (
        202,
        True,
    )
