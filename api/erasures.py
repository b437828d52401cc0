"""Erasing what is known of a person for good: asked for by one, confirmed by another, with a certificate."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import insert, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.headers import WishDep
from api.identity import survivor, with_persons
from api.pages import Order, Page, PagingDep
from api.persons import PersonId, on_record
from api.problems import Refusal, responses
from api.retention import Matter, being_erased, looked, retention_of
from api.submission import carry_on
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Instant
from infra.erasure_tables import ErasedCaseRow, ErasureRow
from infra.persons import Persons
from workflows import messages

router = APIRouter(tags=["retention"])
ErasureId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
REFUSALS = responses(401, 403, 404, 409, 422, 503)
NEWEST_FIRST = Order([col(ErasureRow.asked_at), col(ErasureRow.id)], descending=True)
OVER = ("withdrawn", "incomplete")
EXAMPLE = {"ground": "retention-over"}
WHY_NOT = {
    "CaseOpen": "a case of hers is open, or may still be reopened",
    "LegalHold": "a legal hold keeps her record; lift it first",
    "RetentionRuns": "the time for which it is kept is not over; only an order erases it earlier",
    "ErasureAsked": "her erasure is asked for already; confirm or withdraw that",
}


class NewErasure(BaseModel):
    """Why it is erased. `ordered`: a court, an authority or the law says so, under the number in `matter`."""

    model_config = ConfigDict(extra="forbid")

    ground: Literal["retention-over", "ordered"]
    matter: Matter | None = None

    @model_validator(mode="after")
    def _order_has_a_number(self) -> Self:
        if self.ground == "ordered" and self.matter is None:
            raise ValueError("give the number of the order as matter")
        return self


class ErasedCase(BaseModel):
    """A case whose content is gone; its timeline still follows to this hash, as `make verify` shows."""

    model_config = ConfigDict(from_attributes=True)

    case_id: str
    program: str
    opened_at: Instant
    first: int
    entries: int
    head: str
    erased_at: Instant


class ErasureItem(BaseModel):
    """One erasure. `status` is asked, withdrawn, running, done, or incomplete: a case was at work again."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    person_id: str
    ground: str
    matter: str | None
    status: str
    asked_by: str
    asked_at: Instant
    decided_by: str | None
    decided_at: Instant | None
    finished_at: Instant | None


class ErasureView(ErasureItem):
    """The same with its certificate: what was taken out of which table, the cases, and the seal over both."""

    rows: dict[str, int]
    cases: list[ErasedCase] = []
    seal: str | None = Field(description="A keyed digest of the certificate, which `make verify` compares")


