"""FHIR over HTTP: read, search, everything of a person; errors as OperationOutcome; who may not, finds nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from infra.person_tables import PersonRow
from tests.office import Office
from tests.story import referral

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
NEW = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05", "language": "es"}


@pytest.fixture
async def case_id(office: Office) -> str:
    case_id = await office.open(referral=referral(), person=NEW)
    await office.walk(case_id)
    return case_id


async def person_of(office: Office, case_id: str) -> str:
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    return str(case["referral"]["patient"]["reference"])


async def search(office: Office, kind: str, by: str = "cm-anna", **asked: Any) -> list[dict[str, Any]]:
    answer = await office.get(by, f"/fhir/{kind}", **asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    return [entry["resource"] for entry in answer.json()["entry"]]


async def test_a_persons_resources_are_found_by_type_status_and_code(office: Office, case_id: str) -> None:
    person = await person_of(office, case_id)
    [patient] = await search(office, "Patient", _id=person)
    assert (patient["name"][0]["family"], patient["birthDate"]) == ("Zephyrine", "1950-05-05")
    [plan] = await search(office, "CarePlan", patient=f"Patient/{person}")
    assert plan["subject"]["reference"] == f"Patient/{person}"
    assert await search(office, "CarePlan", patient=person, category="assess-plan") == [plan]
    assert await search(office, "CarePlan", patient=person, category="other") == []
    done = await search(office, "Task", patient=person, status="completed")
    assert {task["status"] for task in done} == {"completed"}
    assert await search(office, "Task", patient=person, _lastUpdated="gt2100-01-01") == []
    for nothing in ({"patient": "nobody"}, {"_id": "nobody-1"}):
        assert await search(office, "Task", **nothing) == [], "a search that finds nothing is no error"
    for since in ("ge2020-01-01T00:00:00Z", "gt2020-01-01"):
        assert await search(office, "Task", patient=person, _lastUpdated=since)


async def test_one_resource_is_read_with_its_version_and_not_sent_again_unchanged(
    office: Office, case_id: str
) -> None:
    path = f"/fhir/EpisodeOfCare/{case_id}-episode"
    found = await office.get("cm-anna", path)
    assert found.json()["status"] == "active"
    again = await office.http.get(
        path, headers={**office.sign_in("cm-anna"), "If-None-Match": found.headers["ETag"]}
    )
    assert again.status_code == 304
    assert (await office.get("cm-anna", "/fhir/Questionnaire/phq-9-2001")).json()["item"][0]["linkId"] == "q1"


async def test_everything_of_a_person_comes_at_once_or_by_type_and_since_a_time(
    office: Office, case_id: str
) -> None:
    person = await person_of(office, case_id)
    path = f"/fhir/Patient/{person}/$everything"
    bundle = (await office.get("cm-anna", path)).json()
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds[0] == "Patient"
    assert {"EpisodeOfCare", "CarePlan", "Goal", "Task", "Consent", "QuestionnaireResponse"} <= set(kinds)
    some = (await office.get("cm-anna", path, _type="Goal,CarePlan", _since="2020-01-01")).json()
    assert {entry["resource"]["resourceType"] for entry in some["entry"]} == {"Goal", "CarePlan"}
    assert (await office.get("cm-anna", path, _type="Moon")).status_code == 400


async def test_pages_follow_one_another_without_a_gap(office: Office, case_id: str) -> None:
    person = await person_of(office, case_id)
    every = await search(office, "QuestionnaireResponse", patient=person)
    seen: list[dict[str, Any]] = []
    address = f"/fhir/QuestionnaireResponse?patient={person}&_count=5"
    while address:
        page = (await office.http.get(address, headers=office.sign_in("cm-anna"))).json()
        seen += [entry["resource"] for entry in page["entry"]]
        address = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    assert seen == every
    assert len(every) > 5


async def test_what_cannot_be_answered_is_an_operation_outcome_that_repeats_nothing(
    office: Office, case_id: str
) -> None:
    person = await person_of(office, case_id)
    for path, status in (
        ("/fhir/Task", 400),
        ("/fhir/Moon?patient=x", 404),
        (f"/fhir/Task?patient={person}&colour=secret", 400),
        (f"/fhir/Task?patient={person}&name=secret", 400),
        (f"/fhir/Task?patient={person}&_lastUpdated=secret", 400),
        (f"/fhir/Task?patient={person}&cursor=secret", 400),
        (f"/fhir/Task/{case_id}-nothing", 404),
    ):
        answer = await office.http.get(path, headers=office.sign_in("cm-anna"))
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["resourceType"] == "OperationOutcome", path
        assert "secret" not in answer.text
    nobody = await office.http.get(f"/fhir/Task?patient={person}")
    assert (nobody.status_code, nobody.json()["resourceType"]) == (401, "OperationOutcome")


@pytest.mark.parametrize(
    "asked",
    [
        "ge2026-02-30T10:00Z",
        "ge2026-02-03T25:00Z",
        "ge2026-02-03T10:00+99:99",
        "ge2026-02-03T10:00:60Z",
        "ge\u0662\u0660\u0662\u0666-02-03T10:00Z",
        "2026-13-45",
    ],
)
async def test_a_time_that_never_was_is_refused_as_malformed(office: Office, case_id: str, asked: str) -> None:
    """Neither a fault of ours nor an empty answer: the sender learns that the time is wrong."""
    person = await person_of(office, case_id)
    for path, name in (("/fhir/Task", "_lastUpdated"), (f"/fhir/Patient/{person}/$everything", "_since")):
        more = {"patient": person} if name == "_lastUpdated" else {}
        answer = await office.get("cm-anna", path, **{name: asked}, **more)
        assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


async def test_who_may_not_see_the_case_finds_nothing_of_it_and_the_search_is_on_record(
    office: Office, case_id: str
) -> None:
    person = await person_of(office, case_id)
    for by in ("cm-cora", "ehr-1"):
        path = f"/fhir/EpisodeOfCare/{case_id}-episode"
        assert (await office.get(by, path)).status_code == 404
    assert await search(office, "Patient", "ehr-1", _id=person) == []
    assert await search(office, "EpisodeOfCare", by="aud-1", patient=person)
    looked = (await office.get("aud-1", "/audit", person_id=person)).json()["items"]
    assert "search-resources" in {item["action"] for item in looked}


async def test_who_read_a_person_is_found_under_the_person_and_no_typed_name_is_kept(
    office: Office, case_id: str
) -> None:
    """The audit has ids of ours only, of a search as of a read."""
    person = await person_of(office, case_id)
    await office.get("cm-anna", "/fhir/Patient", _id=person)
    await office.get("cm-anna", f"/fhir/Patient/{person}")
    await office.get("cm-anna", "/fhir/Questionnaire/news2-2017")
    for name in ("Jane Doe", "JaneDoe", "Patient/Jane Doe 1950"):
        await office.get("cm-anna", "/fhir/Task", patient=name)
    looked = (await office.get("aud-1", "/audit", person_id=person)).json()["items"]
    assert {"search-resources", "read-resource"} <= {row["action"] for row in looked if row["person_id"] == person}
    every = (await office.get("aud-1", "/audit", limit=200)).json()["items"]
    assert {row["person_id"] for row in every} <= {None, person}
    assert {row["case_id"] for row in every} <= {None, case_id}


async def test_what_the_server_can_do_is_what_its_routes_take(office: Office) -> None:
    said = (await office.get("cm-anna", "/fhir/metadata")).json()
    assert (said["resourceType"], said["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
    for served in said["rest"][0]["resource"]:
        for parameter in served["searchParam"]:
            asked = {"patient": "nobody", parameter["name"]: "ge2020-01-01"} if served["type"] != "Patient" else {}
            answer = await office.get("cm-anna", f"/fhir/{served['type']}", **asked)
            assert "UnknownParameter" not in answer.text or served["type"] == "Questionnaire", served


async def agree(office: Office, case_id: str, **share: Any) -> None:
    """She lets the hospital's system read her case."""
    told = {"with_whom": "Meadow hospital", "what": ["the care plan"], "purpose": "treatment", "reader": "ehr-1"}
    await office.do(case_id, "record-consent", form="written", shares=[{**told, **share}])


