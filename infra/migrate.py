"""Brings the database to this release's tables: `python -m infra.migrate`.

`python -m infra.migrate new MESSAGE` drafts a migration instead.
"""

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import create_async_engine

from infra import database
from infra.settings import Settings

SCRIPTS = Path(__file__).parent / "migrations"


def config(connection: Connection) -> Config:
    """Alembic's configuration for one open connection."""
    found = Config()
    found.set_main_option("script_location", str(SCRIPTS))
    found.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    found.attributes["connection"] = connection
    return found


async def upgrade(url: str) -> None:
    """Apply every migration that the database lacks; safe to repeat."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(lambda c: command.upgrade(config(c), "head"))
    await engine.dispose()


async def draft(url: str, message: str) -> None:
    """Write a migration from the difference between the tables and the database."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(lambda c: command.revision(config(c), message, autogenerate=True))
    await engine.dispose()


async def main(arguments: list[str]) -> None:
    """Exits in words where there is no record: `make up`, and nobody else, makes one in a data folder."""
    settings = Settings()
    missing = None if settings.database_url else database.missing_file(settings.database)
    if missing is not None:
        sys.exit(f"there is no record at {missing}: `make up` makes one; for another folder set DATA_DIR")
    try:
        if arguments[:1] == ["new"]:
            await draft(settings.database, " ".join(arguments[1:]))
        else:
            await upgrade(settings.database)
    except DatabaseError as fault:
        sys.exit(f"the record cannot be migrated: {str(fault.orig).strip().splitlines()[0]}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
