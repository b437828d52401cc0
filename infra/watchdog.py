"""Finds the cases that nothing else would tell of: asleep past their time, or failing at every step.

A case looks after its own promises; who looks after the case? The record knows when each case asked to be woken,
and the engine knows which workflows fail their tasks and whether any worker asks for work.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select
from sqlmodel import col, select
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from infra.settings import Settings
from infra.tables import CaseRow

GRACE = timedelta(minutes=2)
ASK_SECONDS = 2
FAILING = "ExecutionStatus = 'Running' AND TemporalReportedProblems IS NOT NULL"
POLLED_LATELY = timedelta(minutes=2)


@dataclass(frozen=True)
class Engine:
    """What the engine says: how many workers ask for work, and how many workflows fail their tasks.

    None stands for what it did not answer.
    """

    workers: int | None
    failing: int | None


def asleep(now: datetime, settings: Settings) -> Select[Any]:
    """The cases that should have woken by now, the longest asleep first: id, tenant, when."""
    latest = now - GRACE - timedelta(seconds=settings.jitter_seconds)
    wakes = col(CaseRow.wakes_at)
    found: Any = select(col(CaseRow.id), col(CaseRow.tenant), wakes)
    late: Select[Any] = found.where(wakes < latest).order_by(wakes)
    return late


async def ask(client: Client, settings: Settings, now: datetime) -> Engine:
    """Ask the engine; what does not answer in time is None."""
    workers, failing = await asyncio.gather(
        _within(_workers(client, settings.task_queue, now)), _within(_failing(client))
    )
    return Engine(workers=workers, failing=failing)


async def failing_cases(client: Client) -> list[str]:
    """The ids of the workflows that fail their tasks."""
    return [found.id async for found in client.list_workflows(FAILING)]


async def _failing(client: Client) -> int:
    return (await client.count_workflows(FAILING)).count


async def _workers(client: Client, queue: str, now: datetime) -> int:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    pollers = [p for p in answer.pollers if now - p.last_access_time.ToDatetime(now.tzinfo) < POLLED_LATELY]
    return len({poller.identity for poller in pollers})


async def _within(asking: Awaitable[int]) -> int | None:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await asking
    except (RPCError, RuntimeError, TimeoutError):
        return None
