"""People: found before they are made twice, shown to those who may know of them, sealed where they are kept."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from api.identity import with_persons
from domain.persons.matching import compare
from domain.persons.person import Person
from infra.names import similar, words
from tests.office import Office
from tests.story import referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
LUCJA: dict[str, Any] = {
    "names": [
        {"given": ["Łucja"], "family": "Wiśniewska-Nowak"},
        {"use": "preferred", "given": ["Lucy"], "family": "Nowak"},
        {"use": "former", "given": ["Łucja"], "family": "Kowalska"},
    ],
    "birth_date": "1950-05-05",
    "identifiers": [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": "MRN-0012345"}],
    "contacts": [{"kind": "mobile", "value": "+1 (212) 555-0143", "may_leave_message": True}],
    "addresses": [{"lines": ["Canary Street 7"], "city": "Springfield", "postal_code": "12345"}],
    "language": "pl",
    "needs_interpreter": True,
}


async def made(office: Office, by: str = "cm-anna", **person: Any) -> str:
    answer = await office.post(by, "/persons", {**LUCJA, **person})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def found(office: Office, question: str, by: str = "cm-anna") -> list[str]:
    answer = await office.get(by, "/persons", q=question)
    assert answer.status_code == 200, answer.text
    return [item["person_id"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    "question",
    [
        "Łucja Wiśniewska",
        "lucja wisniewska",
        "nowak LUCY",
        "Lucy Nowack",
        "Kowalska",
        "nowak 1950-05-05",
        "1950-05-05",
        "212-555-0143",
        "+1 212 555 01 43",
        "mrn-0012345",
    ],
)
@ONE
async def test_somebody_is_found_by_what_is_remembered_of_her(quiet_office: Office, question: str) -> None:
    """In any order, script and case, by sound, by an older name, by birth date, number, identifier."""
    lucja = await made(quiet_office)
    await made(
        quiet_office,
        names=[{"given": ["Ann"], "family": "Other"}],
        birth_date="1981-01-02",
        identifiers=[],
        contacts=[],
        addresses=[],
    )
    assert await found(quiet_office, question) == [lucja]


@ONE
async def test_who_may_not_know_of_somebody_learns_only_that_there_may_be_others(quiet_office: Office) -> None:
    lucja = await made(quiet_office)
    answer = (await quiet_office.get("cm-cora", "/persons", q="lucy nowak")).json()
    assert (answer["items"], answer["others"]) == ([], True)
    assert "supervisor" in answer["hint"]
    for path in (f"/persons/{lucja}", f"/persons/{lucja}/cases", f"/persons/{lucja}/history"):
        assert (await quiet_office.get("cm-cora", path)).status_code == 404
    assert (await quiet_office.get("ehr-1", "/persons", q="lucy nowak")).status_code == 403
    assert await found(quiet_office, "lucy nowak", "dir-1") == [lucja]
    assert await found(quiet_office, "lucy nowak", "dir-x") == []


@ONE
async def test_nobody_is_made_twice_without_being_asked(quiet_office: Office) -> None:
    """The question names who is near and why; who says that she is new makes her, and the leads see both."""
    office = quiet_office
    lucja = await made(office)
    again = {**LUCJA, "identifiers": [], "names": [{"given": ["Lucja"], "family": "Wisniewska Nowak"}]}
    asked = await office.post("cm-anna", "/persons", again)
    assert (asked.status_code, asked.json()["code"]) == (409, "PersonMaybeKnown")
    [candidate] = asked.json()["candidates"]
    assert candidate["person_id"] == lucja
    assert any("birth date" in reason for reason in candidate["reasons"])
    unseen = (await office.post("cm-cora", "/persons", again)).json()
    assert unseen["candidates"] == []
    assert "ask a supervisor" in unseen["detail"]
    answer = await office.post("cm-anna", "/persons", {**again, "is_new": True})
    second = answer.json()["id"]
    [likeness] = (await office.get("sup-1", "/person-likenesses")).json()["items"]
    assert {likeness["person_id"], likeness["other_id"]} == {lucja, second}
    assert (await office.get("cm-anna", "/person-likenesses")).status_code == 403
    path = f"/person-likenesses/{second}/{lucja}/dismiss"
    assert (await office.post("dir-1", path, None)).status_code == 204
    assert (await office.get("sup-1", "/person-likenesses")).json()["items"] == []


@ONE
async def test_one_key_makes_one_person(quiet_office: Office) -> None:
    answers = await asyncio.gather(
        *(quiet_office.post("cm-anna", "/persons", LUCJA, Idempotency_Key="k") for _ in range(3))
    )
    assert {answer.json().get("id") for answer in answers if answer.status_code == 201} != set()
    again = await quiet_office.post("cm-anna", "/persons", LUCJA, Idempotency_Key="k")
    assert (again.status_code, len(await found(quiet_office, "lucy nowak"))) == (201, 1)


@ONE
async def test_a_change_keeps_the_rest_says_who_made_it_and_meets_no_other_unseen(quiet_office: Office) -> None:
    office = quiet_office
    lucja = await made(office)

    async def patch(body: Any, version: int) -> Any:
        headers = {**office.sign_in("cm-anna"), "If-Match": f'"{version}"'}
        return await office.http.patch(f"/persons/{lucja}", json=body, headers=headers)

    answer = await patch({"language": "es", "contacts": None}, 1)
    person = answer.json()["person"]
    assert (person["language"], person["contacts"], person["birth_date"]) == ("es", [], "1950-05-05")
    assert (await patch({"language": "fr"}, 1)).status_code == 412
    wrong = await patch({"birth_date": "yesterday", "colour": "red"}, 2)
    assert wrong.status_code == 422
    assert {fault.split(":")[0] for fault in wrong.json()["missing"]} == {"birth_date", "colour"}
    assert await found(office, "212-555-0143") == []
    history = (await office.get("cm-anna", f"/persons/{lucja}/history")).json()
    assert [(v["version"], v["kind"], v["by"]) for v in history] == [
        (1, "created", "cm-anna"),
        (2, "changed", "cm-anna"),
    ]
    assert history[0]["person"]["language"] == "pl"


async def test_a_referral_finds_its_person_or_makes_her_and_the_case_knows_an_opaque_id(office: Office) -> None:
    """On both databases: the reference and the identifier name one person, whichever comes first."""
    body = {
        "program": "complex-care",
        "referral": referral(reference="Patient/77"),
        "team": "north",
        "person": LUCJA,
    }
    first = await office.post("ehr-1", "/cases", body, Idempotency_Key="a")
    assert first.status_code == 201, first.text
    assert (await office.post("ehr-1", "/cases", body, Idempotency_Key="a")).json() == first.json()
    case_id = first.json()["case_id"]
    seen = (await office.get("cm-anna", f"/cases/{case_id}")).json()
    person = seen["case"]["referral"]["patient"]["reference"]
    assert ("Patient" in person, len(person)) == (False, 32)
    assert seen["name"] == "Lucy Nowak"
    [listed] = (await office.get("cm-anna", "/cases")).json()["items"]
    assert (listed["person_id"], listed["name"]) == (person, "Lucy Nowak")
    for again in (
        {"program": "transitions", "referral": referral(reference="Patient/77"), "team": "north"},
        {"program": "chronic-care", "referral": referral(), "team": "north", "person_id": person},
    ):
        answer = await office.post("cm-anna", "/cases", again)
        assert answer.status_code == 201, answer.text
    cases = (await office.get("cm-anna", f"/persons/{person}/cases")).json()["items"]
    assert {case["program"] for case in cases} == {"complex-care", "transitions", "chronic-care"}


@ONE
async def test_a_referral_of_somebody_near_is_asked_about_with_her_open_cases(office: Office) -> None:
    body = {
        "program": "complex-care",
        "referral": referral(reference="Patient/77"),
        "team": "north",
        "person": LUCJA,
    }
    case_id = (await office.post("cm-anna", "/cases", body)).json()["case_id"]
    other = {**body, "referral": referral(reference="Patient/78"), "person": {**LUCJA, "identifiers": []}}
    asked = await office.post("cm-ben", "/cases", other)
    assert (asked.status_code, asked.json()["code"]) == (409, "PersonMaybeKnown")
    [candidate] = asked.json()["candidates"]
    assert [case["case_id"] for case in candidate["open_cases"]] == [case_id]
    assert (await office.post("ehr-2", "/cases", other)).json()["candidates"] == []
    assert (await office.post("cm-ben", "/cases", {**other, "person_id": "nobody"})).status_code == 404
    assert (await office.post("cm-ben", "/cases", {**other, "is_new": True})).status_code == 201
    assert len((await office.get("sup-1", "/person-likenesses")).json()["items"]) == 1


@ONE
async def test_one_reference_for_two_people_is_asked_about_and_not_believed(office: Office) -> None:
    """A sender's number that was given again: another name and another birth date under it are another person."""
    about = {"referral": referral(reference="Patient/77"), "person": LUCJA}
    body = {"program": "complex-care", "team": "north", **about}
    await office.post("cm-anna", "/cases", body)
    man = {"names": [{"given": ["Bert"], "family": "Ohm"}], "birth_date": "1931-02-03"}
    other = {**body, "person": man, "referral": referral(reference="Patient/77", birth_date="1931-02-03")}
    asked = await office.post("cm-anna", "/cases", other)
    assert (asked.status_code, asked.json()["code"]) == (409, "PersonMaybeKnown")
    answer = await office.post("cm-anna", "/cases", {**other, "is_new": True})
    assert answer.status_code == 201, answer.text
    names = {c["name"] for c in (await office.get("cm-anna", "/cases")).json()["items"]}
    assert names == {"Lucy Nowak", "Bert Ohm"}


