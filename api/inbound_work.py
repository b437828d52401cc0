"""Works off what feeds of HL7 v2 have sent: whose it is, what it means, and her cases told.

While the record or the engine is away a message waits and is tried again; one that a rule cannot place waits for
a person (`GET /inbound`). Told again after a kill it changes nothing: each part has a key of its own.
"""

from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import structlog
from fastapi import Response
from sqlalchemy import Connection, exists, func, update
from sqlmodel import col, select

from api.cases import refer_as
from api.feeds import FeedMessage, Told, found_by_feed, open_cases_of, require_taken, tell_one
from api.identity import by_identifiers, names_of, survivor, with_persons
from api.problems import Refusal
from api.submission import Wish
from api.system import FEED, Principal, System
from domain.persons.person import Person
from domain.programs.feed import Feed
from domain.steps.transitions import RecordTransition
from domain.values import Role
from exchange import hl7_message
from exchange.hl7_meaning import Because, Meaning, fit, meaning
from exchange.hl7_stay import Other, ToTell, changes_its_kind, to_tell
from infra import row_places
from infra.inbound_tables import InboundRow
from infra.notice_tables import OutboxRow
from infra.notices import settled, tell_leads
from infra.persons import Persons

log = structlog.get_logger()
SUBJECT = "inbound"
# What a case says of a stay that is none of its own business, or over for long: nobody need look at it.
NOT_FOR_IT = {"UnknownSetting": Because.NO_STAY, "TooLongAgo": Because.TOO_LONG_AGO}


class Placed(NamedTuple):
    """What became of a message."""

    state: str
    because: str | None = None
    cases: tuple[Told, ...] = ()


REFUSED = Placed("open", Because.REFUSED)


class NotYet(Exception):
    """A case has the message and has not decided on it: nobody knows yet whether it takes it."""


class Nobody(Exception):
    """The message names nobody who is known, or several; `because` says which."""

    def __init__(self, because: Because) -> None:
        super().__init__(because)
        self.because = because


async def work_off(parts: System, feed: Feed, row: InboundRow) -> Placed:
    """Place one message and write down what became of it. Raises `NotYet`, or `Refusal` (5xx), where it waits."""
    try:
        placed = await _placed(parts, feed, row)
    except Nobody as nobody:
        placed = Placed("open", nobody.because)
    except (hl7_message.Unreadable, ValueError):
        placed = Placed("open", Because.UNREADABLE)
    await write_down(parts, row, placed)
    log.info("inbound_worked", feed=row.feed, message=row.event, state=placed.state, because=placed.because)
    return placed


async def _placed(parts: System, feed: Feed, row: InboundRow) -> Placed:
    message = hl7_message.read(raw_of(parts, row), feed.charset)
    if fit(message, feed)[0] != "AA":
        return Placed("open", Because.UNREADABLE)
    said = meaning(message, feed)
    others = await _of_the_stay(parts, feed, row) if row.visit else []
    if said.people is None and changes_its_kind(said, others):
        return Placed("open", Because.STAY_CHANGED)
    if not said.stays:
        return Placed("open" if said.people else "nothing", said.people or said.nothing)
    holds = to_tell(said, others)
    if not holds and not said.people:
        return Placed("nothing", Because.SUPERSEDED)
    person_id = row.person_id or await _person(parts, row.tenant, said)
    cases = await _open_cases(parts, row.tenant, person_id)
    if not cases:
        found = await _found(parts, feed, row, said)
        if isinstance(found, Placed):
            return found
        cases = [found]
    told = [one for n, part in enumerate(holds) for one in await _tell(parts, row, cases, n, part)]
    return _summed_up(said, told)


async def _of_the_stay(parts: System, feed: Feed, row: InboundRow) -> list[Other]:
    """The other messages of a stay that were worked off. What a case refused, or somebody set aside, says nothing.

    One patient's messages are worked off one after another: what still waits here has not been said yet.
    """
    query = select(InboundRow).where(
        col(InboundRow.tenant) == row.tenant,
        col(InboundRow.visit) == row.visit,
        col(InboundRow.id) != row.id,
        col(InboundRow.answer) == "AA",
        col(InboundRow.state).in_(("done", "nothing", "open")),
    )
    async with parts.session() as session:
        rows = list((await session.exec(query)).all())
    void = (Because.REFUSED, Because.UNREADABLE, Because.FAULT)
    return [
        Other(
            said=meaning(hl7_message.read(raw_of(parts, other), feed.charset), feed),
            told=any(told["status"] != "refused" for told in other.cases),
            later=(other.sent_at, other.n or 0) > (row.sent_at, row.n or 0),
        )
        for other in rows
        if other.because not in void
    ]


def _summed_up(said: Meaning, told: list[Told]) -> Placed:
    if any(one.status == "queued" for one in told):
        raise NotYet
    refused = [one for one in told if one.status == "refused"]
    others = [one for one in refused if one.code not in NOT_FOR_IT]
    cases = tuple(told)
    if said.people or others:
        return Placed("open", said.people or Because.REFUSED, cases)
    if len(refused) == len(told):
        return Placed("nothing", NOT_FOR_IT[refused[0].code or ""], cases)
    return Placed("done", None, cases)


