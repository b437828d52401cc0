"""The API as a client meets it: real tokens, a real worker, both databases."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.runtime import Runtime
from temporalio.testing import WorkflowEnvironment

from api.system import System
from infra.encryption import index_key, ring_of
from infra.settings import Settings
from infra.tokens import Verifier
from tests.office import Office
from tests.story import in_force
from worker import worker


@pytest_asyncio.fixture(loop_scope="session")
async def quiet_office(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> AsyncIterator[Office]:
    """The API with its staff directory, and no worker."""
    parts = System(
        settings=settings.model_copy(update={"metrics_address": "127.0.0.1:1", "hosts": "caseloom.test"}),
        rulebook=in_force(),
        engine=engine,
        client=environment.client,
        verifier=Verifier(settings),
        runtime=Runtime.default(),
        keys=ring_of(settings),
        index_key=index_key(settings.index_key, settings.data_dir),
    )
    async with Office(parts, environment) as office:
        await office.hire()
        yield office


@pytest_asyncio.fixture(loop_scope="session")
async def office(quiet_office: Office, engine: AsyncEngine, settings: Settings) -> AsyncIterator[Office]:
    """The same with a worker running."""
    async with worker(quiet_office.environment.client, settings, in_force(), engine.url):
        yield quiet_office
