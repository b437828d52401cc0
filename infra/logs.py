"""Logs: structlog everywhere, JSON outside a terminal, each event once even when a workflow replays.

No personal data: ids and kinds only. Exceptions are logged as type and place, because their texts may
quote what a person has sent.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog
from temporalio import workflow

Line = MutableMapping[str, Any]


def configure(form: str = "") -> None:
    """Set up logging for this process; `form` is `json`, `console`, or empty for what suits the terminal."""
    pretty = form == "console" or (not form and sys.stderr.isatty())
    shared: list[Any] = [
        _once,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _flatten,
        _fault,
    ]
    last = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for noisy in ("uvicorn.access", "httpx2", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for own_way in ("uvicorn", "uvicorn.error"):  # uvicorn brings handlers of its own; here there is one form
        logging.getLogger(own_way).handlers.clear()
        logging.getLogger(own_way).propagate = True
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _once(_: Any, __: str, event: Line) -> Line:
    """Drop what a replay says again."""
    if workflow.in_workflow() and workflow.unsafe.is_replaying_history_events():
        raise structlog.DropEvent
    return event


def _flatten(_: Any, __: str, event: Line) -> Line:
    """Lift the ids that Temporal's own loggers carry in a nested record; leave the rest behind."""
    for name in ("temporal_workflow", "temporal_activity"):
        nested = event.pop(name, None) or {}
        event.update({k: nested[k] for k in ("workflow_id", "activity_type", "attempt") if k in nested})
    return event


def _fault(_: Any, __: str, event: Line) -> Line:
    """Replace exception and traceback by the type and the place of each step."""
    raised = event.pop("exc_info", None)
    record = event.get("_record")
    if not raised and record is not None:
        raised = record.exc_info
    if record is not None:
        record.exc_info, record.exc_text = None, None
    if raised:
        fault = raised if isinstance(raised, BaseException) else (sys.exc_info()[1] or _of(raised))
        event["fault"], event["at"] = type(fault).__name__, places(fault)
    return event


def _of(raised: Any) -> BaseException | None:
    return raised[1] if isinstance(raised, tuple) else None


def places(fault: BaseException | None) -> list[str]:
    """Where a fault came from, innermost last, without what it says."""
    if fault is None:
        return []
    frames = traceback.extract_tb(fault.__traceback__)
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames[-6:]]
