"""Who looked at what: written before the answer leaves, in rows that nobody changes unseen.

Each process writes a chain of its own: every row carries a keyed digest over itself and the row before it, so that
a row that was altered, taken out or put in shows (`make verify`). What is cut off at the end of a chain does not.
"""

import asyncio
import hmac
import json
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import URL, Connection, Engine, insert
from sqlmodel import col, select

from infra import database
from infra.tables import AuditRow

SAID = ("tenant", "at", "actor", "role", "action", "case_id", "person_id", "status", "address", "purpose")
CHAINED = ("writer", "n", *SAID)


def audit_key(index_key: bytes) -> bytes:
    """The key of the chains, which whoever holds the database alone does not have."""
    return hmac.digest(index_key, b"audit", "sha256")


def mac(key: bytes, previous: str, row: dict[str, Any]) -> str:
    said = json.dumps([previous, *(str(row[name]) for name in CHAINED)], ensure_ascii=False)
    return hmac.new(key, said.encode(), "sha256").hexdigest()


class Audit:
    """Writes what is noted, all that waits in one transaction, in the order in which it was noted."""

    def __init__(self, url: str | URL, index_key: bytes) -> None:
        self._url, self._key = url, audit_key(index_key)
        self._writer, self._n, self._mac = uuid.uuid4().hex[:16], 0, ""
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._thread = ThreadPoolExecutor(1, "audit")
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None

    async def note(self, row: dict[str, Any]) -> None:
        """Write a row down. Raises what the database raises; nothing is then on record of it."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all())
        await written

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            fault: BaseException | None = None
            try:
                rows = [row for row, _ in batch]
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows)
            except Exception as found:
                fault = found
            for _, written in batch:
                if written.done():
                    continue
                if fault is not None:
                    written.set_exception(fault)
                else:
                    written.set_result(None)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if self._engine is None:
            self._engine = database.hurried(self._url)
        n, last, made = self._n, self._mac, []
        for noted in rows:
            n += 1
            row = {**noted, "writer": self._writer, "n": n}
            last = mac(self._key, last, row)
            made.append({**row, "mac": last})
        with self._engine.begin() as connection:
            connection.execute(insert(AuditRow), made)
        self._n, self._mac = n, last

    def close(self) -> None:
        self._thread.shutdown()
        if self._engine is not None:
            self._engine.dispose()


def broken(connection: Connection, index_key: bytes) -> Iterable[str]:
    """Where a chain does not hold: the row at which it breaks, in words."""
    key, before = audit_key(index_key), ("", 0, "")
    for row in connection.execute(select(AuditRow).order_by(col(AuditRow.writer), col(AuditRow.n))):
        found = dict(row._mapping)
        writer, n, last = before if before[0] == found["writer"] else (found["writer"], 0, "")
        if found["n"] != n + 1:
            yield f"audit {writer}: {found['n'] - n - 1} rows are missing before row {found['n']}"
        elif found["mac"] != mac(key, last, found):
            yield f"audit {writer}: row {found['n']} is not what was written"
        before = (writer, found["n"], found["mac"])
