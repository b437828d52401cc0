"""What a case says in the log, it says once, however often its workflow is replayed."""

import io
import json
import logging

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from infra import logs
from infra.settings import Settings
from tests.one_case import Desk, settling
from workflows.case import CaseLife


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_each_command_is_logged_once_though_every_task_replays(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without a cache replays the whole history for each task; ids are bound, nothing else is said."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("json")
    with settling(engine, settings) as works:
        uncached = Worker(
            environment.client,
            task_queue=settings.task_queue,
            workflows=[CaseLife],
            activities=[works.settle],
            max_cached_workflows=0,
        )
        async with uncached:
            anna = Desk(environment, settings, engine)
            await anna.open()
            for n in range(4):
                await anna.do("add-note", text=f"SECRET {n}")
    logging.getLogger().handlers.clear()
    lines = [json.loads(line) for line in stream.getvalue().split("\n") if line.startswith("{")]
    said = [line for line in lines if line["event"] == "command" and line["case_id"] == anna.case_id]
    assert [line["kind"] for line in said] == ["open"] + ["add-note"] * 4
    assert all(line["actor"] == "cm-anna" and line["command_id"] for line in said)
    assert "SECRET" not in stream.getvalue()
