"""What a FHIR bundle says of a person: what is in force, whose it is, and what could not be read."""

from datetime import date
from typing import Any

import pytest

from exchange.fhir_bundle import UnreadableBundle
from exchange.fhir_referral import Read, read
from tests.office import Office

TODAY = date(2026, 3, 2)
HERS = {"reference": "Patient/p1"}
ICD = "http://hl7.org/fhir/sid/icd-10-cm"


def told(*resources: dict[str, Any], patient: dict[str, Any] | None = None, url: str = "urn:uuid:1") -> Read:
    person = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05", **(patient or {})}
    entries = [{"fullUrl": url, "resource": person}, *({"resource": r} for r in resources)]
    return read({"resourceType": "Bundle", "type": "collection", "entry": entries}, TODAY)


def condition(**more: Any) -> dict[str, Any]:
    coded = {"coding": [{"system": ICD, "code": "I50.9"}]}
    return {"resourceType": "Condition", "code": coded, "subject": HERS, **more}


def prescribed(name: str = "Warfarin", **more: Any) -> dict[str, Any]:
    request = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": HERS}
    return {**request, "medicationCodeableConcept": {"text": name}, **more}


def names(found: Read) -> list[str]:
    return [m.display for m in found.patient.medications]


@pytest.mark.parametrize(
    ("more", "there"),
    [
        ({}, True),
        ({"abatementDateTime": "2025"}, False),
        ({"abatementDateTime": "2027-01-01"}, True),
        ({"abatementPeriod": {"start": "2001-01-01", "end": "2002-01-01"}}, False),
        ({"abatementString": "in childhood"}, False),
        ({"abatementAge": {"value": 30, "unit": "a", "code": "a"}}, False),
        ({"verificationStatus": {"coding": [{"code": "refuted"}]}}, False),
        ({"verificationStatus": {"coding": [{"code": "x"}, {"code": "entered-in-error"}]}}, False),
        ({"verificationStatus": {"coding": [{"code": "differential"}]}}, False),
        ({"clinicalStatus": {"coding": [{"code": "local"}, {"code": "active"}]}}, True),
        ({"clinicalStatus": {"coding": [{"code": "resolved"}]}}, False),
    ],
)
def test_a_condition_is_read_while_it_is_in_force(more: dict[str, Any], there: bool) -> None:
    assert bool(told(condition(**more)).patient.conditions) is there


def test_all_codings_of_a_condition_are_read() -> None:
    both = [{"system": "http://snomed.info/sct", "code": "84114007"}, {"system": ICD, "code": "I50.9"}]
    assert told(condition(code={"coding": both})).patient.icd_10_codes == ("I50.9",)


@pytest.mark.parametrize(
    ("more", "there"),
    [
        ({"doNotPerform": True}, False),
        ({"intent": "proposal"}, False),
        ({"intent": "plan"}, False),
        ({"intent": "instance-order"}, True),
        ({"status": "stopped"}, False),
        ({"status": "on-hold"}, False),
    ],
)
def test_a_medication_is_one_that_is_ordered(more: dict[str, Any], there: bool) -> None:
    assert bool(told(prescribed(**more)).patient.medications) is there


def test_a_prescription_that_was_replaced_is_not_on_the_list() -> None:
    old = prescribed("Warfarin 5 mg", id="m1")
    new = prescribed("Warfarin 3 mg", id="m2", priorPrescription={"reference": "MedicationRequest/m1"})
    assert names(told(old, new)) == ["Warfarin 3 mg"]


def test_a_medication_is_found_where_the_reference_means_it() -> None:
    """Contained, in the bundle, or by its display; never called by its reference."""
    drug = {"resourceType": "Medication", "id": "med0", "code": {"text": "Apixaban"}}
    inside: dict[str, Any] = {
        "contained": [drug],
        "medicationCodeableConcept": None,
        "medicationReference": {"reference": "#med0"},
    }
    assert names(told(prescribed(**inside))) == ["Apixaban"]
    apart: dict[str, Any] = {
        "medicationCodeableConcept": None,
        "medicationReference": {"reference": "Medication/med0/_history/2"},
    }
    assert names(told(prescribed(**apart), drug)) == ["Apixaban"]
    nowhere: dict[str, Any] = {
        "medicationCodeableConcept": None,
        "medicationReference": {"reference": "Medication/x"},
    }
    assert names(told(prescribed(**nowhere))) == ["unnamed"]


