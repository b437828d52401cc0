"""Sends one command to each of many cases, some at a time, and writes down what became of each."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select
from temporalio import activity
from temporalio.client import Client

from domain.case.command import Envelope, Outcome
from domain.case.event import Position
from domain.values import Actor, Role, Value
from infra.caseload import lightest
from infra.settings import Settings
from infra.tables import BulkActionRow, BulkItemRow, CaseRow, CommandRow
from infra.temporal import workflow_id
from workflows import messages

SECONDS = 5.0
ONCE = 20  # cases that are asked at the same time
Row = Any


class Progress(Value):
    """How a bulk action stands: whether it goes on, and how many of its cases were settled in this round."""

    running: bool
    settled: int


class Acting:
    """Holds the record, which has the list of cases, and the engine, to reach them."""

    def __init__(self, engine: Engine, client: Client, settings: Settings) -> None:
        self._engine, self._client, self._settings = engine, client, settings

    @activity.defn(name="carry_on")
    async def carry_on(self, action_id: str, most: int) -> Progress:
        """Send the command to the next cases of the list. One that cannot tell stays on it and is asked again.

        The command's id is the action's and the case's: asked twice, a case does it once.
        """
        action, cases = await asyncio.to_thread(self._next, action_id, min(most, ONCE))
        if action is None or action.status != "running":
            return Progress(running=False, settled=0)
        told = await asyncio.gather(*(self._ask(action, case) for case in cases))
        return await asyncio.to_thread(self._note, action_id, [result for result in told if result])

    def _next(self, action_id: str, most: int) -> tuple[Row, list[Row]]:
        waiting = (
            select_columns(
                col(BulkItemRow.case_id),
                col(BulkItemRow.chosen),
                col(CaseRow.team),
                col(CaseRow.owner),
                col(CaseRow.seq),
                col(CaseRow.head),
            )
            .join(CaseRow, col(CaseRow.id) == col(BulkItemRow.case_id))
            .where(col(BulkItemRow.action_id) == action_id, col(BulkItemRow.status) == "waiting")
            .order_by(col(BulkItemRow.case_id))
            .limit(most)
        )
        table = BulkActionRow.__table__  # type: ignore[attr-defined]
        with self._engine.begin() as connection:
            action = connection.execute(select_columns(table).where(table.c.id == action_id)).first()
            cases: list[Row] = list(connection.execute(waiting).all())
            if action is not None and action.to_lightest:
                for case in cases:
                    self._choose(connection, action, case)
                cases = list(connection.execute(waiting).all())
        return action, cases

    def _choose(self, connection: Connection, action: Row, case: Row) -> None:
        """Choose who takes a case, once: asked again, the same person is named."""
        if case.chosen is None:
            kept_out = {case.owner} if case.owner else set()
            person = lightest(connection, action.tenant, case.team or "", datetime.now(UTC), kept_out)
            mine = (col(BulkItemRow.action_id) == action.id, col(BulkItemRow.case_id) == case.case_id)
            connection.execute(update(BulkItemRow).where(*mine).values(chosen=person or ""))

    async def _ask(self, action: Row, case: Row) -> dict[str, Any] | None:
        """What became of one case; None where nobody can tell yet."""
        if action.to_lightest and not case.chosen:
            detail = "nobody else of the team is active and present"
            return {"case_id": case.case_id, "status": "refused", "code": "NobodyToTakeIt", "detail": detail}
        envelope = _command(action, case)
        outcome = await asyncio.to_thread(self._recorded, case.case_id, envelope.command_id)
        outcome = outcome or await self._send(action.tenant, case, envelope)
        if outcome is None:
            return None
        said = {"status": outcome.status, "code": outcome.error, "detail": outcome.detail}
        return {"case_id": case.case_id, **said}

    async def _send(self, tenant: str, case: Row, envelope: Envelope) -> Outcome | None:
        name = workflow_id(tenant, case.case_id)
        try:
            return await messages.submit(self._client.get_workflow_handle(name), envelope, SECONDS)
        except messages.TooManyWait:
            return None
        except messages.Unknown:
            life = messages.Life(
                tenant=tenant,
                case_id=case.case_id,
                history_events=self._settings.history_events,
                known=Position(seq=case.seq, head=case.head),
            )
            queue = self._settings.task_queue
            await messages.wake(self._client, name, queue, life, messages.SUBMIT_LATER, envelope)
            return None

    def _recorded(self, case_id: str, command_id: str) -> Outcome | None:
        mine = (col(CommandRow.case_id) == case_id, col(CommandRow.command_id) == command_id)
        with self._engine.connect() as connection:
            found = connection.execute(select(CommandRow.outcome).where(*mine)).scalar()
        return Outcome.model_validate(found) if found else None

    def _note(self, action_id: str, told: list[dict[str, Any]]) -> Progress:
        of_it = col(BulkItemRow.action_id) == action_id
        mine = col(BulkActionRow.id) == action_id
        with self._engine.begin() as connection:
            for result in told:
                case = (of_it, col(BulkItemRow.case_id) == result["case_id"])
                connection.execute(update(BulkItemRow).where(*case).values(**result))
            waiting = select(func.count()).where(of_it, col(BulkItemRow.status) == "waiting")
            left = connection.execute(waiting).scalar_one()
            connection.execute(update(BulkActionRow).where(mine).values(touched_at=datetime.now(UTC)))
            if not left:
                running = (mine, col(BulkActionRow.status) == "running")
                connection.execute(update(BulkActionRow).where(*running).values(status="done"))
        return Progress(running=left > 0, settled=len(told))


def _command(action: Row, case: Row) -> Envelope:
    body = {**action.body, "owner": case.chosen} if action.to_lightest else action.body
    return Envelope(
        command_id=f"{action.id}.{case.case_id[:47]}",
        kind=action.command,
        body=body,
        actor=Actor(subject=action.actor, role=Role(action.actor_role)),
    )
