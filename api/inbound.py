"""What feeds of HL7 v2 have sent and no rule could place: looked at, given to a person, tried again, set aside."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, and_, or_, update
from sqlmodel import col, select

from api.feeds import Told
from api.inbound_work import Placed, raw_of, write_down
from api.pages import Order, Page, PagingDep
from api.persons import give_identifiers, on_record
from api.problems import BODY_LIMIT, Refusal, responses
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Instant, Opaque, Role, Slug, Text
from exchange import hl7_message
from exchange.hl7_meaning import Because, identifiers
from infra import catalog, row_places
from infra.inbound_tables import InboundRow

router = APIRouter(tags=["feeds"], max_body_size=BODY_LIMIT)
MessageId = Annotated[Opaque, Path()]
IN_ORDER = Order([col(InboundRow.n)])
REFUSALS = responses(401, 403, 404, 409, 422, 503)
State = Literal["waiting", "done", "nothing", "open", "discarded"]


class Inbound(BaseModel):
    """A message of a feed and what became of it; what it says of whom is in the message alone."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    feed: Slug
    event: str = Field(description="Type and event, such as adt-a03")
    received_at: Instant
    state: State
    because: str | None = Field(description="Why it waits for a person, or is nothing for any case")
    seen: int = Field(description="How often the sender has sent the very same message")
    cases: list[Told] = Field(description="What the person's cases said to it")
    settled_by: str | None
    settled_at: Instant | None


class InboundMessage(Inbound):
    """The same with the message as it came."""

    text: str


class Whose(BaseModel):
    """Whom a message is about."""

    model_config = ConfigDict(extra="forbid")

    person_id: Opaque


class Discard(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(examples=["A test of the hospital's; she is nobody of ours"])


class InboundFilter(BaseModel):
    """Which messages are shown."""

    state: State = "open"
    feed: Slug | None = None


@router.get("/inbound", responses=responses(401, 403, 422, 503))
async def list_inbound(
    parts: SystemDep, who: PrincipalDep, page: PagingDep, wanted: Annotated[InboundFilter, Query()]
) -> Page[Inbound]:
    """Messages of the feeds of one's teams, or of no team, in the order of arrival.

    Those that wait for a person, unless another `state` is asked for.
    """
    where = [*_theirs(who), col(InboundRow.state) == wanted.state]
    where += [col(InboundRow.feed) == wanted.feed] if wanted.feed else []
    async with parts.session() as session:
        rows = list((await session.exec(IN_ORDER.slice(select(InboundRow).where(*where), page))).all())
    shown = rows[: page.limit]
    more = IN_ORDER.cursor(shown[-1].n) if len(rows) > page.limit else None
    return Page(items=[Inbound.model_validate(row) for row in shown], next=more)


@router.get("/inbound/{message_id}", responses=responses(401, 403, 404, 409, 422, 503))
async def read_inbound(message_id: MessageId, parts: SystemDep, who: PrincipalDep) -> InboundMessage:
    """One message as it came, whatever its character set."""
    row = await _of_id(parts, who, message_id)
    try:
        feed = catalog.feeds().get(row.feed)
        text = hl7_message.text_of(raw_of(parts, row), feed.charset if feed else "utf-8")
    except ValueError:
        raise Refusal(409, "Unreadable", "the message cannot be read any more; discard it with a reason") from None
    return InboundMessage(**Inbound.model_validate(row).model_dump(), text=text.replace("\r", "\n"))


@router.post("/inbound/{message_id}/assign", responses=REFUSALS)
async def assign_inbound(message_id: MessageId, whose: Whose, parts: SystemDep, who: PrincipalDep) -> Inbound:
    """Say whom a message is about: her cases are told within seconds, and so is every other of this patient.

    The sender's number becomes one of hers, so that the next message finds her by itself.
    """
    row = await _waits(parts, who, message_id)
    person, _ = await on_record(parts, who, whose.person_id)
    feed = catalog.feeds().get(row.feed)
    if row.because == Because.UNMATCHED and feed is not None:
        about = identifiers(hl7_message.read(raw_of(parts, row), feed.charset), feed)
        await give_identifiers(parts, who, person.id, about)
    return await _again(parts, who, row, {"person_id": person.id})


@router.post("/inbound/{message_id}/work-again", responses=REFUSALS)
async def work_again(message_id: MessageId, parts: SystemDep, who: PrincipalDep) -> Inbound:
    """Try a message again after what was wrong is put right: the person's number, the feed's file, a case."""
    return await _again(parts, who, await _waits(parts, who, message_id), {})


@router.post("/inbound/{message_id}/discard", status_code=204, responses=REFUSALS)
async def discard_inbound(message_id: MessageId, why: Discard, parts: SystemDep, who: PrincipalDep) -> None:
    """Leave it at what became of it. It stays on record, with who said so and why."""
    row = await _waits(parts, who, message_id)
    reason = parts.keys.encrypted_text(why.reason, row_places.inbound_reason(row.id))
    placed = Placed("discarded", row.because, tuple(Told.model_validate(told) for told in row.cases))
    if not await write_down(parts, row, placed, **_settled(who), reason=reason):
        raise Refusal(409, "NotWaiting", "somebody else has just decided on this message")


def unplaced_for(who: Principal) -> list[ColumnElement[bool]]:
    """What waits for this lead."""
    return [*_theirs(who), col(InboundRow.state) == "open"]


def _theirs(who: Principal) -> list[ColumnElement[bool]]:
    team = col(InboundRow.team)
    own = [] if who.role is Role.DIRECTOR else [or_(team.is_(None), team.in_(who.teams))]
    return [col(InboundRow.tenant) == who.tenant, *own]


async def _of_id(parts: System, who: Principal, message_id: str) -> InboundRow:
    """Raises 404 for one that is not this lead's."""
    async with parts.session() as session:
        found = await session.exec(select(InboundRow).where(InboundRow.id == message_id, *_theirs(who)))
        row = found.first()
    if row is None:
        raise Refusal(404, "NotFound", "there is no message of this id in the feeds of your teams")
    return row


async def _waits(parts: System, who: Principal, message_id: str) -> InboundRow:
    row = await _of_id(parts, who, message_id)
    if row.state != "open":
        raise Refusal(409, "NotWaiting", f"this message waits for nobody: it is {row.state}")
    return row


async def _again(parts: System, who: Principal, row: InboundRow, more: dict[str, Any]) -> Inbound:
    """Give it back to be worked off; with whose it is, all that waits of the same patient goes to her."""
    unknown = col(InboundRow.because).in_((Because.UNMATCHED, Because.AMBIGUOUS))
    which = col(InboundRow.id) == row.id
    which = or_(which, and_(col(InboundRow.lane) == row.lane, unknown)) if more else which
    change = update(InboundRow).where(which, *_theirs(who), col(InboundRow.state) == "open")
    values = {"state": "waiting", "because": None, "tries": col(InboundRow.tries) + 1, **_settled(who), **more}
    async with parts.engine.begin() as connection:
        await connection.execute(change.values(**values))
    return Inbound.model_validate(await _of_id(parts, who, row.id))


def _settled(who: Principal) -> dict[str, Any]:
    return {"settled_by": who.sub, "settled_at": datetime.now(UTC)}