async def _person(parts: System, tenant: str, said: Meaning) -> str:
    found = await with_persons(parts, tenant, lambda store: list(by_identifiers(store, said.about)))
    if len(found) != 1:
        raise Nobody(Because.AMBIGUOUS if found else Because.UNMATCHED)
    return found[0]


async def _open_cases(parts: System, tenant: str, person_id: str) -> list[str]:
    """Her open cases, under whichever record of hers they were opened."""

    def names(store: Persons) -> list[str]:
        row = survivor(store, person_id)
        return list(names_of(store, {row.id: store.open(row)})) if row is not None else [person_id]

    return await open_cases_of(parts, tenant, await with_persons(parts, tenant, names))


async def _found(parts: System, feed: Feed, row: InboundRow, said: Meaning) -> str | Placed:
    """A case for somebody known who has none, where the feed names a programme that finds cases; else why not."""
    stay, nobodys = said.stays[-1], Because.NO_CASE
    if said.people is not None:
        return Placed("open", said.people)
    if feed.open_in is None or stay.retracted:
        return Placed("nothing", nobodys)
    if row.person_id is not None or not parts.rulebook.latest(feed.open_in, row.received_at).case_finding:
        return Placed("open", nobodys)  # whose it is was said by a lead, who opens the case as well
    who, message = _sender(row), FeedMessage(patient=row.lane, command=_body(row, ToTell(stay, 0)))
    new = found_by_feed(message, feed.open_in, feed.team)
    new = new.model_copy(update={"person": Person(identifiers=said.about)})  # her number alone says who she is
    try:
        require_taken(parts, who, new, RecordTransition.kind, message)
        case_id = parts.derived_id(f"{row.tenant}/inbound/{row.id}")
        return (await refer_as(parts, who, case_id, new, Wish(key="found"), Response())).case_id
    except Refusal as refusal:
        if refusal.status >= 500:
            raise
        return Placed("nothing", Because.TOO_LONG_AGO) if refusal.problem.code == "TooLongAgo" else REFUSED


async def _tell(parts: System, row: InboundRow, cases: list[str], n: int, part: ToTell) -> list[Told]:
    message = FeedMessage(patient=row.lane, command=_body(row, part))
    who, wish = _sender(row), Wish(key=f"inbound/{row.id}/{row.tries}/{n}")
    return [await tell_one(parts, who, case_id, RecordTransition.kind, message, wish) for case_id in cases]


def _body(row: InboundRow, part: ToTell) -> dict[str, Any]:
    """What `record-transition` takes.

    What was taken back is so for good: what the sender tells of the stay after that is a fact of its own, with the
    number of times that it was `taken_back` in its id, and stands by its time and setting.
    """
    stay, again = part
    at: date = stay.at
    said = {
        "event_id": f"{row.visit}.{stay.event}" + (f".{again}" if again else ""),
        "event": stay.event,
        "setting": stay.setting,
        "occurred_at": at.isoformat(),
        "retracted": stay.retracted,
    }
    said |= {} if again else {"encounter": row.visit}
    return {**said, "disposition": stay.disposition.value} if stay.disposition else said


def _sender(row: InboundRow) -> Principal:
    return Principal(sub=row.feed, role=Role.INTEGRATOR, tenant=row.tenant, scope=FEED)


def raw_of(parts: System, row: InboundRow) -> bytes:
    """A message as it came. Raises `ValueError` where somebody has changed it by hand."""
    plain = parts.keys.decrypted(bytes(row.sealed), row_places.inbound(row.id))
    if plain is None:
        raise ValueError("the message was changed outside the system")
    return plain


async def write_down(parts: System, row: InboundRow, placed: Placed, **more: Any) -> bool:
    """What became of a message; leads hear once of each patient of whom something waits for them.

    False where somebody else has decided on it since `row` was read: then nothing is changed.
    """
    now = datetime.now(UTC)
    values = {"state": placed.state, "because": placed.because, "cases": [c.model_dump() for c in placed.cases]}
    as_read = (col(InboundRow.id) == row.id, col(InboundRow.state) == row.state)
    change = update(InboundRow).where(*as_read).values(**values, **more)

    def write(connection: Connection) -> bool:
        if not connection.execute(change).rowcount:
            return False
        waits = exists().where(
            col(InboundRow.tenant) == row.tenant, col(InboundRow.lane) == row.lane, col(InboundRow.state) == "open"
        )
        if not connection.execute(select(waits)).scalar():
            settled(connection, row.lane, now)
        elif placed.state == "open":
            tell_once(parts, connection, row, now)
        return True

    async with parts.engine.begin() as connection:
        return await connection.run_sync(write)


def tell_once(parts: System, connection: Connection, row: InboundRow, now: datetime) -> None:
    """Tell the leads, unless they have not read yet that something of this patient waits."""
    unread = select(func.count()).where(col(OutboxRow.case_id) == row.lane, col(OutboxRow.read_at).is_(None))
    if not connection.execute(unread).scalar_one():
        tell_leads(connection, parts.keys, row.tenant, row.team, row.lane, SUBJECT, now)
