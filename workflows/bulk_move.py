"""Moves the cases of a programme to another version, at a bounded pace, until it is done or somebody stops it."""

import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.bulk_move import BulkMoving, Page
    from domain.moving import BulkMove, BulkMoveState
    from workflows import messages

PATIENT = RetryPolicy(maximum_interval=timedelta(seconds=30))
BATCHES_A_RUN = 200
A_MINUTE = 60.0


@workflow.defn(name=messages.BULK_MOVE_WORKFLOW)
class BulkMoveWorkflow:
    """One bulk move. Each case gets a durable command of its own and decides for itself."""

    @workflow.init
    def __init__(self, move: BulkMove) -> None:
        self.move, self.state = move, move.state

    @workflow.run
    async def run(self, move: BulkMove) -> BulkMoveState:
        for _ in range(BATCHES_A_RUN):
            if self.state.status == "running":
                await self._batch()
        if self.state.status == "running":
            workflow.continue_as_new(self.move.changed(state=self.state))
        return self.state

    async def _batch(self) -> None:
        """Ask the next cases to move, then wait as long as the pace says."""
        size = min(self.move.per_minute, 50)
        sent = await workflow.execute_activity_method(
            BulkMoving.ask_next,
            Page(move=self.move.changed(state=self.state), limit=size),
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=PATIENT,
        )
        if not sent:
            self.state = self.state.changed(status="done")
            return
        self.state = self.state.changed(after=sent[-1], asked=self.state.asked + len(sent))
        pause = timedelta(seconds=A_MINUTE * len(sent) / self.move.per_minute)
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.state.status != "running", timeout=pause)

    @workflow.signal(name=messages.STOP)
    def stop(self) -> None:
        """Ask no more cases. Those that were asked already move, and can be moved back one by one."""
        if self.state.status == "running":
            self.state = self.state.changed(status="stopped")

    @workflow.query(name=messages.PROGRESS)
    def progress(self) -> BulkMove:
        return self.move.changed(state=self.state)
