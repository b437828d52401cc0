"""The migrations make exactly the tables of this release, on both databases."""

from alembic import command
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from infra.migrate import config


async def test_migrated_tables_are_the_tables_of_the_code(engine: AsyncEngine) -> None:
    """Nothing left to migrate; down and up again works too."""
    async with engine.connect() as connection:
        await connection.run_sync(lambda c: command.check(config(c)))
        await connection.run_sync(lambda c: command.downgrade(config(c), "base"))
        await connection.run_sync(lambda c: command.upgrade(config(c), "head"))
        await connection.run_sync(lambda c: command.check(config(c)))
        names = await connection.run_sync(lambda c: inspect(c).get_table_names())
    assert set(names) == {*SQLModel.metadata.tables, "alembic_version"}
