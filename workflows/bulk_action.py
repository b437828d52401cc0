"""Carries one command to each of many cases, at a bounded pace, until it is done or somebody stops it.

The list of cases, and what became of each, is on record; the workflow only keeps coming back to it.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.bulk_action import ONCE, Acting
    from workflows import messages

PATIENT = RetryPolicy(maximum_interval=timedelta(seconds=30))
ROUNDS_A_RUN = 200
A_MINUTE, NOBODY_TO_ASK = 60.0, 15.0  # seconds


@workflow.defn(name=messages.BULK_ACTION_WORKFLOW)
class BulkAction:
    """One bulk action. Each case gets a command of its own and decides for itself."""

    @workflow.run
    async def run(self, action_id: str, per_minute: int) -> None:
        most = min(per_minute, ONCE)
        for _ in range(ROUNDS_A_RUN):
            progress = await workflow.execute_activity_method(
                Acting.carry_on,
                args=[action_id, most],
                start_to_close_timeout=timedelta(seconds=20),
                retry_policy=PATIENT,
            )
            if not progress.running:
                return
            pause = A_MINUTE * progress.asked / per_minute if progress.asked else NOBODY_TO_ASK
            await workflow.sleep(timedelta(seconds=pause))
        workflow.continue_as_new(args=[action_id, per_minute])
