"""One timer of one case: it is set to the time at which the case looks after itself next."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow

SHORTEST_SLEEP = timedelta(seconds=1)


class Alarm:
    """`rang` stays until somebody has heard it."""

    def __init__(self) -> None:
        self.rang = False
        self._at: datetime | None = None
        self._waiting: asyncio.Task[None] | None = None

    def set(self, wakes: datetime) -> None:
        """One that rings too early is harmless, and cheaper than two events for each command."""
        if self._waiting is not None and not self._waiting.done():
            if self._at is not None and self._at <= wakes:
                return
            self._waiting.cancel()
        self._at = wakes
        self._waiting = asyncio.create_task(self._ring(max(wakes - workflow.now(), SHORTEST_SLEEP)))

    async def _ring(self, after: timedelta) -> None:
        await workflow.sleep(after)
        self.rang = True
