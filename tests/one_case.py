"""A case manager's desk in tests: sends commands straight to one case's workflow."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities.decide import Rules
from activities.settle import Message, Settled, Settling
from activities.states import States
from benchmarks.stage import decrypted
from domain.case.case import Case
from domain.case.command import Envelope, Outcome
from domain.case.event import Position
from domain.simulation import moves
from domain.values import Actor
from infra import database
from infra.database import reading
from infra.encryption import ring_of
from infra.settings import Settings
from infra.tables import CaseRow, CommandRow, TimelineRow
from infra.timeline import folded
from tests.story import ANNA, FORMS, TOOLS, as_json, in_force, referral
from workflows import messages
from workflows.case import CaseLife
from workflows.messages import Life, Live


class Desk:
    """One case, acted on through the real engine."""

    def __init__(
        self,
        environment: WorkflowEnvironment,
        settings: Settings,
        engine: AsyncEngine,
        program: str = "complex-care",
        history_events: int = 300,
        tick_faults: int = 0,
    ) -> None:
        self.environment, self.settings, self.engine = environment, settings, engine
        self.program, self.history_events, self.tick_faults = program, history_events, tick_faults
        self.case_id, self.first_run = uuid.uuid4().hex, ""
        self.id = f"case-local-{self.case_id}"
        self.passed = timedelta()

    @property
    def handle(self) -> WorkflowHandle[CaseLife, None]:
        return self.environment.client.get_workflow_handle_for(CaseLife.run, self.id)

    def envelope(self, kind: str, command_id: str = "", actor: Actor = ANNA, **body: Any) -> Envelope:
        return Envelope(command_id=command_id or uuid.uuid4().hex, kind=kind, body=body, actor=actor)

    async def open(self, wait: bool = True, **more: Any) -> Envelope:
        """Start the case's workflow with the command that opens it."""
        body = {"case_id": self.case_id, "tenant": "local", "program": self.program, "team": "north"}
        opening = self.envelope("open", **{**body, "referral": referral(), **more})
        life = Life(
            tenant="local",
            case_id=self.case_id,
            history_events=self.history_events,
            opening=opening,
            tick_faults=self.tick_faults,
        )
        await self.environment.client.start_workflow(
            CaseLife.run,
            life,
            id=self.id,
            task_queue=self.settings.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        self.first_run = (await self.handle.describe()).run_id
        if wait:
            await self.update(opening)
        return opening

    async def update(self, envelope: Envelope) -> Outcome:
        """Send a command; where the engine does not know what became of it, send it again, as callers do."""
        while True:
            try:
                answer: Outcome = await self.handle.execute_update(
                    messages.SUBMIT, envelope, id=envelope.command_id, result_type=Outcome
                )
                return answer
            except RPCError as fault:
                if fault.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise
            except WorkflowUpdateFailedError as fault:
                if getattr(fault.cause, "type", "") != "AcceptedUpdateCompletedWorkflow":
                    raise

    async def do(self, kind: str, **body: Any) -> Outcome:
        """Send a command that must be applied."""
        outcome = await self.update(self.envelope(kind, **body))
        assert outcome.status == "applied", outcome
        return outcome

    async def refused(self, kind: str, **body: Any) -> str:
        """Send a command that must be refused; return the reason."""
        try:
            outcome = await self.update(self.envelope(kind, **body))
        except WorkflowUpdateFailedError as failure:
            cause = failure.cause
            assert isinstance(cause, ApplicationError)
            return str(cause.details[0]["error"]) if cause.type == "Refused" else str(cause.type)
        if outcome.status == "refused":  # it depended on the staff directory, which the validator does not read
            return str(outcome.error)
        raise AssertionError(f"{kind} was {outcome.status}")

    async def live(self) -> Live:
        return await messages.ask(self.handle, messages.LIVE, Live)

    async def waits(self, command_id: str) -> bool:
        told = await messages.ask(self.handle, messages.WAITING, messages.Waiting, command_id)
        return told.status == "waiting"

    async def outcome(self, command_id: str) -> Outcome | None:
        """What the record says of a command."""
        async with reading(self.engine).connect() as connection:
            query = select(CommandRow.outcome).where(CommandRow.command_id == command_id)
            found = (await connection.execute(query)).scalar()
        return Outcome.model_validate(found) if found else None

    async def case(self) -> Case:
        """The case as its timeline makes it."""
        async with reading(self.engine).connect() as connection:
            found = await connection.run_sync(folded, ring_of(self.settings), self.case_id)
        assert found is not None
        return found

    async def position(self) -> Position:
        """How far the case goes on record."""
        async with reading(self.engine).connect() as connection:
            query = select(CaseRow.seq, CaseRow.head).where(CaseRow.id == self.case_id)
            row = (await connection.execute(query)).one()
        return Position(seq=row.seq, head=row.head)

    async def forward(self, **span: float) -> None:
        """Let the case's own time pass."""
        self.passed += timedelta(**span)
        await self.environment.fast_forward(self.handle, timedelta(**span))

    async def climb(self, kind: str, tell: str) -> None:
        """Let time pass from rung to rung of a promise until somebody is told: no day of the year is another."""
        async with asyncio.timeout(20):
            while True:
                clock = next(c for c in (await self.case()).running if c.kind == kind)
                if tell in [climb.tell for climb in clock.climbs]:
                    return
                span = clock.next_at - datetime.now(UTC) - self.passed if clock.next_at else timedelta()
                if span > timedelta():
                    await self.forward(seconds=span.total_seconds() + 1)
                await asyncio.sleep(0.05)

    async def timeline(self) -> list[Any]:
        async with reading(self.engine).connect() as connection:
            query = select(TimelineRow).where(TimelineRow.case_id == self.case_id).order_by("seq")
            return [decrypted(ring_of(self.settings), row) for row in (await connection.execute(query)).all()]

    async def until(self, condition: Any, seconds: float = 20) -> None:
        """Wait until an awaited condition holds."""
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.05)

    async def walk(self, stage: str = "follow-up", tier: str = "high") -> None:
        """Walk the case up to a stage."""
        await self.open(owner=None)
        await self.do("record-consent", form="verbal")
        await self.do("complete-screening", accepted=True)
        case = await self.case()
        program, rules = in_force().latest(self.program), as_json(self.program)
        today = case.opened_at.astimezone(program.zone).date()
        for kind, body in moves.assess(rules, TOOLS, FORMS, today, tier, ["frequent admissions"]):
            await self.do(kind, **body)
        if stage == "planning":
            return
        await self.do("agree-plan", **moves.plan(rules, date(2029, 12, 1)))
        if stage == "implementation":
            return
        for task in (await self.case()).open_tasks:
            await self.do("complete-task", task_id=task.id)


