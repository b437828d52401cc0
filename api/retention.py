"""How long the record of a person is kept, what holds it, and whose is past its time."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import case, func, insert, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.identity import names_of, survivor, with_persons
from api.pages import Order, Page, Paging, PagingDep
from api.persons import PersonId, on_record
from api.problems import Refusal, responses
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.persons.person import Person
from domain.programs.retention import kept_until
from domain.values import Instant
from infra.erasure_tables import ErasureRow, LegalHoldRow
from infra.person_tables import PersonRow
from infra.persons import Persons, one_person
from infra.tables import CaseRow

router = APIRouter(tags=["retention"])
REFUSALS = responses(401, 403, 404, 409, 422, 503)


def _numbered(matter: str) -> str:
    """A number, with the letters and signs that it is written with: it outlives the person and names nobody."""
    if sum(one.isdigit() for one in matter) < 1 or len([one for one in matter if one.isalpha()]) > MOST_LETTERS:
        raise ValueError("give the number of the proceeding or order, and no words")
    return matter


MOST_LETTERS = 12
Matter = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]{0,39}$"), AfterValidator(_numbered)
]
BY_PERSON = Order([col(CaseRow.person_id)])
LOOKED_AT = 500  # persons of whom one page is made


class NewHold(BaseModel):
    """What the record is held for: the number of a proceeding, an audit, a complaint; it names nobody."""

    model_config = ConfigDict(extra="forbid")

    matter: Matter


class LegalHold(BaseModel):
    """A hold, and by whom it was placed and lifted."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    matter: str
    placed_by: str
    placed_at: Instant
    lifted_by: str | None
    lifted_at: Instant | None


class KeptCase(BaseModel):
    """One of her cases, and the last day on which it is kept; none while it is open or may be reopened."""

    case_id: str
    program: str
    kept_until: date | None


class RetentionView(BaseModel):
    """How long all that is known of her is kept, and the codes with which an erasure is refused now."""

    person_id: str
    kept_until: date | None = Field(description="The last day; none while a case is open, or without a rule")
    cases: list[KeptCase]
    holds: list[LegalHold]
    hindered_by: list[str]


class PastItsTime(BaseModel):
    """Somebody all of whose cases are past their time, and whom no legal hold keeps."""

    person_id: str
    name: str | None
    kept_until: date
    cases: int


@router.get("/persons/{person_id}/retention", responses=responses(401, 403, 404, 503))
async def read_retention(person_id: PersonId, parts: SystemDep, who: PrincipalDep) -> RetentionView:
    """Until when each of her cases is kept, her legal holds, and what hinders an erasure now."""
    row, person = await on_record(parts, who, person_id)
    return await retention_of(parts, who, row, person)


