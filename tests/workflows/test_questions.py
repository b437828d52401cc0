"""A case is asked how it stands without a trace, and without spoiling what it writes down meanwhile."""

import asyncio
from collections.abc import Callable

import pytest
from temporalio.worker import Replayer

from infra import temporal
from tests.conftest import KEY
from tests.one_case import Desk
from workflows.case import CaseLife

Opener = Callable[..., Desk]
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_a_question_leaves_no_trace_in_the_history(desk: Opener) -> None:
    anna = desk()
    opening = await anna.open()
    before = (await anna.handle.describe()).history_length
    assert (await anna.live()).seq == (await anna.case()).seq
    assert not await anna.waits(opening.command_id)
    assert not await anna.waits("never-sent")
    assert (await anna.handle.describe()).history_length == before


async def test_what_a_busy_case_writes_while_it_is_read_can_be_replayed(desk: Opener) -> None:
    """Asked by queries, every second such case could not go on once its worker had let go of it."""
    cases = [desk() for _ in range(3)]
    for case in cases:
        await _write_and_read(case)
        history = await case.handle.fetch_history()
        plugin = temporal.plugin([KEY], checked=True)
        replayer = Replayer(workflows=[CaseLife], namespace="default", plugins=[plugin])
        assert (await replayer.replay_workflow(history)).replay_failure is None


async def _write_and_read(case: Desk) -> None:
    """Four people write notes, three look at the case all the time."""
    await case.open()
    written = asyncio.Event()

    async def write() -> None:
        for number in range(12):
            await case.do("add-note", text=f"{number}")

    async def read() -> None:
        seen = 0
        while not written.is_set():
            now = (await case.live()).seq
            assert now >= seen
            seen = now

    readers = [asyncio.create_task(read()) for _ in range(3)]
    try:
        await asyncio.gather(*(write() for _ in range(4)))
    finally:
        written.set()
    await asyncio.gather(*readers)
    assert (await case.case()).seq >= 48
