"""Referrals as other systems send them: FHIR R4 bundles."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel

from api.cases import NewCase, refer
from api.commands import REFUSALS
from api.headers import WishDep
from api.problems import Refusal
from api.submission import CommandResult
from api.system import PrincipalDep, SystemDep
from domain.case.case import Referral, Source
from domain.values import Day, Opaque, Slug, YesNo
from exchange.fhir_bundle import Issue
from exchange.fhir_referral import read


class ReferralOutcome(BaseModel):
    """FHIR's OperationOutcome: what was left out of the bundle."""

    resourceType: Literal["OperationOutcome"] = "OperationOutcome"
    issue: list[Issue]


class ReferralResult(CommandResult):
    """What became of a referral, and what was left out of its bundle."""

    outcome: ReferralOutcome | None = None


BUNDLE_LIMIT = 16 * 1024 * 1024
router = APIRouter(tags=["cases"])


@router.post("/referrals/fhir", status_code=201, responses=REFUSALS, max_body_size=BUNDLE_LIMIT)
async def refer_bundle(
    bundle: Annotated[dict[str, Any], Body(description="A FHIR R4 Bundle about one patient")],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
    program: Annotated[Slug, Query()],
    source: Source = Source.CARE_TEAM,
    team: Slug | None = None,
    owner: Opaque | None = None,
    target_group: Slug | None = None,
    person_id: Annotated[Opaque | None, Query(description="Who she is, where she is on record already")] = None,
    is_new: Annotated[YesNo, Query(description="She is none of those whom a 409 has named")] = False,
    as_of: Annotated[Day | None, Query(description="The day the referral is made; today unless given")] = None,
) -> ReferralResult:
    """Refer the patient of a bundle: conditions and medications in force, encounters of the year before.

    The reason is read from its ServiceRequest, where there is one. What could not be read is left out, and stands
    in `outcome` beside the answer; what is about another patient refuses the bundle.
    """
    today = datetime.now(UTC).date()
    if as_of is not None and as_of > today + timedelta(days=1):
        raise Refusal(422, "DayInTheFuture", "`as_of` is the day of the referral, and not one to come")
    found = await asyncio.to_thread(read, bundle, as_of or today)
    new = NewCase(
        program=program,
        referral=Referral(source=source, reason=found.reason, patient=found.patient),
        person=found.person,
        person_id=person_id,
        is_new=is_new,
        owner=owner,
        team=team,
        target_group=target_group,
    )
    result = await refer(parts, who, new, wish, response)
    return ReferralResult(
        **result.model_dump(), outcome=ReferralOutcome(issue=found.issues) if found.issues else None
    )
