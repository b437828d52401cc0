"""The real parts that tests stand on: a Temporal server, both databases, a worker."""

import asyncio
import base64
import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck
from hypothesis import settings as of_hypothesis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from api.system import System
from infra import database, migrate, temporal
from infra.encryption import index_key, ring_of
from infra.loopback import temporal_binary
from infra.settings import Settings
from infra.tokens import Verifier
from tests import postgres
from tests.office import Office
from tests.one_case import Desk
from tests.story import in_force
from worker import worker

if postgres.MEMORY:  # what tests write need not outlive the machine
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", postgres.MEMORY)
KEY = hashlib.sha256(b"a key for tests and recorded histories only").digest()
WHOLE_SYSTEMS = ("tests/deploy/test_up.py", "tests/deploy/test_upgrade.py", "tests/chaos/")
# How long an example takes says how busy the machine is, and nothing about the rule.
of_hypothesis.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
of_hypothesis.load_profile("busy")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Side by side, a worker takes one test after another; those that start a whole system all go to one."""

    def _split_scope(self, nodeid: str) -> str:
        return "whole systems" if nodeid.startswith(WHOLE_SYSTEMS) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo, which waits, runs while other tests need the machine; faults come when it is quieter."""
    items.sort(key=lambda item: not item.nodeid.startswith(WHOLE_SYSTEMS[0]))


@pytest.fixture(scope="session", autouse=True)
def _prepared_once() -> Iterator[None]:
    """Every worker tries its workflows in a sandbox before it starts; once for all the workers here will do."""
    prepare = SandboxedWorkflowRunner.prepare_workflow
    seen: set[type] = set()

    def once(runner: SandboxedWorkflowRunner, definition: Any) -> None:
        if definition.cls not in seen:
            prepare(runner, definition)
            seen.add(definition.cls)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SandboxedWorkflowRunner, "prepare_workflow", once)
        yield


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """One real Temporal server for the session; each workflow's clock can be moved on by itself.

    It looks at its timers a hundred times a second: once, as usual, every wake-up in skipped time takes a second.
    """
    switches = (
        "frontend.WorkflowTimeSkippingEnabled=true",
        'history.timerProcessorMaxTimeShift="10ms"',
        'history.transferProcessorUpdateAckInterval="1s"',  # after which a history that is to go is gone
    )
    async with await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        dev_server_existing_path=temporal_binary(),
        dev_server_log_level="error",
        dev_server_extra_args=[word for value in switches for word in ("--dynamic-config-value", value)],
        plugins=[temporal.plugin([KEY], checked=True)],
    ) as found:
        yield found


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL: the one `DATABASE_URL` names, or one of our own."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgresql"):
        yield given
        return
    with postgres.server() as found:
        yield found.address


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both databases; a test that asks for `engine` runs on each."""
    return str(request.param)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied: migrating it for every test would take most of the tests' time."""
    path = tmp_path_factory.mktemp("template") / "record.db"
    _migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> str:
    """The name of a migrated PostgreSQL database, to be copied."""
    name = f"template{uuid.uuid4().hex}"
    _migrate(postgres.create(postgres_server, name))
    return name


def _migrate(url: str) -> None:
    """In a thread of its own, because this one has a loop already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate.upgrade(postgres.by_psycopg(url))).result()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def staffed_sqlite(
    environment: WorkflowEnvironment, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A data folder with its keys and a record in which the office's people are hired, to be copied."""
    folder = tmp_path_factory.mktemp("staffed")
    shutil.copyfile(migrated_sqlite, folder / "record.db")
    await _hire(environment, folder, f"sqlite+aiosqlite:///{folder / 'record.db'}")
    return folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def staffed_postgres(
    environment: WorkflowEnvironment, staffed_sqlite: Path, migrated_postgres: str, postgres_server: str
) -> str:
    """The name of a database in which the same people are hired, under the keys of the same folder."""
    name = f"template{uuid.uuid4().hex}"
    url = postgres.by_psycopg(postgres.create(postgres_server, name, migrated_postgres))
    await _hire(environment, staffed_sqlite, url)
    return name


async def _hire(environment: WorkflowEnvironment, folder: Path, url: str) -> None:
    engine = database.connect(url)
    async with Office(_parts(environment, engine, Settings(data_dir=folder)), environment) as office:
        await office.hire()
    async with engine.begin() as connection:  # its chain is under a key of which each system has its own
        await connection.execute(text("DELETE FROM audit"))
    await engine.dispose()


@pytest.fixture
def url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a migrated database: empty, or for tests of the office with its people hired."""
    hired = "quiet_office" in request.fixturenames
    if hired:
        all_but = shutil.ignore_patterns("index.key", "record.db-*")  # ids come of it: none twice in one engine
        shutil.copytree(request.getfixturevalue("staffed_sqlite"), tmp_path, ignore=all_but, dirs_exist_ok=True)
    if backend == "sqlite":
        if not hired:
            shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "record.db")
        yield f"sqlite+aiosqlite:///{tmp_path / 'record.db'}"
        return
    template = request.getfixturevalue("staffed_postgres" if hired else "migrated_postgres")
    server, name = request.getfixturevalue("postgres_server"), f"t{uuid.uuid4().hex}"
    yield postgres.by_psycopg(postgres.create(server, name, template))
    postgres.drop(server, name)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    """A connection to it."""
    found = database.connect(url)
    yield found
    await found.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a system of its own: data folder, task queue, the patience of a busy machine."""
    return Settings(
        data_dir=tmp_path,
        task_queue=f"q-{uuid.uuid4().hex[:8]}",
        update_seconds=10,
        record_seconds=10,
        jitter_seconds=0,
    )


@pytest.fixture
def environment_address(environment: WorkflowEnvironment) -> str:
    """Where another process finds the server."""
    return environment.client.service_client.config.target_host


@pytest.fixture
def keys() -> str:
    """The encryption key of the tests, as a setting."""
    return base64.b64encode(KEY).decode()


@pytest.fixture
def client(environment: WorkflowEnvironment) -> Client:
    return environment.client


@pytest_asyncio.fixture(loop_scope="session")
async def desk(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> AsyncIterator[Callable[..., Desk]]:
    """Opens case desks: a worker is running, and each desk sends commands to a case of its own."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker(environment.client, settings, in_force(), engine.url))
        yield lambda **more: Desk(environment, settings, engine, **more)


@pytest_asyncio.fixture(loop_scope="session")
async def quiet_office(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> AsyncIterator[Office]:
    """The API with its staff directory, and no worker."""
    async with Office(_parts(environment, engine, settings), environment) as office:
        yield office


def _parts(environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings) -> System:
    return System(
        settings=settings.model_copy(update={"metrics_address": "127.0.0.1:1", "hosts": "caseloom.test"}),
        rulebook=in_force(),
        engine=engine,
        client=environment.client,
        verifier=Verifier(settings),
        runtime=Runtime.default(),
        keys=ring_of(settings),
        index_key=index_key(settings.index_key, settings.data_dir),
    )


@pytest_asyncio.fixture(loop_scope="session")
async def office(quiet_office: Office, engine: AsyncEngine, settings: Settings) -> AsyncIterator[Office]:
    """The same with a worker running."""
    async with worker(quiet_office.environment.client, settings, in_force(), engine.url):
        yield quiet_office
