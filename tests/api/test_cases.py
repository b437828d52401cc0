"""Opening, reading and listing cases, and the fate of a command."""

import asyncio
import uuid
from datetime import datetime

import pytest
from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select

from api.cases import NewCase, refer_as
from api.problems import Refusal
from api.submission import Wish
from api.system import Principal
from deploy.patients import bundle
from domain.values import Role
from infra.settings import Settings
from infra.tables import CommandRow
from tests.office import Office
from tests.story import in_force, referral
from worker import worker

CHILD = {"program": "chronic-care", "team": "north", "referral": referral(birth_date="2020-05-05")}


async def test_a_referral_opens_a_case_that_is_read_and_listed(office: Office) -> None:
    """201 with a Location; the ETag is the case's seq; without an owner it is the case manager's own."""
    answer = await office.post("cm-anna", "/cases", {"program": "complex-care", "referral": referral()})
    assert answer.status_code == 201
    case_id = answer.json()["case_id"]
    read = await office.get("cm-anna", answer.headers["Location"])
    assert (read.json()["source"], read.json()["case"]["owner"]) == ("record", "cm-anna")
    assert read.headers["ETag"] == answer.headers["ETag"] == '"2"'
    listed = (await office.get("cm-ben", "/cases", stage="screening", tier="", owner="cm-anna")).json()
    assert "code" in listed  # an empty tier is no tier
    listed = (await office.get("cm-ben", "/cases", stage="screening", owner="cm-anna", overdue=False)).json()
    assert [item["id"] for item in listed["items"]] == [case_id]


