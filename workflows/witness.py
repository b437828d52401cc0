"""Who hears of what a case does: the log and the metrics of a worker, and an operator's tool of what it replays.

Nobody listens in a worker. A record that was restored from an older copy is healed from here (`make drift`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from temporalio import workflow

from domain.command import Outcome
from domain.event import Entry
from domain.values import Actor

Listener = Callable[[str, Entry | Outcome], None]
_listening: list[Listener] = []
log = structlog.get_logger()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have the listener told of every entry and outcome that workflows of this process come to know."""
    _listening.append(listener)
    try:
        yield
    finally:
        _listening.remove(listener)


def tell(case_id: str, what: Entry | Outcome) -> None:
    for listener in _listening:
        listener(case_id, what)


def say(case_id: str, actor: Actor, outcome: Outcome) -> None:
    """Log and count a command that was answered."""
    said = {"kind": outcome.kind, "status": outcome.status}
    log.info(
        "command",
        case_id=case_id,
        command_id=outcome.command_id,
        actor=actor.subject,
        error=outcome.error,
        **said,
    )
    meter = workflow.metric_meter().with_additional_attributes(said)
    meter.create_counter("caseloom_commands", "Commands by kind and outcome").add(1)
