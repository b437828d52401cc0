"""Change under running cases: rules, calendars and ladders of another day, and workers of another build."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.api.workflowservice.v1 import (
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from domain.programs.program import Program
from domain.programs.rulebook import Rulebook
from infra.settings import Settings
from tests.one_case import Desk
from tests.story import in_force
from worker import worker

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
Under = Callable[[Rulebook], AbstractAsyncContextManager[Worker]]


@pytest.fixture
def anna(environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings) -> Desk:
    return Desk(environment, settings, engine)


@pytest.fixture
def under(environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings) -> Under:
    """A worker under a rulebook: the release of one day."""
    return lambda rules: worker(environment.client, settings, rules, engine.url)


def edited(**changes: Any) -> Rulebook:
    """The rulebook in force with the file of complex care edited in place, as somebody might on a Tuesday."""
    said = in_force().program("complex-care", 2).model_dump()
    for path, value in changes.items():
        part = said
        *way, last = path.split("__")
        for name in way:
            part = part[name]
        part[last] = value
    stricter = Program.model_validate(said)
    others = (p for p in in_force().programs if (p.program, p.version) != ("complex-care", 2))
    return in_force().changed(programs=(*others, stricter))


async def test_a_stricter_rule_holds_from_the_next_decision_and_rewrites_nothing(anna: Desk, under: Under) -> None:
    """The assessment asks for one more section: what was accepted stays, what comes next is refused by name."""
    async with under(in_force()):
        await anna.walk("planning")
        before, recorded = await anna.case(), await anna.timeline()
    sections = [*in_force().program("complex-care", 2).model_dump()["sections"]]
    new = {"name": "home-safety", "title": "Safety at home", "required": True}
    async with under(edited(sections=[*sections, new])):
        assert await anna.case() == before
        assert await anna.timeline() == recorded
        await anna.do("report-significant-change", description="A fall")
        await anna.do("add-note", text="still answers")
        assert await anna.refused("stratify-risk", given={}) == "AssessmentIncomplete"
    assert (await anna.timeline())[: len(recorded)] == recorded


async def test_another_ladder_is_climbed_from_the_next_rung(anna: Desk, under: Under) -> None:
    """The director is told at once where yesterday's ladder asked the senior first; who was told stays told."""
    async with under(in_force()):
        await anna.walk()
        missed = next(c for c in (await anna.case()).running if c.kind == "contact")
        await anna.forward(seconds=(missed.due_at - datetime.now(UTC)).total_seconds() + 60)

        async def climbed() -> bool:
            return any(row.kind == "clock-missed" for row in await anna.timeline())

        await anna.until(climbed)
        recorded = await anna.timeline()
    ladder = in_force().program("complex-care", 2).ladders[missed.ladder].model_dump()
    first = [rung for rung in ladder["rungs"] if rung["before"] is not None]
    short = [*first, {"tell": "director", "after": "1 hours"}, {"tell": "director", "after": "2 hours"}]
    rules = edited(**{f"ladders__{missed.ladder}__rungs": short})
    async with under(rules):
        await anna.forward(days=5)

        async def director() -> bool:
            told = [row.data["climb"]["tell"] for row in await anna.timeline() if row.kind == "rung-climbed"]
            return "director" in told

        await anna.until(director)
    rows = await anna.timeline()
    assert rows[: len(recorded)] == recorded
    after = [r.data["climb"]["tell"] for r in rows[len(recorded) :] if r.kind == "rung-climbed"]
    assert "supervisor" not in after


async def test_another_calendar_moves_what_it_moves_and_says_so(anna: Desk, under: Under) -> None:
    """The next ten days become holidays: five business days end later, by an event of their own, and unmissed."""
    async with under(in_force()):
        await anna.open()
        before, recorded = await anna.case(), await anna.timeline()
    [screening] = [c for c in before.running if c.kind == "stage"]
    named = next(c for c in in_force().calendars if c.name == screening.calendar)
    closed = {before.opened_at.date() + timedelta(days=n) for n in range(1, 11)}
    changed = named.changed(holidays=named.holidays | closed)
    others = tuple(c for c in in_force().calendars if c.name != named.name)
    rules = in_force().changed(calendars=(*others, changed))
    async with under(rules):
        span = screening.due_at - datetime.now(UTC)
        await anna.forward(seconds=span.total_seconds() + 3600)

        async def moved() -> bool:
            return any(row.kind == "clock-rescheduled" for row in await anna.timeline())

        await anna.until(moved)
    rows = await anna.timeline()
    assert rows[: len(recorded)] == recorded
    assert "clock-missed" not in {row.kind for row in rows}
    assert (await anna.timeline())[-1].at <= screening.due_at + timedelta(seconds=5)


DEPLOYMENT = "caseloom-test"


async def make_current(environment: WorkflowEnvironment, build: str) -> None:
    """Send new cases, and those that continue as new, to this build; wait until the server knows it."""
    client = environment.client
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=DEPLOYMENT, build_id=build
    )
    async with asyncio.timeout(20):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(request)
            except RPCError:  # the worker has not polled yet
                await asyncio.sleep(0.05)
            else:
                return


async def build_of(desk: Desk) -> str:
    found = (await desk.handle.describe()).raw_description.workflow_execution_info.versioning_info
    return found.deployment_version.build_id


async def test_a_case_stays_on_its_build_until_it_continues_as_new(
    environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> None:
    """Two builds at once: the old one keeps its case until the next command, the new one takes it over."""
    named = {"worker_deployment_name": DEPLOYMENT}
    old, new = (settings.model_copy(update={**named, "worker_build_id": build}) for build in ("1", "2"))
    anna, ben = (Desk(environment, settings, engine) for _ in range(2))
    async with worker(environment.client, old, in_force(), engine.url):
        await make_current(environment, "1")
        await anna.open()
        assert await build_of(anna) == "1"
        async with worker(environment.client, new, in_force(), engine.url):
            await make_current(environment, "2")
            await ben.open()
            assert await build_of(ben) == "2"
            assert await build_of(anna) == "1"
            await anna.do("add-note", text="decided by the old build, then handed over")

            async def handed_over() -> bool:
                return await build_of(anna) == "2"

            await anna.until(handed_over)
            await anna.do("add-note", text="decided by the new build")
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))


async def test_without_a_deployment_nothing_is_annotated(anna: Desk, under: Under) -> None:
    """A plain worker runs unversioned cases."""
    async with under(in_force()):
        await anna.open()
    assert await build_of(anna) == ""
