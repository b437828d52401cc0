"""The record's database: SQLite or PostgreSQL, the same code on both."""

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

LOCK_SECONDS = 2.0


def connect(url: str) -> AsyncEngine:
    """An engine for this address. On SQLite every transaction takes the write lock at once.

    SQLite's own default let concurrent read-modify-writes overwrite each other without an error; with
    `BEGIN IMMEDIATE`, WAL and a busy time-out they queue.
    """
    if not url.startswith("sqlite"):
        patience = {"connect_timeout": 3, "options": "-c statement_timeout=5000 -c lock_timeout=5000"}
        return create_async_engine(url, pool_pre_ping=True, pool_size=10, connect_args=patience)
    engine = create_async_engine(url, connect_args={"timeout": LOCK_SECONDS, "isolation_level": None})
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same engine for queries only: on SQLite they take no write lock."""
    return engine.execution_options(caseloom_reading=True)


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={int(LOCK_SECONDS * 1000)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    options: Any = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN" if options.get("caseloom_reading") else "BEGIN IMMEDIATE")
