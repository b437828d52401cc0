"""What was looked at in an emergency, for whoever reviews it."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from sqlmodel import col, select

from api.audit import AuditItem
from api.commands import CaseId
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.system import PrincipalDep, SystemDep
from domain.values import Slug
from infra.tables import AuditRow

router = APIRouter(tags=["audit"], max_body_size=BODY_LIMIT)


class Looked(BaseModel):
    """An emergency look: by whom, from when until when, and every request that was made of the case meanwhile."""

    access_id: str
    by: str
    since: datetime
    until: datetime
    requests: list[AuditItem]


@router.get("/cases/{case_id}/accesses/{access_id}", responses=responses(401, 403, 404, 503))
async def read_access(case_id: CaseId, access_id: Slug, parts: SystemDep, who: PrincipalDep) -> Looked:
    """What was looked at under an emergency look that is not reviewed yet."""
    found = await read_case(parts, who, case_id, "read-access")
    access = next((a for a in found.case.accesses if a.id == access_id), None)
    if access is None:
        raise Refusal(404, "NotFound", "there is no such look, or it is reviewed: its outcome is in the timeline")
    during: Any = (
        col(AuditRow.tenant) == who.tenant,
        col(AuditRow.actor) == access.by,
        col(AuditRow.case_id) == case_id,
        col(AuditRow.at) >= access.since,
        col(AuditRow.at) <= access.until,
    )
    async with parts.session() as session:
        rows = (await session.exec(select(AuditRow).where(*during).order_by(col(AuditRow.at)))).all()
    requests = [AuditItem.model_validate(row) for row in rows]
    return Looked(access_id=access.id, by=access.by, since=access.since, until=access.until, requests=requests)
