"""A clinician's system asks who coordinates a patient's care: a card where she lets it be told, else nothing."""

from typing import Any

import pytest

from tests.office import Office
from tests.story import referral

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
NUMBER = {"system": "urn:mrn", "value": "4711"}
ALICE = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "identifiers": [NUMBER]}
SHARE = {"with_whom": "Meadow", "what": ["that it is open"], "purpose": "treatment", "reader": "ehr-1"}


def call(hook: str = "patient-view", patient: str = "unknown", **identifier: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"hook": hook, "hookInstance": "h-1", "context": {"userId": "x", "patientId": patient}}
    if identifier:
        asked["prefetch"] = {"patient": {"resourceType": "Patient", "identifier": [identifier]}}
    return asked


async def cards(office: Office, asked: dict[str, Any], by: str = "ehr-1") -> list[dict[str, Any]]:
    answer = await office.post(by, f"/cds-services/{asked['hook']}", asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["cards"])


async def test_a_card_says_who_coordinates_and_what_is_overdue_while_she_agrees(office: Office) -> None:
    """Found by the asker's own id or a number that came along; a crisis shows; without consent nothing does."""
    case_id = await office.open(person=ALICE, is_new=True, referral=referral(reference="Patient/1288992"))
    await office.walk(case_id)
    assert await cards(office, call(patient="1288992")) == []
    await office.do(case_id, "record-consent", form="written", shares=[SHARE])
    for asked in (call(patient="1288992"), call(**NUMBER), call("encounter-discharge", **NUMBER)):
        [card] = await cards(office, asked)
        assert len(card["summary"]) < 140
        assert (card["indicator"], card["source"]["label"]) == ("info", "Caseloom")
        assert "Case manager: cm-anna" in card["detail"]
        assert card["links"][0]["url"].endswith(f"/desk/cases/{case_id}")
    assert "where the patient goes" in card["detail"]
    await office.climb(case_id, "contact", "supervisor")
    [late] = await cards(office, call(**NUMBER))
    assert (late["indicator"], "Overdue: 1 (contact)" in late["detail"]) == ("warning", True)
    await office.do(case_id, "raise-crisis", description="x", immediate_danger=False)
    [now] = await cards(office, call(**NUMBER))
    assert (now["indicator"], "In crisis" in now["summary"]) == ("critical", True)
    assert await cards(office, call(**NUMBER), "ehr-2") == []
    assert await cards(office, call(system="urn:mrn", value="0000")) == []
    rows = (await office.get("cm-anna", f"/persons/{await person_of(office, case_id)}/disclosures")).json()[
        "items"
    ]
    assert {(row["to"], row["what"]) for row in rows} == {("Meadow", "cards")}


async def person_of(office: Office, case_id: str) -> str:
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    return str(case["referral"]["patient"]["reference"])


async def test_services_are_discovered_without_signing_in_and_misuse_is_refused(office: Office) -> None:
    found = (await office.http.get("/cds-services")).json()["services"]
    assert [one["hook"] for one in found] == ["patient-view", "encounter-discharge"]
    assert all(one["prefetch"] == {"patient": "Patient/{{context.patientId}}"} for one in found)
    wrong = await office.post("ehr-1", "/cds-services/patient-view", call("encounter-discharge"))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "WrongHook")
    assert (await office.post("ehr-1", "/cds-services/patient-view", {"hook": "patient-view"})).status_code == 422
    assert (await office.post("cm-anna", "/cds-services/patient-view", call())).status_code == 403
    assert (await office.http.post("/cds-services/patient-view", json=call())).status_code == 401


async def test_what_was_done_with_a_card_is_kept_once_and_never_a_comment(office: Office) -> None:
    said = {"card": "a" * 32, "outcome": "overridden", "outcomeTimestamp": "2026-11-02T10:00:00Z"}
    told = {**said, "overrideReason": {"reason": {"code": "not-now"}, "userComment": "Mrs Zephyrine is away"}}
    for one in (said, told):
        answer = await office.post("ehr-1", "/cds-services/patient-view/feedback", {"feedback": [one]})
        assert answer.status_code == 200, answer.text
    async with office.parts.engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM card_feedback")).all()
    assert [(row.card, row.outcome, row.reason) for row in rows] == [("a" * 32, "overridden", "not-now")]


async def test_a_card_tells_nothing_that_follows_from_what_stands_under_a_label(office: Office) -> None:
    """A crisis that was raised by an answer under a label, and the promises that began with it."""
    case_id = await office.open(person=ALICE, is_new=True)
    await office.walk(case_id)
    await office.do(case_id, "record-consent", form="written", shares=[SHARE])
    answers = {f"q{n}": 3 for n in range(1, 10)}
    score = {"instrument": "phq-9", "version": "2001", "answers": answers, "sensitivity": "part2"}
    await office.do(case_id, "record-score", **score)
    await office.forward(case_id, days=3)

    async def missed() -> bool:
        return bool((await office.get("sup-1", "/escalations", acknowledged="false")).json()["items"])

    await office.until(missed)
    [card] = await cards(office, call(**NUMBER))
    late = {one["kind"] for one in (await office.get("sup-1", "/escalations")).json()["items"]}
    assert late
    assert "crisis" not in str(card).lower()
    assert not any(kind in card["detail"] for kind in ("task", "safety"))
    named = [{**SHARE, "labels": ["part2"]}]
    await office.do(case_id, "record-consent", form="written", shares=named)
    [whole] = await cards(office, call(**NUMBER))
    assert whole["detail"] != card["detail"]


NOBODY = (
    None,
    {"patient": None},
    {"patient": {"identifier": 5}},
    {"patient": {"identifier": [None, {"system": 1}, {"value": "x"}]}},
)


@pytest.mark.parametrize("prefetch", NOBODY)
async def test_what_comes_along_and_is_no_patient_is_no_fault(office: Office, prefetch: Any) -> None:
    assert await cards(office, {**call(), "prefetch": prefetch}) == []
    assert await cards(office, call(patient="x" * 199)) == []
    for patient in ("x" * 201, "a\x00b"):
        assert (await office.post("ehr-1", "/cds-services/patient-view", call(patient=patient))).status_code == 422
