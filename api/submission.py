"""How a command travels: update first, the signal as the durable fallback, always under one id.

2xx is a promise; a refusal changed nothing; everything else is unknown, and repeating it with the same key
is safe (docs/decisions/0017).
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi import Response
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy import bindparam, delete, exists, insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import col, select
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from api.problems import Refusal, place, unknown
from api.scope import Seen, require_case
from api.system import Principal, System
from domain.case.command import ERASED, Envelope, Outcome
from domain.case.event import Position
from domain.steps.intake import Open
from infra import row_places
from infra.encryption import derived_id
from infra.tables import CaseRow, CommandRow, QueuedRow
from infra.temporal import workflow_id
from workflows import messages

log = structlog.get_logger()
UPDATE_SHARE, START_SECONDS = 0.7, 2.0
STATUS_OF = {"NotPermitted": 403, "CaseChanged": 412}
_OUTCOME = select(col(CommandRow.outcome)).where(
    *(col(getattr(CommandRow, name)) == bindparam(name) for name in ("case_id", "command_id", "tenant"))
)

MOST_ATTEMPTS = 20
_REFUSED = select(col(CommandRow.command_id)).where(
    col(CommandRow.case_id) == bindparam("case_id"),
    col(CommandRow.tenant) == bindparam("tenant"),
    col(CommandRow.kind) == Open.kind,
    col(CommandRow.status) == "refused",
    ~exists().where(col(CaseRow.id) == col(CommandRow.case_id)),
)
_RESERVED = select(col(QueuedRow.fingerprint)).where(
    *(col(getattr(QueuedRow, name)) == bindparam(name) for name in ("case_id", "command_id"))
)


class CommandResult(BaseModel):
    """A command that was applied, or that is durably queued and will be decided."""

    case_id: str
    command_id: str
    status: str = Field(description="`applied`, or `queued`: ask at `Location`")
    seq: int | None = Field(default=None, description="The number of the case's last event after it")
    events: list[str] = Field(default=[], description="The kinds of the events that it brought about")
    created: list[str] = Field(default=[], description="Ids of what it created: tasks, referrals, approvals …")
    advice: str | None = Field(default=None, description="What the sender must know in any case")


@dataclass(frozen=True)
class Wish:
    """How the sender wants it: the key that makes repeating safe, the state it is meant for, whether to wait."""

    key: str | None = None
    expected_seq: int | None = None
    later: bool = False


def command_id(index_key: bytes, who: Principal, scope: str, key: str | None) -> str:
    """The id of a command: the same for the same sender, case and key, and opaque, for engines show ids."""
    if key is None:
        return uuid.uuid4().hex
    return derived_id(index_key, f"{who.tenant}/{who.sub}/{scope}/{key}").hex


async def submit(
    parts: System,
    who: Principal,
    case_id: str,
    kind: str,
    body: dict[str, JsonValue],
    wish: Wish,
    response: Response,
) -> CommandResult:
    """Send a command to a case that this person may see, and say what became of it. Raises `Refusal`."""
    envelope = enveloped(parts, who, case_id, kind, body, wish)
    seen = await require_case(parts, who, case_id, envelope.command_id, kind)
    return await send(parts, who.tenant, case_id, envelope, seen, wish, response)


def enveloped(
    parts: System, who: Principal, case_id: str, kind: str, body: dict[str, JsonValue], wish: Wish
) -> Envelope:
    """The command as it travels."""
    return Envelope(
        command_id=command_id(parts.index_key, who, case_id, wish.key),
        kind=kind,
        body=body,
        actor=who.actor,
        expected_seq=wish.expected_seq,
    )


async def send(
    parts: System, tenant: str, case_id: str, envelope: Envelope, seen: Seen, wish: Wish, response: Response
) -> CommandResult:
    """Send a command to a case that was seen on record. Raises `Refusal`."""
    structlog.contextvars.bind_contextvars(case_id=case_id, command_id=envelope.command_id, kind=envelope.kind)
    if seen.outcome is not None:
        return answer(case_id, same_request(seen.outcome, envelope), response)
    if seen.sealed:
        raise Refusal(409, "CaseSealed", "the window for reopening is over; refer the person again")
    envelope = envelope.changed(seen=seen.known.seq)
    if not wish.later:
        try:
            outcome = await _update(parts, tenant, case_id, envelope)
        except messages.Unknown:
            pass
        else:
            return answer(case_id, outcome, response)
    async with _reserved(parts, tenant, case_id, envelope):
        await _signal(parts, tenant, case_id, envelope, seen.known)
    return queued(case_id, envelope.command_id, response)


async def open_case(
    parts: System, tenant: str, case_id: str, envelope: Envelope, later: bool, response: Response
) -> CommandResult:
    """Start a case with the command that opens it. The start itself is the durable queue."""
    structlog.contextvars.bind_contextvars(case_id=case_id, command_id=envelope.command_id, kind=envelope.kind)
    life = _life(parts, tenant, case_id).changed(opening=envelope)
    if not later:
        try:
            return answer(case_id, await _start_and_update(parts, tenant, life, envelope), response)
        except messages.Unknown:
            pass
    async with _reserved(parts, tenant, case_id, envelope):
        await _start(parts, tenant, life, envelope)
    return queued(case_id, envelope.command_id, response)


async def recorded(parts: System, tenant: str, case_id: str, command_id: str) -> Outcome | None:
    """The outcome that the record has under this id, however old. Raises `RecordSilent`."""
    row = await parts.look_up(_OUTCOME, {"case_id": case_id, "command_id": command_id, "tenant": tenant})
    return Outcome.model_validate(row.outcome) if row is not None else None


async def untried(parts: System, tenant: str, name: str) -> uuid.UUID:
    """The id of a case that something of ours opens: the same for all who ask, until one was refused under it.

    Then whoever asks again, and perhaps says something else, is decided anew; two who ask at once open one case.
    """
    for attempt in range(MOST_ATTEMPTS):
        case_id = parts.derived_id(f"{name}/{attempt}" if attempt else name)
        if await parts.look_up(_REFUSED, {"case_id": case_id.hex, "tenant": tenant}) is None:
            return case_id
    raise Refusal(409, "TooMany", f"an opening was refused {MOST_ATTEMPTS} times; refer the person yourself")


def same_request(outcome: Outcome, envelope: Envelope) -> Outcome:
    """The engine and the record answer by id alone: see that it was asked the same thing. Raises 422."""
    if outcome.error != ERASED and outcome.fingerprint != envelope.fingerprint:
        raise key_reused(envelope.command_id)
    return outcome


def key_reused(command: str) -> Refusal:
    return Refusal(
        422, "KeyReused", "this Idempotency-Key was used for another request; take a new one", command_id=command
    )


def answer(case_id: str, outcome: Outcome, response: Response) -> CommandResult:
    """The HTTP answer for an outcome. Raises `Refusal` unless it was applied."""
    if outcome.status == "failed":
        raise Refusal(
            500, "RuleFailed", "the command was set aside and changed nothing", command_id=outcome.command_id
        )
    if outcome.status == "refused":
        status = STATUS_OF.get(outcome.error or "", 422 if outcome.invalid else 409)
        raise Refusal(
            status,
            outcome.error or "Refused",
            outcome.detail or "",
            missing=list(outcome.missing),
            command_id=outcome.command_id,
        )
    log.info("answered", status=outcome.status, seq=outcome.seq)
    response.headers["ETag"] = f'"{outcome.seq}"'
    return CommandResult(
        case_id=case_id,
        command_id=outcome.command_id,
        status="applied",
        seq=outcome.seq,
        events=list(outcome.events),
        created=list(outcome.created),
    )


def queued(case_id: str, command: str, response: Response) -> CommandResult:
    log.info("answered", status="queued")
    response.status_code = 202
    response.headers["Location"] = place(case_id, command)
    return CommandResult(case_id=case_id, command_id=command, status="queued")


def _life(parts: System, tenant: str, case_id: str) -> messages.Life:
    return messages.Life(tenant=tenant, case_id=case_id, history_events=parts.settings.history_events)


async def _update(parts: System, tenant: str, case_id: str, envelope: Envelope) -> Outcome:
    """Raises `messages.Unknown`, also for an engine that was emptied: the signal begins the case again."""
    handle = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        outcome = await messages.submit(handle, envelope, parts.settings.update_seconds * UPDATE_SHARE)
    except messages.TooManyWait:
        raise _too_many() from None
    return same_request(outcome, envelope)


def _too_many() -> Refusal:
    detail = "too many messages of this case wait for the record; nothing was changed"
    return Refusal(503, "TooManyWait", detail, {"Retry-After": "5"})


async def _start_and_update(parts: System, tenant: str, life: messages.Life, envelope: Envelope) -> Outcome:
    operation: Any = WithStartWorkflowOperation(messages.CASE_WORKFLOW, life, **_once(parts, tenant, life))
    try:
        async with asyncio.timeout(parts.settings.update_seconds * UPDATE_SHARE):
            outcome: Outcome = await parts.client.execute_update_with_start_workflow(
                messages.SUBMIT,
                envelope,
                start_workflow_operation=operation,
                id=envelope.command_id,
                result_type=Outcome,
            )
    except WorkflowUpdateFailedError as fault:
        outcome = messages.refusal_of(fault)
    except (WorkflowAlreadyStartedError, *messages.UNKNOWN):
        raise messages.Unknown from None
    return same_request(outcome, envelope)


def _once(parts: System, tenant: str, life: messages.Life) -> dict[str, Any]:
    """How a case's workflow is started: once, however often that is asked."""
    return {
        "id": workflow_id(tenant, life.case_id),
        "task_queue": parts.settings.task_queue,
        "task_timeout": messages.TASK_TIMEOUT,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
    }


