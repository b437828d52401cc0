"""The record's database: SQLite or PostgreSQL, the same code on both."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

LOCK_SECONDS = 2.0
THREADS = 20  # as many as a pool gives connections
Either = TypeVar("Either", Engine, AsyncEngine)
PATIENCE = {  # a host that is gone says nothing: without these a thread would wait for many minutes
    "connect_timeout": 3,
    "options": "-c statement_timeout=5000 -c lock_timeout=5000",
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",  # what was deleted, or replaced, is overwritten with zeros
    f"busy_timeout={int(LOCK_SECONDS * 1000)}",
)
ON_SQLITE = {"timeout": LOCK_SECONDS, "isolation_level": None}


def connect(url: str) -> AsyncEngine:
    """An engine for this address. On SQLite every transaction takes the write lock at once.

    SQLite's own default let concurrent read-modify-writes overwrite each other without an error; with
    `BEGIN IMMEDIATE`, WAL and a busy time-out they queue.
    """
    if not url.startswith("sqlite"):
        engine = create_async_engine(url, pool_pre_ping=True, pool_size=10, connect_args=PATIENCE)
    else:
        engine = create_async_engine(url, connect_args=ON_SQLITE)
        _listen(engine.sync_engine)
    _close_what_comes_late(engine.sync_engine)
    return engine


def missing_file(url: str | URL) -> Path | None:
    """SQLite's file where it is not there: connecting would make an empty one."""
    found = make_url(url)
    path = Path(found.database or "")
    return path if found.get_backend_name() == "sqlite" and not path.is_file() else None


def blocking(url: str | URL) -> Engine:
    """An engine for one thread at a time, to write a whole transaction in one go.

    The asynchronous SQLite driver changes threads at every statement; a command's record has about ten, and
    the changing was most of what they cost.
    """
    found = make_url(url)
    if found.get_backend_name() != "sqlite":
        engine = create_engine(found, pool_pre_ping=True, pool_size=10, connect_args=PATIENCE)
    else:
        own = {**ON_SQLITE, "check_same_thread": False}
        engine = create_engine(found.set(drivername="sqlite"), connect_args=own)
        _listen(engine)
    _close_what_comes_late(engine)
    return engine


def hurried(url: str | URL) -> Engine:
    """A blocking engine whose commits outlive the process at once, and a loss of power a moment later.

    On SQLite in WAL mode `synchronous=NORMAL` (sqlite.org/pragma.html#pragma_synchronous), on PostgreSQL
    `synchronous_commit=off` (at most three times `wal_writer_delay`).
    """
    engine = blocking(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=NORMAL").close())
    else:
        event.listen(engine, "begin", lambda made: made.exec_driver_sql("SET LOCAL synchronous_commit TO off"))
    return engine


def threads() -> ThreadPoolExecutor:
    """Threads for blocking engines. They wait for the database, not for a processor: one that hangs holds many."""
    return ThreadPoolExecutor(THREADS, "record")


def writers(engine: Engine) -> ThreadPoolExecutor:
    """Threads that write. On SQLite only one can at a time; others would sleep until it is done, and longer."""
    return ThreadPoolExecutor(1 if engine.dialect.name == "sqlite" else THREADS, "writing")


def reading(engine: Either) -> Either:
    """The same engine for queries only: on SQLite they take no write lock."""
    return engine.execution_options(caseloom_reading=True)


def _close_what_comes_late(engine: Engine) -> None:
    """Close a connection that was still out when its engine was disposed of, as soon as it is given back.

    `dispose()` closes those that are in the pool; a query that is still running, whose asker has gone, gives its
    connection back to a pool that nobody has any more, and the server would keep it until it is collected.
    """

    def connected(_: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info["pool"] = engine.pool

    def given_back(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if entry.info.get("pool", engine.pool) is not engine.pool:
            entry.invalidate()

    event.listen(engine, "connect", connected)
    event.listen(engine, "checkin", given_back)


def _listen(engine: Engine) -> None:
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    options: Any = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN" if options.get("caseloom_reading") else "BEGIN IMMEDIATE")
