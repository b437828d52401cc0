"""Whether two descriptions are of one person: points with reasons, so that whoever decides sees why.

The weights follow the order of Fellegi and Sunter (1969): an identifier says more than a birth date, that more
than a name, and a difference where the same would be expected speaks against it. The numbers are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass

from domain.persons.person import Person
from domain.values import span_of

NEAR = 50  # points from which somebody is asked before a second person is made
SAME_IDENTIFIER, SAME_BIRTH, LIKE_BIRTH, OTHER_BIRTH = 100, 30, 10, -40
SAME_NAME, LIKE_NAME, OTHER_NAME = 50, 22, -20
SAME_CONTACT, SAME_POSTCODE = 41, 11
SAME, LIKE = 0.97, 0.8
Similar = Callable[[str, str], float]


@dataclass(frozen=True)
class Match:
    """How near two descriptions are, and by what."""

    points: int = 0
    reasons: tuple[str, ...] = ()
    said: tuple[int, ...] = ()

    def and_(self, points: int, reason: str) -> "Match":
        return Match(self.points + points, (*self.reasons, f"{reason} ({points:+d})"), (*self.said, points))

    @property
    def against(self) -> bool:
        """Whether an identifier is not enough: another birth date, or another name and no birth date alike."""
        other_name = OTHER_NAME in self.said and not {SAME_BIRTH, LIKE_BIRTH} & {*self.said}
        return OTHER_BIRTH in self.said or other_name

    @property
    def beyond_identifiers(self) -> bool:
        """Whether anything is the same that is not an identifier."""
        return bool({SAME_BIRTH, SAME_NAME, LIKE_NAME} & {*self.said})


def compare(one: Person, other: Person, similar: Similar) -> Match:
    """Hold two descriptions against each other; `similar` tells how alike two names are, 0 to 1."""
    found = Match()
    if set(one.identifiers) & set(other.identifiers):
        found = found.and_(SAME_IDENTIFIER, "the same identifier")
    found = _births(found, one.birth_date, other.birth_date)
    found = _names(found, one, other, similar)
    if {_digits(c.value) for c in one.contacts} & {_digits(c.value) for c in other.contacts}:
        found = found.and_(SAME_CONTACT, "a way to reach both")
    codes = [{a.postal_code for a in person.addresses if a.postal_code} for person in (one, other)]
    return found.and_(SAME_POSTCODE, "the same postal code") if codes[0] & codes[1] else found


def _births(found: Match, one: str | None, other: str | None) -> Match:
    if one is None or other is None:
        return found
    if one == other and len(one) == len("2000-01-01"):
        return found.and_(SAME_BIRTH, "the same birth date")
    (first, last), (begins, ends) = span_of(one), span_of(other)
    if first <= ends and begins <= last:
        return found.and_(LIKE_BIRTH, "birth dates that may be the same")
    slips = sum(a != b for a, b in zip(one, other, strict=False)) if len(one) == len(other) else len(one)
    if slips == 1 or sorted(one) == sorted(other):
        return found.and_(LIKE_BIRTH, "birth dates with a digit or two exchanged")
    return found.and_(OTHER_BIRTH, "other birth dates")


def _names(found: Match, one: Person, other: Person, similar: Similar) -> Match:
    alike = max((similar(str(a), str(b)) for a in one.names for b in other.names), default=None)
    if alike is None:
        return found
    if alike >= SAME:
        return found.and_(SAME_NAME, "the same name")
    return found.and_(LIKE_NAME, "names alike") if alike >= LIKE else found.and_(OTHER_NAME, "other names")


def _digits(value: str) -> str:
    """A telephone number as it is dialled, without how it is written; anything else as it is."""
    digits = "".join(c for c in value if c.isdigit())
    return digits[-9:] if len(digits) >= 7 else value.lower()
