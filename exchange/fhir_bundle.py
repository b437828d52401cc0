"""A FHIR bundle with its references: which resource is meant, whose it is, and what could not be read.

One entry that cannot be read is left out and reported; the others are read. `fhir.resources` checks the form
(R4B, which R4 resources fit). What is not needed is not read, and nothing received is repeated in issues.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from domain.values import Invalid

NEEDED = ("Patient", "Condition", "MedicationRequest", "MedicationStatement", "Encounter", "ServiceRequest")
MEANT = ("Medication",)  # read only where a reference means it
MOST_ENTRIES = 20_000  # the largest of the 304 records of a synthetic population has about 4,000
MOST_ISSUES = 50
OF_ANOTHER_RELEASE = {  # what gives a release away that is not R4: a resource, an element of it, a kind of value
    ("MedicationRequest", "medication"): ("R5", dict),
    ("MedicationStatement", "medication"): ("R5", dict),
    ("Encounter", "class"): ("R5", list),
    ("Encounter", "actualPeriod"): ("R5", dict),
    ("Condition", "clinicalStatus"): ("STU3", str),
    ("Condition", "verificationStatus"): ("STU3", str),
    ("MedicationStatement", "taken"): ("STU3", str),
}


class UnreadableBundle(Invalid):
    """The bundle cannot be read as a referral; `missing` says where and why."""


class Issue(BaseModel):
    """One thing that was left out, as in FHIR's OperationOutcome."""

    severity: str = "warning"
    code: str
    diagnostics: str
    expression: list[str]


@dataclass
class Bundle:
    """The resources of a bundle that could be read, by where they stand, and what was left out."""

    resources: list[tuple[str, Any]] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    bases: dict[int, str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    def leave_out(self, place: str, code: str, why: str) -> None:
        if len(self.issues) < MOST_ISSUES:
            self.issues.append(Issue(code=code, diagnostics=why, expression=[place]))

    def of_kind(self, *kinds: str) -> Iterator[tuple[str, Any]]:
        return ((place, r) for place, r in self.resources if r.get_resource_type() in kinds)

    def meant(self, reference: Any, inside: Any) -> Any:
        """The resource that a reference means: contained in the one that has it, or an entry; None for others."""
        text = str(getattr(reference, "reference", None) or "")
        if text.startswith("#"):
            return next((r for r in inside.contained or [] if f"#{r.id}" == text), None)
        return self.named.get(self.absolute(text, inside))

    def absolute(self, reference: str, inside: Any) -> str:
        """A reference without its version; a relative one goes by the base of the entry that has it."""
        text, base = unversioned(reference), self.bases.get(id(inside), "")
        return f"{base}{text}" if base and ":" not in text else text


def base_of(url: str, kind: str) -> str:
    """The base of a server by the address of a resource; none for a `urn:` or where there is no address."""
    return url.rpartition(f"{kind}/")[0] if url.startswith(("http:", "https:")) else ""


def unversioned(reference: str) -> str:
    return reference.partition("/_history/")[0]


def bundle_of(received: Any) -> Bundle:
    """The bundle as far as it can be read. Raises `UnreadableBundle` where it is none."""
    if not isinstance(received, dict) or received.get("resourceType") != "Bundle":
        raise UnreadableBundle("send a JSON object with resourceType Bundle")
    entries = received.get("entry")
    if not isinstance(entries, list) or not entries:
        raise UnreadableBundle("the bundle has no entries", ("entry: required",))
    if len(entries) > MOST_ENTRIES:
        raise UnreadableBundle(f"send at most {MOST_ENTRIES} entries", ("entry: too many",))
    bundle = Bundle()
    for number, entry in enumerate(entries):
        _read(bundle, f"Bundle.entry[{number}]", entry if isinstance(entry, dict) else {})
    return bundle


def _read(bundle: Bundle, place: str, entry: dict[str, Any]) -> None:
    resource = entry.get("resource")
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    request = entry.get("request")
    if isinstance(request, dict) and request.get("method") == "DELETE":
        bundle.leave_out(place, "deleted", "the entry deletes what it names")
        return
    if not isinstance(resource, dict) or not isinstance(kind, str):
        bundle.leave_out(place, "not-supported", "the entry has no resource")
        return
    if kind not in (*NEEDED, *MEANT):
        return
    if (release := _release(kind, resource)) is not None:
        bundle.leave_out(f"{place}.resource", "not-supported", f"this is FHIR {release}; send R4")
        return
    if (found := _valid(bundle, f"{place}.resource", kind, resource)) is None:
        return
    url = unversioned(str(entry.get("fullUrl") or ""))
    bundle.bases[id(found)] = base_of(url, kind)
    names = (url, f"{bundle.bases[id(found)]}{kind}/{found.id}" if found.id else "")
    bundle.named |= {name: found for name in names if name}
    if kind in NEEDED:
        bundle.resources.append((f"{place}.resource", found))


def _valid(bundle: Bundle, place: str, kind: str, resource: dict[str, Any]) -> Any:
    from fhir.resources.R4B import get_fhir_model_class

    try:
        return get_fhir_model_class(kind).model_validate(resource)
    except RecursionError:
        bundle.leave_out(place, "structure", "nested too deeply")
    except ValidationError as fault:
        for error in fault.errors(include_input=False, include_url=False, include_context=False):
            bundle.leave_out(".".join((place, *map(str, error["loc"]))), "structure", error["type"])
    return None


def _release(kind: str, resource: dict[str, Any]) -> str | None:
    """The release that a resource is of, where something in it tells that it is not R4."""
    for (of, name), (release, form) in OF_ANOTHER_RELEASE.items():
        if kind == of and isinstance(resource.get(name), form):
            return release
    return None
