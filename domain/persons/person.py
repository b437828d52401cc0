"""A person: who she is, how she is reached, and who is around her. What she is treated for is a case's."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from domain.values import Day, Instant, Line, Opaque, PartialDay, Slug, Text, Value, Zone

REFERENCE = "urn:caseloom:reference"  # the system of an identifier by which a sender names a person
MOST = 20
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]  # BCP 47


class Period(Value):
    """From a day to a day, each as far as it is known."""

    starts_on: Day | None = None
    ends_on: Day | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.starts_on and self.ends_on and self.ends_on < self.starts_on:
            raise ValueError("a period ends after it has begun")
        return self


class PersonName(Value):
    """One name of a person, in any script, in the parts that she uses herself."""

    use: Literal["official", "preferred", "former"] = "official"
    given: tuple[Line, ...] = Field(default=(), max_length=5)
    family: Line | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.given and self.family is None:
            raise ValueError("give a given name or a family name")
        return self

    def __str__(self) -> str:
        return " ".join((*self.given, *((self.family,) if self.family else ())))


class Identifier(Value):
    """A number by which somebody else knows the person, and whose number it is."""

    system: Line
    value: Line


class ContactPoint(Value):
    """One way to reach the person."""

    kind: Literal["phone", "mobile", "sms", "email", "portal", "other"]
    value: Line
    may_leave_message: bool = False
    best_time: Line | None = None


class Address(Value):
    use: Literal["home", "temporary", "mailing", "former"] = "home"
    lines: tuple[Line, ...] = Field(default=(), max_length=4)
    city: Line | None = None
    state: Line | None = None
    postal_code: Line | None = None
    country: Line | None = None


class Coverage(Period):
    """Who pays, and under which number."""

    payer: Line
    member_id: Line | None = None


class Relation(Period):
    """Somebody around the person: by name, or as a person of our own."""

    role: Slug = Field(examples=["parent", "guardian", "caregiver", "health-care-proxy"])
    name: Line | None = None
    person_id: Opaque | None = None
    phone: Line | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if (self.name is None) == (self.person_id is None):
            raise ValueError("give either a name or a person's id")
        return self


class Deceased(Value):
    """That the person has died: since when that is known, from whom, and the day as far as it is known."""

    known_at: Instant
    source: Line
    on: PartialDay | None = None


class Person(Value):
    """All that is known of who somebody is."""

    names: tuple[PersonName, ...] = Field(default=(), max_length=MOST)
    birth_date: PartialDay | None = None
    identifiers: tuple[Identifier, ...] = Field(default=(), max_length=MOST)
    contacts: tuple[ContactPoint, ...] = Field(default=(), max_length=MOST)
    addresses: tuple[Address, ...] = Field(default=(), max_length=MOST)
    language: Language | None = None
    needs_interpreter: bool = False
    pronouns: Line | None = None
    zone: Zone | None = None
    coverage: tuple[Coverage, ...] = Field(default=(), max_length=MOST)
    wishes: Text | None = None
    household: Text | None = None
    relations: tuple[Relation, ...] = Field(default=(), max_length=MOST)
    deceased: Deceased | None = None
    alive_at: Instant | None = Field(default=None, description="When somebody said that she is alive")

    @property
    def called(self) -> str | None:
        """The name by which she is called: the preferred one, else the official one, else any."""
        for use in ("preferred", "official"):
            if found := next((name for name in self.names if name.use == use), None):
                return str(found)
        return str(self.names[0]) if self.names else None

    @property
    def references(self) -> tuple[str, ...]:
        """The references by which senders name her."""
        return tuple(i.value for i in self.identifiers if i.system == REFERENCE)