@router.post("/persons/{person_id}/legal-holds", status_code=201, responses=REFUSALS)
async def place_legal_hold(
    person_id: PersonId,
    hold: Annotated[NewHold, Body(openapi_examples={"example": {"value": {"matter": "CV-2026-00417"}}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> LegalHold:
    """Keep her record whatever its age, until the hold is lifted; also after an erasure was asked for."""
    row, _ = await on_record(parts, who, person_id)
    placed: dict[str, Any] = {"id": uuid.uuid4().hex, "matter": hold.matter, "placed_by": who.sub}
    placed["placed_at"] = datetime.now(UTC)

    def write(store: Persons) -> None:
        store.lock()
        if being_erased(store, row.id, ("running",)):
            raise Refusal(409, "ErasureRuns", "her record is being erased; a hold comes too late")
        store.connection.execute(insert(LegalHoldRow).values(tenant=who.tenant, person_id=row.id, **placed))

    await with_persons(parts, who.tenant, write, write=True)
    return LegalHold(**placed, lifted_by=None, lifted_at=None)


@router.post("/persons/{person_id}/legal-holds/{hold_id}/lift", status_code=204, responses=REFUSALS)
async def lift_legal_hold(person_id: PersonId, hold_id: PersonId, parts: SystemDep, who: PrincipalDep) -> None:
    """Say that a hold is over."""
    row, _ = await on_record(parts, who, person_id)
    hers = await with_persons(parts, who.tenant, lambda store: store.together([row.id]))
    own = [col(LegalHoldRow.tenant) == who.tenant, col(LegalHoldRow.id) == hold_id]
    own.append(col(LegalHoldRow.person_id).in_(hers))
    lifting = update(LegalHoldRow).where(*own, col(LegalHoldRow.lifted_at).is_(None))
    async with parts.engine.begin() as connection:
        done = await connection.execute(lifting.values(lifted_by=who.sub, lifted_at=datetime.now(UTC)))
    if not done.rowcount:
        raise Refusal(404, "NotFound", "there is no such hold that is in force")


@router.get("/retention", responses=responses(401, 403, 422, 503))
async def list_retention(parts: SystemDep, who: PrincipalDep, page: PagingDep) -> Page[PastItsTime]:
    """Whose record is past its time: nothing of it is erased until two directors have said so.

    A page may have fewer than were asked for, and a `next` behind it.
    """
    open_ones = func.sum(case((col(CaseRow.sealed), 0), else_=1))
    query = select(CaseRow.person_id).where(col(CaseRow.tenant) == who.tenant)
    query = query.group_by(col(CaseRow.person_id)).having(open_ones == 0)
    some = Paging(limit=LOOKED_AT, after=page.after)
    async with parts.session() as session:
        people = list((await session.exec(BY_PERSON.slice(query, some))).all())
    items, seen = list[PastItsTime](), 0
    while seen < min(len(people), LOOKED_AT) and len(items) < page.limit:
        items += await _past_its_time(parts, who, people[seen])
        seen += 1
    return Page(items=items, next=BY_PERSON.cursor(people[seen - 1]) if seen < len(people) else None)


async def _past_its_time(parts: System, who: Principal, person_id: str) -> list[PastItsTime]:
    """Her line, under the id that her record has now; where that has cases of its own, it stands there."""

    def read(store: Persons) -> tuple[PersonRow, Person] | None:
        row = survivor(store, person_id)
        if row is None or (row.id != person_id and _has_cases(store, row.id)):
            return None
        return row, store.open(row)

    found = await with_persons(parts, who.tenant, read)
    if found is None:
        return []
    view = await retention_of(parts, who, *found)
    if view.hindered_by or view.kept_until is None:
        return []
    name, cases = found[1].called, len(view.cases)
    return [PastItsTime(person_id=view.person_id, name=name, kept_until=view.kept_until, cases=cases)]


def _has_cases(store: Persons, person_id: str) -> bool:
    own = (col(CaseRow.tenant) == store.tenant, col(CaseRow.person_id) == person_id)
    return store.connection.execute(select(CaseRow.id).where(*own).limit(1)).first() is not None


async def retention_of(parts: System, who: Principal, row: PersonRow, person: Person) -> RetentionView:
    """How long her record is kept, and what hinders an erasure now."""
    return await with_persons(parts, who.tenant, lambda store: looked(parts, store, row, person))


def looked(parts: System, store: Persons, row: PersonRow, person: Person) -> RetentionView:
    """The same within a transaction."""
    cases, holds = about(store, row, person)
    kept = [_kept(parts, one, person) for one in cases]
    last = _last_day(parts, row, person, kept)
    hinders = {
        "CaseOpen": any(not one.sealed for one in cases),
        "LegalHold": any(hold.lifted_at is None for hold in holds),
        "RetentionRuns": last is None or last >= datetime.now(UTC).date(),
        "ErasureAsked": being_erased(store, row.id, ("asked", "running")),
    }
    return RetentionView(
        person_id=row.id,
        kept_until=last,
        cases=kept,
        holds=[LegalHold.model_validate(hold) for hold in holds],
        hindered_by=[code for code, hindered in hinders.items() if hindered],
    )


def about(store: Persons, row: PersonRow, person: Person) -> tuple[Sequence[Any], Sequence[Any]]:
    """All her cases, whoever may see them, and all her holds; also of records that were merged into hers."""
    names = names_of(store, {row.id: person})
    cases = select_columns(CaseRow).where(col(CaseRow.tenant) == store.tenant, col(CaseRow.person_id).in_(names))
    holds = select_columns(LegalHoldRow).where(
        col(LegalHoldRow.tenant) == store.tenant, col(LegalHoldRow.person_id).in_(names)
    )
    found = (cases.order_by(col(CaseRow.opened_at)), holds.order_by(col(LegalHoldRow.placed_at)))
    first, second = (store.connection.execute(query).all() for query in found)
    return first, second


def being_erased(store: Persons, person_id: str, statuses: Iterable[str]) -> bool:
    """Whether an erasure of hers stands so, also under a record that was merged into hers."""
    hers = one_person(store.connection, store.tenant, person_id)
    own = (col(ErasureRow.tenant) == store.tenant, col(ErasureRow.person_id).in_(hers))
    query = select(ErasureRow.id).where(*own, col(ErasureRow.status).in_(statuses))
    return store.connection.execute(query).first() is not None


def _kept(parts: System, row: Any, person: Person) -> KeptCase:
    rules, last = parts.rulebook.retention, None
    if rules is not None and row.sealed:
        zone = parts.rulebook.program(row.program, row.program_version).zone
        last = kept_until(rules.of(row.program), row.updated_at.astimezone(zone).date(), person.birth_date)
    return KeptCase(case_id=row.id, program=row.program, kept_until=last)


def _last_day(parts: System, row: PersonRow, person: Person, kept: Sequence[KeptCase]) -> date | None:
    """The last of her cases' days; of somebody without a case, as if one had ended when she was last changed."""
    if kept:
        days = [one.kept_until for one in kept]
        return None if None in days else max(day for day in days if day is not None)
    rules = parts.rulebook.retention
    return kept_until(rules.default, row.updated_at.date(), person.birth_date) if rules else None
