"""Synthetic patients of our own making, as FHIR R4 bundles; the same number makes the same person."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

GIVEN = ("Alma", "Bruno", "Clara", "David", "Edith", "Felix", "Greta", "Hugo", "Irma", "Jonas")
FAMILY = ("Example", "Sample", "Specimen", "Muster", "Placeholder")
CONDITIONS = (
    ("I50.9", "Heart failure, unspecified"),
    ("E11.9", "Type 2 diabetes mellitus without complications"),
    ("J44.9", "Chronic obstructive pulmonary disease, unspecified"),
    ("N18.3", "Chronic kidney disease, stage 3"),
    ("I10", "Essential hypertension"),
)
MEDICATIONS = ("Furosemide 40 mg", "Metformin 500 mg", "Lisinopril 10 mg", "Tiotropium inhaler", "Apixaban 5 mg")
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"


def bundle(number: int, today: date | None = None) -> dict[str, Any]:
    """One adult with a few conditions, medications and recent encounters."""
    dice = random.Random(number)
    today = today or datetime.now(UTC).date()
    patient = f"synthetic-{number}"
    resources = [_patient(dice, patient)]
    for code, name in dice.sample(CONDITIONS, 3):
        resources.append(_condition(patient, code, name))
    for name in dice.sample(MEDICATIONS, 3):
        resources.append(_medication(patient, name))
    for days in sorted(dice.sample(range(5, 300), 3)):
        resources.append(_encounter(dice, patient, today - timedelta(days=days)))
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": resource} for resource in resources],
    }


def _patient(dice: random.Random, patient: str) -> dict[str, Any]:
    born = date(dice.randint(1935, 1965), dice.randint(1, 12), dice.randint(1, 28))
    return {
        "resourceType": "Patient",
        "id": patient,
        "name": [{"given": [dice.choice(GIVEN)], "family": dice.choice(FAMILY)}],
        "gender": dice.choice(("female", "male")),
        "birthDate": str(born),
    }


def _condition(patient: str, code: str, name: str) -> dict[str, Any]:
    status = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"system": status, "code": "active"}]},
        "code": {"coding": [{"system": ICD10, "code": code, "display": name}]},
        "subject": {"reference": f"Patient/{patient}"},
    }


def _medication(patient: str, name: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": name},
        "subject": {"reference": f"Patient/{patient}"},
    }


def _encounter(dice: random.Random, patient: str, day: date) -> dict[str, Any]:
    acts = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": acts, "code": dice.choice(("IMP", "EMER", "AMB"))},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": f"{day}T09:00:00Z", "end": f"{day}T15:00:00Z"},
    }
