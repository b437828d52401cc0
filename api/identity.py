"""Which person somebody means: found by what is known of her, shown to those who may know of her, made once."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import Connection, bindparam, insert
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from api.problems import Refusal
from api.scope import LIST, visible
from api.system import Principal, System
from domain.persons.matching import NEAR, Match, compare
from domain.persons.person import REFERENCE, Identifier, Person
from domain.programs.access import Reach
from domain.programs.program import DIED
from domain.values import Role, span_of
from infra.names import keys_of, similar
from infra.person_tables import LikenessRow, PersonRow
from infra.persons import Persons, one_person, unsealed
from infra.tables import CaseRow

MOST_FOUND, MOST_SHOWN = 200, 10
ONE_DAY = timedelta(days=1)  # somewhere it is tomorrow already
SHARED = ("sounds ", "born ")
BROAD = ("word ", "sound ")  # what many share: no ground to think that two are one
_NAMES: Any = bindparam("names", expanding=True)
LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
Answer = TypeVar("Answer")


class OpenCase(BaseModel):
    case_id: str
    program: str
    owner: str | None


class Candidate(BaseModel):
    """Somebody who may be the one that is meant: why, and which of her open cases one may know of."""

    person_id: str
    name: str | None
    birth_date: str | None
    points: int = Field(description="From 50 on somebody is asked before a second person is made")
    reasons: list[str]
    open_cases: list[OpenCase] = []


@dataclass(frozen=True)
class Near:
    """A person near to what was described."""

    row: PersonRow
    person: Person
    match: Match


@dataclass(frozen=True)
class Meant:
    """The person that a referral is about; `made` and who is `near` where she is not on record yet."""

    person_id: str
    made: Person | None = None
    near: tuple[Near, ...] = field(default=())


async def with_persons(
    parts: System, tenant: str, act: Callable[[Persons], Answer], write: bool = False
) -> Answer:
    """Do something with the persons of a tenant, in one transaction, on a thread.

    The asynchronous SQLite driver changes threads at every statement, and a referral has some twenty of them.
    """

    def acting(connection: Connection) -> Answer:
        return act(Persons(connection, parts.keys, parts.index_key, tenant))

    return await (parts.written(acting) if write else parts.read(acting))


def survivor(store: Persons, person_id: str) -> PersonRow | None:
    """The person that an id stands for: where she was merged, the one that she is."""
    row, passed = store.get(person_id), {person_id}
    while row is not None and row.merged_into is not None and row.merged_into not in passed:
        passed.add(row.merged_into)
        row = store.get(row.merged_into)
    return row


def names_of(store: Persons, persons: Mapping[str, Person]) -> dict[str, str]:
    """By what the cases of some persons are kept, and whose each is: also those of records merged into theirs."""
    merged = store.read(id for id in store.together(persons) if id not in persons)
    every = {**persons, **{id: person for id, (_, person) in merged.items()}}
    whose = {id: (survivor(store, id) if id in merged else None) for id in every}
    return {
        name: (row.id if (row := whose[id]) else id)
        for id, p in every.items()
        for name in (id, *store.references_of(p))
    }


def by_identifiers(store: Persons, identifiers: Iterable[Identifier]) -> dict[str, PersonRow]:
    """The persons who have any of these identifiers."""
    ids = store.find([f"id {i.system} {i.value}" for i in identifiers], MOST_FOUND)
    rows = [survivor(store, person_id) for person_id in ids]
    return {row.id: row for row in rows if row is not None}


def near(store: Persons, person: Person) -> tuple[Near, ...]:
    """Who may be the one that is described, the nearest first."""
    keys = [key for key in keys_of(person) if not key.startswith(BROAD)]
    shared = [key for key in keys if key.startswith(SHARED)]  # what a whole town may have: asked for by itself
    ids = {*store.find([k for k in keys if k not in shared], MOST_FOUND), *store.find(shared, MOST_FOUND)}
    found: dict[str, Near] = {}
    for row, other in store.read(ids).values():
        match = compare(person, other, similar)
        into = survivor(store, row.id) if row.merged_into is not None else row
        if match.points >= NEAR and into is not None:
            best = found.get(into.id)
            if best is None or best.match.points < match.points:
                found[into.id] = Near(into, other if into is row else store.open(into), match)
    return tuple(sorted(found.values(), key=lambda n: (-n.match.points, n.row.id))[:MOST_SHOWN])


async def known_to(
    parts: System, who: Principal, persons: dict[str, tuple[PersonRow, Person]], action: str = LIST
) -> set[str]:
    """Those of some persons whom one may know of: by a case in which one has an action, or as who has made them.

    Who is excluded from a case of theirs knows nothing of them in any way.
    """
    known = {id: person for id, (_, person) in persons.items()}
    theirs = select_columns(col(CaseRow.person_id)).where(col(CaseRow.person_id).in_(_NAMES)).distinct()
    hers = theirs.where(visible(parts, who, action))
    shut = theirs.where(
        col(CaseRow.tenant) == who.tenant, col(CaseRow.excluded).contains(f"|{who.sub}|", autoescape=True)
    )

    def whose(store: Persons) -> tuple[set[str], set[str]]:
        by_name = names_of(store, known)
        asked = {"names": list(by_name)}
        found = [store.connection.execute(query, asked).scalars() for query in (hers, shut)]
        return {by_name[name] for name in found[0]}, {by_name[name] for name in found[1]}

    seen, out = await with_persons(parts, who.tenant, whose)
    if Reach.TENANT in parts.policy.reach_of(who.role, "read-whole-case"):
        return set(persons) - out
    made = {id for id, (row, _) in persons.items() if row.created_by == who.sub and action == LIST}
    return (made | seen) - out


async def candidates(parts: System, who: Principal, found: Iterable[Near]) -> tuple[list[Candidate], bool]:
    """Those who are near as one may know them, and whether there are others."""
    nearest = {n.row.id: n for n in found}
    persons = {id: (n.row, n.person) for id, n in nearest.items()}
    known = await known_to(parts, who, persons)
    cases = await open_cases_of(parts, who, {id: persons[id][1] for id in known})
    shown = [
        Candidate(
            person_id=id,
            name=n.person.called,
            birth_date=n.person.birth_date,
            points=n.match.points,
            reasons=list(n.match.reasons),
            open_cases=cases.get(id, []),
        )
        for id, n in nearest.items()
        if id in known
    ]
    return shown, len(known) < len(nearest)


async def open_cases_of(parts: System, who: Principal, persons: dict[str, Person]) -> dict[str, list[OpenCase]]:
    """The open cases of some persons that one may see."""
    by_name = await with_persons(parts, who.tenant, lambda store: names_of(store, persons))
    wanted = (col(CaseRow.person_id), col(CaseRow.id), col(CaseRow.program), col(CaseRow.owner))
    mine = (visible(parts, who), col(CaseRow.person_id).in_(by_name), col(CaseRow.status) == "open")
    found: dict[str, list[OpenCase]] = {}
    async with parts.connection() as connection:
        for row in await connection.execute(select_columns(*wanted).where(*mine).order_by(col(CaseRow.id))):
            case = OpenCase(case_id=row.id, program=row.program, owner=row.owner)
            found.setdefault(by_name[row.person_id], []).append(case)
    return found


async def whose(
    parts: System, who: Principal, case_id: str, given: str | None, described: Person, is_new: bool
) -> Meant:
    """The person that a referral is about. Repeated under its key it is about the same one.

    Raises 404 `UnknownPerson`, 409 `PersonMaybeKnown` with who is near, unless the sender says that she is new.
    """
    opened = await parts.look_up(_OF_CASE, {"tenant": who.tenant, "case_id": case_id})
    if opened is not None:
        return Meant(opened.person_id)
    if given is not None:
        return Meant(await _given(parts, who, given))
    if is_new:  # whoever else has these identifiers, this is another person: the leads see both
        close = await with_persons(parts, who.tenant, lambda store: near(store, described))
        return Meant(parts.derived_id(f"{who.tenant}/person/new/{case_id}").hex, described, close)
    return await _found(parts, who, described)


async def _given(parts: System, who: Principal, person_id: str) -> str:
    row = await with_persons(parts, who.tenant, lambda store: survivor(store, person_id))
    persons = {row.id: (row, await with_persons(parts, who.tenant, lambda s: s.open(row)))} if row else {}
    if row is None or row.id not in await known_to(parts, who, persons):
        raise Refusal(404, "UnknownPerson", "there is no such person, or she is not yours to know of")
    return row.id


async def _found(parts: System, who: Principal, described: Person) -> Meant:
    same = await with_persons(parts, who.tenant, lambda store: by_identifiers(store, described.identifiers))
    if len(same) == 1:
        return Meant(await _same(parts, who, next(iter(same.values())), described))
    close = await with_persons(parts, who.tenant, lambda store: near(store, described))
    named = "/".join(f"{i.system}|{i.value}" for i in described.identifiers)
    new_id = parts.derived_id(f"{who.tenant}/person/{named}").hex  # two referrals at once make the same one
    if made := next((n for n in close if n.row.id == new_id), None):  # by another one, between the two looks
        return Meant(await _same(parts, who, made.row, described))
    if close:
        raise await maybe_known(parts, who, close)
    return Meant(new_id, described, close)


async def _same(parts: System, who: Principal, row: PersonRow, described: Person) -> str:
    """The person of an identifier. Raises 409 where what else is said of her speaks against it.

    Whoever may not know of her, and is no feed, says at least her name or her birth date as it is: a number that
    somebody has picked up opens nobody's record.
    """
    person = await with_persons(parts, who.tenant, lambda store: store.open(row))
    match = compare(described, person, similar)
    strange = who.role is not Role.INTEGRATOR and row.id not in await known_to(parts, who, {row.id: (row, person)})
    if match.against or (strange and (person.names or person.birth_date) and not match.beyond_identifiers):
        raise await maybe_known(parts, who, [Near(row, person, match)])
    return row.id


async def maybe_known(parts: System, who: Principal, close: Iterable[Near]) -> Refusal:
    """The question that is asked before a second person is made."""
    shown, others = await candidates(parts, who, close)
    detail = "she may be on record: name her `person_id`, or say `is_new`"
    if others:
        detail += "; there may be others whom you may not know of: ask a supervisor"
    return Refusal(409, "PersonMaybeKnown", detail, candidates=[c.model_dump() for c in shown])


async def make(parts: System, who: Principal, meant: Meant) -> None:
    """Put a new person on record, and for the leads whom she may be. Repeated, it is done once."""
    if meant.made is not None:
        with contextlib.suppress(IntegrityError):  # somebody else has just done it
            await with_persons(parts, who.tenant, lambda store: add(store, who, meant), write=True)


def add(store: Persons, who: Principal, meant: Meant) -> None:
    now, person = datetime.now(UTC), meant.made
    if person is None or store.get(meant.person_id) is not None:
        return
    store.add(meant.person_id, person, who.sub, now)
    alike: list[dict[str, Any]] = [
        {
            "person_id": meant.person_id,
            "other_id": n.row.id,
            "tenant": who.tenant,
            "points": n.match.points,
            "reasons": list(n.match.reasons),
            "at": now,
            "status": "open",
        }
        for n in meant.near
    ]
    if alike:
        store.connection.execute(insert(LikenessRow), alike)


async def has_died(parts: System, tenant: str, person_id: str) -> bool:
    """Whether it is on record that a person has died: said of her, or a case of hers was closed because of it.

    A case that is reopened takes that back, and so does whoever says of her that she lives (`deceased: null`).
    """

    def looked(store: Persons) -> bool:
        row = survivor(store, person_id)
        person = store.open(row) if row is not None else Person()
        if person.deceased is not None:
            return True
        names = names_of(store, {row.id: person}) if row is not None else [person_id]
        asked = {"tenant": tenant, "names": list(names), "alive_at": person.alive_at or LONG_AGO}
        return store.connection.execute(_CLOSED_BY_DEATH, asked).first() is not None

    return await with_persons(parts, tenant, looked)


async def open_in(parts: System, tenant: str, person_id: str, program: str) -> bool:
    """Whether a person has an open case of a programme."""

    def looked(store: Persons) -> bool:
        names = one_person(store.connection, tenant, person_id)
        asked = {"tenant": tenant, "names": names, "program": program}
        return store.connection.execute(_OPEN_IN, asked).first() is not None

    return await with_persons(parts, tenant, looked)


def require_born(person: Person) -> None:
    """Raises 422 for a birth date that is still to come."""
    if person.birth_date is not None and span_of(person.birth_date)[0] > datetime.now(UTC).date() + ONE_DAY:
        raise Refusal(422, "Malformed", "the birth date lies in the future", missing=["birth_date"])


def referred(reference: str) -> Identifier:
    """The reference by which a sender names a person, as an identifier of hers."""
    return Identifier(system=REFERENCE, value=reference)


async def cases_of_reference(parts: System, tenant: str, reference: str) -> list[str]:
    """By which ids the cases of a person are found whom somebody names by a reference."""
    found = await with_persons(parts, tenant, lambda store: list(by_identifiers(store, [referred(reference)])))
    known = await with_persons(parts, tenant, lambda store: store.together(found)) if found else []
    return [*known, reference]  # cases of releases up to 0.3 are kept under the reference


class Known(NamedTuple):
    """By what somebody is told apart in a list: her name, and when she was born as far as that is known."""

    name: str | None = None
    birth_date: str | None = None


async def called(parts: System, tenant: str, person_ids: Iterable[str]) -> dict[str, str]:
    """The names of some persons, by the ids under which their cases are kept."""
    found = await known_as(parts, tenant, person_ids)
    return {person_id: known.name for person_id, known in found.items() if known.name is not None}


async def called_beside(parts: System, tenant: str, person_id: str, sealed: bytes | None) -> str | None:
    """The name of a case's person, whose row was read beside the case where she has one of her own."""
    if sealed is not None:
        return unsealed(parts.keys, tenant, person_id, sealed).called
    return (await called(parts, tenant, [person_id])).get(person_id)


