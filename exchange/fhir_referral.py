"""Reads a FHIR R4 bundle as a referral: one patient, what is in force of her, and a year's encounters.

Required codes `fhir.resources` does not check, so what a rule depends on is checked here.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from domain.case.case import Coded, Coding, PastEncounter, Patient
from domain.persons.person import Person
from domain.values import PartialDay, span_of
from exchange.fhir_bundle import Bundle, Issue, UnreadableBundle, bundle_of, unversioned
from exchange.fhir_person import person_of

ACTIVE_CONDITION = ("active", "recurrence", "relapse")
NOT_HERS = ("entered-in-error", "refuted", "differential")  # ruled out, or one of several that it may be
ORDERED = (None, "order", "original-order", "reflex-order", "filler-order", "instance-order")
SETTINGS = {
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "EMER": "emergency",
    "AMB": "ambulatory",
}
UNNAMED = "unnamed"
BIRTH: TypeAdapter[str | None] = TypeAdapter(PartialDay | None)
NO_REASON = "Referred electronically"
HAPPENED = ("arrived", "triaged", "in-progress", "onleave", "finished")
MOST_CODINGS = 10
MOST = 100
YEAR = 365


class Read(NamedTuple):
    """What a bundle says: the patient, why she is referred, and what was left out."""

    patient: Patient
    person: Person
    reason: str
    issues: list[Issue]


def read(received: Any, as_of: date) -> Read:
    """The patient of a bundle as of a day. Raises `UnreadableBundle` where it is about nobody, or several."""
    bundle = bundle_of(received)
    patients = [r for _, r in bundle.of_kind("Patient")]
    if len(patients) != 1:
        faults = tuple(f"{i.expression[0]}: {i.diagnostics}" for i in bundle.issues)
        raise UnreadableBundle(f"a referral is about one patient; the bundle has {len(patients)}", faults)
    [patient] = patients
    if not patient.id:
        raise UnreadableBundle("the patient needs an id to be told from others", ("Patient.id: required",))
    _keep_hers(bundle, patient)
    return Read(summed_up(bundle, patient, as_of), person_of(patient), _reason(bundle), bundle.issues)


def _keep_hers(bundle: Bundle, patient: Any) -> None:
    """Leave out what cannot be told to be hers. Raises `UnreadableBundle` for what is somebody else's."""
    hers, strangers = [], []
    for place, resource in bundle.resources:
        whose = None if resource is patient else _is_about(bundle, patient, resource)
        if whose is False:
            strangers.append(f"{place}.subject: not the bundle's patient")
        elif whose is None and resource is not patient and getattr(resource, "subject", None) is not None:
            bundle.leave_out(f"{place}.subject", "not-found", "it does not say whose this is")
        else:
            hers.append((place, resource))
    if strangers:
        raise UnreadableBundle("a resource is about another patient", tuple(strangers[:50]))
    bundle.resources = hers


def _is_about(bundle: Bundle, patient: Any, resource: Any) -> bool | None:
    """Whether a resource is about the patient; None where nobody can tell."""
    subject = resource.subject
    text = str(subject.reference or "") if subject is not None else ""
    if text.startswith("#"):
        return None
    if text:
        address = bundle.absolute(text, resource)
        lone = not bundle.bases.get(id(patient)) and address == f"Patient/{patient.id}"
        return bundle.named.get(address) is patient or lone or _by_another_name(bundle, patient, resource, text)
    named: Any = getattr(subject, "identifier", None)
    same = [i.value for i in patient.identifier or [] if named is not None and i.system == named.system]
    return named.value in same if same else None


def _by_another_name(bundle: Bundle, patient: Any, resource: Any, reference: str) -> bool:
    """Whether an entry without an address of its own names the patient by kind and id."""
    return not bundle.bases.get(id(resource)) and unversioned(reference) == f"Patient/{patient.id}"


def summed_up(bundle: Bundle, patient: Any, as_of: date) -> Patient:
    """What a rule can use of the patient, of what is in force as of a day."""
    return Patient(
        reference=f"Patient/{patient.id}",
        birth_date=_birth_date(patient.birthDate),
        deceased=_deceased(patient, as_of),
        conditions=_unique(_conditions(bundle, as_of)),
        medications=_unique(_medications(bundle, as_of)),
        encounters=tuple(sorted(_stays(bundle, as_of), key=lambda s: s.started_on)[-MOST:]),
    )


def _reason(bundle: Bundle) -> str:
    """What the first request in force is for: its reasons, what they refer to, or what is asked for."""
    requests = [r for _, r in bundle.of_kind("ServiceRequest")]
    replaced = {id(bundle.meant(ref, r)) for r in requests for ref in r.replaces or []}
    for request in requests:
        if request.status != "active" or not _ordered(request) or id(request) in replaced:
            continue
        said = [_said(concept) for concept in request.reasonCode or []]
        for reference in request.reasonReference or []:
            meant = bundle.meant(reference, request)
            wrong = meant is not None and set(_codes(getattr(meant, "verificationStatus", None))) & set(NOT_HERS)
            if not wrong:
                said += [_said(getattr(meant, "code", None)), _cut(reference.display)]
        if (reason := next((text for text in (*said, _said(request.code)) if text), None)) is not None:
            return reason
    return NO_REASON