async def test_a_system_outside_reads_the_case_while_the_person_agrees_and_no_longer(
    office: Office, case_id: str
) -> None:
    """Not what it opened, not for ever, and not what stands under a label that she has not named."""
    person = await person_of(office, case_id)
    call = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "spoke of her week"}
    await office.do(case_id, "log-contact", **call, sensitivity="part2")
    await office.do(case_id, "log-contact", **call)
    assert await search(office, "Encounter", "ehr-1", patient=person) == []
    assert (await office.get("ehr-1", f"/fhir/Patient/{person}")).status_code == 404
    await agree(office, case_id)
    [plan] = await search(office, "CarePlan", "ehr-1", patient=person)
    assert plan["subject"]["reference"] == f"Patient/{person}"
    assert (await office.get("ehr-1", f"/fhir/Patient/{person}")).json()["id"] == person
    some = await search(office, "Encounter", "ehr-1", patient=person)
    assert some
    assert not any("security" in one["meta"] for one in some)
    await agree(office, case_id, labels=["part2"])
    both = await search(office, "Encounter", "ehr-1", patient=person)
    codes = {coding["code"] for c in both for coding in c["meta"].get("security", ())}
    assert (len(both), "NORDSCLCD" in codes) == (len(some) + 1, True)
    for path in (f"/cases/{case_id}", f"/cases/{case_id}/timeline", f"/persons/{person}"):
        assert (await office.get("ehr-1", path)).status_code in (403, 404), path
    assert (await office.get("ehr-2", f"/fhir/CarePlan/{case_id}-plan")).status_code == 404
    [listed] = (await office.get("sup-1", "/shares")).json()["items"]
    assert (listed["asked"], listed["type"], listed["case_id"]) == ("ehr-1", "case-and-part2", case_id)
    await office.do(case_id, "withdraw-consent", reason="no more")
    assert await search(office, "CarePlan", "ehr-1", patient=person) == []
    assert (await office.get("ehr-1", f"/fhir/Patient/{person}")).status_code == 404


