"""Connections to the record end with the engine that made them, also those that are still out at that moment."""

import gc
import warnings

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from infra import database


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
