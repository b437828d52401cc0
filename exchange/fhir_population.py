"""Reads people out of a population's FHIR R4 (a resource a line), by the rules by which a referral is read.

A line is reduced to what a rule or the person's record can use. Whose it is says its own reference to a Patient.
"""

import json
import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from domain.case.case import Patient
from domain.persons.person import Person
from exchange.fhir_bundle import Bundle, UnreadableBundle
from exchange.fhir_person import person_of
from exchange.fhir_plain import Plain
from exchange.fhir_referral import read, summed_up

Said = dict[str, Any]
OF_PEOPLE = ("status", "subject", "contained")
NEEDED: dict[str, tuple[str, ...]] = {
    "Patient": (
        *("birthDate", "deceasedBoolean", "deceasedDateTime", "name", "identifier", "telecom", "address"),
        "communication",
    ),
    "Condition": (
        *("code", "clinicalStatus", "verificationStatus", "abatementDateTime", "abatementAge", "abatementPeriod"),
        *("abatementRange", "abatementString", "subject"),
    ),
    "Encounter": (*OF_PEOPLE, "class", "period", "partOf"),
    "MedicationRequest": (
        *OF_PEOPLE,
        *("intent", "doNotPerform", "priorPrescription", "medicationCodeableConcept", "medicationReference"),
    ),
    "MedicationStatement": (
        *OF_PEOPLE,
        *("medicationCodeableConcept", "medicationReference", "effectivePeriod"),
    ),
}
MISSHAPEN = (AttributeError, TypeError, ValueError, KeyError, RecursionError)  # a text where an object belongs
AN_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
WHEN = re.compile(r"\d{4}(-\d\d(-\d\d(T.+)?)?)?")
WHO_SHE_IS = ("name", "telecom", "address", "communication", "identifier")
LINKED = {"Encounter": "partOf", "MedicationRequest": "priorPrescription"}


class Unread(Exception):
    """A line that is no resource, or tells of nobody. The text is the reason's name."""


def reduced(line: bytes) -> tuple[str, Said] | None:
    """Whose a line is, by the id of her Patient, and what of it is needed; None for what no rule looks at.

    Raises `Unread`.
    """
    try:
        resource = json.loads(line)
    except (ValueError, RecursionError):
        raise Unread("not-json") from None
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str):
        raise Unread("no-resource")
    if kind not in NEEDED:
        return None
    whose = resource.get("id") if kind == "Patient" else _patient_of(resource.get("subject"))
    if not isinstance(whose, str) or AN_ID.fullmatch(whose) is None:
        raise Unread("whose-is-it")
    kept = {name: resource[name] for name in ("resourceType", "id", *NEEDED[kind]) if name in resource}
    if isinstance(link := kept.get(LINKED.get(kind, "")), dict):
        kept[LINKED[kind]] = {**link, "reference": _by_kind_and_id(link.get("reference"))}
    return whose, kept


def _by_kind_and_id(reference: Any) -> Any:
    """A reference as `Encounter/17`, however long it came: the lines of one file are of one server."""
    said = reference.partition("/_history/")[0].split("/") if isinstance(reference, str) else []
    return "/".join(said[-2:]) if len(said) > 2 else reference


def _patient_of(subject: Any) -> str | None:
    """The id in a reference to a Patient: relative, absolute, versioned or `urn:uuid:`; none in a search."""
    said = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(said, str) or said.startswith("#") or "?" in said:
        return None
    if said.startswith("urn:uuid:"):
        return said.removeprefix("urn:uuid:")
    path = said.partition("/_history/")[0].split("/")
    return path[-1] if len(path) > 1 and path[-2] == "Patient" else None


def person_in(resources: Iterable[Said], as_of: date) -> tuple[Patient, Person]:
    """The patient of some reduced resources as of a day, and who she is. Raises `Unread`.

    Where one of them has another shape than FHIR gives it, each is checked, and what does not fit is left out.
    """
    said = list(resources)
    patients = [one for one in said if one["resourceType"] == "Patient"]
    if not patients:
        raise Unread("no-patient")
    if len(patients) > 1 and any(one != patients[0] for one in patients):
        raise Unread("two-patients")
    rest = [one for one in said if one["resourceType"] != "Patient"]
    patient = _readable(patients[0])
    try:
        return _quickly(patient, rest, as_of)
    except UnreadableBundle:
        raise Unread("unreadable") from None
    except MISSHAPEN:
        return _strictly(patient, rest, as_of)


def _readable(patient: Said) -> Said:
    """The patient without those parts of who she is that have another shape. Raises `Unread` for other faults."""
    died, born = patient.get("deceasedDateTime"), patient.get("birthDate")
    shaped = patient.get("deceasedBoolean") in (None, True, False) and isinstance(born, str | None)
    if not shaped or not (died is None or (isinstance(died, str) and WHEN.fullmatch(died))):
        raise Unread("unreadable")
    bare = {name: value for name, value in patient.items() if name not in WHO_SHE_IS}
    for name in (name for name in WHO_SHE_IS if name in patient):
        try:
            person_of(Plain({**bare, name: patient[name]}))
        except MISSHAPEN:
            continue
        bare = {**bare, name: patient[name]}
    return bare


def _quickly(patient: Said, rest: Iterable[Said], as_of: date) -> tuple[Patient, Person]:
    bundle, her = Bundle(), Plain(patient)
    for place, one in enumerate((her, *(Plain(resource) for resource in rest))):
        bundle.resources.append((str(place), one))
        bundle.named[f"{one.get_resource_type()}/{one.id}"] = one
    return summed_up(bundle, her, as_of), person_of(her)


def _strictly(patient: Said, rest: Iterable[Said], as_of: date) -> tuple[Patient, Person]:
    about = {"reference": f"Patient/{patient['id']}"}
    entries: list[Said] = [{"resource": patient}, *({"resource": {**one, "subject": about}} for one in rest)]
    try:
        found = read({"resourceType": "Bundle", "type": "collection", "entry": entries}, as_of)
    except (UnreadableBundle, *MISSHAPEN):
        raise Unread("unreadable") from None
    return found.patient, found.person