async def test_a_share_ends_with_its_last_day_where_the_case_is(office: Office, case_id: str) -> None:
    """By the clock, without anybody doing anything."""
    person = await person_of(office, case_id)
    today = datetime.now(ZoneInfo("America/New_York")).date()
    await agree(office, case_id, until=str(today))
    assert await search(office, "CarePlan", "ehr-1", patient=person)
    await agree(office, case_id, until=str(today - timedelta(days=1)))
    assert await search(office, "CarePlan", "ehr-1", patient=person) == []
    assert (await office.get("ehr-1", f"/fhir/CarePlan/{case_id}-plan")).status_code == 404


async def test_a_share_says_once_what_an_account_reads_and_names_what_all_of_the_case_stands_under(
    office: Office,
) -> None:
    case_id = await office.open(program="behavioral-health")
    told = {"with_whom": "Meadow", "what": ["all"], "purpose": "treatment", "reader": "ehr-1"}
    for shares, code in (([told], "LabelMissing"), ([{**told, "labels": ["behavioral"]}] * 2, "ReaderTwice")):
        assert await office.refused(case_id, "record-consent", form="verbal", shares=shares) == (422, code)
    await office.do(case_id, "record-consent", form="verbal", shares=[{**told, "labels": ["behavioral"]}])


async def test_what_was_told_outside_is_accounted_for_a_person_and_a_period(office: Office, case_id: str) -> None:
    """What was recorded, sent as a referral, and read by a system outside; what was wrong says so; as CSV too."""
    person = await person_of(office, case_id)
    await agree(office, case_id, labels=["part2"])
    told = {"to": "Meadow hospital", "what": ["the plan"], "purpose": "treatment", "mode": "letter"}
    sent = await office.do(case_id, "record-disclosure", **told, ground="consent", labels=["part2"])
    assert "42 CFR part 2" in sent["advice"]
    wrong = await office.do(case_id, "record-disclosure", **{**told, "to": "Nobody"}, ground="asked-by-person")
    await office.do(case_id, "correct-entry", entry=wrong["seq"], reason="told nobody")
    await office.do(case_id, "draft-referral", type="specialist", recipient="Dr. Lim", reason="heart")
    [referral] = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referrals"]
    await office.do(case_id, "send-referral", referral_id=referral["id"])
    for by in ("ehr-1", "ehr-2"):  # the second one is given nothing, and nothing is accounted for it
        await search(office, "CarePlan", by, patient=person)
    path = f"/persons/{person}/disclosures"
    rows = (await office.get("cm-anna", path)).json()["items"]
    assert sorted((row["to"], row["how"], row["what"], row["entered_in_error"]) for row in rows) == [
        ("Dr. Lim", "referral", f"referral {referral['id']}", False),
        ("Meadow hospital", "letter", "the plan", False),
        ("Meadow hospital", "read here", "CarePlan", False),
        ("Nobody", "letter", "the plan", True),
    ]
    [by_consent] = [row for row in rows if row["how"] == "letter" and row["to"] == "Meadow hospital"]
    assert (by_consent["labels"], bool(by_consent["notice"]), by_consent["ground"]) == ("part2", True, "consent")
    [withheld] = [row for row in (await office.get("aud-1", path)).json()["items"] if row["withheld"]]
    assert (withheld["withheld"], withheld["to"], withheld["what"]) == ("part2", None, None)
    assert (await office.get("cm-anna", path, last="2020-01-01T00:00:00Z")).json()["items"] == []
    table = await office.get("dir-1", path, format="csv")
    assert table.text.splitlines()[0].startswith("at,case_id,to,what,purpose,ground")
    assert (await office.get("cm-cora", path)).status_code == 404


