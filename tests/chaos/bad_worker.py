"""A release that should never have left the house: its loop asks for a timer that no history has."""

import asyncio
from datetime import timedelta

from temporalio import workflow

import worker
from workflows.case import CaseLife

good = CaseLife._wait


async def bad(self: CaseLife) -> None:
    await workflow.sleep(timedelta(milliseconds=1))
    await good(self)


if __name__ == "__main__":
    CaseLife._wait = bad  # type: ignore[method-assign]
    asyncio.run(worker.main())
