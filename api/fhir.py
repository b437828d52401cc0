"""Reads a FHIR R4 bundle as a referral: one patient, active conditions and medications, a year's encounters.

`fhir.resources` checks the form (R4B, which R4 resources fit); required codes it does not check, so what a
rule depends on is checked here. What is not needed is not read, and nothing received is repeated in faults.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from pydantic import ValidationError

from domain.case.case import Coded, Coding, PastEncounter, Patient
from domain.values import Invalid

ACTIVE_CONDITION = ("active", "recurrence", "relapse")
SETTINGS = {
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "EMER": "emergency",
    "AMB": "ambulatory",
}
NEEDED = (
    "Patient",
    "Condition",
    "MedicationRequest",
    "MedicationStatement",
    "Encounter",
    "ServiceRequest",
)
NO_REASON = "Referred electronically"
HAPPENED = ("arrived", "triaged", "in-progress", "onleave", "finished")
MOST_CODINGS = 10
MOST = 100
YEAR = 365
MOST_ENTRIES = 20_000  # the largest of the 304 records of a synthetic population has about 4,000


class UnreadableBundle(Invalid):
    """The bundle cannot be read as a referral; `missing` says where and why."""


def read(bundle: Any, as_of: date) -> tuple[Patient, str]:
    """The patient of a bundle as of a day, and why she is referred. Raises `UnreadableBundle`.

    The refusal has the path of every fault.
    """
    resources = list(_resources(bundle))
    patients = [r for r in resources if r.get_resource_type() == "Patient"]
    if len(patients) != 1:
        raise UnreadableBundle(f"a referral is about one patient; the bundle has {len(patients)}")
    strangers = {_subject(r) for r in resources} - {None, f"Patient/{patients[0].id}"}
    if strangers:
        raise UnreadableBundle("a resource is about another patient", ("subject: not the bundle's patient",))
    if not patients[0].id:
        raise UnreadableBundle("the patient needs an id to be told from others", ("Patient.id: required",))
    return _patient(patients[0], resources, as_of), _reason(resources)


def _subject(resource: Any) -> str | None:
    """Whom a resource names as its patient, where it says so by id (`urn:` links lie within the bundle)."""
    subject = getattr(resource, "subject", None)
    reference = str(subject.reference or "") if subject is not None else ""
    return reference if reference.startswith("Patient/") else None


def _patient(patient: Any, resources: list[Any], as_of: date) -> Patient:
    born = _day(patient.birthDate)
    if patient.birthDate is not None and born is None:
        raise UnreadableBundle("the birth date must name a day", ("Patient.birthDate: a year or a month alone",))
    return Patient(
        reference=f"Patient/{patient.id}",
        birth_date=born,
        deceased=_deceased(patient, as_of),
        conditions=_unique(_conditions(resources)),
        medications=_unique(_medications(resources)),
        encounters=tuple(sorted(_stays(resources, as_of), key=lambda s: s.started_on)[-MOST:]),
    )


def _reason(resources: list[Any]) -> str:
    """What the first ServiceRequest of the bundle is for, in its own words."""
    for resource in resources:
        if resource.get_resource_type() == "ServiceRequest":
            for concept in resource.reasonCode or []:
                return _coded(concept).display
    return NO_REASON


def _resources(bundle: Any) -> Iterator[Any]:
    from fhir.resources.R4B import get_fhir_model_class

    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise UnreadableBundle("send a JSON object with resourceType Bundle")
    entries = bundle.get("entry")
    if not isinstance(entries, list) or not entries:
        raise UnreadableBundle("the bundle has no entries", ("entry: required",))
    if len(entries) > MOST_ENTRIES:
        raise UnreadableBundle(f"send at most {MOST_ENTRIES} entries", ("entry: too many",))
    faults: list[str] = []
    for n, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if kind not in NEEDED:
            if not isinstance(kind, str):
                faults.append(f"entry.{n}.resource: not a FHIR resource")
            continue
        try:
            yield get_fhir_model_class(kind).model_validate(resource)
        except RecursionError:
            faults.append(f"entry.{n}.resource: nested too deeply")
        except ValidationError as fault:
            faults += [
                f"entry.{n}.resource.{'.'.join(map(str, e['loc']))}: {e['type']}"
                for e in fault.errors(include_input=False, include_url=False, include_context=False)
            ]
    if faults:
        raise UnreadableBundle("these parts of the bundle cannot be read", tuple(faults[:50]))


def _deceased(patient: Any, as_of: date) -> bool:
    if patient.deceasedDateTime is not None:
        died = _day(patient.deceasedDateTime)
        return died is None or died <= as_of
    return bool(patient.deceasedBoolean)


def _conditions(resources: list[Any]) -> Iterator[Coded]:
    for resource in resources:
        if resource.get_resource_type() != "Condition" or _entered_in_error(resource):
            continue
        status = _first_code(resource.clinicalStatus)
        if resource.abatementDateTime is None and (status is None or status in ACTIVE_CONDITION):
            yield _coded(resource.code)


def _medications(resources: list[Any]) -> Iterator[Coded]:
    for resource in resources:
        if resource.get_resource_type() not in ("MedicationRequest", "MedicationStatement"):
            continue
        if resource.status != "active":
            continue
        named = resource.medicationReference
        if resource.medicationCodeableConcept is not None:
            yield _coded(resource.medicationCodeableConcept)
        elif named is not None:
            yield Coded(display=_cut(named.display or named.reference) or "unnamed")


def _stays(resources: list[Any], as_of: date) -> Iterator[PastEncounter]:
    for resource in resources:
        if resource.get_resource_type() != "Encounter" or resource.status not in HAPPENED:
            continue
        started = _day(resource.period.start) if resource.period else None
        if started is None or not 0 <= (as_of - started).days <= YEAR:
            continue
        setting: Any = SETTINGS.get(resource.class_fhir.code or "", "other")
        yield PastEncounter(setting=setting, started_on=started, ended_on=_day(resource.period.end))


def _entered_in_error(resource: Any) -> bool:
    return _first_code(resource.verificationStatus) in ("entered-in-error", "refuted")


def _first_code(concept: Any) -> str | None:
    codings = (concept.coding or []) if concept is not None else []
    return next((coding.code for coding in codings if coding.code), None)


def _coded(concept: Any) -> Coded:
    """All codings, the first with a code before the others. Its text is cut to what a line holds."""
    codings = [c for c in (concept.coding or []) if c.code or c.display] if concept is not None else []
    coding = next((c for c in codings if c.code), codings[0] if codings else None)
    text = (concept.text if concept is not None else None) or next((c.display for c in codings if c.display), None)
    code = _cut(coding.code) if coding else None
    also = [Coding(code=_cut(c.code) or "-", system=_cut(c.system)) for c in codings if c.code and c is not coding]
    return Coded(
        code=code,
        system=_cut(coding.system if coding else None),
        display=_cut(text or code) or "unnamed",
        also=tuple(also[:MOST_CODINGS]),
    )


def _cut(text: Any) -> str | None:
    """A text as a line holds it: one line, no control characters, 200 characters."""
    words = "".join(c if c.isprintable() else " " for c in str(text or ""))
    return words.strip()[:200].strip() or None


def _day(value: Any) -> date | None:
    """The day that a FHIR date or instant names; a year or a month alone names none."""
    text = str(value.isoformat() if hasattr(value, "isoformat") else value or "")[:10]
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _unique(found: Iterator[Coded]) -> tuple[Coded, ...]:
    return tuple({(c.code or c.display): c for c in found}.values())[:MOST]
