"""Erases what is known of one person: case by case, whatever dies meanwhile, until the certificate is written."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.erase import Erasing
    from workflows import messages


@workflow.defn(name=messages.ERASURE_WORKFLOW)
class Erasure:
    """One erasure. What is gone already stays gone, so that begun again it only does the rest."""

    @workflow.run
    async def run(self, erasure_id: str) -> None:
        await workflow.execute_activity_method(
            Erasing.erase,
            erasure_id,
            start_to_close_timeout=timedelta(hours=1),
            heartbeat_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
        )