def _said(concept: Any) -> str | None:
    """What a concept says in words or by its code; None for an empty one."""
    coded = _coded(concept)
    return None if coded.display == UNNAMED else coded.display


def _ordered(request: Any) -> bool:
    """Whether it is asked for: not proposed, planned or an option, and not that it be left undone."""
    return request.intent in ORDERED and not request.doNotPerform


def _deceased(patient: Any, as_of: date) -> bool:
    if patient.deceasedDateTime is not None:
        died = _day(patient.deceasedDateTime)
        return died is None or died <= as_of
    return bool(patient.deceasedBoolean)


def _conditions(bundle: Bundle, as_of: date) -> Iterator[Coded]:
    for _, resource in bundle.of_kind("Condition"):
        if set(_codes(resource.verificationStatus)) & set(NOT_HERS) or _abated(resource, as_of):
            continue
        status = _codes(resource.clinicalStatus)
        if not status or set(status) & set(ACTIVE_CONDITION):
            yield _coded(resource.code)


def _abated(condition: Any, as_of: date) -> bool:
    """Whether the condition is over, however that is said; one that ends later is not over yet."""
    ends = [condition.abatementDateTime]
    if condition.abatementPeriod is not None:
        ends.append(condition.abatementPeriod.end or condition.abatementPeriod.start)
    days = [_span(end)[0] for end in ends if end is not None]
    said = condition.abatementAge, condition.abatementRange, condition.abatementString
    return any(value is not None for value in said) or any(day <= as_of for day in days)


def _medications(bundle: Bundle, as_of: date) -> Iterator[Coded]:
    prescribed = [r for _, r in bundle.of_kind("MedicationRequest", "MedicationStatement")]
    replaced = {
        id(bundle.meant(r.priorPrescription, r))
        for r in prescribed
        if getattr(r, "priorPrescription", None) is not None and r.status == "active"
    }
    for resource in prescribed:
        if resource.status != "active" or id(resource) in replaced or _ended(resource, as_of):
            continue
        if resource.get_resource_type() == "MedicationRequest" and not _ordered(resource):
            continue
        yield _medication(bundle, resource)


def _ended(resource: Any, as_of: date) -> bool:
    """Whether a statement says itself that the medication was taken until an earlier day."""
    period = getattr(resource, "effectivePeriod", None)
    return period is not None and period.end is not None and _span(period.end)[1] < as_of


def _medication(bundle: Bundle, resource: Any) -> Coded:
    if resource.medicationCodeableConcept is not None:
        return _coded(resource.medicationCodeableConcept)
    reference = resource.medicationReference
    meant = bundle.meant(reference, resource)
    if meant is not None and getattr(meant, "code", None) is not None:
        return _coded(meant.code)
    return Coded(display=_cut(reference.display if reference is not None else None) or UNNAMED)


def _stays(bundle: Bundle, as_of: date) -> Iterator[PastEncounter]:
    for place, resource in bundle.of_kind("Encounter"):
        if resource.status not in HAPPENED or resource.period is None or resource.period.start is None:
            continue
        started, ended = _day(resource.period.start), _day(resource.period.end)
        if started is None or (ended is None and resource.period.end is not None):
            bundle.leave_out(f"{place}.period", "incomplete", "a year or a month alone is no day")
        elif ended is not None and ended < started:
            bundle.leave_out(f"{place}.period", "value", "it ends before it begins")
        elif started > as_of:
            bundle.leave_out(f"{place}.period", "value", "it begins after the day of the referral")
        elif 0 <= (as_of - started).days <= YEAR and bundle.meant(resource.partOf, resource) is None:
            setting: Any = SETTINGS.get(resource.class_fhir.code or "", "other")
            yield PastEncounter(setting=setting, started_on=started, ended_on=ended)


def _codes(concept: Any) -> list[str]:
    """The codes of all codings of a concept."""
    return [coding.code for coding in (concept.coding or []) if coding.code] if concept is not None else []


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
        display=_cut(text or code) or UNNAMED,
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


def _span(value: Any) -> tuple[date, date]:
    """The first and the last day that a FHIR date may mean."""
    return span_of(_partial(value) or "")


def _birth_date(value: Any) -> str | None:
    """Raises `UnreadableBundle` for one that nobody can have."""
    try:
        return BIRTH.validate_python(_partial(value))
    except ValidationError:
        raise UnreadableBundle("nobody was born then", ("Patient.birthDate: give one from 1900 on",)) from None


def _partial(value: Any) -> str | None:
    """A FHIR date as precisely as it is known."""
    return None if value is None else str(value.isoformat() if hasattr(value, "isoformat") else value)[:10]


def _unique(found: Iterator[Coded]) -> tuple[Coded, ...]:
    """Each once: by code and system, with all codings; by its name where it has no code. Nameless ones stay."""
    keyed = {}
    for number, coded in enumerate(found):
        nameless = coded.code is None and coded.display == UNNAMED
        keyed[number if nameless else (coded.system, coded.code or coded.display, coded.also)] = coded
    return tuple(keyed.values())[:MOST]