@ONE
async def test_a_bundle_says_who_the_person_is_and_lists_name_her(office: Office) -> None:
    """What is no name, number or language is left out; nothing of it is in the case."""
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "birthDate": "1944-11",
        "name": [
            {"use": "official", "given": ["Æsa"], "family": "Þórsdóttir"},
            {"use": "maiden", "text": "Æsa Ólafs"},
        ],
        "identifier": [{"system": "urn:mrn", "value": "mrn-zz-4711"}, {"value": "no system"}],
        "telecom": [{"system": "phone", "use": "mobile", "value": "+354 555 1234"}, {"system": "email"}],
        "communication": [{"language": {"coding": [{"code": "is"}]}, "preferred": True}],
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}
    path = "/referrals/fhir?program=transitions&team=north&owner=cm-anna"
    answer = await office.post("ehr-1", path, bundle)
    assert answer.status_code == 201, answer.text
    [person] = (await office.get("cm-anna", "/persons", q="aesa olafs")).json()["items"]
    known = (await office.get("cm-anna", f"/persons/{person['person_id']}")).json()["person"]
    assert (known["birth_date"], known["language"], known["contacts"][0]["kind"]) == ("1944-11", "is", "mobile")
    assert [name["use"] for name in known["names"]] == ["official", "former"]
    told = {"reason": "x", "owner": "cm-anna", "team": "north"}
    await office.do(answer.json()["case_id"], "reassign-case", "sup-1", **{**told, "owner": "cm-ben"})
    await office.do(answer.json()["case_id"], "reassign-case", "sup-1", **told)

    async def named(path: str) -> bool:
        items = (await office.get("cm-anna", path)).json()["items"]
        assert {item["name"] for item in items} <= {"Æsa Þórsdóttir"}, path
        return bool(items)

    assert await named("/cases")
    assert await named("/worklist")
    await office.until(lambda: named("/notices"))  # a notice is delivered after the command
    timeline = (await office.get("cm-anna", f"/cases/{answer.json()['case_id']}/timeline")).text
    assert "Þórsdóttir" not in timeline
    assert "zz-4711" not in timeline


