"""Notices and events on their way out of the house: a bell that hears what is due, a lane for each who is told.

When something is due stands in the record; a lane that is lost is rung again, and idle ones cost nothing.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.deliver import Delivering
    from activities.subscriptions import Subscriptions
    from activities.webhooks import Webhooks
    from workflows import messages

PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
ROUNDS_A_LANE = 50


@workflow.defn(name=messages.BELL_WORKFLOW)
class Bell:
    """There is one. It listens for ten minutes at a time, for ever."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity_method(
            Delivering.listen,
            start_to_close_timeout=timedelta(minutes=11),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=PATIENT,
        )
        workflow.continue_as_new()


@workflow.defn(name=messages.LANE_WORKFLOW)
class Lane:
    """One person's messages, one after the other. It ends when nothing is due."""

    @workflow.run
    async def run(self, tenant: str, recipient: str) -> None:
        for _ in range(ROUNDS_A_LANE):
            more = await workflow.execute_activity_method(
                Delivering.deliver,
                args=[tenant, recipient],
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=PATIENT,
            )
            if not more:
                return


@workflow.defn(name=messages.ENDPOINT_WORKFLOW)
class Endpoint:
    """One endpoint's events, in their order. It ends when all is heard, or one is not taken."""

    @workflow.run
    async def run(self, endpoint_id: str) -> None:
        await _until_heard(Webhooks.post_events, endpoint_id)


@workflow.defn(name=messages.SUBSCRIBER_WORKFLOW)
class Subscriber:
    """One FHIR subscription's events, in their order. It ends when all is heard, or one is not taken."""

    @workflow.run
    async def run(self, subscription_id: str) -> None:
        await _until_heard(Subscriptions.notify, subscription_id)


async def _until_heard(tell: Callable[[Any, str], Awaitable[bool]], whom: str) -> None:
    for _ in range(ROUNDS_A_LANE):
        more = await workflow.execute_activity_method(
            tell,
            whom,
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(seconds=30),
            retry_policy=PATIENT,
        )
        if not more:
            return