def test_the_reason_is_that_of_a_request_in_force() -> None:
    """Its reason, what that refers to, or what is asked for; not that of one revoked, proposed or replaced."""
    request: dict[str, Any] = {"resourceType": "ServiceRequest", "intent": "order", "subject": HERS}
    dead: list[dict[str, Any]] = [
        {**request, "status": "revoked", "reasonCode": [{"text": "revoked"}]},
        {**request, "status": "active", "doNotPerform": True, "reasonCode": [{"text": "not this"}]},
        {**request, "status": "active", "intent": "proposal", "reasonCode": [{"text": "an idea"}]},
        {**request, "status": "active", "id": "old", "reasonCode": [{"text": "replaced"}]},
    ]
    live = {**request, "status": "active", "replaces": [{"reference": "ServiceRequest/old"}]}
    assert told(*dead, {**live, "reasonCode": [{"text": "falls"}]}).reason == "falls"
    because = condition(id="c1", code={"text": "Heart failure"})
    referred = {**live, "reasonReference": [{"reference": "Condition/c1"}]}
    assert told(*dead, because, referred).reason == "Heart failure"
    assert told(*dead, {**live, "code": {"text": "Case management"}}).reason == "Case management"


@pytest.mark.parametrize(
    ("subject", "url"),
    [
        ({"reference": "Patient/p1"}, "urn:uuid:1"),
        ({"reference": "Patient/p1/_history/3"}, "urn:uuid:1"),
        ({"reference": "urn:uuid:1"}, "urn:uuid:1"),
        ({"reference": "https://ehr.example/fhir/Patient/p1"}, "https://ehr.example/fhir/Patient/p1"),
        ({"reference": "https://ehr.example/fhir/Patient/p1/_history/2"}, "https://ehr.example/fhir/Patient/p1"),
        ({"identifier": {"system": "mrn", "value": "17"}}, "urn:uuid:1"),
    ],
)
def test_what_is_hers_is_read_however_it_says_so(subject: dict[str, Any], url: str) -> None:
    identified = {"identifier": [{"system": "mrn", "value": "17"}]}
    assert told(condition(subject=subject), patient=identified, url=url).patient.conditions


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p2"},
        {"reference": "https://other.example/fhir/Patient/someone-else"},
        {"reference": "https://other.example/fhir/Patient/p1"},
        {"reference": "urn:uuid:2"},
        {"reference": "Group/p1"},
        {"identifier": {"system": "mrn", "value": "18"}},
    ],
)
def test_what_is_another_persons_refuses_the_bundle(subject: dict[str, Any]) -> None:
    with pytest.raises(UnreadableBundle) as refused:
        told(condition(subject=subject), patient={"identifier": [{"system": "mrn", "value": "17"}]})
    assert refused.value.missing == ("Bundle.entry[1].resource.subject: not the bundle's patient",)


def test_one_bad_entry_is_reported_and_the_others_are_read() -> None:
    """Also one without a resource, one of another release, which is named, and one that is nobody's."""
    r5 = prescribed(medicationCodeableConcept=None, medication={"concept": {"text": "Warfarin"}})
    stu3 = condition(clinicalStatus="active")
    bad = condition(onsetDateTime="the day before yesterday")
    nobodys = condition(subject={"display": "Mrs. B."})
    found = told(condition(), r5, stu3, bad, nobodys, {"resourceType": "Encounter", "class": []})
    assert [c.code for c in found.patient.conditions] == ["I50.9"]
    said = {issue.expression[0].partition(".resource")[0]: issue.diagnostics for issue in found.issues}
    assert said["Bundle.entry[2]"] == "this is FHIR R5; send R4"
    assert said["Bundle.entry[3]"] == "this is FHIR STU3; send R4"
    assert {"Bundle.entry[4]", "Bundle.entry[5]", "Bundle.entry[6]"} <= set(said)
    assert "yesterday" not in str(found.issues)


@pytest.mark.parametrize(("born", "answer"), [("1950", 201), ("1950-05", 201), ("2008", 409), ("2020", 409)])
async def test_a_birth_date_is_as_precise_as_it_is_known(office: Office, born: str, answer: int) -> None:
    """Asked for only where a rule needs the day: eighteen this year or next."""
    person = {"resourceType": "Patient", "id": "p1", "birthDate": born}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": person}, {"request": {}}]}
    path = "/referrals/fhir?program=complex-care&team=north&owner=cm-anna"
    found = await office.post("ehr-1", path, bundle)
    assert found.status_code in (answer, 422 if born == "2008" else answer)
    if answer == 201:
        assert found.json()["outcome"]["issue"][0]["diagnostics"] == "the entry has no resource"
        case = (await office.get("cm-anna", found.headers["Location"])).json()["case"]
        assert case["referral"]["patient"]["birth_date"] == born
    if born == "2008":
        assert found.json()["code"] == "BirthDateNeeded"


