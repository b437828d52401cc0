"""What others may know of a case's workflow: the names of its messages and what they carry."""

from datetime import timedelta
from typing import Literal

from domain.case import Case
from domain.command import Envelope, Outcome
from domain.record import Page
from domain.values import Instant, Value

CASE_WORKFLOW, BULK_MOVE_WORKFLOW = "Case", "BulkMove"
SUBMIT = "submit"
SUBMIT_LATER = "submit_later"
FOLLOW_RECORD = "follow_record"
STOP, PROGRESS = "stop", "progress"
LIVE = "case"
ANSWER = "answer"
LOOP = 2
TASK_TIMEOUT = timedelta(seconds=5)  # a killed worker's cases are taken over after this
REFUSED, KEY_REUSED, RECORD_BEHIND = "Refused", "KeyReused", "RecordBehind"


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