async def _signal(parts: System, tenant: str, case_id: str, envelope: Envelope, known: Position) -> None:
    """Queue a command durably; where the engine has lost the case, that begins it again. Raises 503."""
    life = _life(parts, tenant, case_id).changed(known=known)
    name, queue = workflow_id(tenant, case_id), parts.settings.task_queue
    try:
        async with asyncio.timeout(parts.settings.update_seconds * (1 - UPDATE_SHARE)):
            await messages.wake(parts.client, name, queue, life, messages.SUBMIT_LATER, envelope)
    except messages.UNKNOWN:
        raise unknown(case_id, envelope.command_id) from None


async def _start(parts: System, tenant: str, life: messages.Life, envelope: Envelope) -> None:
    try:
        async with asyncio.timeout(parts.settings.update_seconds * (1 - UPDATE_SHARE)):
            await parts.client.start_workflow(messages.CASE_WORKFLOW, life, **_once(parts, tenant, life))
    except WorkflowAlreadyStartedError:
        await _begin_again(parts, tenant, life, envelope)
    except messages.UNKNOWN:
        raise unknown(life.case_id, envelope.command_id) from None


async def _begin_again(parts: System, tenant: str, life: messages.Life, envelope: Envelope) -> None:
    """The case was begun before and is over: by this command, or by one that was refused; then again for this one.

    Raises 503.
    """
    if await recorded(parts, tenant, life.case_id, envelope.command_id) is not None:
        return
    await _signal(parts, tenant, life.case_id, envelope, Position())