def test_two_conditions_that_share_a_local_code_are_two() -> None:
    """By all of their codings; and two drugs without a name are two."""
    local = {"system": "local", "code": "DX"}
    both = [condition(code={"coding": [local, {"system": ICD, "code": code}]}) for code in ("I50.9", "C79.5")]
    assert told(*both).patient.icd_10_codes == ("I50.9", "C79.5")
    nameless: dict[str, Any] = {
        "medicationCodeableConcept": None,
        "medicationReference": {"reference": "Medication/x"},
    }
    assert len(told(prescribed(**nameless), prescribed(**nameless)).patient.medications) == 2


def test_a_relative_reference_goes_by_the_base_of_its_own_entry() -> None:
    """Another server's Patient/p1 is another person, and its Medication/m1 another drug."""
    person = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05"}
    hers: dict[str, Any] = {"fullUrl": "https://a.example/fhir/Patient/p1", "resource": person}
    other = {"fullUrl": "https://b.example/fhir/Condition/1", "resource": condition(id="1")}
    with pytest.raises(UnreadableBundle):
        read({"resourceType": "Bundle", "type": "collection", "entry": [hers, other]}, TODAY)
    drugs = [
        {"fullUrl": f"https://{server}.example/fhir/Medication/m1", "resource": {**drug, "id": "m1"}}
        for server, drug in (
            ("a", {"resourceType": "Medication", "code": {"text": "Aspirin"}}),
            ("b", {"resourceType": "Medication", "code": {"text": "Warfarin"}}),
        )
    ]
    asked = prescribed(medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"}, id="r")
    entry = {"fullUrl": "https://a.example/fhir/MedicationRequest/r", "resource": asked}
    found = read({"resourceType": "Bundle", "type": "collection", "entry": [hers, *drugs, entry]}, TODAY)
    assert names(found) == ["Aspirin"]


@pytest.mark.parametrize(
    ("end", "there"), [("2025", False), ("2025-11", False), ("2026-03", True), ("2026", True)]
)
def test_a_statement_that_ended_in_a_month_or_a_year_is_over(end: str, there: bool) -> None:
    statement = {"resourceType": "MedicationStatement", "status": "active", "subject": HERS}
    drug = {"medicationCodeableConcept": {"text": "A"}, "effectivePeriod": {"end": end}}
    assert bool(told({**statement, **drug}).patient.medications) is there


@pytest.mark.parametrize(
    ("end", "there"), [("2027", True), ("2026-12", True), ("2026-01", False), ("2025", False)]
)
def test_a_condition_that_ends_in_a_month_to_come_is_not_over(end: str, there: bool) -> None:
    assert bool(told(condition(abatementDateTime=end)).patient.conditions) is there


def test_a_reason_is_no_condition_that_was_entered_in_error_and_no_empty_word() -> None:
    request = {"resourceType": "ServiceRequest", "intent": "order", "status": "active", "subject": HERS}
    wrong = {"coding": [{"code": "entered-in-error"}]}
    bad = condition(id="c1", code={"text": "BAD"}, verificationStatus=wrong)
    asked = {"reasonCode": [{}], "reasonReference": [{"reference": "Condition/c1"}], "code": {"text": "Falls"}}
    assert told(bad, {**request, **asked}).reason == "Falls"


def test_what_nobody_can_tell_is_left_out_and_what_is_deleted_is_not_read() -> None:
    """A contained patient, an identifier of another system, an entry that deletes."""
    ids = {"identifier": [{"system": "mrn", "value": "17"}]}
    unsure = [
        condition(subject={"reference": "#p"}),
        condition(subject={"identifier": {"system": "x", "value": "1"}}),
    ]
    found = told(*unsure, patient=ids)
    assert not found.patient.conditions
    assert len(found.issues) == 2
    person = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05"}
    gone = {"resource": condition(), "request": {"method": "DELETE", "url": "Condition/1"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": person}, gone]}
    assert not read(bundle, TODAY).patient.conditions


def test_a_part_of_an_encounter_is_no_second_one_and_an_impossible_one_is_reported() -> None:
    visit = {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}, "subject": HERS}
    whole = {**visit, "id": "e1", "period": {"start": "2026-02-01", "end": "2026-02-05"}}
    part = {**visit, "id": "e2", "period": whole["period"], "partOf": {"reference": "Encounter/e1"}}
    wrong = {**visit, "id": "e3", "period": {"start": "2026-02-10", "end": "2026-02-01"}}
    found = told(whole, part, wrong)
    assert len(found.patient.encounters) == 1
    assert [i.diagnostics for i in found.issues] == ["it ends before it begins"]
