"""Cases with a past: played against the domain, written into the record, then begun on the engine."""

import uuid
from datetime import UTC, datetime, timedelta

from activities.record import Standing
from benchmarks.stage import Stage
from domain.case.command import AT_ONCE
from domain.promises.deadlines import rings_at
from infra.temporal import workflow_id
from tests.recorded import put_entries
from tests.story import Story
from workflows.messages import CASE_WORKFLOW, Life

HOUR = timedelta(hours=1)


def young(case_id: str = "") -> Story:
    """Screened in an hour ago; tasks may be added."""
    story = Story(now=datetime.now(UTC) - HOUR).open(case_id=case_id or uuid.uuid4().hex)
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    return story


def old(tasks: int, events: int) -> Story:
    """With so many open tasks and so many events."""
    story = young()
    while len(story.known.open_tasks) < tasks:
        story.do("add-task", task="education")
    while story.known.seq < events:
        story.do("add-note", text="a note of a long case")
    return story


def due_case(due_at: datetime) -> Story:
    """A case whose one task falls due at an instant, in the future, and whose ladder climbs at once."""
    story = young()
    story.do("add-task", task="education", due_at=due_at.isoformat())
    return story


async def begin(stage: Stage, story: Story, spread: timedelta = AT_ONCE) -> str:
    """Write the story into the record and begin its case, its promises spread; return its id."""
    case_id = story.known.id
    known = put_entries(stage.record, stage.keys, case_id, Standing(), story.timeline).at
    life = Life(
        tenant="local",
        case_id=case_id,
        history_events=stage.plant.settings.history_events,
        known=known,
        wake_at=story.wake_at(),
        rings_at=rings_at(story.known, spread),
    )
    await stage.case_client.start_workflow(
        CASE_WORKFLOW, life, id=workflow_id("local", case_id), task_queue=stage.plant.settings.task_queue
    )
    return case_id
