"""Who somebody is is not a matter of who says so last: identifiers, doubles, merges at once, exclusions."""

import asyncio
from typing import Any

import pytest

from tests.api.test_persons import LUCJA, made
from tests.office import Office
from tests.story import referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ALICE: dict[str, Any] = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1940-02-03"}
ROBERT: dict[str, Any] = {"names": [{"given": ["Robert"], "family": "Quagmire"}], "birth_date": "1977-06-07"}


def about(number: str, person: dict[str, Any], **more: Any) -> dict[str, Any]:
    patient = {"reference": f"Patient/{number}", "birth_date": person.get("birth_date")}
    body = {"program": "complex-care", "referral": referral(**patient), "team": "north"}
    return {**body, "person": person, **more}


async def person_of(office: Office, answer: Any, by: str = "dir-1") -> dict[str, Any]:
    case_id = answer.json()["case_id"]
    case = (await office.get(by, f"/cases/{case_id}")).json()["case"]
    found: dict[str, Any] = (await office.get(by, f"/persons/{case['referral']['patient']['reference']}")).json()
    return found


async def test_two_merges_crosswise_at_once_leave_one_of_them_done(office: Office) -> None:
    """On both databases; whoever asks for either is answered."""
    one, two = await made(office), await made(office, is_new=True, identifiers=[])
    for person in (one, two):
        await office.open("cm-anna", referral=referral(reference=f"Patient/{person}"), person_id=person)
    for _ in range(3):
        merges = [
            office.post("sup-1", f"/persons/{one}/merge", {"person_id": two, "reason": "x"}),
            office.post("dir-1", f"/persons/{two}/merge", {"person_id": one, "reason": "x"}),
        ]
        answers = sorted(answer.status_code for answer in await asyncio.gather(*merges))
        assert answers in ([200, 409], [200, 412]), answers
        stays = (await office.get("dir-1", f"/persons/{one}")).json()["id"]
        gone = two if stays == one else one
        undone = await office.post("dir-1", f"/persons/{stays}/unmerge", {"person_id": gone, "reason": "x"})
        assert undone.status_code == 200, undone.text


@ONE
async def test_whoever_is_said_to_be_new_is_somebody_else_whatever_number_she_has(office: Office) -> None:
    """The same reference from another sender: asked first, then a second person, with her own name."""
    first = await office.post("ehr-1", "/cases", about("one", ALICE))
    assert first.status_code == 201, first.text
    asked = await office.post("ehr-2", "/cases", about("one", ROBERT))
    assert (asked.status_code, asked.json()["code"]) == (409, "PersonMaybeKnown")
    new = await office.post("ehr-2", "/cases", about("one", ROBERT, is_new=True), Idempotency_Key="r-1")
    again = await office.post("ehr-2", "/cases", about("one", ROBERT, is_new=True), Idempotency_Key="r-1")
    assert (new.status_code, again.json()["case_id"]) == (201, new.json()["case_id"])
    assert [(await person_of(office, a))["person"]["names"][0]["given"] for a in (first, new)] == [
        ["Alice"],
        ["Robert"],
    ]


@ONE
@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"names": [{"given": ["Boris"], "family": "Quatsch"}]}, 409),
        ({**ALICE, "birth_date": "1941-07-09"}, 409),
        ({"names": [{"given": ["Alice"], "family": "Quatsch"}], "birth_date": "1940-02-03"}, 201),
        (ALICE, 201),
    ],
)
async def test_a_number_alone_makes_nobody_of_another_name_or_birth_the_same(
    office: Office, other: dict[str, Any], status: int
) -> None:
    """Who has married keeps her birth date; with another one, or none and another name, somebody is asked."""
    assert (await office.post("ehr-1", "/cases", about("two", ALICE))).status_code == 201
    assert (await office.post("ehr-1", "/cases", about("two", other))).status_code == status


@ONE
async def test_nobody_is_given_a_number_that_another_has(office: Office) -> None:
    """Her feed would tell both."""
    await made(office)
    mine = await made(office, names=[{"given": ["Ann"], "family": "Other"}], is_new=True, identifiers=[])
    taken = await office.http.patch(
        f"/persons/{mine}", json={"identifiers": LUCJA["identifiers"]}, headers=office.sign_in("cm-anna")
    )
    assert (taken.status_code, taken.json()["code"]) == (409, "IdentifierTaken")


