"""Keeps what feeds send: committed before the sender hears that it arrived, several in one transaction."""

import asyncio
import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from domain.programs.feed import Feed
from infra import row_places
from infra.encryption import KeyRing, derived_id
from infra.inbound_tables import InboundRow


@dataclass(frozen=True)
class Received:
    """A message as it came, and what could be read of it at the door; what it does not say is empty."""

    raw: bytes
    at: datetime
    sent: datetime
    event: str
    patient: str
    visit: str
    answer: str


class Inbox:
    """The door of one feed. Raises what the database raises: then nothing is kept, and nothing is answered."""

    def __init__(self, engine: Engine, keys: KeyRing, index_key: bytes, feed: Feed) -> None:
        self._engine, self._keys, self._index_key, self._feed = engine, keys, index_key, feed
        self._thread = ThreadPoolExecutor(1, "inbox")
        self._waiting: list[tuple[Received, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, received: Received) -> None:
        """Keep one message for good; the same one again is counted, and is not worked off twice."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((received, kept))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        await kept

    def close(self) -> None:
        self._thread.shutdown()

    async def _write_all(self) -> None:
        """Whatever has come while the last transaction was written goes into the next one."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            fault: Exception | None = None
            try:
                rows = [self._row(received) for received, _ in batch]
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows)
            except Exception as found:  # whatever it is, each sender keeps its message
                fault = found
            for _, kept in batch:
                if not kept.done():
                    kept.set_exception(fault) if fault else kept.set_result(None)

    def _row(self, received: Received) -> dict[str, Any]:
        named = f"{self._feed.tenant}/{self._feed.name}"
        said = f"inbound/{named}/".encode() + received.raw
        digest = hmac.digest(self._index_key, said, "sha256").hex()
        message_id = derived_id(self._index_key, f"inbound/{digest}").hex
        lane = derived_id(self._index_key, f"inbound/{named}/of/{received.patient or digest}").hex
        row = InboundRow(
            id=message_id,
            tenant=self._feed.tenant,
            feed=self._feed.name,
            team=self._feed.team,
            received_at=received.at,
            digest=digest,
            event=received.event,
            sent_at=received.sent,
            lane=lane,
            visit=derived_id(self._index_key, f"{lane}/visit/{received.visit}").hex if received.visit else None,
            state="waiting",
            answer=received.answer,
            sealed=self._keys.encrypted(received.raw, row_places.inbound(message_id)),
        )
        return row.model_dump(exclude={"n"})

    def _write(self, rows: Sequence[dict[str, Any]]) -> None:
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        again = update(InboundRow).values(seen=col(InboundRow.seen) + 1)
        with self._engine.begin() as connection:
            for row in rows:
                new = insert(InboundRow).values(row).on_conflict_do_nothing(index_elements=["tenant", "digest"])
                if connection.execute(new.returning(col(InboundRow.id))).first() is None:
                    connection.execute(again.where(col(InboundRow.digest) == row["digest"]))
