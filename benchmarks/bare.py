"""The engine's own floor: the least that a durable command, a start and a timer can cost."""

import asyncio
import os
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "bare"
STICKY = timedelta(seconds=3)  # as our own worker has it (worker.py)


@activity.defn
async def nothing() -> None:
    """Does nothing."""


@workflow.defn
class Bare:
    """An update whose handler runs one local activity that does nothing, and a query."""

    def __init__(self) -> None:
        self.done = 0

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.done < 0)

    @workflow.update
    async def touch(self) -> int:
        await workflow.execute_local_activity(nothing, start_to_close_timeout=timedelta(seconds=10))
        self.done += 1
        return self.done

    @workflow.query
    def count(self) -> int:
        return self.done


@workflow.defn
class BareTimer:
    """Sleeps until a given time, and says how late it woke, in seconds."""

    @workflow.run
    async def run(self, wake_at: float) -> float:
        await workflow.sleep(max(0.001, wake_at - workflow.now().timestamp()))
        return workflow.now().timestamp() - wake_at


async def main() -> None:
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    bare = Worker(
        client,
        task_queue=QUEUE,
        workflows=[Bare, BareTimer],
        activities=[nothing],
        sticky_queue_schedule_to_start_timeout=STICKY,
    )
    await bare.run()


if __name__ == "__main__":
    asyncio.run(main())