@router.post("/persons/{person_id}/erasures", status_code=201, responses=REFUSALS)
async def ask_erasure(
    person_id: PersonId,
    new: Annotated[NewErasure, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> ErasureView:
    """Ask for the erasure of her record. Another director confirms it; until then nothing is gone."""
    name = f"{who.tenant}/{who.sub}/erasure/{wish.key}"
    erasure_id = (parts.derived_id(name) if wish.key else uuid.uuid4()).hex
    response.headers["Location"] = f"/erasures/{erasure_id}"
    if (known := await _known(parts, who, erasure_id)) is not None:
        if (known.person_id, known.ground, known.matter) != (person_id, new.ground, new.matter):
            raise Refusal(422, "KeyReused", "another erasure was asked for under this Idempotency-Key")
        return known
    row, person = await on_record(parts, who, person_id)
    _require_free((await retention_of(parts, who, row, person)).hindered_by, new.ground)
    asked: dict[str, Any] = {"id": erasure_id, "tenant": who.tenant, "person_id": row.id, "status": "asked"}
    asked |= {"asked_by": who.sub, "asked_at": datetime.now(UTC), "rows": {}, **new.model_dump()}

    def write(store: Persons) -> None:
        store.lock()
        if being_erased(store, row.id, ("asked", "running")):
            raise Refusal(409, "ErasureAsked", WHY_NOT["ErasureAsked"])
        store.connection.execute(insert(ErasureRow).values(**asked))

    await with_persons(parts, who.tenant, write, write=True)
    return await _view(parts, who, erasure_id)


@router.post("/erasures/{erasure_id}/confirm", status_code=202, responses=REFUSALS)
async def confirm_erasure(erasure_id: ErasureId, parts: SystemDep, who: PrincipalDep) -> ErasureView:
    """Erase it, for good; by somebody else than who asked for it. What hinders it now is refused by name."""
    asked = await _view(parts, who, erasure_id)
    if asked.status in OVER:
        raise Refusal(409, "ErasureOver", f"it is {asked.status}; ask anew for what there is still to erase")
    if asked.status == "asked":
        if asked.asked_by == who.sub:
            raise Refusal(403, "SecondPerson", "an erasure is confirmed by somebody else than who asked for it")
        await on_record(parts, who, asked.person_id)

        def free(store: Persons) -> None:
            row = survivor(store, asked.person_id)
            if row is None or row.id != asked.person_id:
                raise Refusal(409, "PersonMerged", "her record was merged since; withdraw this, and ask anew")
            person = store.open(row)
            hindered = looked(parts, store, row, person).hindered_by
            _require_free([code for code in hindered if code != "ErasureAsked"], asked.ground)

        await _decide(parts, who, asked, "running", free)
    if asked.status != "done":
        await carry_on(parts, messages.ERASURE_WORKFLOW, messages.erasure(erasure_id), erasure_id)
    return await _view(parts, who, erasure_id)


@router.post("/erasures/{erasure_id}/withdraw", responses=REFUSALS)
async def withdraw_erasure(erasure_id: ErasureId, parts: SystemDep, who: PrincipalDep) -> ErasureView:
    """Say that it is not to be; only before it is confirmed."""
    asked = await _view(parts, who, erasure_id)
    if asked.status not in ("asked", "withdrawn"):
        raise Refusal(409, "ErasureRuns", "it is confirmed; what is gone is gone")
    if asked.status == "asked":
        await _decide(parts, who, asked, "withdrawn", lambda _: None)
    return await _view(parts, who, erasure_id)


@router.get("/erasures", responses=responses(401, 403, 422, 503))
async def list_erasures(parts: SystemDep, who: PrincipalDep, page: PagingDep) -> Page[ErasureItem]:
    """All that were asked for, the newest first."""
    query = NEWEST_FIRST.slice(select(ErasureRow).where(col(ErasureRow.tenant) == who.tenant), page)
    async with parts.session() as session:
        rows = list((await session.exec(query)).all())
    items = [ErasureItem.model_validate(row) for row in rows[: page.limit]]
    last = items[-1] if len(rows) > page.limit else None
    return Page(items=items, next=NEWEST_FIRST.cursor(last.asked_at, last.id) if last else None)


@router.get("/erasures/{erasure_id}", responses=responses(401, 403, 404, 503))
async def read_erasure(erasure_id: ErasureId, parts: SystemDep, who: PrincipalDep) -> ErasureView:
    """How it stands; of one that is done, its certificate."""
    return await _view(parts, who, erasure_id)


def _require_free(hindered: list[str], ground: str) -> None:
    """Raises 409 with the first of what hinders it; an order does not wait for the time to be over."""
    for code in hindered:
        if code != "RetentionRuns" or ground == "retention-over":
            raise Refusal(409, code, WHY_NOT[code])


async def _decide(
    parts: System, who: Principal, asked: ErasureView, status: str, free: Callable[[Persons], None]
) -> None:
    """Raises what `free` raises within the same transaction, and 409 where somebody else was quicker."""
    own = (col(ErasureRow.id) == asked.id, col(ErasureRow.status) == asked.status)
    decided = {"status": status, "decided_by": who.sub, "decided_at": datetime.now(UTC)}

    def write(store: Persons) -> int:
        store.lock()
        free(store)
        return store.connection.execute(update(ErasureRow).where(*own).values(**decided)).rowcount

    if not await with_persons(parts, who.tenant, write, write=True):
        raise Refusal(409, "Decided", "somebody else has decided on it meanwhile; read it again")


async def _known(parts: System, who: Principal, erasure_id: str) -> ErasureView | None:
    asked = select_columns(ErasureRow).where(
        col(ErasureRow.id) == erasure_id, col(ErasureRow.tenant) == who.tenant
    )
    cases = select_columns(ErasedCaseRow).where(col(ErasedCaseRow.erasure_id) == erasure_id)
    async with parts.connection() as connection:
        row = (await connection.execute(asked)).first()
        erased = (await connection.execute(cases.order_by(col(ErasedCaseRow.case_id)))).all()
    if row is None:
        return None
    view = ErasureView(**row._mapping)
    return view.model_copy(update={"cases": [ErasedCase.model_validate(case) for case in erased]})


async def _view(parts: System, who: Principal, erasure_id: str) -> ErasureView:
    """Raises 404."""
    found = await _known(parts, who, erasure_id)
    if found is None:
        raise Refusal(404, "NotFound", "there is no such erasure")
    return found
