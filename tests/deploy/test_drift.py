"""Backups come back older than what they belong to: it is found, it is healed, and nobody is told twice."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Engine, delete, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, col, select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities.derived import DERIVED, digest
from activities.rows import table_of
from deploy import heal
from deploy.drift import Comparison, Finding
from deploy.rebuild import rebuild
from domain.case import Case
from infra import database
from infra.settings import Settings
from infra.tables import CaseRow, CommandRow, SnapshotRow, TaskRow, TimelineRow
from infra.timeline import digest as digest_of
from infra.timeline import folded
from tests.chaos.parts import until
from tests.desk import Desk

Opener = Callable[..., Desk]
Histories = Callable[[Client, str], AsyncIterator[WorkflowHistory]]


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


@pytest.fixture
def compare(environment: WorkflowEnvironment, record: Engine, settings: Settings) -> Callable[..., Any]:
    async def found(desk: Desk, mend: bool = False, over_gap: bool = False) -> Finding:
        """How this case stands; the server has cases of other tests as well."""
        comparison = Comparison(environment.client, record, settings, mend, over_gap)
        if desk.id in {w.id async for w in environment.client.list_workflows(f"WorkflowId = '{desk.id}'")}:
            return await comparison.compare(desk.id)
        return await comparison.lost(desk.case_id, "local")

    return found


def digests(record: Engine) -> dict[str, str]:
    models: list[type[SQLModel]] = [*DERIVED, TimelineRow, CommandRow]
    with record.connect() as connection:
        rows = {m: connection.execute(table_of(m).select()).mappings().all() for m in models}
    return {str(m.__tablename__): digest([dict(row) for row in found]) for m, found in rows.items()}


def set_back(record: Engine, case_id: str, seq: int) -> None:
    """Leave the record as a copy had it that was made after entry `seq`."""
    with record.begin() as connection:
        connection.execute(delete(TimelineRow).where(col(TimelineRow.seq) > seq))
        kept = connection.execute(select(CommandRow.command_id, CommandRow.outcome))
        late = [command_id for command_id, outcome in kept if outcome["seq"] > seq]
        connection.execute(delete(CommandRow).where(col(CommandRow.command_id).in_(late)))
    rebuild(record)


async def test_rebuilding_finds_the_same_rows_and_repairs_those_that_are_not(desk: Opener, record: Engine) -> None:
    """Equal by digest on both databases; a row that somebody changed or lost is made again."""
    anna = desk()
    await anna.walk()
    await anna.do("log-contact", mode="video", party="patient", reached=True, outcome="x")
    await anna.forward(days=9)
    before = digests(record)
    assert rebuild(record) == {str(m.__tablename__): [] for m in DERIVED}
    assert digests(record) == before
    with record.begin() as connection:
        connection.execute(update(CaseRow).values(stage="closure"))
        connection.execute(delete(TaskRow))
    repaired = rebuild(record)
    assert repaired["cases"] == repaired["tasks"] == [anna.case_id]
    assert digests(record) == before


async def test_a_record_restored_from_an_older_copy_is_healed_from_the_histories(
    desk: Opener, record: Engine, compare: Callable[..., Any]
) -> None:
    """Over several continue-as-news, with a miss and rungs among what was lost; digests equal, nothing twice."""
    anna = desk(history_events=30)
    await anna.walk()
    await anna.forward(days=10)

    async def climbed() -> bool:
        return any(row.kind == "rung-climbed" for row in await anna.timeline())

    await anna.until(climbed)
    for n in range(6):
        await anna.do("add-note", text=f"note {n}")
    before = digests(record)
    assert (await compare(anna)).state == "agrees"
    set_back(record, anna.case_id, 4)
    assert (await compare(anna)).state == "behind"
    mended = await compare(anna, mend=True)
    assert mended.done.endswith("entries added to the record"), mended
    assert (await compare(anna)).state == "agrees"
    assert digests(record) == before


async def test_a_case_goes_on_over_a_gap_and_is_on_record_when_that_is_healed(
    desk: Opener, record: Engine, compare: Callable[..., Any]
) -> None:
    """Commands are answered while entries before them are missing; healing lets them in."""
    anna = desk()
    await anna.walk()
    set_back(record, anna.case_id, 3)
    await anna.do("add-note", text="while there is a gap")
    assert (await compare(anna, mend=True)).done

    async def there() -> bool:
        return [row.data.get("text") for row in await anna.timeline()][-1:] == ["while there is a gap"]

    await anna.until(there, seconds=40)
    rows = await anna.timeline()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert (await compare(anna)).state == "agrees"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_no_history_has_any_more_is_said_and_gone_over_only_when_asked(
    desk: Opener, record: Engine, compare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest run is left, as after the retention: entries are lost, the state they led to is not."""
    anna = desk(history_events=30)
    await anna.walk()
    for n in range(10):
        await anna.do("add-note", text=f"note {n}")
    known = await anna.case()
    monkeypatch.setattr(heal, "histories", newest_only(heal.histories))
    set_back(record, anna.case_id, 2)
    assert "in no history" in (await compare(anna, mend=True)).done
    await compare(anna, mend=True, over_gap=True)
    with record.connect() as connection:
        assert folded(connection, anna.case_id) == known
    await anna.do("add-note", text="and on")
    assert (await compare(anna)).state == "agrees"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_case_that_the_engine_lost_is_started_again_from_the_record(
    desk: Opener, compare: Callable[..., Any], environment: WorkflowEnvironment
) -> None:
    """It knows its state, its promises and the outcomes of its commands."""
    anna = desk()
    await anna.walk()
    note = anna.envelope("add-note", text="once")
    first = await anna.update(note)
    known = await anna.case()
    await forget(environment, anna.id)
    assert (await compare(anna)).state == "not in the engine"
    assert (await compare(anna, mend=True)).done == "started again from the record"
    assert await anna.case() == known
    assert await anna.update(note) == first
    await anna.forward(days=10)

    async def missed() -> bool:
        return any(row.kind == "clock-missed" for row in await anna.timeline())

    await anna.until(missed)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_sealed_case_is_whole_without_the_engine(desk: Opener, record: Engine) -> None:
    """Its snapshot is on record before its workflow completes, and is what its timeline makes."""
    anna = desk()
    await anna.walk()
    await anna.do("close", reason="moved")
    await anna.forward(days=32)

    async def kept() -> bool:
        with record.connect() as connection:
            return connection.execute(select(SnapshotRow.seq)).first() is not None

    await anna.until(kept)
    with record.connect() as connection:
        row = connection.execute(table_of(SnapshotRow).select()).one()
        case = folded(connection, anna.case_id)
    assert case is not None
    assert case.sealed
    assert (row.reason, row.digest) == ("sealed", digest_of(case))
    assert Case.model_validate(row.state) == case


def newest_only(histories: Histories) -> Histories:
    """The histories of a case as an engine has them that has forgotten all closed runs."""

    async def found(client: Client, workflow_id: str) -> AsyncIterator[WorkflowHistory]:
        async for history in histories(client, workflow_id):
            yield history
            return

    return found


async def forget(environment: WorkflowEnvironment, workflow_id: str) -> None:
    """Delete a workflow as the engine does when its retention is over; wait until it is gone."""
    client, handle = environment.client, environment.client.get_workflow_handle(workflow_id)
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
    )
    await client.workflow_service.delete_workflow_execution(request)

    async def gone() -> bool:
        try:
            await handle.describe()
        except RPCError:
            listed = f"WorkflowId = '{workflow_id}'"
            return not [w async for w in client.list_workflows(listed)]
        return False

    await until(gone, "the workflow is not gone")
