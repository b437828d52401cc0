"""Quality review: which cases are looked at, drawn so that anybody can draw them again."""

import hashlib
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlmodel import col, select

from api.problems import BODY_LIMIT, responses
from api.scope import WHOLE, visible
from api.system import PrincipalDep, SystemDep
from domain.values import Opaque, Slug
from infra.tables import CaseRow

router = APIRouter(tags=["supervision"], max_body_size=BODY_LIMIT)


class Sample(BaseModel):
    """The cases drawn for review in a month."""

    month: str
    share: float
    cap: int
    of: int
    case_ids: list[str]


@router.get("/quality-reviews/sample", responses=responses(401, 403, 422))
async def sample(
    parts: SystemDep,
    who: PrincipalDep,
    month: Annotated[str, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="2026-11")],
    owner: Opaque | None = None,
    team: Slug | None = None,
) -> Sample:
    """Draw cases that were open in a month: a share up to a cap, by setting, the same at every draw."""
    query = select(CaseRow.id, CaseRow.opened_at, CaseRow.updated_at, CaseRow.status).where(
        visible(parts, who, WHOLE)
    )
    if owner is not None:
        query = query.where(col(CaseRow.owner) == owner)
    if team is not None:
        query = query.where(col(CaseRow.team) == team)
    async with parts.session() as session:
        rows = (await session.exec(query)).all()
    first, last = _span(month)
    there = [r[0] for r in rows if r[1].date() < last and (r[3] == "open" or r[2].date() >= first)]
    drawn = sorted(there, key=lambda case_id: hashlib.sha256(f"{month}/{case_id}".encode()).digest())
    share, cap = parts.settings.review_share, parts.settings.review_cap
    count = min(cap, -(-len(there) * round(share * 1000) // 1000))
    return Sample(month=month, share=share, cap=cap, of=len(there), case_ids=drawn[:count])


def _span(month: str) -> tuple[date, date]:
    year, number = int(month[:4]), int(month[5:])
    return date(year, number, 1), date(year + number // 12, number % 12 + 1, 1)
