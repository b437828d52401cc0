"""One route for each command of the catalogue, and what became of a command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Response
from pydantic import BaseModel, JsonValue
from sqlmodel import col, select
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from api.examples import EXAMPLES
from api.headers import WishDep
from api.outcomes import recorded, recorded_if_it_answers
from api.problems import ADVICE, BODY_LIMIT, Refusal, responses, unknown
from api.scope import require_case
from api.submission import CommandResult, enveloped, send
from api.system import Principal, PrincipalDep, RecordSilent, System, SystemDep, require_role
from domain.command import Command, Outcome
from domain.commands import FROM_PEOPLE
from infra.tables import TimelineRow
from infra.temporal import workflow_id
from workflows import messages

router = APIRouter(tags=["commands"], max_body_size=BODY_LIMIT)
CaseId = Annotated[str, Path(pattern="^[A-Za-z0-9]{1,64}$")]
REFUSALS = responses(401, 403, 404, 409, 412, 413, 422, 500, 503)
ASK_SECONDS = 1.5
UNTOUCHED = 2  # events of a workflow that was started and that no worker has seen


class CommandAnswer(BaseModel):
    """What became of a command: `applied`, `refused`, `failed`, or `queued` while it waits its turn."""

    case_id: str
    command_id: str
    status: str
    outcome: Outcome | None = None


def _endpoint(command: type[Command]) -> Callable[..., Awaitable[CommandResult]]:
    async def endpoint(
        case_id: CaseId,
        body: Any,
        parts: SystemDep,
        who: PrincipalDep,
        wish: WishDep,
        response: Response,
    ) -> CommandResult:
        said: dict[str, JsonValue] = body.model_dump(mode="json", exclude_unset=True)
        envelope = enveloped(who, case_id, command.kind, said, wish)
        known = await require_case(parts, who, case_id, envelope.command_id)
        require_role(who, *command.roles)
        result = await send(parts, who, case_id, envelope, known, wish, response)
        return result.model_copy(update={"advice": command.advice})

    example = EXAMPLES[command.kind]
    endpoint.__annotations__["body"] = Annotated[command, Body(openapi_examples={"example": {"value": example}})]
    endpoint.__doc__ = command.__doc__
    return endpoint


ADVICE.update({command.kind: command.advice for command in FROM_PEOPLE if command.advice})
for _command in FROM_PEOPLE:
    router.add_api_route(
        f"/cases/{{case_id}}/commands/{_command.kind}",
        _endpoint(_command),
        methods=["POST"],
        name=_command.kind,
        operation_id=_command.kind.replace("-", "_"),
        summary=_command.says,
        response_model=CommandResult,
        responses={202: {"model": CommandResult, "description": "Queued; ask at Location"}, **REFUSALS},
    )


@router.post("/cases/{case_id}/commands/{kind}", include_in_schema=False)
async def unknown_command(case_id: CaseId, kind: str, who: PrincipalDep) -> CommandResult:
    """Any other kind is refused by name, with those that there are."""
    kinds = [command.kind for command in FROM_PEOPLE]
    raise Refusal(
        404, "UnknownCommand", "there is no such command; `missing` lists those there are", missing=kinds
    )


@router.get("/cases/{case_id}/commands/{command_id}", responses=responses(401, 404, 503))
async def read_command(
    case_id: CaseId, command_id: CaseId, parts: SystemDep, who: PrincipalDep, response: Response
) -> CommandAnswer:
    """What became of a command, from the record or from the case itself."""
    await _require_command_scope(parts, who, case_id, command_id)
    try:
        outcome, silent = await recorded(parts, who.tenant, case_id, command_id), False
    except RecordSilent:
        outcome, silent = None, True
    if outcome is None:
        if await _opening_waits(parts, who.tenant, case_id):
            response.status_code = 202
            return CommandAnswer(case_id=case_id, command_id=command_id, status="queued")
        live = await _ask(parts, who.tenant, case_id, command_id)
        if live.status == "waiting":
            response.status_code = 202
            return CommandAnswer(case_id=case_id, command_id=command_id, status="queued")
        if live.outcome is None and silent:
            raise unknown(case_id, command_id)
        if live.outcome is None:
            raise Refusal(
                404,
                "UnknownCommandId",
                "no command of this id changed the case: it never arrived, or was refused at once",
                command_id=command_id,
            )
        outcome = live.outcome
    return CommandAnswer(case_id=case_id, command_id=command_id, status=outcome.status, outcome=outcome)


async def _require_command_scope(parts: System, who: Principal, case_id: str, command_id: str) -> None:
    """A refused opening has no case; its outcome may be asked for by whoever is given its id.

    So may what one has sent oneself, also when one has given the case away with it.
    """
    try:
        await require_case(parts, who, case_id)
    except Refusal as refusal:
        outcome = await recorded_if_it_answers(parts, who.tenant, case_id, command_id)
        refused_opening = outcome is not None and outcome.kind == "open" and outcome.status == "refused"
        if refused_opening or await _sent_by(parts, who, case_id, command_id):
            return
        if not await _opening_waits(parts, who.tenant, case_id):
            raise refusal from None


async def _sent_by(parts: System, who: Principal, case_id: str, command_id: str) -> bool:
    wanted = {"case_id": case_id, "command_id": command_id, "actor": who.sub, "tenant": who.tenant}
    mine = [col(getattr(TimelineRow, name)) == value for name, value in wanted.items()]
    try:
        return await parts.look_up(select(col(TimelineRow.seq)).where(*mine).limit(1), {}) is not None
    except RecordSilent:
        return False


async def _opening_waits(parts: System, tenant: str, case_id: str) -> bool:
    """Whether the engine holds a case that no worker has opened yet; its ids are known to its sender only."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            found = await parts.client.get_workflow_handle(workflow_id(tenant, case_id)).describe()
    except (RPCError, TimeoutError, RuntimeError):
        return False
    return found.status is WorkflowExecutionStatus.RUNNING and found.history_length <= UNTOUCHED


async def _ask(parts: System, tenant: str, case_id: str, command_id: str) -> messages.Answer:
    handle: Any = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await messages.ask(handle, messages.ANSWER, messages.Answer, command_id)
    except messages.SILENT as fault:
        if isinstance(fault, RPCError) and fault.status is RPCStatusCode.NOT_FOUND:
            return messages.Answer(status="unknown")
        raise unknown(case_id, command_id) from None
