"""A case's run that begins again takes with it all that was sent to it and is not decided."""

import random

import pytest
import pytest_asyncio
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment

from deploy.runs import begin_again, sent
from infra import database
from infra.settings import Settings
from tests.one_case import Desk
from workflows import messages

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> Engine:
    return database.blocking(engine.url)


async def test_more_than_a_run_can_begin_with_follows_as_signals_in_order(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings, record: Engine
) -> None:
    """Forty commands of a hundred kilobytes, that do not shrink: twice what the engine takes at a start."""
    anna, noise = Desk(environment, settings, engine), random.Random(1)
    opening = await anna.open(wait=False)
    waiting = []
    for _ in range(40):
        waiting.append(anna.envelope("add-note", text=noise.randbytes(50_000).hex()))
        await anna.handle.signal(messages.SUBMIT_LATER, waiting[-1])
    life = messages.Life(tenant="local", case_id=anna.case_id, history_events=300)
    await begin_again(environment.client, record, anna.id, settings.task_queue, life)
    record.dispose()
    assert (await anna.handle.describe()).run_id != anna.first_run
    found = await sent(environment.client, await anna.handle.fetch_history())
    assert [envelope.command_id for envelope in found] == [e.command_id for e in (opening, *waiting)]
