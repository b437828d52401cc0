"""One route for each command of the catalogue, and what became of a command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Response
from pydantic import BaseModel, JsonValue
from sqlalchemy import bindparam
from sqlalchemy import select as select_columns
from sqlmodel import col
from temporalio.service import RPCError, RPCStatusCode

from api.headers import WishDep
from api.problems import ADVICE, BODY_LIMIT, Refusal, responses, unknown
from api.scope import require_case, require_own_task
from api.submission import CommandResult, enveloped, send
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.command import Command, Outcome
from domain.commands import FROM_PEOPLE
from domain.steps.intake import Open
from infra.tables import CommandRow, QueuedRow
from infra.temporal import workflow_id
from workflows import messages

router = APIRouter(tags=["commands"], max_body_size=BODY_LIMIT)
CaseId = Annotated[str, Path(pattern="^[A-Za-z0-9]{1,64}$")]
REFUSALS = responses(401, 403, 404, 409, 412, 413, 422, 500, 503)
ASK_SECONDS = 1.5


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
        envelope = enveloped(parts, who, case_id, command.kind, said, wish)
        seen = await require_case(parts, who, case_id, envelope.command_id, command.kind, feed=command.feed)
        await require_own_task(parts, who, case_id, command.kind, said, seen)
        result = await send(parts, who.tenant, case_id, envelope, seen, wish, response)
        return result.model_copy(update={"advice": command.advice})

    shown = Body(openapi_examples={"example": {"value": command.example}})
    endpoint.__annotations__["body"] = Annotated[command, shown]
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
    """What became of a command, from the record. What the record could not be told of, the workflow knows."""
    wanted = {"case_id": case_id, "command_id": command_id, "tenant": who.tenant}
    outcome, sent, reserved = await _on_record(parts, who, wanted)
    if not sent:
        await require_case(parts, who, case_id)
    if outcome is None and (reserved or await _waits(parts, who.tenant, case_id, command_id)):
        response.status_code = 202
        return CommandAnswer(case_id=case_id, command_id=command_id, status="queued")
    if outcome is None:  # it may have been decided while we asked
        outcome, *_ = await _on_record(parts, who, wanted)
    if outcome is None:
        detail = "no command of this id changed the case: it never arrived, or was refused at once"
        raise Refusal(404, "UnknownCommandId", detail, command_id=command_id)
    return CommandAnswer(case_id=case_id, command_id=command_id, status=outcome.status, outcome=outcome)


async def _on_record(parts: System, who: Principal, wanted: dict[str, str]) -> tuple[Outcome | None, bool, bool]:
    """The outcome of a command; whether this person sent it, or it opened no case: then its id is enough.

    And whether it is written down to be decided, which is seen to until it is.
    """
    row = await parts.look_up(_COMMAND, wanted)
    if row is None:
        reserved = await parts.look_up(_RESERVED, wanted)
        return None, reserved is not None and reserved.actor == who.sub, reserved is not None and reserved.kept
    outcome = Outcome.model_validate(row.outcome)
    refused_opening = outcome.kind == Open.kind and outcome.status != "applied"
    return outcome, row.actor == who.sub or refused_opening, False


async def _waits(parts: System, tenant: str, case_id: str, command_id: str) -> bool:
    """Whether a command waits to be decided. Raises 503 where nobody can tell."""
    handle: Any = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        async with asyncio.timeout(ASK_SECONDS):
            answer = await messages.ask(handle, messages.WAITING, messages.Waiting, command_id)
            return answer.status == "waiting"
    except messages.SILENT as fault:
        if isinstance(fault, RPCError) and fault.status is RPCStatusCode.NOT_FOUND:
            return False
        raise unknown(case_id, command_id) from None


def _by_id(model: Any, *columns: Any) -> Any:
    names = ("case_id", "command_id", "tenant")
    return select_columns(*columns).where(*(col(getattr(model, name)) == bindparam(name) for name in names))


_COMMAND = _by_id(CommandRow, col(CommandRow.outcome), col(CommandRow.actor))
_RESERVED = _by_id(QueuedRow, col(QueuedRow.actor), col(QueuedRow.envelope).is_not(None).label("kept"))
