"""The runs of a case as the engine keeps them: what was sent to one, what it was told, and how it begins again."""

import json
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlmodel import col, select
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.service import RPCError

from activities.settle import Settled
from domain.case.command import Envelope
from infra.tables import CommandRow
from workflows import messages

MOST_BYTES = 1_000_000  # the engine takes 2 MB (docs.temporal.io/cloud/limits)
OLD_TYPE = "Case"  # the workflow of releases up to 0.3
CARRIED = ("opening", "inbox", "kept")  # what a run began with and had still to settle; `kept` up to 0.3


async def histories(client: Client, name: str) -> AsyncIterator[WorkflowHistory]:
    """The histories of a case's runs, the newest first, as far back as the engine has them."""
    run_id: str | None = None
    while True:
        try:
            history = await client.get_workflow_handle(name, run_id=run_id).fetch_history()
        except RPCError:
            return
        yield history
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return


async def told(client: Client, history: WorkflowHistory) -> list[Settled]:
    """What a run was told by the record, in order."""
    found = []
    for event in history.events:
        if payloads := _result(event):
            found += await _bound(client, history).decode(payloads, [Settled])
    return found


def _bound(client: Client, history: WorkflowHistory) -> DataConverter:
    """What reads the payloads of this case's runs, and no other's. Those of releases up to 0.3 were not bound."""
    began = history.events[0].workflow_execution_started_event_attributes
    if began.workflow_type.name == OLD_TYPE:
        return client.data_converter
    context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=history.workflow_id)
    return client.data_converter.with_context(context)


def _result(event: HistoryEvent) -> Sequence[Payload]:
    if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
        return event.marker_recorded_event_attributes.details["result"].payloads
    if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return event.activity_task_completed_event_attributes.result.payloads
    return ()


async def sent(client: Client, history: WorkflowHistory) -> list[Envelope]:
    """Every command that a run was begun with or sent, in order. Settled again, a known one changes nothing."""
    found: list[Envelope] = []
    codec = _bound(client, history).payload_codec
    assert codec is not None
    for event in history.events:
        for payload in _given(event):
            [plain] = await codec.decode([payload])
            found += _envelopes(plain)
    return list({envelope.command_id: envelope for envelope in found}.values())


def _given(event: HistoryEvent) -> Sequence[Payload]:
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        return event.workflow_execution_started_event_attributes.input.payloads
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        return event.workflow_execution_signaled_event_attributes.input.payloads
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
        return event.workflow_execution_update_accepted_event_attributes.accepted_request.input.args.payloads
    return ()


def _envelopes(payload: Payload) -> list[Envelope]:
    """The commands in what a run was given; what is none, or cannot be read, is left out."""
    try:
        said: Any = json.loads(payload.data)
        if not isinstance(said, dict):
            return []
        if "command_id" in said:
            return [Envelope.model_validate(said)]
        lists = (said.get(name) or [] for name in CARRIED)
        return [Envelope.model_validate(e) for some in lists for e in (some if isinstance(some, list) else [some])]
    except (ValueError, ValidationError):
        return []


async def begin_again(client: Client, engine: Engine, name: str, task_queue: str, life: messages.Life) -> None:
    """End the run of a case and begin it anew, from the record, in one go. What it was sent is sent again.

    What the record has decided is left out; what does not fit into what a run begins with follows as signals.
    """
    run_id = (await client.get_workflow_handle(name).describe()).run_id
    waiting = _undecided(engine, life.case_id, await _sent_since(client, name, run_id))
    inbox = _fitting(waiting)
    await client.start_workflow(
        messages.CASE_WORKFLOW,
        life.changed(inbox=inbox),
        id=name,
        task_queue=task_queue,
        task_timeout=messages.TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    there = {envelope.command_id for envelope in inbox}
    late = _undecided(engine, life.case_id, await _sent_since(client, name, run_id))
    for envelope in late:
        if envelope.command_id not in there:
            await messages.wake(client, name, task_queue, life, messages.SUBMIT_LATER, envelope)


async def _sent_since(client: Client, name: str, run_id: str) -> list[Envelope]:
    """What was sent to a run, and to those that it has continued as."""
    found: list[Envelope] = []
    while run_id:
        history = await client.get_workflow_handle(name, run_id=run_id).fetch_history()
        found += await sent(client, history)
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return list({envelope.command_id: envelope for envelope in found}.values())


def _undecided(engine: Engine, case_id: str, envelopes: Sequence[Envelope]) -> list[Envelope]:
    with engine.connect() as connection:
        mine = select(CommandRow.command_id).where(col(CommandRow.case_id) == case_id)
        decided = set(connection.execute(mine).scalars())
    return [envelope for envelope in envelopes if envelope.command_id not in decided]


def _fitting(envelopes: Sequence[Envelope]) -> tuple[Envelope, ...]:
    """As many as fit into the engine's limit for what a run begins with, in order."""
    sizes = accumulate(len(envelope.model_dump_json()) for envelope in envelopes)
    return tuple(envelope for envelope, size in zip(envelopes, sizes, strict=True) if size <= MOST_BYTES)
