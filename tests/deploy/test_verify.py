"""`make verify` finds what was changed by hand, and says which entry."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.verify import faults_of
from infra import database
from infra.encryption import ring_of
from infra.settings import Settings
from tests.desk import Desk

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