@asynccontextmanager
async def _reserved(parts: System, tenant: str, case_id: str, envelope: Envelope) -> AsyncIterator[None]:
    """Write a queued command down before the engine is handed it, so that an engine that is lost loses none.

    A signal cannot be refused, so an id that stands for another request is refused here: 422. While the record
    is away nobody can compare; the first of the two is applied. What the engine did not take is taken back.
    """
    mine = await _reserve(parts, tenant, case_id, envelope)
    try:
        yield
    except Refusal:
        if mine:
            await _take_back(parts, case_id, envelope.command_id)
        raise


async def _reserve(parts: System, tenant: str, case_id: str, envelope: Envelope) -> bool:
    """Whether it was written down now. Raises 422 for an id that stands for another request."""
    place = row_places.queued(case_id, envelope.command_id)
    row = {
        "case_id": case_id,
        "command_id": envelope.command_id,
        "tenant": tenant,
        "fingerprint": envelope.fingerprint,
        "actor": envelope.actor.subject,
        "sent_at": datetime.now(UTC),
        "envelope": parts.keys.encrypted(envelope.model_dump_json().encode(), place),
    }
    try:
        async with asyncio.timeout(parts.settings.record_seconds), parts.engine.begin() as connection:
            await connection.execute(insert(QueuedRow).values(**row))
    except IntegrityError:
        known = await parts.look_up(_RESERVED, {"case_id": case_id, "command_id": envelope.command_id})
        if known is not None and known.fingerprint != envelope.fingerprint:
            raise key_reused(envelope.command_id) from None
        return False
    except (SQLAlchemyError, OSError):
        return False
    return True


async def _take_back(parts: System, case_id: str, command_id: str) -> None:
    mine = (col(QueuedRow.case_id) == case_id, col(QueuedRow.command_id) == command_id)
    with contextlib.suppress(SQLAlchemyError, OSError):
        async with asyncio.timeout(parts.settings.record_seconds), parts.engine.begin() as connection:
            await connection.execute(delete(QueuedRow).where(*mine))


async def carry_on(parts: System, workflow: str, name: str, *about: Any) -> None:
    """Let the engine carry on what is on record. Where it does not answer now, the night watch begins it."""
    with contextlib.suppress(WorkflowAlreadyStartedError, *messages.UNKNOWN):
        async with asyncio.timeout(START_SECONDS):
            queue = parts.settings.task_queue
            await parts.client.start_workflow(workflow, args=about, id=name, task_queue=queue)
