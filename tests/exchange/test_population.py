"""A population's files are read by the rules by which a referral is read."""

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain.programs.mapping import ColumnMapping
from exchange import csv_population
from exchange.fhir_population import Unread, person_in, reduced
from exchange.fhir_referral import read

SHARED = Path(__file__).parents[3] / "shared" / "data"
SAMPLES = sorted((SHARED / "synthea-fhir-r4" / "sample-bundles").glob("*.json.gz"))
AS_OF = date(2021, 1, 1)
HERS = {"reference": "Patient/p1"}


def line(**said: Any) -> bytes:
    return json.dumps(said).encode()


def reason(said: bytes) -> str:
    with pytest.raises(Unread) as fault:
        reduced(said)
    return str(fault.value)


@pytest.mark.skipif(not SAMPLES, reason="the synthetic patients of Synthea are not on this machine")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name.split("_")[0])
def test_a_synthetic_patient_is_the_same_read_line_by_line_and_as_a_bundle(path: Path) -> None:
    bundle = json.loads(gzip.decompress(path.read_bytes()))
    lines = [json.dumps(entry["resource"]).encode() for entry in bundle["entry"]]
    [patient] = [e["resource"]["id"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"]
    found = []
    for one in lines:
        try:
            said = reduced(one)
        except Unread:
            continue
        found += [said[1]] if said and said[0] == patient else []
    expected = read(bundle, AS_OF)
    assert person_in(found, AS_OF) == (expected.patient, expected.person)


@pytest.mark.parametrize(
    "reference",
    ["Patient/p1", "http://ehr.example/fhir/Patient/p1", "Patient/p1/_history/3", "urn:uuid:p1"],
)
def test_whose_a_line_is_says_any_reference_to_a_patient(reference: str) -> None:
    found = reduced(line(resourceType="Condition", subject={"reference": reference}))
    assert found is not None
    assert found[0] == "p1"


@pytest.mark.parametrize(
    "reference", ["Patient?identifier=a|1", "#p1", "Group/p1", "p1", "", 7, None, "Patient/p1#x", "Patient/a b"]
)
def test_of_a_line_that_does_not_say_whose_it_is_nobody_is_accused(reference: Any) -> None:
    assert reason(line(resourceType="Condition", subject={"reference": reference})) == "whose-is-it"


def test_what_no_rule_looks_at_is_not_kept() -> None:
    assert reduced(line(resourceType="Claim", patient=HERS)) is None
    kept = reduced(line(resourceType="Condition", subject=HERS, note=[{"text": "private"}], code={"text": "x"}))
    assert kept == ("p1", {"resourceType": "Condition", "code": {"text": "x"}, "subject": HERS})
    assert reason(b"[" * 100_000) == "not-json"
    assert reason(b'"Patient"') == "no-resource"


def test_a_resource_of_another_shape_is_left_out_and_the_person_is_read() -> None:
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05"}
    good = {"resourceType": "Condition", "subject": HERS, "code": {"text": "Heart failure"}}
    for bad in ({"code": "I50.9"}, {"code": {"coding": {"code": "x"}}}, {"clinicalStatus": ["active"]}):
        found, _ = person_in([patient, good, {"resourceType": "Condition", "subject": HERS, **bad}], AS_OF)
        assert [condition.display for condition in found.conditions] == ["Heart failure"]
    for born in ("1850-01-01", "soon", "1950-13-01"):
        with pytest.raises(Unread):
            person_in([{**patient, "birthDate": born}], AS_OF)


@pytest.mark.parametrize("name", ["\ud800", "a\nb", " ", "x" * 65, ""])
def test_an_id_that_fhir_does_not_have_is_nobodys(name: str) -> None:
    assert reason(line(resourceType="Patient", id=name)) == "whose-is-it"


def test_a_part_of_who_she_is_that_has_another_shape_is_left_out() -> None:
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05", "name": [{"family": "Óbvia"}]}
    odd = {"telecom": [None], "communication": [{}], "address": "here", "identifier": [7]}
    for name, value in odd.items():
        _, person = person_in([{**patient, name: value}], AS_OF)
        assert person.called == "Óbvia", name


@pytest.mark.parametrize(
    "said", [{"deceasedBoolean": "false"}, {"deceasedDateTime": ""}, {"deceasedDateTime": "soon"}]
)
def test_that_somebody_has_died_is_not_guessed_from_a_text(said: dict[str, Any]) -> None:
    with pytest.raises(Unread):
        person_in([{"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05", **said}], AS_OF)


@pytest.mark.parametrize("base", ["", "https://ehr.example/fhir/"])
def test_a_part_of_a_visit_is_no_visit_however_it_names_the_whole(base: str) -> None:
    def visit(name: str, **more: Any) -> dict[str, Any]:
        period = {"start": "2020-11-01T10:00:00Z", "end": "2020-11-01T12:00:00Z"}
        said = {"resourceType": "Encounter", "id": name, "status": "finished", "subject": HERS, "period": period}
        found = reduced(line(**said, **{"class": {"code": "EMER"}}, **more))
        assert found is not None
        return found[1]

    parts = [visit(f"e{n}", partOf={"reference": f"{base}Encounter/whole"}) for n in range(3)]
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05"}
    assert len(person_in([patient, visit("whole"), *parts], AS_OF)[0].encounters) == 1


def test_two_different_patients_under_one_id_are_nobody() -> None:
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1950-05-05"}
    assert person_in([patient, dict(patient)], AS_OF)[0].birth_date == "1950-05-05"
    with pytest.raises(Unread, match="two-patients"):
        person_in([patient, {**patient, "birthDate": "1950-05-06"}], AS_OF)


ROSTER = ColumnMapping.model_validate(
    {
        **{"name": "x", "title": "X", "id": "no", "system": "urn:x", "missing": ["", "?"], "delimiter": ";"},
        "person": {"family": "name", "born": "born", "born_format": "%d.%m.%Y"},
        "conditions": [{"columns": ["d1", "d2"], "system": "http://hl7.org/fhir/sid/icd-10-cm"}],
        "numbers": {"admissions": "adm"},
        **{"dead": "dead", "dead_values": ["y"]},
    },
    strict=False,
)
HEAD = "no;name;born;d1;d2;adm;dead;more\n"


def rows(text: str) -> list[Any]:
    return [said for _, said in csv_population.rows((HEAD + text).encode(), ROSTER)]


def test_rows_of_one_person_are_put_together_and_what_is_not_known_is_not_there() -> None:
    first, second = rows("1;Óbvia;05.09.1948;I50.9;?;2;n;\n1;Óbvia;05.09.1948;J44.9;I10;1;Y;\n")
    said = [one for _, one in (*first, *second)]
    resources, numbers, _ = csv_population.together(said)
    patient, person = person_in(resources, AS_OF)
    assert [c.code for c in patient.conditions] == ["I50.9", "J44.9", "I10"]
    assert (patient.birth_date, patient.deceased, dict(numbers)) == ("1948-09-05", True, {"admissions": 2})
    assert str(person.names[0]) == "Óbvia"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (";a;;;;;;\n", "whose-is-it"),
        ("1;a;1948-09-05;;;;;\n", "birth-date"),
        ("1;a;;;;two;;\n", "number"),
        ("1;a;;;;-1;;\n", "number"),
        ("1;a;;;;nan;;\n", "number"),
        ("1;a\n", "columns"),
        ("1;a;;;;;;;9\n", "columns"),
    ],
)
def test_a_row_that_cannot_be_read_says_why_by_a_name(text: str, code: str) -> None:
    [fault] = rows(text)
    assert str(fault) == code


def test_a_file_of_another_kind_is_none() -> None:
    for body in (b"no;name\n1;a\n", b"\xff\xfe", b'no;name;born;d1;d2;adm;dead;more\n"1;a\n'):
        with pytest.raises(csv_population.NotThisFile):
            list(csv_population.rows(body, ROSTER))
