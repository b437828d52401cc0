"""`make verify` finds what was changed by hand, and says which entry."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import Engine, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.verify import faults_of
from infra import database
from infra.checkpoints import Checkpoints
from infra.encryption import ring_of
from infra.settings import Settings
from infra.tables import AuditRow
from tests.one_case import Desk

Opener = Callable[..., Desk]


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE timeline SET actor = 'cm-ben' WHERE seq = 2", "entry 2 of case"),
        ("DELETE FROM timeline WHERE seq = 2", "entries 2 to 2 are missing"),
        ("UPDATE timeline SET digest = 'x' WHERE seq = 2", "entry 2 of case"),
        (
            "UPDATE timeline SET encrypted = (SELECT encrypted FROM timeline WHERE seq = 3) WHERE seq = 2",
            "entry 2 of case",
        ),
        ("UPDATE timeline SET previous = 'x' WHERE seq = 3", "entry 3 does not follow"),
        ("DELETE FROM timeline WHERE seq = 4", "its last entry is not the one that its line names"),
    ],
)
async def test_each_change_is_named_by_its_entry(
    desk: Opener, record: Engine, settings: Settings, statement: str, says: str
) -> None:
    anna, keys = desk(), ring_of(settings)
    await anna.open()
    for n in range(2):
        await anna.do("add-note", text=f"note {n}")
    with record.connect() as connection:
        assert list(faults_of(connection, keys, anna.case_id)) == []
        last = connection.execute(text("SELECT max(seq) FROM timeline")).scalar()
        connection.execute(text(statement.replace("seq = 4", f"seq = {last}")))
        found = list(faults_of(connection, keys, anna.case_id))
        connection.rollback()
    assert any(says in fault for fault in found), found


CUT = {
    "DELETE FROM timeline WHERE case_id = '{case}'": "which a checkpoint saw, is gone",
    "DELETE FROM audit WHERE n = 2": "row 2, which a checkpoint saw, is gone",
    "UPDATE audit SET mac = 'x' WHERE n = 2": "is not the one that a checkpoint saw",
    "DELETE FROM timeline WHERE seq >= 3": "which a checkpoint saw, is gone",
}


@pytest.mark.parametrize("statement", CUT)
async def test_what_is_cut_off_or_taken_out_whole_is_seen_by_the_checkpoints(
    desk: Opener, record: Engine, settings: Settings, statement: str
) -> None:
    """The chain that is left holds; how far it was is kept elsewhere."""
    anna = desk()
    await anna.open()
    await anna.do("add-note", text="x")
    said = {"at": datetime.now(UTC), "writer": "w", "mac": "m", "tenant": "local", "actor": "a", "role": "r"}
    row = {**said, "action": "read-case", "status": 200, "address": "::1"}
    with record.begin() as connection:
        connection.execute(insert(AuditRow), [{**row, "n": 1}, {**row, "n": 2}])
    kept = Checkpoints(settings.checkpoints_folder, b"k" * 32)
    with record.connect() as connection:
        assert kept.write(connection, datetime.now(UTC)) >= 2
        assert list(kept.broken(connection)) == []
        connection.execute(text(statement.format(case=anna.case_id)))
        found = list(kept.broken(connection))
        connection.rollback()
    assert any(CUT[statement] in fault for fault in found), found


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_checkpoint_that_was_changed_or_taken_out_shows(
    desk: Opener, record: Engine, settings: Settings
) -> None:
    """Also one that was cut by a kill in the middle of its line: the next one takes its place."""
    anna, kept = desk(), Checkpoints(settings.checkpoints_folder, b"k" * 32)
    await anna.open()
    with record.connect() as connection:
        kept.write(connection, datetime.now(UTC) - timedelta(hours=1))
        with kept.path.open("a") as file:
            file.write('{"n": 2, "at"')
        kept.write(connection, datetime.now(UTC))
        lines = kept.path.read_text().splitlines()
        assert list(kept.broken(connection)) == []
        for changed in ([lines[1]], [lines[0].replace(anna.case_id, "0" * 32), lines[1]]):
            kept.path.write_text("\n".join(changed) + "\n")
            assert any("checkpoint" in fault for fault in kept.broken(connection))
