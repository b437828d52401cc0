"""Looks every minute for cases that should have woken and did not, and rings them."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.night_watch import Watching
    from workflows import messages


@workflow.defn(name=messages.NIGHT_WATCH_WORKFLOW)
class NightWatch:
    """One round. A schedule starts it; its result is how many cases were rung."""

    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity_method(
            Watching.ring_sleepers,
            start_to_close_timeout=timedelta(seconds=50),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
