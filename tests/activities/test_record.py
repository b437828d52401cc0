"""The record: written once however often, never out of order, and every change shows in its chain."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from activities.record import Message, RecordAhead, RecordGap, Recording
from domain.event import Event
from domain.record import Page
from infra import database
from infra.tables import CaseRow, ClockRow, OutboxRow, TaskRow, TimelineRow
from infra.timeline import chain, entry_of
from tests.story import Story

ROOT = Path(__file__).parents[2]


def pages(story: Story) -> list[Page]:
    """One page for each event."""
    found, case = list[Page](), None
    for entry in story.timeline:
        page, case = Page().followed(case, [entry])
        found.append(page)
    return found


@pytest.fixture
def story() -> Story:
    told = Story().planned("education")
    told.wait(days=20)
    told.do("complete-task", task_id=told.known.open_tasks[0].id)
    told.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    return told


@pytest_asyncio.fixture(loop_scope="session")
async def recording(engine: AsyncEngine) -> AsyncIterator[Recording]:
    writing = database.blocking(engine.url)
    yield Recording(writing)
    writing.dispose()


async def rows(engine: AsyncEngine, model: type) -> list[dict[str, object]]:
    async with engine.connect() as connection:
        found = (await connection.execute(select(model))).mappings().all()
    hidden = {"recorded_at"}
    return sorted(
        ({k: v for k, v in row.items() if k not in hidden} for row in found),
        key=lambda row: str(sorted(row.items())),
    )


async def write(recording: Recording, page: Page) -> None:
    await recording.record(Message(tenant="local", case_id="case-1", page=page))


async def test_written_event_by_event_twice_or_all_at_once_the_rows_are_the_same(
    engine: AsyncEngine, recording: Recording, story: Story
) -> None:
    """The lists are derived: however the pages were cut, they say the same."""
    cut = pages(story)
    for page in cut:
        await write(recording, page)
        await write(recording, page)
    first = {model: await rows(engine, model) for model in (CaseRow, TaskRow, ClockRow, OutboxRow, TimelineRow)}
    whole, _ = Page().followed(None, story.timeline)
    async with engine.begin() as connection:
        for model in first:
            await connection.execute(delete(model))
    await write(recording, whole)
    assert {model: await rows(engine, model) for model in first} == first
    states = {row["id"]: row["state"] for row in first[ClockRow]}
    assert {"kept", "running"} <= set(states.values())
    assert "completed" in {row["status"] for row in first[TaskRow]}


async def test_an_older_page_never_overwrites_a_newer_one(
    engine: AsyncEngine, recording: Recording, story: Story
) -> None:
    """A retry that comes late changes nothing."""
    cut = pages(story)
    for page in cut:
        await write(recording, page)
    before = [await rows(engine, model) for model in (CaseRow, TaskRow, ClockRow)]
    await write(recording, cut[8])
    assert [await rows(engine, model) for model in (CaseRow, TaskRow, ClockRow)] == before


async def test_a_gap_is_refused_and_nothing_of_the_page_is_written(
    engine: AsyncEngine, recording: Recording, story: Story
) -> None:
    """A database restored from an older copy is not papered over."""
    cut = pages(story)
    await write(recording, cut[0])
    with pytest.raises(RecordGap):
        await write(recording, cut[5])
    assert len(await rows(engine, TimelineRow)) == 1
    assert await rows(engine, TaskRow) == []


async def test_what_a_lost_task_left_gives_way_to_what_was_decided_and_answered_since(
    engine: AsyncEngine, recording: Recording, story: Story
) -> None:
    """The record was away when the task was tried again: its second decision was answered, its first one never."""
    cut = pages(story)
    for number, page in enumerate(cut, 1):
        message = Message(tenant="local", case_id="case-1", page=page, by=f"run/{number}")
        await recording.record(message)
    other = Story().planned("education")
    other.wait(days=20)
    other.do("add-note", text="decided the second time")
    first = next(n for n, (a, b) in enumerate(zip(story.timeline, other.timeline, strict=False)) if a != b)
    _, before = Page().followed(None, other.timeline[:first])
    page, _ = Page().followed(before, other.timeline[first:])
    decided = Message(tenant="local", case_id="case-1", page=page, by="run/90", decided=True)
    for not_ours in (decided.changed(by="another-run/90"), decided.changed(decided=False)):
        with pytest.raises(RecordAhead):
            await recording.record(not_ours)
    await recording.record(decided)
    kept = {row["seq"]: row["kind"] for row in await rows(engine, TimelineRow)}
    assert kept == {entry.seq: entry.kind for entry in other.timeline}
    assert await broken_at(engine) is None
    assert {row["status"] for row in await rows(engine, TaskRow)} == {str(t.status) for t in other.known.tasks}


async def test_any_change_to_the_timeline_breaks_its_chain(
    engine: AsyncEngine, recording: Recording, story: Story
) -> None:
    """Each row carries the hash of the one before and of all it says itself."""
    for page in pages(story):
        await write(recording, page)
    assert await broken_at(engine) is None
    async with engine.begin() as connection:
        await connection.execute(update(TimelineRow).where(col(TimelineRow.seq) == 5).values(actor="cm-ben"))
    assert await broken_at(engine) == 5


async def broken_at(engine: AsyncEngine) -> int | None:
    """The first row whose hash is not what its content gives."""
    async with engine.connect() as connection:
        found = (await connection.execute(select(TimelineRow).order_by(col(TimelineRow.seq)))).all()
    previous = ""
    for row in found:
        if row.previous != previous or row.hash != chain(previous, row.case_id, entry_of(row)):  # type: ignore[arg-type]
            return int(row.seq)
        previous = row.hash
    return None


async def test_a_notice_reaches_each_person_told_once(
    engine: AsyncEngine, recording: Recording, story: Story
) -> None:
    """One row for a person and a rung, whatever is written again."""
    for page in [*pages(story), *pages(story)]:
        await write(recording, page)
    told = [n for entry in story.timeline for n in entry.event.notices(story.known)]
    kept = await rows(engine, OutboxRow)
    assert len(kept) == len({(n.key, n.recipient) for n in told})
    assert {row["recipient"] for row in kept} == {"cm-anna", "senior-1", "sup-1", "dir-1"}


def test_whoever_reads_the_record_knows_every_event() -> None:
    """Operators' tools fold timelines without the workflow: what it alone writes must be known there too."""
    asked = "import infra.timeline; from domain.event import Event; print(*Event.kinds)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    ours = {kind for kind, event in Event.kinds.items() if event.__module__.startswith("domain.")}
    assert ours - set(said.stdout.split()) == set()
    assert {"command-quarantined", "message-unreadable", "case-restored"} <= ours