@contextmanager
def settling(engine: AsyncEngine, settings: Settings) -> Iterator[Settling]:
    """What settles messages without a workflow, as a worker does whose task is lost after it has committed."""
    writing = database.blocking(engine.url)
    states = States(ring_of(settings))
    works = Settling(writing, Rules(in_force()), states)
    yield works
    works.close()
    writing.dispose()


async def settle_and_lose(
    desk: Desk, *envelopes: Envelope, later: timedelta = timedelta(seconds=1)
) -> list[Settled]:
    """Settle messages on record without the knowledge of the running case."""
    begun, lost = await desk.case(), []
    with settling(desk.engine, desk.settings) as works:
        for envelope in envelopes:
            message = Message(
                tenant="local",
                case_id=desk.case_id,
                envelope=envelope,
                now=begun.opened_at + later,
                known=await desk.position(),
            )
            lost.append(await works.settle(message))
    return lost


async def forget(environment: WorkflowEnvironment, workflow_id: str) -> None:
    """Delete a workflow as the engine does when its retention is over; wait until it is gone."""
    client, handle = environment.client, environment.client.get_workflow_handle(workflow_id)
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
    )
    await client.workflow_service.delete_workflow_execution(request)
    async with asyncio.timeout(20):
        while True:
            try:
                await handle.describe()
            except RPCError:
                if not [w async for w in client.list_workflows(f"WorkflowId = '{workflow_id}'")]:
                    return
            await asyncio.sleep(0.05)
