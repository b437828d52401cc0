"""Names and numbers as they are looked up: without case, accents, order or script, and by their sound."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, islice

import jellyfish
from anyascii import anyascii
from rapidfuzz import fuzz

from domain.persons.person import Person, PersonName

MOST_WORDS = 6
NUMBER = 7  # digits from which on something is a telephone number, and not a house number
DIALLED = 9  # the last digits, the same with and without the country's and the trunk prefix


@lru_cache(maxsize=20_000)
def words(text: str) -> tuple[str, ...]:
    """The words of a name in small Latin letters and digits: Łukasz and lukasz are one, Müller and muller too."""
    plain = anyascii(text).lower()
    kept = "".join(c if c.isalnum() else "" if c in "'`\u2019" else " " for c in plain)
    return tuple(islice(kept.split(), MOST_WORDS))


def sound(word: str) -> str:
    """How a word sounds (Metaphone); of what has no sound, the word."""
    return jellyfish.metaphone(word).replace(" ", "") or word


def similar(one: str, other: str) -> float:
    """How alike two names are, 0 to 1, in any order of their words."""
    return fuzz.token_sort_ratio(" ".join(words(one)), " ".join(words(other))) / 100


def dialled(text: str) -> str | None:
    """The digits of a telephone number that tell it from others; None for what is none."""
    digits = "".join(c for c in text if c.isdigit())
    return digits[-DIALLED:] if len(digits) >= NUMBER else None


def of_name(name: str) -> Iterator[str]:
    """By what a name is found: its words, their sounds, and each two of those together."""
    found = words(name)
    sounds = sorted({sound(word) for word in found})
    yield from (f"word {word}" for word in found)
    yield from (f"sound {one}" for one in sounds)
    yield from (f"sounds {one} {other}" for one, other in combinations(sounds, 2))


def keys_of(person: Person) -> set[str]:
    """All by which a person is looked up. What leaves this module is keyed first: see `infra/persons.py`."""
    found = {key for name in person.names for key in of_name(str(name))}
    found |= {f"id {i.system} {i.value}" for i in person.identifiers}
    found |= {f"value {i.value.lower()}" for i in person.identifiers}
    found |= {f"number {number}" for c in person.contacts if (number := dialled(c.value)) is not None}
    found |= {f"mail {c.value.lower()}" for c in person.contacts if c.kind == "email"}
    if person.birth_date is not None:
        found.add(f"born {person.birth_date}")
        found |= {f"born {person.birth_date} {one}" for name in person.names for one in _sounds(name)}
    return found


def _sounds(name: PersonName) -> Iterator[str]:
    return (sound(word) for word in words(str(name)))