async def test_a_resource_is_read_as_it_was_and_found_between_two_times(office: Office, case_id: str) -> None:
    """vread, a span of `_lastUpdated`, what comes along; another's version is not there."""
    person = await person_of(office, case_id)
    path = f"/fhir/EpisodeOfCare/{case_id}-episode"
    now = (await office.get("cm-anna", path)).json()
    first = (await office.get("cm-anna", f"{path}/_history/1")).json()
    assert (first["meta"]["versionId"], first["status"], now["status"]) == ("1", "waitlist", "active")
    latest = await office.get("cm-anna", f"{path}/_history/{now['meta']['versionId']}")
    assert latest.json() == now
    for gone, by in ((f"{path}/_history/9999", "cm-anna"), (f"{path}/_history/1", "cm-cora")):
        assert (await office.get(by, gone)).status_code == 404
    year = datetime.now(UTC).year
    span: dict[str, Any] = {"_lastUpdated": [f"ge{year - 1}-01-01", f"lt{year + 1}-01-01"]}
    assert await search(office, "Task", patient=person, **span)
    assert await search(office, "Task", patient=person, _lastUpdated=["ge2020-01-01", "lt2020-02-01"]) == []
    along = {"_include": "Task:focus", "_revinclude": "Provenance:target"}
    answer = await office.get("cm-anna", "/fhir/Task", patient=person, **along)
    modes = [(entry["resource"]["resourceType"], entry["search"]["mode"]) for entry in answer.json()["entry"]]
    assert {("Task", "match"), ("CarePlan", "include"), ("Provenance", "include")} == set(modes)
    unknown = await office.get("cm-anna", "/fhir/Task", patient=person, _include="Task:owner")
    assert (unknown.status_code, "Task:owner" in unknown.text) == (400, True)