@ONE
async def test_a_number_that_somebody_has_picked_up_opens_nobodys_record(office: Office) -> None:
    """Whoever may not know of her says more than a number; and who is excluded from her case never knows her."""
    opened = await office.post("cm-anna", "/cases", about("three", ALICE))
    person = (await person_of(office, opened))["id"]
    bare = {"program": "complex-care", "referral": referral(reference="Patient/three", birth_date=None)}
    guessed = await office.post("cm-cora", "/cases", {**bare, "team": "south"})
    assert (guessed.status_code, guessed.json()["candidates"]) == (409, [])
    assert (await office.post("cm-cora", "/cases", {**about("three", ALICE), "team": "south"})).status_code == 201
    assert (await office.get("cm-cora", f"/persons/{person}")).status_code == 200
    case_id = opened.json()["case_id"]
    for who in ("cm-cora", "dir-1"):
        await office.do(case_id, "exclude-assignee", "sup-1", person=who, reason="Related")
        assert (await office.get(who, f"/persons/{person}")).status_code == 404
        assert (await office.get(who, "/persons", q="alice zephyrine")).json()["items"] == []


@ONE
async def test_after_a_merge_each_case_manager_still_knows_the_person(office: Office) -> None:
    """Under either id; and a record in the middle of a chain can be taken out."""
    mine = (await person_of(office, await office.post("cm-anna", "/cases", about("four", ALICE))))["id"]
    theirs = {**about("five", ROBERT), "team": "south", "owner": "cm-cora"}
    hers = (await person_of(office, await office.post("sup-2", "/cases", theirs)))["id"]
    third = await made(office, by="dir-1")
    for into, gone in ((mine, hers), (hers, third)):
        answer = await office.post("dir-1", f"/persons/{into}/merge", {"person_id": gone, "reason": "x"})
        assert answer.status_code == 200, answer.text
    for person in (mine, hers):
        assert (await office.get("cm-cora", f"/persons/{person}")).json()["id"] == mine
    undone = await office.post("dir-1", f"/persons/{mine}/unmerge", {"person_id": third, "reason": "x"})
    assert (undone.status_code, undone.json()["id"]) == (200, third)


@ONE
async def test_a_key_is_for_one_person_and_a_version_is_the_one_that_was_read(office: Office) -> None:
    first = await office.post("cm-anna", "/persons", LUCJA, Idempotency_Key="p-1")
    assert (await office.post("cm-anna", "/persons", LUCJA, Idempotency_Key="p-1")).json() == first.json()
    other = await office.post("cm-anna", "/persons", ALICE, Idempotency_Key="p-1")
    assert (other.status_code, other.json()["code"]) == (422, "KeyReused")
    headers = {**office.sign_in("cm-anna"), "If-Match": '"0"'}
    path = f"/persons/{first.json()['id']}"
    assert (await office.http.patch(path, json={"language": "es"}, headers=headers)).status_code == 412


@ONE
@pytest.mark.parametrize("born", ["0000", "0000-00-00", "2000-00", "2000-05-00", "1899"])
async def test_a_birth_date_that_is_none_is_refused_wherever_it_comes_from(office: Office, born: str) -> None:
    assert (await office.post("cm-anna", "/persons", {**LUCJA, "birth_date": born})).status_code == 422
    opening = {"program": "complex-care", "team": "north", "referral": referral(birth_date=born)}
    assert (await office.post("cm-anna", "/cases", opening)).status_code == 422
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "0001-01-01"}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}
    answer = await office.post("ehr-1", "/referrals/fhir?program=complex-care&team=north", bundle)
    assert answer.status_code == 422, answer.text


@ONE
async def test_an_entry_that_a_supervisor_may_write_locks_out_nobody_above_him(office: Office) -> None:
    """A director, an auditor or a feed in no directory is not his to make a case manager of his own team."""
    entry = {"name": "x", "role": "case-manager", "team": "north", "active": False}
    for who in ("aud-1", "ehr-2"):
        await office.http.put(f"/staff/{who}", json=entry, headers=office.sign_in("sup-1"))
        await office.http.post(f"/staff/{who}/sign-out", headers=office.sign_in("sup-1"))
        assert (await office.get(who, "/programs")).status_code == 200


