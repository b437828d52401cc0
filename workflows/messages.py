"""What others may know of a case's workflow: the names of its messages and what they carry."""

import asyncio
from datetime import timedelta
from typing import Any, Literal, TypeVar

from pydantic import ValidationError
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError, TemporalError

from domain.case import Case
from domain.command import Envelope, Outcome
from domain.record import Page
from domain.values import Instant, Value

CASE_WORKFLOW, BULK_MOVE_WORKFLOW = "Case", "BulkMove"
SUBMIT = "submit"
SUBMIT_LATER = "submit_later"
FOLLOW_RECORD = "follow_record"
STOP, PROGRESS = "stop", "progress"
LIVE, ANSWER = "case", "answer"
LOOP = 2
TASK_TIMEOUT = timedelta(seconds=5)  # a killed worker's cases are taken over after this
REFUSED, KEY_REUSED, TOLD = "Refused", "KeyReused", "Told"
RECORD_AHEAD, RECORD_BEHIND = "RecordAhead", "RecordBehind"
# a case that does not tell, or whose workflow is of another release
SILENT = (TemporalError, TimeoutError, RuntimeError)


class Life(Value):
    """What a run begins with: the command that opens the case, or what the run before has left.

    `history_events` is the length at which a run continues as new. `loop` says which loop the run began with:
    the first release recorded by a normal activity, and its runs go on like that until they continue as new.
    `before` is how much history the earlier runs had, `kept` the commands whose outcomes are not on record.
    """

    tenant: str
    case_id: str
    history_events: int
    opening: Envelope | None = None
    case: Case | None = None
    inbox: tuple[Envelope, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    page: Page = Page()
    wake_at: Instant | None = None
    rings_at: Instant | None = None
    tick_faults: int = 0
    loop: int = 1
    before: int = 0
    kept: tuple[Envelope, ...] = ()


class Live(Value):
    """The case as it is now, and how many events the database does not have yet."""

    case: Case | None
    unrecorded: int


class Answer(Value):
    """What is known of a command: its outcome, or that it waits its turn, or nothing."""

    status: Literal["done", "waiting", "unknown"]
    outcome: Outcome | None = None


Told = TypeVar("Told", bound=Value)


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
