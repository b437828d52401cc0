"""Connections to the record end with the engine that made them, also those that are still out at that moment."""

import gc
import warnings
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from activities.rows import table_of
from infra import database
from infra.encryption import KeyRing
from infra.person_tables import PersonKeyRow, PersonRow
from infra.persons import Persons


async def test_a_connection_that_comes_back_late_is_closed(engine: AsyncEngine) -> None:
    late = database.blocking(engine.url)
    out = late.connect()
    out.exec_driver_sql("SELECT 1")
    wire = out.connection.dbapi_connection
    late.dispose()
    out.close()
    with pytest.raises(Exception, match="closed"):
        wire.cursor().execute("SELECT 1")  # type: ignore[union-attr]


async def test_so_is_one_of_an_asynchronous_engine(engine: AsyncEngine) -> None:
    late = database.connect(engine.url.render_as_string(hide_password=False))
    out = await late.connect()
    await out.exec_driver_sql("SELECT 1")
    await late.dispose()
    await out.close()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")  # a driver says when what was left open is collected
        del out
        gc.collect()
    assert [str(one.message) for one in said] == []


async def test_a_connection_that_comes_back_in_time_is_used_again(engine: AsyncEngine) -> None:
    found = database.blocking(engine.url)
    with found.connect() as connection:
        first = connection.connection.dbapi_connection
    with found.connect() as connection:
        assert connection.connection.dbapi_connection is first
    found.dispose()


def test_a_person_is_looked_for_by_her_keys_also_where_sqlite_has_no_statistics() -> None:
    """Else it reads the look-ups of everybody in the order of their ids, at every referral."""
    engine, said = create_engine("sqlite://"), list[tuple[str, Any]]()
    tables = [table_of(model) for model in (PersonRow, PersonKeyRow)]
    SQLModel.metadata.create_all(engine, tables)
    event.listen(engine, "before_cursor_execute", lambda _, __, text, values, *___: said.append((text, values)))
    with engine.connect() as connection:
        Persons(connection, KeyRing([b"k" * 32]), b"i" * 32, "local").find(["word a", "word b"], 200)
        asked, values = next(one for one in said if "person_keys" in one[0])
        plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values)]
    engine.dispose()
    assert [step for step in plan if "person_keys" in step] == [step for step in plan if "key=?" in step] != []
