"""Who looked at what, for auditors and directors: by person, case, actor and time; as CSV too."""

import csv
import io
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from api.identity import with_persons
from api.pages import Order, Page, PagingDep
from api.problems import responses
from api.reports import safe_cell
from api.system import PrincipalDep, SystemDep
from domain.values import Instant, Opaque, Slug
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
    format: Literal["json", "csv"] = "json"


@router.get("/audit", responses=responses(401, 403, 422, 503), response_model=Page[AuditItem])
async def read_audit(
    parts: SystemDep, who: PrincipalDep, page: PagingDep, wanted: Annotated[AuditFilter, Query()]
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
        query = query.where(col(AuditRow.person_id).in_(ids) | col(AuditRow.case_id).in_(cases))
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
    asked = {**wanted.model_dump(exclude_none=True, mode="json"), "limit": page.limit}
    return _csv(items, following, asked) if wanted.format == "csv" else Page(items=items, next=following)


def _csv(items: list[AuditItem], following: str | None, asked: dict[str, Any]) -> Response:
    """A page as a file; `asked` is what it was asked by, for the next one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(AuditItem.model_fields), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: safe_cell(value) for name, value in item.model_dump().items()} for item in items)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    if following is not None:
        again = {**asked, "format": "csv", "cursor": following}
        headers["Link"] = f'</audit?{urlencode(again)}>; rel="next"'
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
