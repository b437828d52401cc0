"""Persons: who somebody is, found by name, birth date, number or identifier, and made once."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import or_, update
from sqlmodel import col, select

from api import identity
from api.cases import CaseItem, named
from api.deaths import tell_cases
from api.headers import WishDep
from api.identity import Meant, OpenCase, known_to, survivor, with_persons
from api.pages import Order, Page, PagingDep
from api.person_search import Found, search
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import LIST, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.command import ERASED
from domain.persons.person import Identifier, Person
from domain.values import Instant, Line, Opaque, Text
from infra.erasure_tables import ErasureRow
from infra.person_tables import LikenessRow, PersonRow
from infra.persons import Persons
from infra.tables import CaseRow

router = APIRouter(tags=["persons"], max_body_size=BODY_LIMIT)
PersonId = Annotated[Opaque, Path()]
REFUSALS = responses(401, 403, 404, 409, 412, 422, 503)
EXAMPLE = {
    "names": [{"given": ["Łucja"], "family": "Nowak"}, {"use": "preferred", "given": ["Lucy"], "family": "Nowak"}],
    "birth_date": "1950-05-05",
    "identifiers": [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": "0012345"}],
    "contacts": [{"kind": "mobile", "value": "+1 212 555 0143", "may_leave_message": True}],
    "language": "pl",
    "needs_interpreter": True,
    "zone": "America/New_York",
}
OLDEST_FIRST = Order([col(LikenessRow.at), col(LikenessRow.person_id), col(LikenessRow.other_id)])
BY_CASE = Order([col(CaseRow.id)])


class NewPerson(Person):
    """Somebody to be put on record; `is_new` says that she is none of those who are near."""

    is_new: bool = False


class PersonView(BaseModel):
    """A person as she is known now. One that was merged is answered as the person that she is, under her id."""

    id: str
    version: int
    updated_at: datetime
    person: Person
    reported_dead: bool = Field(default=False, description="That is said of her, or closed a case of hers")


class PersonVersion(BaseModel):
    """How a person was known, and by whom that was written."""

    version: int
    kind: Literal["created", "changed", "merged", "unmerged"]
    by: str
    at: datetime
    person: Person | None


class OtherPerson(BaseModel):
    """The record of a person that is another's, and why that is known."""

    model_config = ConfigDict(extra="forbid")

    person_id: Opaque
    reason: Text


class Merged(PersonView):
    """The person that remains. `same_program` are open cases of one programme, for somebody to look at."""

    same_program: list[OpenCase] = []


class Likeness(BaseModel):
    """Two records that may be one person's, and why."""

    model_config = ConfigDict(from_attributes=True)

    person_id: str
    other_id: str
    points: int
    reasons: list[Line]
    at: Instant


