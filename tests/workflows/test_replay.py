"""Recorded histories replay under today's code, and the sandbox re-imports nothing of ours."""

import gzip
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from infra import temporal
from tests.conftest import KEY
from workflows.case import CaseWorkflow

HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.json.gz"))


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"case-local-{path.stem}", gzip.decompress(path.read_bytes()).decode())


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name)
async def test_a_recorded_history_replays(path: Path) -> None:
    """A change of the loop or of an event's `apply` that old cases could not follow fails here."""
    history = _history(path)
    replayer = Replayer(workflows=[CaseWorkflow], plugins=[temporal.plugin([KEY], checked=True)])
    result = await replayer.replay_workflow(history)
    assert result.replay_failure is None


def test_every_path_has_its_history() -> None:
    """`make histories` records them."""
    from tests.record_histories import PATHS

    assert {path.name.removesuffix(".json.gz") for path in HISTORIES} == set(PATHS)


async def test_everything_of_ours_is_passed_through_the_sandbox(client: Client) -> None:
    """A module imported once for each workflow costs a hundred times the memory."""
    restrictions = SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    checked = Worker(  # building it loads the workflow into the sandbox, which raises for what is not passed
        client,
        task_queue="sandbox-check",
        workflows=[CaseWorkflow],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
    )
    assert not checked.is_running
