"""What the tools need of the system of a data folder: its settings, its record, its engine, its address.

A tool that does not find what it needs says so in one sentence and ends with 1: `NotHere` does both, and nobody
has to catch it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client

from deploy import pids
from infra import database, temporal
from infra.loopback import answers
from infra.settings import Settings


class NotHere(SystemExit):
    """What a tool needs is not there; the sentence says what, and what to do."""


def settings() -> Settings:
    """The settings from the environment; the engine's address is `make up`'s where none is given.

    Raises `NotHere` for a folder without a record: on SQLite, looking into it would make an empty one.
    """
    found = Settings()
    missing = database.missing_file(found.database)
    if missing is not None:
        raise NotHere(f"there is no record at {missing}: `make up` makes one; for another folder set DATA_DIR")
    return located(found)


def located(found: Settings) -> Settings:
    """The same settings with the engine's address as `make up` wrote it down, where none is given."""
    running = pids.read(found.data_dir)
    if "TEMPORAL_ADDRESS" in os.environ or running is None:
        return found
    mail = {} if found.smtp_url else {"smtp_url": running.mail}
    return found.model_copy(update={"temporal_address": running.temporal, **mail})


@contextmanager
def record(found: Settings) -> Iterator[Engine]:
    """The record of these settings. Raises `NotHere` where it does not answer, or has no tables yet."""
    engine = database.blocking(found.database)
    where = engine.url.render_as_string(hide_password=True)
    try:
        _check_tables(engine, where)
        yield engine
    finally:
        engine.dispose()


def _check_tables(engine: Engine, where: str) -> None:
    try:
        with engine.connect() as connection:
            migrated = inspect(connection).has_table("timeline")
    except SQLAlchemyError:
        raise NotHere(f"the record at {where} does not answer: start the database, or set DATABASE_URL") from None
    if not migrated:
        raise NotHere(f"the record at {where} has no tables yet: run `make migrate`")


async def engine(found: Settings) -> Client:
    """The Temporal server of these settings. Raises `NotHere` where it does not answer."""
    try:
        return await temporal.connect(found)
    except RuntimeError:
        where = found.temporal_address
        raise NotHere(f"no Temporal server answers at {where}: `make up`, or set TEMPORAL_ADDRESS") from None


def address(found: Settings) -> str:
    """Where the API of the folder's system answers. Raises `NotHere`."""
    running = pids.read(found.data_dir)
    if running is None or running.address is None:
        raise NotHere(f"no system runs on {found.data_dir}: start it with `make up` in another terminal")
    if not answers(urlsplit(running.address).port or 80):
        raise NotHere(f"the system of {found.data_dir} does not answer: `make down`, then `make up`")
    return running.address


def require_key(found: Settings) -> None:
    """Raises `NotHere` where the folder has no key to sign with: a token under a new one would open nothing."""
    if not (found.data_dir / "signing-key.pem").exists():
        raise NotHere(f"no system has run on {found.data_dir}: `make up` first, or set DATA_DIR to its folder")
