"""Who looked at what, for auditors and directors: by person, case, actor and time; as CSV too."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from api.identity import with_persons
from api.pages import Order, Page, PagingDep
from api.problems import responses
from api.system import PrincipalDep, SystemDep
from api.tables import Format, page_as
from domain.values import Instant, Opaque, Slug
from infra.erasure_tables import ErasedCaseRow, ErasureRow
from infra.tables import AuditRow, CaseRow

router = APIRouter(tags=["audit"])
NEWEST_FIRST = Order([col(AuditRow.at), col(AuditRow.writer), col(AuditRow.n)], descending=True)


class AuditItem(BaseModel):
    """One look, change or refusal: a status from 400 on is a refusal."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    actor: str
    role: str
    action: str
    case_id: str | None
    person_id: str | None
    status: int
    address: str
    purpose: str | None


class AuditFilter(BaseModel):
    """Whose looks, at what, and when."""

    actor: Opaque | None = None
    case_id: Opaque | None = None
    person_id: Opaque | None = None
    action: Slug | None = None
    first: Instant | None = None
    last: Instant | None = None
    format: Format = "json"


@router.get("/audit", responses=responses(401, 403, 422, 503), response_model=Page[AuditItem])
async def read_audit(
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    wanted: Annotated[AuditFilter, Query()],
    request: Request,
) -> Any:
    """Every read, list, search, export, change of staff or person, and refusal, the newest first.

    By person: also what was looked at in her cases. A command that was taken stands in its case's timeline.
    """
    query = select(AuditRow).where(AuditRow.tenant == who.tenant)
    for name in ("actor", "case_id", "action"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(col(getattr(AuditRow, name)) == value)
    if (person_id := wanted.person_id) is not None:
        merged = await with_persons(parts, who.tenant, lambda store: store.together([person_id]))
        ids = [person_id, *merged]
        cases = select(CaseRow.id).where(CaseRow.tenant == who.tenant, col(CaseRow.person_id).in_(ids))
        gone = (
            select(ErasedCaseRow.case_id)
            .join(ErasureRow, col(ErasureRow.id) == col(ErasedCaseRow.erasure_id))
            .where(ErasureRow.tenant == who.tenant, col(ErasureRow.person_id).in_(ids))
        )
        hers = col(AuditRow.case_id).in_(cases) | col(AuditRow.case_id).in_(gone)
        query = query.where(col(AuditRow.person_id).in_(ids) | hers)
    if wanted.first is not None:
        query = query.where(col(AuditRow.at) >= wanted.first)
    if wanted.last is not None:
        query = query.where(col(AuditRow.at) <= wanted.last)
    async with parts.session() as session:
        rows = list((await session.exec(NEWEST_FIRST.slice(query, page))).all())
    shown = rows[: page.limit]
    items = [AuditItem.model_validate(row) for row in shown]
    last = shown[-1] if len(rows) > page.limit else None
    following = NEWEST_FIRST.cursor(last.at, last.writer, last.n) if last else None
    return page_as(wanted.format, "audit", Page(items=items, next=following), AuditItem, request)
