"""A stage for simulations: an engine whose time can be skipped, an empty record with four people, and a worker."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from activities.rows import add
from deploy.running import NotHere
from domain.programs.rulebook import Rulebook
from domain.values import Actor, Role
from infra import database, migrate, temporal
from infra.encryption import load_keys
from infra.loopback import temporal_binary
from infra.settings import Settings
from infra.tables import StaffRow
from worker import worker

ANNA = Actor(subject="case-manager", role=Role.CASE_MANAGER)
PEOPLE = (
    ("case-manager", Role.CASE_MANAGER, "supervisor"),
    ("senior", Role.SENIOR, "supervisor"),
    ("supervisor", Role.SUPERVISOR, "director"),
    ("director", Role.DIRECTOR, None),
)


@asynccontextmanager
async def stage(rulebook: Rulebook) -> AsyncIterator[tuple[WorkflowEnvironment, AsyncEngine, Settings]]:
    """An engine whose time can be skipped, an empty record with four people, and a worker."""
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data_dir=Path(name), DATABASE_URL="", task_queue="simulation", jitter_seconds=0)
        await migrate.upgrade(settings.database)
        engine = database.connect(settings.database)
        async with engine.begin() as connection:
            rows = [_person(*person) for person in PEOPLE]
            await connection.run_sync(lambda c: add(c, StaffRow, rows))
        async with (
            await _engine(settings) as environment,
            worker(environment.client, settings, rulebook, engine.url),
        ):
            yield environment, engine, settings
        await engine.dispose()


async def _engine(settings: Settings) -> WorkflowEnvironment:
    """Raises `NotHere` where no Temporal server can be started."""
    try:
        starting = asyncio.ensure_future(_started(settings))
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # its server is a process by now, or soon: it is ended once it is there
        await (await starting).shutdown()
        raise
    except (FileNotFoundError, RuntimeError) as fault:
        raise NotHere(f"no Temporal server could be started: {str(fault).splitlines()[0]}") from None


async def _started(settings: Settings) -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        dev_server_existing_path=temporal_binary(),
        dev_server_log_level="error",
        dev_server_extra_args=["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"],
        plugins=[temporal.plugin(load_keys("", settings.data_dir))],
    )


def _person(subject: str, role: Role, supervisor: str | None) -> dict[str, Any]:
    who = {"tenant": "simulation", "subject": subject, "name": subject, "role": role, "team": "north"}
    return {**who, "supervisor": supervisor, "active": True, "licences": []}
