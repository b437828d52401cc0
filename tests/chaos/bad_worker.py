"""A release that should never have left the house: its loop asks for a timer that no history has."""

import asyncio
from datetime import timedelta

from temporalio import workflow

import worker
from workflows.case import CaseWorkflow

good = CaseWorkflow._turn


async def bad(self: CaseWorkflow) -> None:
    await workflow.sleep(timedelta(milliseconds=1))
    await good(self)


if __name__ == "__main__":
    CaseWorkflow._turn = bad  # type: ignore[method-assign]
    asyncio.run(worker.main())
