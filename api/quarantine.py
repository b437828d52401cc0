"""What was set aside in the cases one may see: looked at, decided again after a fix, or dismissed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field
from sqlmodel import col, select

from api.commands import REFUSALS, CaseId
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import WHOLE, Seen, require_case, visible
from api.submission import CommandResult, Wish, enveloped, send
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.command import Envelope
from domain.case.quarantine import DismissQuarantined
from domain.values import Opaque
from infra import row_places
from infra.tables import CaseRow, QuarantineRow, StateRow
from infra.timeline import decrypted_state

router = APIRouter(tags=["operations"], max_body_size=BODY_LIMIT)
BY_ID = Order([col(CaseRow.id)])


class Quarantined(BaseModel):
    """A message that could not be read, or a command that met a fault of ours. The case went on without it."""

    case_id: str
    id: str
    kind: str = Field(description="The command's kind; `message` for one that nobody can read")
    fault: str = Field(description="The fault's type; its text could quote what a person has sent")
    at: datetime


@router.get("/quarantine", responses=responses(401, 403, 422, 503))
async def list_quarantined(parts: SystemDep, who: PrincipalDep, page: PagingDep) -> Page[Quarantined]:
    """What is set aside, case by case; a page is cut between cases."""
    query = select(CaseRow).where(visible(parts, who, WHOLE), col(CaseRow.quarantined) > 0)
    async with parts.session() as session:
        rows = list((await session.exec(BY_ID.slice(query, page))).all())
        ids = [row.id for row in rows[: page.limit]]
        kept = (await session.exec(select(StateRow).where(col(StateRow.case_id).in_(ids)))).all()
    items = [item for state in sorted(kept, key=lambda s: s.case_id) for item in _set_aside(parts, state)]
    return Page(items=items, next=BY_ID.cursor(ids[-1]) if len(rows) > page.limit else None)


def _set_aside(parts: System, state: StateRow) -> Iterator[Quarantined]:
    case = decrypted_state(parts.keys, state.state, state.case_id)
    for item in case.set_aside if case else ():
        yield Quarantined(case_id=state.case_id, **item.model_dump())


@router.post("/quarantine/{case_id}/{command_id}/decide-again", responses=REFUSALS)
async def decide_again(
    case_id: CaseId,
    command_id: Annotated[Opaque, Path()],
    parts: SystemDep,
    who: PrincipalDep,
    response: Response,
) -> CommandResult:
    """Send a command again as it was sent, under its sender's name, after the fault is mended.

    Whatever the rules say to it now, what was set aside is settled then, with that as the reason.
    """
    seen = await require_case(parts, who, case_id, action="decide-again")
    envelope = await _kept(parts, who, case_id, command_id)
    try:
        result = await send(parts, who.tenant, case_id, envelope, seen, Wish(key="again"), response)
    except Refusal as refusal:
        if refusal.status != 503:
            await _dismiss(parts, who, case_id, command_id, seen, f"decided again: {refusal.problem.code}")
        raise
    if result.status == "applied":
        await _dismiss(parts, who, case_id, command_id, seen, "decided again: applied")
    return result


async def _kept(parts: System, who: Principal, case_id: str, command_id: str) -> Envelope:
    """The command under an id of its own, the same whenever it is asked for. Raises 404."""
    query = select(QuarantineRow).where(QuarantineRow.case_id == case_id, QuarantineRow.command_id == command_id)
    async with parts.session() as session:
        row = (await session.exec(query.where(QuarantineRow.tenant == who.tenant))).first()
    place = row_places.quarantined(case_id, command_id)
    plain = parts.keys.decrypted(row.envelope, place) if row is not None else None
    if plain is None:
        detail = "nothing of this id can be decided again; a message that nobody can read is dismissed"
        raise Refusal(404, "NotFound", detail)
    again = parts.derived_id(f"again/{case_id}/{command_id}").hex
    return Envelope.model_validate_json(plain).changed(command_id=again, expected_seq=None)


async def _dismiss(parts: System, who: Principal, case_id: str, command_id: str, seen: Seen, reason: str) -> None:
    body: dict[str, Any] = {"quarantined_id": command_id, "reason": reason}
    wish = Wish(key=f"decided-again/{command_id}")
    envelope = enveloped(parts, who, case_id, DismissQuarantined.kind, body, wish)
    try:
        await send(parts, who.tenant, case_id, envelope, replace(seen, outcome=None), Wish(), Response())
    except Refusal as refusal:
        if refusal.problem.code != "UnknownReference":  # it was settled the first time
            raise
