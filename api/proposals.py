"""What feeds told about people who have no case: a lead opens one for it, or says why not."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, or_
from sqlmodel import col, select, update

from api.cases import refer_as
from api.feeds import FeedAnswer, FeedMessage, Told, found_by_feed, open_cases, require_taken, tell_one
from api.pages import Order, Page, PagingDep
from api.problems import Refusal, responses
from api.submission import Wish, untried
from api.system import FEED, Principal, PrincipalDep, System, SystemDep
from domain.values import Instant, Line, Opaque, Role, Slug, Text
from infra import row_places
from infra.notices import settled
from infra.tables import ProposalRow

router = APIRouter(tags=["feeds"])
ProposalId = Annotated[Opaque, Path()]
OLDEST_FIRST = Order([col(ProposalRow.at), col(ProposalRow.id)])
REFUSALS = responses(401, 403, 404, 409, 422, 503)


class Proposal(BaseModel):
    """One message of a feed that found no case, and the programme it was meant for."""

    id: str
    patient: Line
    kind: Slug
    program: Slug
    team: Slug | None
    feed: Opaque
    at: Instant


class Accepted(BaseModel):
    """Who takes the case; the feed's team, or one's own, unless given."""

    model_config = ConfigDict(extra="forbid")

    team: Slug | None = None
    owner: Opaque | None = None


class Dismissed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(examples=["Lives in another county; their programme was called"])


@router.get("/proposals", responses=responses(401, 403, 422, 503))
async def list_proposals(parts: SystemDep, who: PrincipalDep, page: PagingDep) -> Page[Proposal]:
    """What waits for a lead of one's teams, or of no team, the oldest first."""
    query = select(ProposalRow).where(*waiting_for(who))
    async with parts.session() as session:
        rows = list((await session.exec(OLDEST_FIRST.slice(query, page))).all())
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return Page(
        items=[Proposal(patient=_message(parts, row).patient, **row.model_dump()) for row in shown],
        next=OLDEST_FIRST.cursor(shown[-1].at, shown[-1].id) if more else None,
    )


@router.post("/proposals/{proposal_id}/accept", responses=REFUSALS)
async def accept(proposal_id: ProposalId, wanted: Accepted, parts: SystemDep, who: PrincipalDep) -> FeedAnswer:
    """Open a case for the person, and tell it all that waits about her. Where she has one by now, that is told.

    What no case takes is answered as refused and waits on.
    Repeat it where the answer was lost: nothing is opened or told twice.
    """
    row = await _of_id(parts, who, proposal_id)
    cases = await open_cases(parts, who, _message(parts, row).patient)
    opened = None
    if not cases:
        opened = await _open(parts, who, row, wanted)
        cases = [opened]
    told: list[Told] = []
    for waiting in await _of_person(parts, who, row.person_key):
        found = [await _pass_on(parts, waiting, case_id) for case_id in cases]
        if any(one.status != "refused" for one in found):
            await _settle(parts, who, waiting.id, "accepted", None)
        told += [one for one in found if waiting.id == row.id or one.status == "refused"]
    return FeedAnswer(cases=[one.model_copy(update={"opened": one.case_id == opened}) for one in told])


@router.post("/proposals/{proposal_id}/dismiss", status_code=204, responses=REFUSALS)
async def dismiss(proposal_id: ProposalId, why: Dismissed, parts: SystemDep, who: PrincipalDep) -> None:
    """Open no case. Who said so and why is kept, what the feed told is not."""
    row = await _of_id(parts, who, proposal_id)
    await _settle(parts, who, row.id, "dismissed", why.reason)


def waiting_for(who: Principal) -> list[ColumnElement[bool]]:
    """The proposals that this lead may decide on."""
    team = col(ProposalRow.team)
    theirs = [] if who.role is Role.DIRECTOR else [or_(team.is_(None), team.in_(who.teams))]
    return [col(ProposalRow.tenant) == who.tenant, col(ProposalRow.status) == "waiting", *theirs]


async def _of_id(parts: System, who: Principal, proposal_id: str) -> ProposalRow:
    """Raises 404 for one that does not wait for this lead."""
    async with parts.session() as session:
        row = (
            await session.exec(select(ProposalRow).where(ProposalRow.id == proposal_id, *waiting_for(who)))
        ).first()
    if row is None:
        raise Refusal(404, "NotFound", "no proposal of this id waits for you; it may be settled")
    return row


async def _of_person(parts: System, who: Principal, person_key: str) -> list[ProposalRow]:
    query = select(ProposalRow).where(ProposalRow.person_key == person_key, *waiting_for(who))
    async with parts.session() as session:
        return list((await session.exec(query.order_by(col(ProposalRow.at), col(ProposalRow.id)))).all())


async def _open(parts: System, who: Principal, row: ProposalRow, wanted: Accepted) -> str:
    """One case for one person's proposals, whichever lead is first."""
    case_id = await untried(parts, who.tenant, f"{who.tenant}/proposed/{row.id}")
    message = _message(parts, row)
    new = found_by_feed(message, row.program, wanted.team or row.team, wanted.owner)
    require_taken(parts, who, new, row.kind, message)
    return (await refer_as(parts, who, case_id, new, Wish(key=f"proposal/{row.id}"), Response())).case_id


async def _pass_on(parts: System, row: ProposalRow, case_id: str) -> Told:
    """Tell a case under the feed's name: it is the feed that knows what happened."""
    feed = Principal(sub=row.feed, role=Role.INTEGRATOR, tenant=row.tenant, scope=FEED)
    wish = Wish(key=f"proposal/{row.id}")
    return await tell_one(parts, feed, case_id, row.kind, _message(parts, row), wish)


def _message(parts: System, row: ProposalRow) -> FeedMessage:
    plain = parts.keys.decrypted(row.message, row_places.proposal(row.id)) if row.message is not None else None
    if plain is None:
        raise Refusal(409, "Unreadable", "what the feed told cannot be read any more; dismiss it")
    return FeedMessage.model_validate_json(plain)


async def _settle(parts: System, who: Principal, proposal_id: str, status: str, reason: str | None) -> None:
    change = update(ProposalRow).where(col(ProposalRow.id) == proposal_id, *waiting_for(who))
    kept = (
        parts.keys.encrypted_text(reason, row_places.proposal_reason(proposal_id)) if reason is not None else None
    )
    now = datetime.now(UTC)
    values = {"status": status, "settled_by": who.sub, "settled_at": now, "reason": kept}
    async with parts.engine.begin() as connection:
        await connection.execute(change.values(message=None, **values))
        await connection.run_sync(settled, proposal_id, now)
