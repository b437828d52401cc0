"""FHIR's words for ours, and how a resource of ours is put together: references, codes, labels."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.values import Sensitivity

Resource = dict[str, Any]
OURS = "https://caseloom.org/fhir"
LOINC, ICD10 = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10-cm"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
HL7 = "http://terminology.hl7.org/CodeSystem"
UNITS = "http://unitsofmeasure.org"
LABELS = {  # HL7 v3 ActCode, information sensitivity and policy
    Sensitivity.BEHAVIORAL: "PSY",
    Sensitivity.PART2: "42CFRPart2",
    Sensitivity.SUD_COUNSELLING: "SUD",
}
INDICATORS = {  # LOINC codes and UCUM units of what programmes measure
    "systolic": ("8480-6", "mm[Hg]"),
    "diastolic": ("8462-4", "mm[Hg]"),
    "glucose": ("2339-0", "mg/dL"),
    "a1c": ("4548-4", "%"),
    "weight": ("29463-7", "kg"),
    "oxygen-saturation": ("59408-5", "%"),
}
PANELS = {
    "phq-9": "44249-1",
    "gad-7": "69737-5",
    "audit-c": "72109-2",
    "ahc-hrsn": "96777-8",
    "prapare": "93025-5",
}

FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


def id_in(case_id: str, part: str) -> str:
    """The id of a part of a case. One that FHIR does not allow has a digest in its place, which no other has."""
    whole = f"{case_id}-{part}"
    if FHIR_ID.fullmatch(whole):
        return whole
    return f"{case_id}-{part.partition('-')[0]}-{hashlib.sha256(part.encode()).hexdigest()[:20]}"


def reference(kind: str, resource_id: str) -> dict[str, str]:
    return {"reference": f"{kind}/{resource_id}"}


def staff(subject: str) -> dict[str, Any]:
    """Somebody of the staff, by the identifier that we know her by; a name is the directory's to tell."""
    return {"identifier": {"system": f"{OURS}/staff", "value": subject}}


def concept(text: str, *codings: tuple[str, str]) -> dict[str, Any]:
    """A concept in words, with its codes where it has any."""
    found: dict[str, Any] = {"text": text}
    if codings:
        found["coding"] = [{"system": system, "code": code} for system, code in codings]
    return found


def at(instant: datetime) -> str:
    """An instant as FHIR writes it."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def labelled(label: Sensitivity) -> dict[str, Any]:
    """The security label of what stands under one of ours; restricted where it is not general."""
    if label is Sensitivity.GENERAL:
        return {}
    found = [{"system": ACT_CODE, "code": LABELS[label]}, {"system": f"{HL7}/v3-Confidentiality", "code": "R"}]
    if label is not Sensitivity.BEHAVIORAL:  # 42 CFR 2.32: nobody passes it on without a consent to that
        found.append({"system": ACT_CODE, "code": "NORDSCLCD"})
    return {"security": found}


def resource(kind: str, resource_id: str, label: Sensitivity, fields: Mapping[str, Any]) -> Resource:
    """A resource with its label, without what it has nothing of."""
    meta = labelled(label)
    found: Resource = {"resourceType": kind, "id": resource_id}
    if meta:
        found["meta"] = meta
    return found | {name: value for name, value in fields.items() if value not in (None, [], {}, ())}
