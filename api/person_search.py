"""Finding people by what somebody remembers of them."""

import re
from dataclasses import dataclass

from pydantic import BaseModel

from api.identity import Candidate, Near, candidates, survivor, with_persons
from api.system import Principal, System
from domain.persons.matching import Match
from domain.persons.person import Person
from infra.names import dialled, of_name, similar, sound, words
from infra.persons import Persons

MOST_ASKED, MOST_SHOWN = 120, 20
LEAST = 40  # points under which somebody is not what was looked for
ON = re.compile(r"\b(\d{4}-\d{2}-\d{2})\b")
NUMBER = re.compile(r"[+(\d][\d ()./-]{5,}\d")


class Found(BaseModel):
    """Who was found, the nearest first. With `others` there may be more, of whom one may not know."""

    items: list[Candidate]
    others: bool = False
    hint: str | None = None


@dataclass(frozen=True)
class Asked:
    """A question, taken apart: a day, a number as it is dialled, and what is left of words."""

    day: str | None
    number: str | None
    text: str

    @classmethod
    def of(cls, question: str) -> "Asked":
        day = ON.search(question)
        rest = ON.sub(" ", question)
        number = NUMBER.search(rest)
        dialled_number = dialled(number.group()) if number else None
        text = NUMBER.sub(" ", rest) if dialled_number else rest
        return cls(day.group(1) if day else None, dialled_number, text.strip())

    def keys(self, question: str) -> list[list[str]]:
        """Look-ups, the narrowest first; a broader one is asked only where those before have found nobody."""
        said = [f"value {question.strip().lower()}", f"mail {question.strip().lower()}"]
        said += [f"number {self.number}"] if self.number else []
        names = list(of_name(self.text))
        sounds = [sound(word) for word in words(self.text)]
        born = [f"born {self.day} {one}" for one in sounds] or [f"born {self.day}"] if self.day else []
        pairs = [key for key in names if key.startswith("sounds ")]
        single = [key for key in names if key.startswith("word ")] if not pairs else []
        return [said, born, pairs, single, [f"sound {one}" for one in sounds]]


async def search(parts: System, who: Principal, question: str) -> Found:
    """Who may be meant by a question, as far as one may know of them."""
    asked = Asked.of(question)
    near = await with_persons(parts, who.tenant, lambda store: _near(store, asked, question))
    shown, others = await candidates(parts, who, near)
    hint = "there may be others: ask a supervisor" if others else None
    return Found(items=shown[:MOST_SHOWN], others=others, hint=hint)


def _near(store: Persons, asked: Asked, question: str) -> list[Near]:
    for keys in asked.keys(question):
        ids = store.find(keys, MOST_ASKED) if keys else []
        known = {}
        for row, person in store.read(ids).values():
            match = _match(asked, question, person)
            if match.points >= LEAST:
                kept = row if row.merged_into is None else None
                known[row.id] = Near(kept or row, person, match)
        if known:
            return sorted(_surviving(store, known), key=lambda n: (-n.match.points, n.row.id))
    return []


def _surviving(store: Persons, known: dict[str, Near]) -> list[Near]:
    """Those who were merged as the persons that they are, each once."""
    found: dict[str, Near] = {}
    for near in known.values():
        row = survivor(store, near.row.id) if near.row.merged_into is not None else near.row
        assert row is not None
        person = near.person if row is near.row else store.open(row)
        if row.id not in found or found[row.id].match.points < near.match.points:
            found[row.id] = Near(row, person, near.match)
    return list(found.values())


def _match(asked: Asked, question: str, person: Person) -> Match:
    """How well a person answers a question, and by what."""
    found = Match()
    plain = question.strip().lower()
    if any(i.value.lower() == plain for i in person.identifiers):
        found = found.and_(100, "this identifier")
    if asked.number and any(dialled(c.value) == asked.number for c in person.contacts):
        found = found.and_(60, "this number")
    if any(c.value.lower() == plain for c in person.contacts):
        found = found.and_(60, "this address")
    if asked.day:
        same = person.birth_date == asked.day
        found = found.and_(40, "this birth date") if same else found.and_(-20, "another birth date")
    if not words(asked.text):
        return found
    alike = max((_alike(asked.text, str(name)) for name in person.names), default=0.0)
    return found.and_(round(60 * alike), "this name" if alike > 0.97 else "a name like this")


def _alike(text: str, name: str) -> float:
    """How much of what was asked for is in a name: all words of it, each alike or sounding alike."""
    theirs = words(name)
    best = [
        max((max(similar(word, other), 0.9 * (sound(word) == sound(other))) for other in theirs), default=0.0)
        for word in words(text)
    ]
    return sum(best) / len(best) if best else 0.0