@router.post("/persons", status_code=201, responses=REFUSALS)
async def create_person(
    new: Annotated[NewPerson, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> PersonView:
    """Put somebody on record. 409 with those who are near her, until you say that she is new."""
    name = f"{who.tenant}/{who.sub}/person/{wish.key}" if wish.key else f"{datetime.now(UTC)}/{id(new)}"
    person = Person(**new.model_dump(exclude={"is_new"}))
    identity.require_born(person)
    new_id = parts.derived_id(name).hex
    first = await with_persons(parts, who.tenant, lambda store: store.history(new_id)[:1])
    if not first and await was_erased(parts, who.tenant, new_id):
        raise Refusal(409, ERASED, "who was put on record under this key was erased; take a new one")
    if first and first[0][1] != person:
        raise Refusal(422, "KeyReused", "another person was put on record under this Idempotency-Key")
    if not first:
        close = await with_persons(parts, who.tenant, lambda store: identity.near(store, person))
        if close and not new.is_new:
            raise await identity.maybe_known(parts, who, close)
        await identity.make(parts, who, Meant(new_id, person, close))
    response.headers["Location"] = f"/persons/{new_id}"
    return _view(*await on_record(parts, who, new_id))


@router.get("/persons", responses=responses(401, 403, 422, 503))
async def find_persons(
    parts: SystemDep,
    who: PrincipalDep,
    q: Annotated[str, Query(min_length=2, max_length=200, examples=["lucy nowak 1950-05-05"])],
) -> Found:
    """Find people by name (any order, script and accents, by sound too), birth date, number or identifier."""
    return await search(parts, who, q)


@router.get("/persons/{person_id}", responses=responses(401, 403, 404, 503))
async def read_person(person_id: PersonId, parts: SystemDep, who: PrincipalDep, response: Response) -> PersonView:
    """Who somebody is. `ETag` is her version."""
    row, person = await on_record(parts, who, person_id)
    response.headers["ETag"] = f'"{row.version}"'
    dead = await identity.has_died(parts, who.tenant, row.id)
    return _view(row, person).model_copy(update={"reported_dead": dead})


@router.patch("/persons/{person_id}", responses=REFUSALS)
async def change_person(
    person_id: PersonId,
    changes: Annotated[dict[str, Any], Body(openapi_examples={"example": {"value": {"language": "es"}}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
) -> PersonView:
    """Put in the place of each field that is given what is given; `null` takes it away. The rest stays.

    That she has died ends her open cases first, as `report-death` does; then it is written down here.
    """
    row, person = await on_record(parts, who, person_id)
    changed = _changed(person, changes)
    identity.require_born(changed)
    if "deceased" in changes and changed.deceased is None:
        changed = changed.changed(alive_at=datetime.now(UTC))
    if changed.deceased is not None and person.deceased is None:
        await tell_cases(parts, who, row.id, changed.deceased, wish)

    def write(store: Persons) -> PersonRow:
        store.lock()
        now = _same_version(store, row.id, row.version if wish.expected_seq is None else wish.expected_seq)
        _not_anothers(store, now, person, changed)
        return store.save(now, changed, "changed", who.sub, datetime.now(UTC))

    return _view(await with_persons(parts, who.tenant, write, write=True), changed)


@router.get("/persons/{person_id}/cases", responses=responses(401, 403, 404, 422, 503))
async def list_person_cases(
    person_id: PersonId, parts: SystemDep, who: PrincipalDep, page: PagingDep
) -> Page[CaseItem]:
    """Her cases, as far as one may see them; also those under records that were merged into hers."""
    row, person = await on_record(parts, who, person_id)
    names = await with_persons(parts, who.tenant, lambda store: identity.names_of(store, {row.id: person}))
    query = BY_CASE.slice(select(CaseRow).where(visible(parts, who), col(CaseRow.person_id).in_(names)), page)
    async with parts.session() as session:
        rows = list((await session.exec(query)).all())
    items = await named(parts, who, rows[: page.limit])
    return Page(items=items, next=BY_CASE.cursor(items[-1].id) if len(rows) > page.limit else None)


@router.get("/persons/{person_id}/history", responses=responses(401, 403, 404, 503))
async def read_person_history(person_id: PersonId, parts: SystemDep, who: PrincipalDep) -> list[PersonVersion]:
    """How she was known, version by version."""
    row, _ = await on_record(parts, who, person_id)
    found = await with_persons(parts, who.tenant, lambda store: store.history(row.id))
    said = {"version", "kind", "by", "at"}
    return [PersonVersion(person=person, **entry.model_dump(include=said)) for entry, person in found]


@router.post("/persons/{person_id}/merge", responses=REFUSALS)
async def merge_persons(person_id: PersonId, other: OtherPerson, parts: SystemDep, who: PrincipalDep) -> Merged:
    """Say that two records are one person's: the other's cases are found under this one, and nothing is lost.

    Undone by `unmerge`, both are as they were.
    """
    row, person = await on_record(parts, who, person_id)
    gone, _ = await on_record(parts, who, other.person_id)
    if gone.id == row.id:
        raise Refusal(409, "SamePerson", "both are this person already")
    before = await identity.open_cases_of(parts, who, {row.id: person})
    theirs = await identity.open_cases_of(parts, who, {gone.id: (await on_record(parts, who, gone.id))[1]})

    def write(store: Persons) -> None:
        now = datetime.now(UTC)
        store.lock()
        _same_version(store, row.id, row.version)
        here = _same_version(store, gone.id, gone.version)
        store.save(here, store.open(gone), "merged", who.sub, now, merged_into=row.id)
        _settle(store, row.id, gone.id, "merged", who.sub)

    await with_persons(parts, who.tenant, write, write=True)
    mine = {case.program for case in before.get(row.id, [])}
    both = [case for case in theirs.get(gone.id, []) if case.program in mine]
    return Merged(**_view(row, person).model_dump(), same_program=both)


@router.post("/persons/{person_id}/unmerge", responses=REFUSALS)
async def unmerge_persons(
    person_id: PersonId, other: OtherPerson, parts: SystemDep, who: PrincipalDep
) -> PersonView:
    """Take it back that another record is this person's; answers the other, as it was."""
    row, _ = await on_record(parts, who, person_id)

    def write(store: Persons) -> tuple[PersonRow, Person]:
        store.lock()
        gone, into = store.get(other.person_id), survivor(store, other.person_id)
        if gone is None or gone.merged_into is None or into is None or into.id != row.id:
            raise Refusal(409, "NotMerged", "that record is not merged into this person")
        person = store.open(gone)
        return store.save(gone, person, "unmerged", who.sub, datetime.now(UTC), merged_into=None), person

    return _view(*await with_persons(parts, who.tenant, write, write=True))


@router.get("/person-likenesses", responses=responses(401, 403, 422, 503))
async def list_likenesses(parts: SystemDep, who: PrincipalDep, page: PagingDep) -> Page[Likeness]:
    """Records that may be of one person: near one that was on record when the second was made. For leads."""
    query = select(LikenessRow).where(col(LikenessRow.tenant) == who.tenant, col(LikenessRow.status) == "open")
    async with parts.session() as session:
        rows = list((await session.exec(OLDEST_FIRST.slice(query, page))).all())
    shown = rows[: page.limit]
    last = shown[-1] if len(rows) > page.limit else None
    items = [Likeness.model_validate(row) for row in shown]
    return Page(items=items, next=OLDEST_FIRST.cursor(last.at, last.person_id, last.other_id) if last else None)


@router.post("/person-likenesses/{person_id}/{other_id}/dismiss", status_code=204, responses=REFUSALS)
async def dismiss_likeness(person_id: PersonId, other_id: PersonId, parts: SystemDep, who: PrincipalDep) -> None:
    """Say that two records are of two people; they are not shown again."""
    await with_persons(
        parts, who.tenant, lambda store: _settle(store, person_id, other_id, "two people", who.sub), write=True
    )


async def was_erased(parts: System, tenant: str, person_id: str) -> bool:
    """Whether somebody's record was erased under this id."""
    own = (col(ErasureRow.tenant) == tenant, col(ErasureRow.person_id) == person_id)
    async with parts.session() as session:
        return (
            await session.exec(select(ErasureRow.id).where(*own, col(ErasureRow.status) == "done"))
        ).first() is not None


async def on_record(parts: System, who: Principal, person_id: str, action: str = LIST) -> tuple[PersonRow, Person]:
    """Raises 404 for a person who is not there, or whom this person may not know of by a case of that action."""

    def read(store: Persons) -> tuple[PersonRow, Person] | None:
        row = survivor(store, person_id)
        return (row, store.open(row)) if row is not None else None

    found = await with_persons(parts, who.tenant, read)
    if found is None or not await known_to(parts, who, {found[0].id: found}, action):
        raise Refusal(404, "NotFound", "there is no such person, or she is not yours to know of")
    return found


async def give_identifiers(
    parts: System, who: Principal, person_id: str, identifiers: Iterable[Identifier]
) -> None:
    """Let a person be found by these numbers from now on. Raises 409 where one of them is somebody else's."""
    row, person = await on_record(parts, who, person_id)
    changed = person.changed(identifiers=tuple(dict.fromkeys((*person.identifiers, *identifiers))))

    def write(store: Persons) -> None:
        store.lock()
        now = _same_version(store, row.id, row.version)
        _not_anothers(store, now, person, changed)
        store.save(now, changed, "changed", who.sub, datetime.now(UTC))

    if changed != person:
        await with_persons(parts, who.tenant, write, write=True)


def _view(row: PersonRow, person: Person) -> PersonView:
    return PersonView(id=row.id, version=row.version, updated_at=row.updated_at, person=person)


def _changed(person: Person, changes: dict[str, Any]) -> Person:
    """Raises 422 with the fields that are wrong, never what was sent."""
    empty = Person().model_dump(mode="json")
    given = {name: empty.get(name) if value is None else value for name, value in changes.items()}
    try:
        return Person.model_validate_json(json.dumps({**person.model_dump(mode="json"), **given}), strict=True)
    except ValidationError as fault:
        missing = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors(include_input=False)]
        raise Refusal(422, "Malformed", "correct the fields listed and send it again", missing=missing) from None


def _same_version(store: Persons, person_id: str, version: int) -> PersonRow:
    """The row as it is now. Raises 412 where somebody has changed it since it was seen."""
    row = store.get(person_id)
    if row is None or row.version != version:
        raise Refusal(412, "PersonChanged", "somebody has changed this person; read her again and decide anew")
    return row


def _not_anothers(store: Persons, row: PersonRow, before: Person, after: Person) -> None:
    """Raises 409 where somebody is given an identifier that another one has: her feed would tell both."""
    new = [i for i in after.identifiers if i not in before.identifiers]
    if set(identity.by_identifiers(store, new)) - {row.id}:
        raise Refusal(409, "IdentifierTaken", "somebody else has this identifier; a lead merges two who are one")


def _settle(store: Persons, one: str, other: str, status: str, by: str) -> None:
    both = or_(
        (col(LikenessRow.person_id) == one) & (col(LikenessRow.other_id) == other),
        (col(LikenessRow.person_id) == other) & (col(LikenessRow.other_id) == one),
    )
    change = update(LikenessRow).where(col(LikenessRow.tenant) == store.tenant, both)
    store.connection.execute(change.values(status=status, settled_by=by))
