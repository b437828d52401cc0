"""A case manager's desk in tests: sends commands straight to one case's workflow."""

import asyncio
import uuid
from datetime import date, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities.record import Message, Recording
from deploy import moves
from domain.case import Case
from domain.command import Envelope, Moment, Outcome
from domain.decide import decide
from domain.record import Page
from domain.values import Actor
from infra.settings import Settings
from infra.tables import TimelineRow
from tests.story import ANNA, TOOLS, as_json, in_force, referral
from workflows import messages
from workflows.case import CaseWorkflow
from workflows.messages import LOOP, Answer, Life, Live


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

    @property
    def handle(self) -> WorkflowHandle[CaseWorkflow, None]:
        return self.environment.client.get_workflow_handle_for(CaseWorkflow.run, self.id)

    def envelope(self, kind: str, command_id: str = "", actor: Actor = ANNA, **body: Any) -> Envelope:
        return Envelope(command_id=command_id or uuid.uuid4().hex, kind=kind, body=body, actor=actor)

    async def open(self, wait: bool = True, **more: Any) -> Envelope:
        """Start the case's workflow with the command that opens it."""
        body = {"case_id": self.case_id, "tenant": "local", "program": self.program, "team": "north"}
        opening = self.envelope("open", **{**body, "referral": referral(), **more})
        life = Life(
            loop=LOOP,
            tenant="local",
            case_id=self.case_id,
            history_events=self.history_events,
            opening=opening,
            tick_faults=self.tick_faults,
        )
        await self.environment.client.start_workflow(
            CaseWorkflow.run,
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

    async def answer(self, command_id: str) -> Answer:
        return await messages.ask(self.handle, messages.ANSWER, Answer, command_id)

    async def case(self) -> Case:
        found = (await self.live()).case
        assert found is not None
        return found

    async def forward(self, **span: float) -> None:
        """Let the case's own time pass."""
        await self.environment.fast_forward(self.handle, timedelta(**span))

    async def timeline(self) -> list[TimelineRow]:
        async with self.engine.connect() as connection:
            query = select(TimelineRow).where(TimelineRow.case_id == self.case_id).order_by("seq")
            return [row for row in (await connection.execute(query)).all()]  # type: ignore[misc]

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
        for kind, body in moves.assess(rules, TOOLS, today, tier, ["frequent admissions"]):
            await self.do(kind, **body)
        if stage == "planning":
            return
        await self.do("agree-plan", **moves.plan(rules, date(2029, 12, 1)))
        if stage == "implementation":
            return
        for task in (await self.case()).open_tasks:
            await self.do("complete-task", task_id=task.id)


async def write_ahead(
    desk: Desk, recording: Recording, *envelopes: Envelope, later: timedelta = timedelta(seconds=1), by: str = ""
) -> Case:
    """Put decisions on record that the running case does not know, as a lost workflow task leaves them; or,
    with another `by`, as they stand there when the engine was set back.
    """
    begun, page = await desk.case(), Page()
    case: Case | None = begun
    now = begun.opened_at + later
    by = by or f"{desk.first_run}/{(await desk.handle.describe()).history_length}"
    for envelope in envelopes:
        decision = decide(envelope, case, Moment(now, in_force()))
        page, case = page.followed(case, decision.entries)
        page = page.answered(decision.outcome)
    await recording.record(Message(tenant="local", case_id=desk.case_id, page=page, by=by))
    assert case is not None
    return case
