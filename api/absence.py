"""One's own absence: until when, and who covers. Nothing is moved, so that it returns by itself at its end."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import col, select, update

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, SystemDep
from domain.values import Instant, Opaque
from infra.tables import StaffRow

router = APIRouter(tags=["staff"], max_body_size=BODY_LIMIT)
EXAMPLE = {"absent_until": "2030-07-14T08:00:00-04:00", "cover": "cm-ben"}


class Absence(BaseModel):
    """Until when somebody is away, and who covers. Her notices go there, and her work stands in that list too."""

    model_config = ConfigDict(extra="forbid")

    absent_until: Instant | None = Field(description="null ends the absence now")
    cover: Opaque | None = None


@router.put("/me/absence", responses=responses(401, 409, 422, 503))
async def set_absence(
    wanted: Annotated[Absence, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> Absence:
    """Say that you are away and who covers; while you are, `group=covering` is your work in that person's list."""
    if wanted.absent_until is not None and wanted.absent_until <= datetime.now(UTC):
        raise Refusal(422, "DayInThePast", "give an end after now, or null to be back")
    if wanted.absent_until is not None and wanted.cover is None:
        raise Refusal(422, "CoverMissing", "name who covers, so that your work has somebody")
    mine = (col(StaffRow.tenant) == who.tenant, col(StaffRow.subject) == who.sub)
    cover = select(StaffRow.active, StaffRow.absent_until).where(
        col(StaffRow.tenant) == who.tenant, col(StaffRow.subject) == wanted.cover
    )
    async with parts.engine.begin() as connection:
        there = (await connection.execute(cover)).first()
        away = there is not None and there.absent_until is not None and there.absent_until > datetime.now(UTC)
        if wanted.cover == who.sub or (wanted.cover is not None and (there is None or not there.active or away)):
            raise Refusal(409, "UnknownStaff", "choose somebody who is at work here, and not you")
        change = update(StaffRow).where(*mine).values(absent_until=wanted.absent_until, cover=wanted.cover)
        if (await connection.execute(change)).rowcount == 0:
            raise Refusal(409, "UnknownStaff", "you are in no directory: ask a supervisor to add you")
    return wanted
