"""Referrals that a programme's criteria refused: no case was opened, and yet it is known that somebody asked."""

import contextlib
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, responses
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Role, Slug
from infra.person_tables import RefusedReferralRow

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)
NEWEST_FIRST = Order([col(RefusedReferralRow.at), col(RefusedReferralRow.id)], descending=True)
KEPT = ("NotEligible",)  # what a programme refuses of a person; what the sender got wrong is the sender's


class RefusedReferral(BaseModel):
    """One referral that was refused. Two of one person have the same `person_key`, which names nobody."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    at: datetime
    by: str
    team: str | None
    program: str
    version: int
    source: str
    code: str
    lacking: list[str] = Field(description="The criteria that were not met, by title")
    person_key: str


async def keep(
    parts: System, who: Principal, command_id: str, team: str, refused: tuple[str, str, str], lacking: list[str]
) -> None:
    """Write a refusal down: programme, source and reference of the referral, and what was lacking.

    The same request sent again is the same referral: it has the id of its command, and counts once.
    """
    program, source, reference = refused
    now = datetime.now(UTC)
    row = RefusedReferralRow(
        id=parts.derived_id(f"{who.tenant}/refused-by/{command_id}").hex,
        tenant=who.tenant,
        at=now,
        by=who.sub,
        team=team,
        program=program,
        version=parts.rulebook.latest(program, now).version,
        source=source,
        code=KEPT[0],
        person_key=parts.derived_id(f"{who.tenant}/refused/{reference}").hex,
        lacking=lacking,
    )
    with contextlib.suppress(IntegrityError):  # it is written down already
        async with parts.session() as session:
            session.add(row)
            await session.commit()


@router.get("/refused-referrals", responses=responses(401, 403, 422))
async def list_refused_referrals(
    parts: SystemDep, who: PrincipalDep, page: PagingDep, program: Annotated[Slug | None, Query()] = None
) -> Page[RefusedReferral]:
    """Whom the programmes' criteria refused, for one's teams, the newest first, and what was lacking."""
    query = select(RefusedReferralRow).where(RefusedReferralRow.tenant == who.tenant)
    if who.role not in (Role.DIRECTOR, Role.AUDITOR):
        own = col(RefusedReferralRow.by) == who.sub
        query = query.where(or_(col(RefusedReferralRow.team).in_(who.teams), own))
    if program is not None:
        query = query.where(RefusedReferralRow.program == program)
    async with parts.session() as session:
        rows = list((await session.exec(NEWEST_FIRST.slice(query, page))).all())
    shown = rows[: page.limit]
    more = NEWEST_FIRST.cursor(shown[-1].at, shown[-1].id) if len(rows) > page.limit else None
    return Page(items=[RefusedReferral.model_validate(row) for row in shown], next=more)
