"""Screens one population: shard by shard, whatever dies meanwhile, until it is done or somebody stops it."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.screen import Screenings
    from workflows import messages


@workflow.defn(name=messages.SCREENING_WORKFLOW)
class Screening:
    """One screening. A shard that was screened is not screened again: begun again, it only does the rest."""

    @workflow.run
    async def run(self, screening_id: str) -> None:
        await workflow.execute_activity_method(
            Screenings.screen,
            screening_id,
            start_to_close_timeout=timedelta(hours=6),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
        )
