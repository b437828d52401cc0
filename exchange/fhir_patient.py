"""A person as FHIR's Patient."""

from datetime import datetime
from typing import Any

from domain.persons.person import Person
from exchange.fhir_codes import OURS, Resource, at, concept, reference

USES = {"official": "official", "preferred": "usual", "former": "old"}
WAYS = {"phone": "phone", "mobile": "phone", "sms": "sms", "email": "email", "portal": "url", "other": "other"}
HOMES = {"home": "home", "temporary": "temp", "mailing": "home", "former": "old"}


def patient(person_id: str, version: int, changed_at: datetime, person: Person) -> Resource:
    """Who she is; what is not known is left out."""
    fields: dict[str, Any] = {
        "identifier": [{"system": i.system, "value": i.value} for i in person.identifiers],
        "name": [_name(name) for name in person.names],
        "telecom": [_way(contact) for contact in person.contacts],
        "birthDate": person.birth_date,
        "address": [_address(address) for address in person.addresses],
        "communication": _language(person),
    }
    if person.deceased is not None:
        fields |= {"deceasedDateTime": person.deceased.on} if person.deceased.on else {"deceasedBoolean": True}
    meta = {"versionId": str(version), "lastUpdated": at(changed_at)}
    head: Resource = {"resourceType": "Patient", "id": person_id, "meta": meta}
    return head | {name: value for name, value in fields.items() if value}


def related(person_id: str, version: int, changed_at: datetime, person: Person) -> list[Resource]:
    """Those around her, in the order in which they are known; who has a record of her own is named by its id."""
    found = []
    for number, one in enumerate(person.relations, 1):
        period = {"start": one.starts_on, "end": one.ends_on}
        fields: dict[str, Any] = {
            "patient": reference("Patient", person_id),
            "relationship": [concept(one.role.replace("-", " "))],
            "identifier": [{"system": f"{OURS}/person", "value": one.person_id}] if one.person_id else None,
            "name": [{"text": one.name}] if one.name else None,
            "telecom": [{"system": "phone", "value": one.phone}] if one.phone else None,
            "period": {name: str(day) for name, day in period.items() if day is not None},
        }
        meta = {"versionId": str(version), "lastUpdated": at(changed_at)}
        head: Resource = {"resourceType": "RelatedPerson", "id": f"{person_id}-rel{number}", "meta": meta}
        found.append(head | {name: value for name, value in fields.items() if value})
    return found


def _name(name: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"use": USES[name.use], "text": str(name)}
    if name.family:
        found["family"] = name.family
    return found | ({"given": list(name.given)} if name.given else {})


def _way(contact: Any) -> dict[str, Any]:
    found = {"system": WAYS[contact.kind], "value": contact.value}
    return found | ({"use": "mobile"} if contact.kind == "mobile" else {})


def _address(address: Any) -> dict[str, Any]:
    fields = {
        "use": HOMES[address.use],
        "line": list(address.lines),
        "city": address.city,
        "state": address.state,
        "postalCode": address.postal_code,
        "country": address.country,
    }
    return {name: value for name, value in fields.items() if value}


def _language(person: Person) -> list[dict[str, Any]]:
    if person.language is None:
        return []
    return [{"language": concept(person.language, ("urn:ietf:bcp:47", person.language)), "preferred": True}]