async def test_a_case_walks_through_the_api_to_closure(office: Office) -> None:
    """Every step over HTTP; the worklist follows each."""
    case_id = await office.open()
    await office.walk(case_id)
    mine = (await office.get("cm-anna", "/worklist")).json()["items"]
    assert sorted(item["kind"] for item in mine) == ["contact", "plan-review", "reassessment", "signature"]
    await office.do(
        case_id, "evaluate-outcome", ratings={"well_being": 5, "finances": 5, "appropriate_care": 5}, summary="x"
    )
    await office.do(case_id, "close", reason="moved")
    assert (await office.get("cm-anna", "/worklist")).json()["items"] == []
    assert (await office.refused(case_id, "complete-task", task_id="t9"))[0] == 409
    await office.do(case_id, "reopen-case", reason="back in hospital")
    assert (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["stage"] == "follow-up"


async def test_a_case_whose_workflow_is_over_is_read_from_the_record_and_refused_by_name(office: Office) -> None:
    """It is not said to be missing: who may see it is told that it is sealed."""
    case_id = await office.open()
    await office.walk(case_id)
    await office.do(case_id, "close", reason="moved")
    await office.forward(case_id, days=32)

    async def over() -> bool:
        found = (await office.get("cm-anna", f"/cases/{case_id}")).json()
        return bool(found["source"] == "record" and found["case"]["sealed"])

    await office.until(over)
    assert await office.refused(case_id, "add-note", text="late") == (409, "CaseSealed")
    assert (await office.post("sup-1", f"/cases/{case_id}/assign", {})).json()["code"] == "CaseSealed"
    undone = await office.post("sup-1", f"/cases/{await office.open()}/undo-merge", {"case_id": case_id})
    assert (undone.status_code, undone.json()["code"]) == (409, "NotMerged")


async def test_what_the_rules_refuse_is_409_with_the_reason_and_changes_nothing(office: Office) -> None:
    """The seq stays, the list says what is missing."""
    case_id = await office.open()
    before = (await office.get("cm-anna", f"/cases/{case_id}")).headers["ETag"]
    assert await office.refused(case_id, "complete-screening", accepted=True) == (409, "ConsentMissing")
    assert await office.refused(case_id, "agree-plan", goals=[], interventions=[]) == (422, "Malformed")
    assert await office.refused(case_id, "close", reason="bored") == (422, "UnknownClosureReason")
    answer = await office.post("cm-anna", f"/cases/{case_id}/commands/close", {"reason": "goals-met"})
    assert {"outcome evaluation", "approval of the closure"} <= set(answer.json()["missing"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await office.get("cm-anna", f"/cases/{case_id}")).headers["ETag"] == before


async def test_the_same_key_answers_the_same_and_another_body_under_it_is_422(office: Office) -> None:
    """Ten at once are one; the record keeps one row."""
    case_id = await office.open()
    path, body = f"/cases/{case_id}/commands/add-note", {"text": "once"}
    answers = await asyncio.gather(*(office.post("cm-anna", path, body, Idempotency_Key="k-1") for _ in range(10)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    first = (await office.post("cm-anna", path, body, Idempotency_Key="k-1")).json()
    assert (await office.post("cm-anna", path, body, Idempotency_Key="k-1")).json() == first
    other = await office.post("cm-anna", path, {"text": "twice"}, Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (422, "KeyReused")
    another = await office.post("cm-ben", path, {"text": "his own"}, Idempotency_Key="k-1")
    assert another.status_code == 200
    assert (await office.kinds(case_id)).count("note-added") == 2


async def test_opening_twice_under_one_key_opens_one_case(office: Office) -> None:
    """Also at once, and also later."""
    body = {"program": "medicaid-tcm", "referral": referral(), "team": "north", "owner": "cm-ben"}
    answers = await asyncio.gather(
        *(office.post("ehr-1", "/cases", body, Idempotency_Key="open-1") for _ in range(6))
    )
    assert {answer.status_code for answer in answers} <= {201, 202}
    assert len({answer.json()["case_id"] for answer in answers}) == 1
    again = await office.post("ehr-1", "/cases", body, Idempotency_Key="open-1")
    assert again.status_code == 201
    other = await office.post("ehr-1", "/cases", {**body, "owner": "cm-anna"}, Idempotency_Key="open-1")
    assert (other.status_code, other.json()["code"]) == (422, "KeyReused")


async def test_if_match_of_an_older_state_is_412(office: Office) -> None:
    """Two people saw the same case; the second is told that it moved on."""
    case_id = await office.open()
    etag = (await office.get("cm-anna", f"/cases/{case_id}")).headers["ETag"]
    path = f"/cases/{case_id}/commands/add-note"
    assert (await office.post("cm-anna", path, {"text": "a"}, If_Match=etag)).status_code == 200
    late = await office.post("cm-ben", path, {"text": "b"}, If_Match=etag)
    assert (late.status_code, late.json()["code"]) == (412, "CaseChanged")
    assert (await office.post("cm-ben", path, {"text": "b"}, If_Match="soon")).status_code == 422
    assert (await office.post("cm-ben", path, {"text": "b"}, If_Match='"99999999999"')).status_code == 422


async def test_respond_async_is_queued_and_its_late_refusal_can_be_asked_for(office: Office) -> None:
    """202 with a Location; what a rule refuses afterwards is there by name."""
    case_id = await office.open()
    path = f"/cases/{case_id}/commands/complete-screening"
    answer = await office.post("cm-anna", path, {"accepted": True}, Prefer="respond-async")
    assert answer.status_code == 202

    async def decided() -> bool:
        found = await office.get("cm-anna", answer.headers["Location"])
        return "refused" in found.text

    await office.until(decided)
    found = (await office.get("cm-anna", answer.headers["Location"])).json()
    assert found["outcome"]["error"] == "ConsentMissing"
    keyed = {"Prefer": "respond-async", "Idempotency_Key": "later-1"}
    note = f"/cases/{case_id}/commands/add-note"
    assert (await office.post("cm-anna", note, {"text": "one"}, **keyed)).status_code == 202
    clash = await office.post("cm-anna", note, {"text": "two"}, **keyed)
    assert (clash.status_code, clash.json()["code"]) == (422, "KeyReused")
    nothing = await office.get("cm-anna", f"/cases/{case_id}/commands/nosuchcommand")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "UnknownCommandId")


async def test_of_two_requests_at_once_under_one_key_one_is_queued_and_the_other_refused(
    quiet_office: Office, engine: AsyncEngine, settings: Settings
) -> None:
    """On both databases; six of each, and what is queued is one command."""
    office, keyed = quiet_office, {"Prefer": "respond-async", "Idempotency_Key": "twice"}
    async with worker(office.environment.client, settings, in_force(), engine.url):
        case_id = await office.open()
    path, bodies = f"/cases/{case_id}/commands/add-note", [{"text": "one"}, {"text": "another"}] * 6
    answers = await asyncio.gather(*(office.post("cm-anna", path, body, **keyed) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [202] * 6 + [422] * 6


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_without_a_worker_commands_are_queued_and_reads_come_from_the_record(
    quiet_office: Office, engine: AsyncEngine, settings: Settings
) -> None:
    """Nothing acknowledged is lost: when a worker comes, all of it is applied, once."""
    office = quiet_office
    office.parts.settings.update_seconds = 2
    client = office.environment.client
    async with worker(client, settings, in_force(), engine.url):
        case_id = await office.open()
    path = f"/cases/{case_id}/commands/add-note"
    queued = await office.post("cm-anna", path, {"text": "while away"}, Idempotency_Key="away-1")
    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    again = await office.post("cm-anna", path, {"text": "while away"}, Idempotency_Key="away-1")
    assert again.json()["command_id"] == queued.json()["command_id"]
    other = await office.post("cm-anna", path, {"text": "another"}, Idempotency_Key="away-1")
    assert (other.status_code, other.json()["code"]) == (422, "KeyReused")
    read = (await office.get("cm-anna", f"/cases/{case_id}")).json()
    assert read["source"] == "record"
    assert datetime.fromisoformat(read["as_of"]) <= datetime.fromisoformat(read["as_of"]).now().astimezone()
    opened = await office.post(
        "ehr-1", "/cases", {"program": "complex-care", "referral": referral(), "team": "north"}
    )
    assert opened.status_code == 202
    waiting = f"/cases/{opened.json()['case_id']}/commands/{opened.json()['command_id']}"
    asked = await office.get("ehr-1", waiting)
    assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    early = await office.post("ehr-1", waiting.rpartition("/")[0] + "/add-note", {"text": "too early"})
    assert (early.status_code, early.json()["code"]) == (503, "OpeningQueued")
    assert (await office.get("cm-anna", waiting.partition("/commands")[0])).status_code == 404
    async with worker(client, settings, in_force(), engine.url):

        async def applied() -> bool:
            found = await office.get("cm-anna", queued.headers["Location"])
            return '"status":"applied"' in found.text

        await office.until(applied)

        async def there() -> bool:
            return (await office.get("ehr-1", f"/cases/{opened.json()['case_id']}")).status_code == 200

        await office.until(there)
        assert (await office.kinds(case_id)).count("note-added") == 1
    async with engine.connect() as connection:
        rows = (await connection.execute(select(CommandRow).where(CommandRow.case_id == case_id))).all()
    assert len(rows) == 2


async def test_pages_are_cut_by_key_and_a_foreign_cursor_is_refused(office: Office) -> None:
    """Three pages of two, nothing twice, in both orders."""
    opened = {await office.open() for _ in range(5)}
    for sort in ("opened_at", "-opened_at", "next_due_at"):
        seen: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = (await office.get("cm-anna", "/cases", limit=2, sort=sort, **more)).json()
            seen += [item["id"] for item in page["items"]]
            if page["next"] is None:
                break
            more = {"cursor": page["next"]}
        assert len(seen) == 5
        assert set(seen) == opened
    for cursor in (
        "nonsense",
        "WzFd",
        "WyJhIl0=",
        "ImFiYyI=",
        "eyJhIjoxfQ==",
        "WyJcdWQ4MDAiLCAiYSJd",
        "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwgImEiXQ==",
    ):
        answer = await office.get("cm-anna", "/cases", cursor=cursor)
        assert (answer.status_code, answer.json()["code"]) == (422, "Malformed")


async def test_a_fhir_bundle_is_a_referral(office: Office) -> None:
    """Active conditions and medications and the year's encounters reach the case."""
    answer = await office.post("ehr-1", "/referrals/fhir?program=complex-care&team=north&owner=cm-anna", bundle(7))
    assert answer.status_code == 201, answer.text
    case = (await office.get("cm-anna", f"/cases/{answer.json()['case_id']}")).json()["case"]
    patient = case["referral"]["patient"]
    assert [len(patient[part]) for part in ("conditions", "medications", "encounters")] == [3, 3, 3]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_bundle_that_cannot_be_read_says_where_and_a_dead_patient_is_refused(office: Office) -> None:
    """The path of the fault, never the value; nothing is opened."""
    path = "/referrals/fhir?program=complex-care&team=north"
    broken = bundle(7)
    broken["entry"][0]["resource"]["birthDate"] = "SECRET"
    answer = await office.post("ehr-1", path, broken)
    assert (answer.status_code, answer.json()["code"]) == (422, "UnreadableBundle")
    assert "entry[0].resource.birthDate" in answer.json()["missing"][0]
    assert "SECRET" not in answer.text
    dead = bundle(7)
    dead["entry"][0]["resource"]["deceasedDateTime"] = "2021-04-01T10:00:00+02:15"
    answer = await office.post("ehr-1", path, dead)
    assert (answer.status_code, answer.json()["code"]) == (409, "PatientDeceased")
    mixed = bundle(7)
    mixed["entry"][1]["resource"]["subject"]["reference"] = "Patient/somebody-else"
    assert (await office.post("ehr-1", path, mixed)).json()["code"] == "UnreadableBundle"
    for nothing in ({}, {"resourceType": "Patient"}, {"resourceType": "Bundle", "entry": []}):
        assert (await office.post("ehr-1", path, nothing)).status_code == 422
    assert (await office.get("dir-1", "/cases")).json()["items"] == []


async def test_whom_a_programme_refuses_is_written_down_without_her_name(office: Office) -> None:
    """The lead sees that somebody was referred and what was lacking; another team's lead does not."""
    refused = await office.post("cm-anna", "/cases", CHILD)
    assert (refused.status_code, refused.json()["code"]) == (409, "NotEligible")
    [row] = (await office.get("sup-1", "/refused-referrals")).json()["items"]
    assert (row["program"], row["by"]) == ("chronic-care", "cm-anna")
    assert row["lacking"] == []
    assert "Patient" not in str(row)
    assert (await office.get("sup-2", "/refused-referrals")).json()["items"] == []
    assert (await office.get("dir-1", "/refused-referrals", program="ltac")).json()["items"] == []


async def test_a_refused_referral_that_is_sent_again_counts_once(office: Office) -> None:
    """By the key of the request; another request is another referral."""
    for key in ("first", "first", "second"):
        answer = await office.post("cm-anna", "/cases", CHILD, **{"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (409, "NotEligible")
    assert len((await office.get("sup-1", "/refused-referrals")).json()["items"]) == 2


async def test_coverage_and_residence_are_read_from_the_referral_and_do_not_enter_the_case(office: Office) -> None:
    """Known payers count; what the programme asks and nobody knows is asked at screening."""
    two = [{"code": code, "display": code} for code in ("E11.9", "I50.9")]
    case_id = await office.open(program="chronic-care", referral=referral(conditions=two))
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    assert case["unconfirmed"] == ["expected-to-last"]


async def test_an_opening_under_an_id_where_another_was_refused_is_decided_all_the_same(office: Office) -> None:
    """The workflow of the refused one is over; the second is not left waiting for somebody to look after it."""
    case_id = uuid.uuid4()
    who = Principal(sub="sup-1", role=Role.SUPERVISOR, teams=("north",), tenant="local")
    said = {"program": "complex-care", "team": "north", "referral": referral()}
    wrong, right = (NewCase.model_validate({**said, "owner": owner}) for owner in ("ghost-1", "cm-anna"))
    with pytest.raises(Refusal) as refused:
        await refer_as(office.parts, who, case_id, wrong, Wish(key="one"), Response())
    assert refused.value.problem.code == "UnknownStaff"
    await refer_as(office.parts, who, case_id, right, Wish(key="two"), Response())

    async def opened() -> bool:
        return (await office.get("cm-anna", f"/cases/{case_id.hex}")).status_code == 200

    await office.until(opened)
