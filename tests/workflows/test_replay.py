"""Recorded histories replay under today's code, and the sandbox re-imports nothing of ours."""

import gzip
import json
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from domain.case.case import Case
from domain.case.event import Entry
from infra import temporal
from tests.conftest import KEY
from tests.record_histories import PATHS, VERSION
from tests.record_timelines import STORIES
from tests.story import Story, in_force
from workflows.case import CaseLife

HERE = Path(__file__).parents[1]
HISTORIES = sorted((HERE / "histories").glob("*/*.json.gz"))
TIMELINES = sorted((HERE / "timelines").glob("*/*.json.gz"))


def _history(path: Path) -> WorkflowHistory:
    """Under the id of its workflow, to which its payloads are bound."""
    kept = json.loads(gzip.decompress(path.read_bytes()))
    return WorkflowHistory.from_json(kept["workflow_id"], json.dumps(kept["history"]))


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", HISTORIES, ids=_named)
async def test_a_recorded_history_replays(path: Path) -> None:
    """A change of the loop that old cases could not follow fails here."""
    history = _history(path)
    replayer = Replayer(workflows=[CaseLife], namespace="default", plugins=[temporal.plugin([KEY], checked=True)])
    result = await replayer.replay_workflow(history)
    assert result.replay_failure is None


@pytest.mark.parametrize("path", TIMELINES, ids=_named)
def test_the_timeline_of_an_older_release_makes_the_same_case_and_goes_on(path: Path) -> None:
    """Fields are only ever added, with defaults: the case ticks on for a year and takes a command."""
    kept = json.loads(gzip.decompress(path.read_bytes()))
    story = Story(rulebook=in_force())
    for entry in map(Entry.model_validate, kept["entries"]):
        story.case, story.now = entry.apply(story.case), entry.at
    assert story.case == Case.model_validate(kept["case"])
    before = story.known.seq
    story.wait(days=370)
    assert story.known.seq > before
    if not story.known.closed:
        story.do("add-note", text="goes on")


def test_every_path_and_every_timeline_of_this_version_is_kept() -> None:
    """`make histories` records them."""
    for kept, wanted in ((HISTORIES, set(PATHS)), (TIMELINES, set(STORIES))):
        assert {p.name.removesuffix(".json.gz") for p in kept if p.parent.name == VERSION} == wanted


async def test_everything_of_ours_is_passed_through_the_sandbox(client: Client) -> None:
    """A module imported once for each workflow costs a hundred times the memory."""
    restrictions = SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    checked = Worker(  # building it loads the workflow into the sandbox, which raises for what is not passed
        client,
        task_queue="sandbox-check",
        workflows=[CaseLife],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
    )
    assert not checked.is_running