@ONE
async def test_merged_records_are_one_person_and_unmerged_they_are_as_they_were(office: Office) -> None:
    one = await office.open(person=LUCJA)
    theirs = {**LUCJA, "identifiers": [], "names": [{"given": ["Lucy"], "family": "Smith"}]}
    two = await office.open(referral=referral(reference="Patient/2"), person=theirs, is_new=True)
    first, second = [
        (await office.get("cm-anna", f"/cases/{c}")).json()["case"]["referral"]["patient"]["reference"]
        for c in (one, two)
    ]
    before = (await office.get("cm-anna", f"/persons/{second}")).json()
    other = {"person_id": second, "reason": "Married; seen together"}
    assert (await office.post("cm-anna", f"/persons/{first}/merge", other)).status_code == 403
    answer = await office.post("sup-1", f"/persons/{first}/merge", other)
    assert answer.status_code == 200, answer.text
    assert [case["case_id"] for case in answer.json()["same_program"]] == [two]
    assert (await office.get("cm-anna", f"/persons/{second}")).json()["id"] == first
    assert await found(office, "lucy smith") == [first]
    cases = (await office.get("cm-anna", f"/persons/{first}/cases")).json()["items"]
    assert {case["id"] for case in cases} == {one, two}
    assert {item["name"] for item in (await office.get("cm-anna", "/cases")).json()["items"]} == {"Lucy Nowak"}
    again = await office.post("sup-1", f"/persons/{first}/unmerge", other)
    assert again.status_code == 200, again.text
    after = (await office.get("cm-anna", f"/persons/{second}")).json()
    assert after["person"] == before["person"]
    assert [c["id"] for c in (await office.get("cm-anna", f"/persons/{first}/cases")).json()["items"]] == [one]
    assert (await office.post("sup-1", f"/persons/{first}/unmerge", other)).status_code == 409


