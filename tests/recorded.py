"""Puts a story that was played against the domain alone on record, as if it had been settled there."""

from collections.abc import Sequence

from sqlalchemy import URL, Engine

from activities.record import Standing, write_entries
from domain.case.event import Entry, Position
from infra import database
from infra.encryption import KeyRing, ring_of
from infra.settings import Settings


def put_entries(
    engine: Engine, keys: KeyRing, case_id: str, before: Standing, entries: Sequence[Entry]
) -> Standing:
    """Add entries to a timeline that ends at `before`; return the case and where it ends then."""
    with engine.begin() as connection:
        return write_entries(connection, keys, {"tenant": "local", "case_id": case_id}, before, entries)


def put_on_record(url: str | URL, settings: Settings, case_id: str, entries: Sequence[Entry]) -> Position:
    """Write a whole timeline with all that follows from it; return where it ends."""
    engine, keys = database.blocking(url), ring_of(settings)
    try:
        return put_entries(engine, keys, case_id, Standing(), entries).at
    finally:
        engine.dispose()