@ONE
async def test_who_has_a_task_of_a_case_corrects_only_what_she_wrote_and_reads_no_more_in_the_list(
    office: Office,
) -> None:
    case_id = await office.open()
    await office.walk(case_id)
    note = await office.do(case_id, "add-note", text="hers alone", sensitivity="part2")
    for who in ("sup-2", "cm-cora"):
        await office.do(case_id, "add-task", task="education", assignee=who)
    assert await office.refused(case_id, "correct-entry", "sup-2", entry=note["seq"], reason="x") == (
        403,
        "NotPermitted",
    )
    assert (await office.refused(case_id, "correct-entry", "cm-cora", entry=note["seq"], reason="x"))[0] == 409
    [line] = [c for c in (await office.get("cm-cora", "/cases")).json()["items"] if c["id"] == case_id]
    assert (line["tier"], line["open_tasks"], "excluded" in line) == (None, 0, False)
    [line] = [c for c in (await office.get("cm-anna", "/cases")).json()["items"] if c["id"] == case_id]
    assert line["tier"] == "high"


@ONE
async def test_nobody_who_has_died_is_referred_again_until_that_is_taken_back(office: Office) -> None:
    """Neither where a case of hers was closed by it, nor where it is said of herself; a slip is mended first."""
    case_id = (await office.post("cm-anna", "/cases", about("six", ALICE))).json()["case_id"]
    await office.do(case_id, "close", reason="died")
    refused = await office.post("cm-anna", "/cases", about("six", ALICE))
    assert (refused.status_code, refused.json()["code"]) == (409, "PatientDeceased")
    await office.do(case_id, "reopen-case", "sup-1", reason="Another person of that name")
    person = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referral"]["patient"]["reference"]
    said = {"deceased": {"known_at": "2026-11-29T10:00:00Z", "source": "her daughter", "on": "2026-11"}}
    told = await office.http.patch(f"/persons/{person}", json=said, headers=office.sign_in("cm-anna"))
    assert told.status_code == 200, told.text
    assert (await office.post("cm-anna", "/cases", about("six", ALICE))).status_code == 409
    await office.http.patch(f"/persons/{person}", json={"deceased": None}, headers=office.sign_in("cm-anna"))
    assert (await office.post("cm-anna", "/cases", about("six", ALICE))).status_code == 201


@ONE
async def test_that_somebody_has_died_ends_all_of_her_cases_and_tells_their_people(office: Office) -> None:
    """Said with the person, by a case manager of one of them; both go on when it is taken back."""
    mine = (await office.post("cm-anna", "/cases", about("seven", ALICE))).json()["case_id"]
    second = {**about("seven", ALICE), "program": "transitions", "owner": "cm-ben", "team": "north"}
    other = (await office.post("cm-anna", "/cases", second)).json()["case_id"]
    person = (await office.get("cm-anna", f"/cases/{mine}")).json()["case"]["referral"]["patient"]["reference"]
    said = {"deceased": {"known_at": "2026-11-29T10:00:00Z", "source": "her daughter", "on": "2026-11"}}
    for _ in range(2):  # the second time it is known
        answer = await office.http.patch(f"/persons/{person}", json=said, headers=office.sign_in("cm-anna"))
        assert answer.status_code == 200, answer.text
    for case_id in (mine, other):
        closed = (await office.get("sup-1", f"/cases/{case_id}")).json()["case"]["closure"]
        assert closed["reason"] == "died"
    told = [n for n in (await office.get("cm-ben", "/notices")).json()["items"] if n["case_id"] == other]
    assert [n["subject"] for n in told if n["subject"] == "death-reported"] == ["death-reported"]
    assert (await office.get("cm-anna", f"/persons/{person}")).json()["reported_dead"] is True
    await office.http.patch(f"/persons/{person}", json={"deceased": None}, headers=office.sign_in("cm-anna"))
    assert (await office.get("cm-anna", f"/persons/{person}")).json()["reported_dead"] is False
    assert (await office.post("cm-anna", "/cases", about("seven", ALICE))).status_code == 201
    await office.do(other, "reopen-case", "sup-1", reason="It was her sister")
    await office.do(other, "add-note", "sup-1", text="She called herself")


@ONE
async def test_a_birth_that_is_still_to_come_is_refused_wherever_it_is_said(office: Office) -> None:
    person = {**ALICE, "birth_date": "2090"}
    assert (await office.post("cm-anna", "/persons", person)).status_code == 422
    assert (await office.post("cm-anna", "/cases", about("nine", person))).status_code == 422
    there = await made(office)
    said = await office.http.patch(
        f"/persons/{there}", json={"birth_date": "2091-01"}, headers=office.sign_in("cm-anna")
    )
    assert said.status_code == 422
