"""How a FHIR server answers: bundles, what went wrong, and what it can do."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from exchange.fhir_codes import OURS, Resource, at

MEDIA_TYPE = "application/fhir+json"
ISSUES = {  # HTTP status to FHIR's issue type
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    412: "conflict",
    413: "too-long",
    422: "processing",
    429: "throttled",
    503: "transient",
}


def outcome(status: int, code: str, detail: str, places: Iterable[str] = ()) -> Resource:
    """Why a request was not carried out. It names parameters and paths, never a value that was sent."""
    issue: dict[str, Any] = {
        "severity": "error",
        "code": ISSUES.get(status, "exception"),
        "details": {"coding": [{"system": f"{OURS}/error", "code": code}], "text": detail or code},
    }
    if expression := list(places):
        issue["diagnostics"] = "; ".join(expression)
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def searchset(
    base: str, address: str, found: Iterable[Resource], following: str | None, beside: Iterable[Resource] = ()
) -> Resource:
    """A page of what was found and what comes along, and the next; how many there are in all is not counted."""
    links = [{"relation": "self", "url": address}]
    if following is not None:
        links.append({"relation": "next", "url": following})
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": links,
        "entry": [
            {"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one, "search": {"mode": mode}}
            for mode, some in (("match", found), ("include", beside))
            for one in some
        ],
    }


def capabilities(base: str, version: str, now: datetime, served: Mapping[str, Iterable[str]]) -> Resource:
    """What can be asked for: each type with its search parameters, as the routes take them."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": at(now),
        "kind": "instance",
        "software": {"name": "Caseloom", "version": version},
        "implementation": {"description": "Cases as they stand on record", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": kind,
                        "interaction": [{"code": code} for code in _interactions(kind)],
                        "versioning": "versioned" if "vread" in _interactions(kind) else "no-version",
                        **({"searchRevInclude": ["Provenance:target"]} if "vread" in _interactions(kind) else {}),
                        **({"searchInclude": ["Task:focus"]} if kind == "Task" else {}),
                        "searchParam": [{"name": name, "type": PARAMETERS[name]} for name in names],
                    }
                    for kind, names in served.items()
                ]
                + [SUBSCRIPTION],
                "operation": [
                    {
                        "name": "everything",
                        "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
                    }
                ],
            }
        ],
    }


BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport"
SUBSCRIPTION = {
    "type": "Subscription",
    "supportedProfile": [f"{BACKPORT}/StructureDefinition/backport-subscription"],
    "interaction": [{"code": code} for code in ("create", "read", "search-type", "delete")],
    "versioning": "no-version",
    "searchParam": [],
    "operation": [
        {"name": name, "definition": f"{BACKPORT}/OperationDefinition/backport-subscription-{name}"}
        for name in ("status", "events")
    ],
}


def _interactions(kind: str) -> list[str]:
    """What can be done with a type: earlier versions are kept of what cases say, a referral's Task is updated."""
    kept = [] if kind in ("Patient", "RelatedPerson", "Questionnaire") else ["vread"]
    return ["read", "search-type", *kept, *(["update"] if kind == "Task" else [])]


PARAMETERS = {
    "_id": "token",
    "_lastUpdated": "date",
    "patient": "reference",
    "status": "token",
    "category": "token",
    "code": "token",
    "name": "string",
}
