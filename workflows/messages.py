"""What others may know of a case's workflow: the names of its messages and what they carry."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any, Literal, TypeVar

from pydantic import ValidationError
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, TemporalError
from temporalio.service import RPCError

from domain.case.command import Envelope, Outcome
from domain.case.event import Position
from domain.values import Instant, Value

CASE_WORKFLOW, BULK_ACTION_WORKFLOW, NIGHT_WATCH_WORKFLOW = "CaseLife", "BulkAction", "NightWatch"
ERASURE_WORKFLOW, SCREENING_WORKFLOW = "Erasure", "Screening"
BELL_WORKFLOW, LANE_WORKFLOW, ENDPOINT_WORKFLOW = "Bell", "Lane", "Endpoint"
SUBSCRIBER_WORKFLOW = "Subscriber"
SUBMIT = "submit"
SUBMIT_LATER, RING = "submit_later", "ring"
LIVE, WAITING = "live", "waiting"
TASK_TIMEOUT = timedelta(seconds=5)  # a killed worker's cases are taken over after this
REFUSED, TOO_MANY_WAIT, TOLD = "Refused", "TooManyWait", "Told"
# a case that does not tell, or whose workflow is of another release
SILENT = (TemporalError, TimeoutError, RuntimeError)
UNKNOWN = (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError, RPCError, RuntimeError)


class Life(Value):
    """What a run begins with: the command that opens the case, or how far the case is on record.

    `history_events` is the length at which a run continues as new. `inbox` are messages that were not settled
    yet, `unreadable` how many could not be read so far, `tick_faults` how often the last tick has failed.
    """

    tenant: str
    case_id: str
    history_events: int
    opening: Envelope | None = None
    known: Position = Position()
    wake_at: Instant | None = None
    rings_at: Instant | None = None
    inbox: tuple[Envelope, ...] = ()
    unreadable: int = 0
    tick_faults: int = 0


class Live(Value):
    """How far the case's workflow knows its timeline, when it wakes, and how many messages wait to be settled."""

    seq: int
    head: str = ""
    wakes_at: Instant | None = None
    waiting: int = 0


class Waiting(Value):
    """Whether a command waits to be settled. One that does not was settled, or never came: the record knows."""

    status: Literal["waiting", "not waiting"]


Told = TypeVar("Told", bound=Value)


def bulk_action(action_id: str) -> str:
    """The id of a bulk action's workflow."""
    return f"bulk-action-{action_id}"


def erasure(erasure_id: str) -> str:
    """The id of an erasure's workflow."""
    return f"erasure-{erasure_id}"


def screening(screening_id: str) -> str:
    """The id of a screening's workflow."""
    return f"screening-{screening_id}"


def bell(task_queue: str) -> str:
    """The id of the one bell of a task queue."""
    return f"bell-{task_queue}"


def endpoint(task_queue: str, endpoint_id: str) -> str:
    """The id of the lane of a webhook's endpoint."""
    return f"endpoint-{task_queue}-{endpoint_id}"


def subscriber(task_queue: str, subscription_id: str) -> str:
    """The id of the lane of a FHIR subscription."""
    return f"subscriber-{task_queue}-{subscription_id}"


def lane(task_queue: str, tenant: str, recipient: str) -> str:
    """The id of a person's lane: nothing of it says who she is."""
    return f"lane-{task_queue}-{tenant}-{hashlib.sha256(f'{tenant}/{recipient}'.encode()).hexdigest()[:24]}"


class Unknown(Exception):
    """Nobody can tell what became of a command; it may still be applied."""


class TooManyWait(Exception):
    """The case takes no more for now: too many of its messages wait for the record. Nothing was changed."""


async def submit(handle: Any, envelope: Envelope, seconds: float) -> Outcome:
    """Send a command as an update and wait for its outcome. Raises `Unknown`, `TooManyWait`."""
    try:
        async with asyncio.timeout(seconds):
            outcome: Outcome = await handle.execute_update(
                SUBMIT, envelope, id=envelope.command_id, result_type=Outcome
            )
    except WorkflowUpdateFailedError as fault:
        return refusal_of(fault)
    except UNKNOWN:
        raise Unknown from None
    return outcome


def refusal_of(fault: WorkflowUpdateFailedError) -> Outcome:
    """The refusal that a validator gave. Raises `TooManyWait`, and `Unknown` when the run ended meanwhile."""
    cause = fault.cause
    if isinstance(cause, ApplicationError):
        if cause.type == REFUSED:
            return Outcome.model_validate(cause.details[0])
        if cause.type == TOO_MANY_WAIT:
            raise TooManyWait
    raise Unknown


async def wake(client: Client, name: str, task_queue: str, life: Life, signal: str, *about: Envelope) -> None:
    """Send a signal to the run of a case, durably. Where the engine runs none, one begins with this life.

    So an engine that was set back or emptied has every case again with the next message to it.
    """
    await client.start_workflow(
        CASE_WORKFLOW,
        life,
        id=name,
        task_queue=task_queue,
        task_timeout=TASK_TIMEOUT,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal=signal,
        start_signal_args=about,
    )


def told(value: Value) -> ApplicationError:
    """What the validator of a question raises: the answer, and no trace of the question in history."""
    return ApplicationError("told", value.model_dump(mode="json"), type=TOLD)


async def ask(handle: Any, question: str, kind: type[Told], *about: str) -> Told:
    """Ask a case's workflow, and be told. Raises one of `SILENT` when it does not tell.

    Questions are updates that are always refused, not queries: a query that is answered while a command is settled
    can leave a history which nothing can replay (docs/decisions/0016).
    """
    try:
        await handle.execute_update(question, args=about)
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the SDK hides it; who stops us must stop us
            raise asyncio.CancelledError from None
        raise
    except WorkflowUpdateFailedError as refusal:
        if isinstance(refusal.cause, ApplicationError) and refusal.cause.type == TOLD:
            return _read(kind, refusal.cause.details[0])
        raise
    raise RuntimeError(f"{question} was taken for a command")


def _read(kind: type[Told], said: Any) -> Told:
    """Raises `RuntimeError` for what another release says; its text does not quote it."""
    try:
        return kind.model_validate(said)
    except ValidationError:
        raise RuntimeError(f"this release cannot read a {kind.__name__} of the case's") from None
