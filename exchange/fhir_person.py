"""Reads a FHIR R4 Patient as a person: names, birth date, identifiers, ways to reach her, address, language.

What does not fit is left out, not refused: a referral is not lost for a telephone number that is none.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from domain.persons.person import MOST, Address, ContactPoint, Identifier, Person, PersonName
from domain.values import Value

KINDS = {"phone": "phone", "email": "email", "sms": "sms"}
FORMER = ("old", "maiden")
Part = TypeVar("Part", bound=Value)


def person_of(patient: Any) -> Person:
    """Who a Patient is."""
    read = Person(
        names=_parts(patient.name, _name),
        identifiers=_parts(
            [i for i in patient.identifier or () if i.system],  # a number of nobody's is not hers alone
            lambda i: Identifier(system=str(i.system), value=i.value),
        ),
        contacts=_parts(patient.telecom, _contact),
        addresses=_parts(patient.address, _address),
    )
    found = _with(read, birth_date=_text(patient.birthDate))
    for said in patient.communication or ():
        if said.preferred or len(patient.communication) == 1:
            codes = [c.code for c in said.language.coding or () if c.code]
            found = _with(found, language=codes[0] if codes else None)
    return found


def _with(person: Person, **field: Any) -> Person:
    try:
        return person.changed(**field)
    except ValidationError:
        return person


def _parts(given: Iterable[Any] | None, read: Callable[[Any], Part]) -> tuple[Part, ...]:
    found: list[Part] = []
    for part in given or ():
        try:
            found.append(read(part))
        except ValidationError:
            continue
    return tuple(dict.fromkeys(found))[:MOST]


def _name(name: Any) -> PersonName:
    use = "former" if name.use in FORMER else "preferred" if name.use in ("usual", "nickname") else "official"
    given, family = tuple(name.given or ())[:5], name.family
    if not given and not family and name.text:
        *given, family = name.text.split()
    return PersonName(use=use, given=tuple(given), family=family)


def _contact(telecom: Any) -> ContactPoint:
    mobile = telecom.system == "phone" and telecom.use == "mobile"
    kind: Any = "mobile" if mobile else KINDS.get(telecom.system, "other")
    return ContactPoint(kind=kind, value=telecom.value)


def _address(address: Any) -> Address:
    use: Any = {"temp": "temporary", "old": "former", "billing": "mailing"}.get(address.use, "home")
    return Address(
        use=use,
        lines=tuple(address.line or ())[:4],
        city=address.city,
        state=address.state,
        postal_code=address.postalCode,
        country=address.country,
    )


def _text(day: Any) -> str | None:
    return str(day) if day is not None else None