async def test_nothing_that_follows_from_what_stands_under_a_label_tells_of_it_outside(
    office: Office, case_id: str
) -> None:
    """The task after a positive answer, the grounds of a risk, who else may be told: each in whatever resource."""
    person = await person_of(office, case_id)
    clinic = {"with_whom": "Rehab Clinic Hope", "what": ["all"], "purpose": "his addiction", "labels": ["part2"]}
    hospital = {"with_whom": "Meadow", "what": ["the plan"], "purpose": "treatment", "reader": "ehr-1"}
    await office.do(case_id, "record-consent", form="written", shares=[hospital, {**clinic, "reader": "ehr-2"}])
    answers = {f"q{n}": 1 for n in range(1, 10)}
    await office.do(
        case_id, "record-score", instrument="phq-9", version="2001", answers=answers, sensitivity="part2"
    )
    whole = {}
    for by in ("cm-anna", "ehr-1", "ehr-2"):
        entries = (await office.get(by, f"/fhir/Patient/{person}/$everything")).json()["entry"]
        whole[by] = [str(entry["resource"]) for entry in entries]
    assert any("suicide" in said for said in whole["cm-anna"])
    assert any("suicide" in said for said in whole["ehr-2"])
    for word in ("suicide", "Rehab", "addiction", "phq", "PHQ"):
        assert not any(word in said for said in whole["ehr-1"]), word


async def test_who_is_around_a_person_is_found_by_whoever_may_read_her(office: Office, case_id: str) -> None:
    person = await person_of(office, case_id)
    known: dict[str, Any] = {
        "json": {"relations": [{"role": "caregiver", "name": "Mia"}]},
        "headers": office.sign_in("cm-anna"),
    }
    assert (await office.http.patch(f"/persons/{person}", **known)).status_code == 200
    [one] = await search(office, "RelatedPerson", patient=person)
    assert (await office.get("cm-anna", f"/fhir/RelatedPerson/{one['id']}")).json() == one
    everything = (await office.get("cm-anna", f"/fhir/Patient/{person}/$everything")).json()["entry"]
    assert one in [entry["resource"] for entry in everything]
    for by in ("cm-cora", "ehr-1"):
        assert (await office.get(by, f"/fhir/RelatedPerson/{one['id']}")).status_code == 404


async def test_a_time_means_as_much_as_is_written_and_a_poll_does_not_find_the_same_again(
    office: Office, case_id: str
) -> None:
    person = await person_of(office, case_id)
    newest = max(one["meta"]["lastUpdated"] for one in await search(office, "Task", patient=person))
    for asked in (f"eq{newest}", f"le{newest}", f"eq{newest[:19]}Z", f"eq{newest[:16]}Z"):
        found = await search(office, "Task", patient=person, _lastUpdated=asked)
        assert newest in {one["meta"]["lastUpdated"] for one in found}, asked
    assert await search(office, "Task", patient=person, _lastUpdated=f"gt{newest}") == []


async def test_a_look_is_told_by_the_share_of_its_time(office: Office, case_id: str) -> None:
    """Whoever the account is named for later was not told then; a look under a label is withheld like an entry."""
    person = await person_of(office, case_id)
    await agree(office, case_id)
    await search(office, "CarePlan", "ehr-1", patient=person)
    call = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "spoke of her week"}
    await office.do(case_id, "log-contact", **call, sensitivity="part2")
    await agree(office, case_id, with_whom="Rehab Clinic", purpose="addiction", labels=["part2"])
    await search(office, "Encounter", "ehr-1", patient=person)
    path = f"/persons/{person}/disclosures"
    rows = (await office.get("cm-anna", path)).json()["items"]
    assert [(row["to"], row["what"]) for row in rows] == [
        ("Rehab Clinic", "Encounter"),
        ("Meadow hospital", "CarePlan"),
    ]
    assert rows[0]["notice"].startswith("42 CFR part 2")
    hidden = (await office.get("aud-1", path)).json()["items"]
    assert [(row["to"], row["withheld"]) for row in hidden] == [(None, "part2"), ("Meadow hospital", None)]
    async with (
        office.parts.engine.begin() as connection
    ):  # she has put her on record, and may read no case of hers
        await connection.execute(update(PersonRow).values(created_by="cm-cora"))
    assert (await office.get("cm-cora", path)).json()["items"] == []
