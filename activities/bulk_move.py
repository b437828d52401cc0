"""Asks the cases of a programme to move to another version, some at a time, each by a durable command."""

from sqlalchemy import Engine
from sqlmodel import col, select
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.command import Envelope
from domain.moving import BulkMove, MoveToProgramVersion
from domain.values import Value
from infra.tables import CaseRow
from infra.temporal import workflow_id
from workflows import messages


class Page(Value):
    """The next cases of a bulk move."""

    move: BulkMove
    limit: int


class BulkMoving:
    """Holds the record, to find the cases, and the engine, to reach them."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self._engine, self._client = engine, client

    @activity.defn(name="ask_next")
    async def ask_next(self, page: Page) -> list[str]:
        """Send the command to the next open cases of the old version; return their ids, none at the end.

        The command's id is the move's and the case's: asked twice, a case moves once.
        """
        ids = self._next(page)
        for case_id in ids:
            await self._ask(page.move, case_id)
        return ids

    def _next(self, page: Page) -> list[str]:
        move = page.move
        query = (
            select(col(CaseRow.id))
            .where(
                col(CaseRow.tenant) == move.tenant,
                col(CaseRow.program) == move.program,
                col(CaseRow.program_version) == move.from_version,
                col(CaseRow.status) == "open",
                col(CaseRow.id) > move.state.after,
            )
            .order_by(col(CaseRow.id))
            .limit(page.limit)
        )
        with self._engine.connect() as connection:
            return [str(case_id) for case_id in connection.execute(query).scalars()]

    async def _ask(self, move: BulkMove, case_id: str) -> None:
        envelope = Envelope(
            command_id=f"{move.id}.{case_id[:32]}",
            kind=MoveToProgramVersion.kind,
            body={"version": move.to_version, "reason": move.reason},
            actor=move.actor,
        )
        handle = self._client.get_workflow_handle(workflow_id(move.tenant, case_id))
        try:
            await handle.signal(messages.SUBMIT_LATER, envelope)
        except RPCError as fault:
            if fault.status is not RPCStatusCode.NOT_FOUND:  # a case that ended meanwhile needs no moving
                raise
