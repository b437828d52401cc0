"""Sends one command to each of many cases, some at a time, and writes down what became of each."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import col
from temporalio import activity

from activities.reach import Reach
from domain.case.command import Envelope, Outcome
from domain.case.event import Position
from domain.values import Actor, Instant, Role, Value
from infra import row_places
from infra.caseload import lightest
from infra.encryption import KeyRing
from infra.tables import BulkActionRow, BulkItemRow, CaseRow, CommandRow
from workflows import messages

SECONDS = 5.0
ONCE = 20  # cases that are asked at the same time
LEFT, NOT_LEFT = timedelta(minutes=10), timedelta(minutes=1)  # asked again after, where the command waits, or not
ID_SHARE = 47  # characters of the case's id: with the action's they make a command's id of 64
Row = Any


class Progress(Value):
    """How a bulk action stands: whether it goes on, and how many of its cases were asked in this round."""

    running: bool
    asked: int


class Told(Value):
    """What became of one case, or when it is to be asked again."""

    case_id: str
    status: str = "waiting"
    code: str | None = None
    detail: str | None = None
    ask_again_at: Instant | None = None


class Acting:
    """Holds the record, which has the list of cases, its keys, and the engine, to reach them."""

    def __init__(self, engine: Engine, keys: KeyRing, reach: Reach) -> None:
        self._engine, self._keys, self._reach = engine, keys, reach

    @activity.defn(name="carry_on")
    async def carry_on(self, action_id: str, most: int) -> Progress:
        """Send the command to the next cases of the list. One that cannot tell stays on it; the others go first.

        The command's id is the action's and the case's: asked twice, a case does it once.
        """
        now = datetime.now(UTC)
        action, cases = await asyncio.to_thread(self._next, action_id, min(most, ONCE), now)
        if action is None or action.status != "running":
            return Progress(running=False, asked=0)
        told = await asyncio.gather(*(self._ask(action, case, now) for case in cases))
        running = await asyncio.to_thread(self._write, action_id, told, now)
        return Progress(running=running, asked=len(cases))

    def _next(self, action_id: str, most: int, now: datetime) -> tuple[Row, list[Row]]:
        """The action and the cases to ask now, after those that have answered meanwhile were written down."""
        table = BulkActionRow.__table__  # type: ignore[attr-defined]
        with self._engine.begin() as connection:
            action = connection.execute(select_columns(table).where(table.c.id == action_id)).first()
            _note(connection, action_id, _answered(connection, action_id))
            cases = _waiting(connection, action_id, most, now)
            if action is not None and action.to_lightest:
                for case in cases:
                    _choose(connection, action, case, now)
                cases = _waiting(connection, action_id, most, now)
        return action, cases

    async def _ask(self, action: Row, case: Row, now: datetime) -> Told:
        if action.to_lightest and not case.chosen:
            detail = "nobody else of the team is active and present"
            return Told(case_id=case.case_id, status="refused", code="NobodyToTakeIt", detail=detail)
        tenant, envelope = action.tenant, _command(self._keys, action, case)
        try:
            outcome = await messages.submit(self._reach.handle(tenant, case.case_id), envelope, SECONDS)
        except messages.TooManyWait:
            return Told(case_id=case.case_id, ask_again_at=now + NOT_LEFT)
        except messages.Unknown:
            known = Position(seq=case.seq, head=case.head)
            left = await self._reach.wake(tenant, case.case_id, known, messages.SUBMIT_LATER, envelope)
            return Told(case_id=case.case_id, ask_again_at=now + (LEFT if left else NOT_LEFT))
        return _told(case.case_id, outcome)

    def _write(self, action_id: str, told: Iterable[Told], now: datetime) -> bool:
        """Write down what the cases said; whether any of the list is left."""
        mine = col(BulkActionRow.id) == action_id
        waits = (col(BulkItemRow.action_id) == action_id, col(BulkItemRow.status) == "waiting")
        with self._engine.begin() as connection:
            _note(connection, action_id, told)
            left = connection.execute(select_columns(func.count()).where(*waits)).scalar_one()
            connection.execute(update(BulkActionRow).where(mine).values(touched_at=now))
            if not left:
                running = (mine, col(BulkActionRow.status) == "running")
                connection.execute(update(BulkActionRow).where(*running).values(status="done"))
        return left > 0


def _waiting(connection: Connection, action_id: str, most: int, now: datetime) -> list[Row]:
    """The cases that may be asked now; those that were never asked first."""
    item, again = BulkItemRow, col(BulkItemRow.ask_again_at)
    row = (col(item.case_id), col(item.chosen), col(CaseRow.team), col(CaseRow.owner))
    query = (
        select_columns(*row, col(CaseRow.seq), col(CaseRow.head))
        .join(CaseRow, col(CaseRow.id) == col(item.case_id))
        .where(col(item.action_id) == action_id, col(item.status) == "waiting")
        .where(or_(again.is_(None), again <= now))
        .order_by(again.asc().nulls_first(), col(item.case_id))
        .limit(most)
    )
    return list(connection.execute(query).all())


def _answered(connection: Connection, action_id: str) -> list[Told]:
    """What is on record of the cases that are still waited for: they answered late, or a worker died meanwhile."""
    item = BulkItemRow
    query = (
        select_columns(col(CommandRow.case_id), col(CommandRow.outcome))
        .join(item, col(item.case_id) == col(CommandRow.case_id))
        .where(col(item.action_id) == action_id, col(item.status) == "waiting")
        .where(col(CommandRow.command_id) == f"{action_id}." + func.substr(col(item.case_id), 1, ID_SHARE))
    )
    rows = connection.execute(query).all()
    return [_told(row.case_id, Outcome.model_validate(row.outcome)) for row in rows]


def _choose(connection: Connection, action: Row, case: Row, now: datetime) -> None:
    """Choose who takes a case, once: asked again, the same person is named."""
    if case.chosen is None:
        kept_out = {case.owner} if case.owner else set()
        person = lightest(connection, action.tenant, case.team or "", now, kept_out)
        mine = (col(BulkItemRow.action_id) == action.id, col(BulkItemRow.case_id) == case.case_id)
        connection.execute(update(BulkItemRow).where(*mine).values(chosen=person or ""))


def _note(connection: Connection, action_id: str, told: Iterable[Told]) -> None:
    for result in told:
        mine = (col(BulkItemRow.action_id) == action_id, col(BulkItemRow.case_id) == result.case_id)
        connection.execute(update(BulkItemRow).where(*mine).values(**dict(result)))


def _told(case_id: str, outcome: Outcome) -> Told:
    return Told(case_id=case_id, status=outcome.status, code=outcome.error, detail=outcome.detail)


def _command(keys: KeyRing, action: Row, case: Row) -> Envelope:
    body = json.loads(keys.decrypted_text(action.body["encrypted"], row_places.bulk_action(action.id)))
    if action.to_lightest:
        body["owner"] = case.chosen
    return Envelope(
        command_id=f"{action.id}.{case.case_id[:ID_SHARE]}",
        kind=action.command,
        body=body,
        actor=Actor(subject=action.actor, role=Role(action.actor_role)),
    )
