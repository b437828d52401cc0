"""The migrations make exactly the tables of this release, on both databases, and keep what is in them."""

from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from infra.migrate import SCRIPTS, config

STEPS = ScriptDirectory(str(SCRIPTS)).walk_revisions()
RELEASES = [step.revision for step in STEPS][::-1]
RENAMED = {("cases", "patient_reference"): "person_id"}
DROPPED = {("cases", "written_by")}  # which task wrote last: since the record decides, nobody asks
NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


async def test_migrated_tables_are_the_tables_of_the_code(engine: AsyncEngine) -> None:
    """Nothing left to migrate; down and up again works too."""
    async with engine.connect() as connection:
        await connection.run_sync(lambda c: command.check(config(c)))
        await connection.run_sync(lambda c: command.downgrade(config(c), "base"))
        await connection.run_sync(lambda c: command.upgrade(config(c), "head"))
        await connection.run_sync(lambda c: command.check(config(c)))
        names = await connection.run_sync(lambda c: inspect(c).get_table_names())
    assert set(names) == {*SQLModel.metadata.tables, "alembic_version"}


def value_for(column: Any) -> Any:
    """Something that fits a column, and tells rows apart."""
    kind = str(column.type).upper()
    if "TIMESTAMP" in kind or "DATETIME" in kind:
        return NOW
    if "BOOL" in kind:
        return True
    if "JSON" in kind:
        return {"kept": [1, 2]}
    if "INT" in kind:
        return 7
    if "BLOB" in kind or "BYTEA" in kind:
        return b"kept"
    return 1.5 if "FLOAT" in kind or "DOUBLE" in kind else f"{column.name}-kept"


def tables(connection: Connection) -> dict[str, Table]:
    """The tables as the database has them at this release."""
    found = MetaData()
    found.reflect(connection)
    return {name: table for name, table in found.tables.items() if name != "alembic_version"}


def contents(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for name, table in tables(connection).items()
    }


def climb(connection: Connection) -> None:
    """From each release to the next, every table holding a row; nothing is lost but what was derived."""
    command.downgrade(config(connection), "base")
    for release in RELEASES:
        before = contents(connection)
        command.upgrade(config(connection), release)
        after = contents(connection)
        for name, rows in before.items():
            for old, new in zip(rows, after[name], strict=True):
                kept = {column: value for column, value in old.items() if (name, column) not in DROPPED}
                found = {c: new[c if c in new else RENAMED[name, c]] for c in kept}
                assert found == kept, f"{release}: {name}"
        for name, table in tables(connection).items():
            if not after[name]:
                connection.execute(insert(table).values({c.name: value_for(c) for c in table.columns}))


async def test_every_release_migrates_up_with_data_in_its_tables(engine: AsyncEngine) -> None:
    """On both databases: one row in each table, carried through every release."""
    async with engine.connect() as connection:
        await connection.run_sync(climb)
        await connection.run_sync(lambda c: command.check(config(c)))
        cases = (await connection.run_sync(contents))["cases"]
    assert cases[0]["wakes_at"] is None or cases[0]["status"] == "open"
    assert cases[0]["head"] == ""


def closed_cases(connection: Connection) -> None:
    """At the first release: one case that is sealed, and one that is closed and may still be reopened."""
    command.downgrade(config(connection), "base")
    command.upgrade(config(connection), RELEASES[0])
    there = tables(connection)
    for case_id, last in (("sealed", "case-sealed"), ("closed", "case-ended")):
        for name, more in (
            ("cases", {"id": case_id, "status": "closed"}),
            ("timeline", {"case_id": case_id, "kind": last}),
        ):
            row = {column.name: value_for(column) for column in there[name].columns}
            connection.execute(insert(there[name]).values({**row, **more}))
    command.upgrade(config(connection), "head")


async def test_of_closed_cases_those_that_can_be_reopened_are_not_taken_for_sealed(engine: AsyncEngine) -> None:
    """They are woken by the night watch, and say themselves when their window is over."""
    async with engine.connect() as connection:
        await connection.run_sync(closed_cases)
        found = {row["id"]: row for row in (await connection.run_sync(contents))["cases"]}
    assert (bool(found["sealed"]["sealed"]), found["sealed"]["wakes_at"]) == (True, None)
    assert (bool(found["closed"]["sealed"]), found["closed"]["wakes_at"]) == (False, found["closed"]["updated_at"])
