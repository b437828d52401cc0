"""Brings the database to this release's tables: `python -m infra.migrate`.

`python -m infra.migrate new MESSAGE` drafts a migration instead.
"""

import asyncio
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

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
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if arguments[:1] == ["new"]:
        await draft(settings.database, " ".join(arguments[1:]))
    else:
        await upgrade(settings.database)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