async def test_nothing_of_a_person_stands_in_clear_in_the_database(quiet_office: Office) -> None:
    """Neither in a row nor in what finds it; and a row that was moved to another person is not opened."""
    office = quiet_office
    lucja = await made(office)
    async with office.parts.engine.connect() as connection:
        for table in ("persons", "person_keys", "person_history", "likenesses"):
            rows = (await connection.execute(text(f"SELECT * FROM {table}"))).all()
            said = b" ".join(
                bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for r in rows for v in r
            )
            for canary in (
                b"Nowak",
                "Łucja".encode(),
                b"lucja",
                b"1950-",
                b"0012345",
                b"5550143",
                b"Canary",
                b"NWK",
            ):
                assert canary not in said, (table, canary)
    other = await made(office, names=[{"given": ["Ann"], "family": "Other"}], is_new=True, identifiers=[])
    async with office.parts.engine.begin() as connection:
        taken = (await connection.execute(text("SELECT sealed FROM persons WHERE id = :a"), {"a": lucja})).scalar()
        await connection.execute(text("UPDATE persons SET sealed = :s WHERE id = :b"), {"s": taken, "b": other})
    with pytest.raises(ValueError, match="outside the system"):
        await with_persons(office.parts, "local", lambda store: store.read([other]))


def test_a_name_is_the_same_in_any_script_order_and_case() -> None:
    assert words("Müller-LÜDENSCHEIDT") == ("muller", "ludenscheidt")
    assert words("O'Brien") == ("obrien",)
    assert similar("Иван Петров", "petrov ivan") == 1.0
    assert similar("Maria Garcia", "García, María") == 1.0
    assert similar("Maria Garcia", "John Smith") < 0.5


@pytest.mark.parametrize(
    ("other", "near"),
    [
        ({}, True),
        ({"identifiers": []}, True),
        ({"identifiers": [], "birth_date": "1950"}, True),
        ({"identifiers": [], "birth_date": "1950-05-06", "contacts": [], "addresses": []}, True),
        ({"identifiers": [], "birth_date": None, "contacts": [], "addresses": []}, True),
        ({"identifiers": [], "birth_date": "1950-05-05", "addresses": [], "names": [{"family": "Berg"}]}, True),
        ({"identifiers": [], "birth_date": "1971-11-23", "contacts": [], "addresses": []}, False),
        ({"identifiers": [], "contacts": [], "addresses": [], "names": [{"family": "Berg"}]}, False),
        ({"birth_date": "1971-01-01", "names": [{"family": "Berg"}]}, True),
    ],
)
def test_points_say_who_is_near_and_what_speaks_against_it(other: dict[str, Any], near: bool) -> None:
    one, two = Person.model_validate(LUCJA), Person.model_validate({**LUCJA, **other})
    match = compare(one, two, similar)
    assert (match.points >= 50) == near, match
    assert compare(two, one, similar).points == match.points
    assert len(match.reasons) >= 1


@ONE
async def test_what_was_merged_into_a_record_that_is_merged_itself_is_found_under_the_last(office: Office) -> None:
    """And each step is taken back by itself."""
    cases, people = [], []
    for n, family in enumerate(("Ohm", "Volta", "Faraday")):
        about = {"names": [{"given": ["Ada"], "family": family}], "birth_date": f"19{n + 3}0-01-01"}
        patient = referral(reference=f"Patient/{n}", birth_date=about["birth_date"])
        cases.append(await office.open(referral=patient, person=about))
        case = (await office.get("cm-anna", f"/cases/{cases[-1]}")).json()["case"]
        people.append(case["referral"]["patient"]["reference"])
    one, two, three = people
    for into, other in ((two, one), (three, two)):
        answer = await office.post("sup-1", f"/persons/{into}/merge", {"person_id": other, "reason": "x"})
        assert answer.status_code == 200, answer.text
    under = (await office.get("cm-anna", f"/persons/{one}/cases")).json()["items"]
    assert {case["id"] for case in under} == {*cases}
    assert await found(office, "ada ohm") == [three]
    loop = await office.post("sup-1", f"/persons/{one}/merge", {"person_id": three, "reason": "x"})
    assert (loop.status_code, loop.json()["code"]) == (409, "SamePerson")
    await office.post("sup-1", f"/persons/{three}/unmerge", {"person_id": two, "reason": "x"})
    under = (await office.get("cm-anna", f"/persons/{two}/cases")).json()["items"]
    assert {case["id"] for case in under} == {*cases[:2]}