async def known_as(parts: System, tenant: str, person_ids: Iterable[str]) -> dict[str, Known]:
    """Names and birth dates of some persons, by the ids of their cases. Whoever sees the case may see them.

    Cases of releases up to 0.3 are kept under the reference that a sender gave; it is an identifier of the person.
    """
    wanted = {*person_ids}

    def names(store: Persons) -> dict[str, Known]:
        there = store.read(wanted)
        meant = {name: name for name in there} | store.under(_keys_of_references(wanted - set(there)))
        there |= store.read(set(meant.values()) - set(there))
        return {name: _known_now(store, *there[person_id]) for name, person_id in meant.items()}

    return await with_persons(parts, tenant, names) if wanted else {}


def _keys_of_references(references: Iterable[str]) -> dict[str, str]:
    return {name: f"id {REFERENCE} {name}" for name in references}


def _known_now(store: Persons, row: PersonRow, person: Person) -> Known:
    """Of one that was merged: as the person is known that she is."""
    row_now = survivor(store, row.id) if row.merged_into is not None else None
    now = store.open(row_now) if row_now is not None else person
    return Known(now.called, now.birth_date)


async def called_in(parts: System, who: Principal, case_ids: Iterable[str]) -> dict[str, str]:
    """The names of the people of those of some cases that one may see, by case."""
    query = select_columns(col(CaseRow.id), col(CaseRow.person_id)).where(
        visible(parts, who), col(CaseRow.id).in_({*case_ids})
    )
    async with parts.connection() as connection:
        person_of = {row.id: row.person_id for row in await connection.execute(query)}
    names = await called(parts, who.tenant, person_of.values())
    return {case_id: names[person_id] for case_id, person_id in person_of.items() if person_id in names}


_HERS = (col(CaseRow.tenant) == bindparam("tenant"), col(CaseRow.person_id).in_(_NAMES))
_CLOSED_BY_DEATH = (
    select_columns(col(CaseRow.id))
    .where(*_HERS, col(CaseRow.closure_reason) == DIED, col(CaseRow.updated_at) > bindparam("alive_at"))
    .limit(1)
)
_OPEN_IN = (
    select_columns(col(CaseRow.id))
    .where(*_HERS, col(CaseRow.program) == bindparam("program"), col(CaseRow.status) == "open")
    .limit(1)
)
_OF_CASE = select_columns(col(CaseRow.person_id)).where(
    col(CaseRow.tenant) == bindparam("tenant"), col(CaseRow.id) == bindparam("case_id")
)
