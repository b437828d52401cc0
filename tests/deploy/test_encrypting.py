"""What an older release left in clear is encrypted by the upgrade; what is put in by hand later never is."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy import Engine, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.record import Standing
from activities.rows import table_of
from deploy.upgrade import encrypt_old_timelines
from deploy.verify import faults_of
from infra import database
from infra.encryption import KeyRing, ring_of
from infra.settings import Settings
from infra.tables import ClockRow, TimelineRow
from infra.timeline import RecordAltered, entry_of, folded
from tests.recorded import put_entries
from tests.story import Story

CASE = "case-1"


@pytest_asyncio.fixture(loop_scope="session")
async def record(engine: AsyncEngine) -> AsyncIterator[Engine]:
    found = database.blocking(engine.url)
    yield found
    found.dispose()


def in_clear(record: Engine, keys: KeyRing) -> None:
    """Leave a timeline as releases up to 0.3 did."""
    table = table_of(TimelineRow)
    with record.begin() as connection:
        for row in connection.execute(table.select()).all():
            said = {
                "data": entry_of(keys, row).data,
                "encrypted": None,
                "digest": "",
                "facts": {},
                "hash": f"{row.seq}",
            }
            connection.execute(table.update().where(table.c.seq == row.seq).values(said))
        connection.execute(update(ClockRow).values(title="In clear"))


async def test_what_lay_in_clear_is_encrypted_once_and_the_case_is_the_same(
    record: Engine, settings: Settings
) -> None:
    """Safe to repeat; what is put into an encrypted timeline afterwards is not taken for an entry."""
    story, keys = Story(), ring_of(settings)
    story.open()
    story.do("record-consent", form="verbal")
    put_entries(record, keys, CASE, Standing(), story.timeline)
    with record.connect() as connection:
        before = folded(connection, keys, CASE)
    in_clear(record, keys)
    with record.connect() as connection, pytest.raises(RecordAltered):
        folded(connection, keys, CASE)
    assert encrypt_old_timelines(record, settings) == [("local", CASE)]
    assert encrypt_old_timelines(record, settings) == []
    with record.connect() as connection:
        assert folded(connection, keys, CASE) == before
        assert list(faults_of(connection, keys, CASE)) == []
        assert connection.execute(text("SELECT count(*) FROM timeline WHERE data IS NOT NULL")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM clocks WHERE title = 'In clear'")).scalar() == 0


async def test_an_entry_written_by_hand_is_never_the_cases_state(record: Engine, settings: Settings) -> None:
    """Neither in clear nor with the digests of another entry; it is named, and the upgrade does not seal it."""
    story, keys = Story(), ring_of(settings)
    story.open()
    last = put_entries(record, keys, CASE, Standing(), story.timeline).at
    table = table_of(TimelineRow)
    with record.begin() as connection:
        row = connection.execute(table.select().where(table.c.seq == last.seq)).one()
        forged = {**row._mapping, "seq": last.seq + 1, "at": row.at + timedelta(days=1), "previous": last.head}
        connection.execute(table.insert().values({**forged, "data": {"reason": "died"}, "encrypted": None}))
    assert encrypt_old_timelines(record, settings) == []
    with record.connect() as connection:
        with pytest.raises(RecordAltered):
            folded(connection, keys, CASE)
        assert any(f"entry {last.seq + 1} " in fault for fault in faults_of(connection, keys, CASE))
    with record.begin() as connection:
        connection.execute(
            table.update().where(table.c.seq == last.seq + 1).values(encrypted=row.encrypted, data=None)
        )
    with record.connect() as connection, pytest.raises(RecordAltered):
        folded(connection, keys, CASE)
