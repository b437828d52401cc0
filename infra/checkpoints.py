"""Checkpoints: how far audit and timelines were, in a file beside the database, each line bound to the one before.

What is cut off at the end of a chain, or taken out whole, cannot be seen in what is left; it is seen here. The
folder (`CASELOOM_CHECKPOINTS`) belongs where whoever keeps the database cannot write.
"""

import hmac
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func
from sqlmodel import col, select

from infra.tables import AuditRow, CaseRow, TimelineRow

NAME = "checkpoints.jsonl"
OVERLAP = timedelta(minutes=2)  # a transaction that was open at the last one is seen by this one
LONGEST_LINE = 2**20


class Checkpoints:
    """The file of one worker's checkpoints."""

    def __init__(self, folder: Path, index_key: bytes) -> None:
        self.path = folder / NAME
        self._key = hmac.digest(index_key, b"checkpoints", "sha256")

    def write(self, connection: Connection, now: datetime) -> int:
        """Add what has changed since the last one, if anything has; return how many chains that was."""
        last = self._last()
        since = datetime.fromisoformat(last["at"]) - OVERLAP if last else datetime(1970, 1, 1, tzinfo=UTC)
        audit, cases = _audit_since(connection, since), _cases_since(connection, since)
        if not audit and not cases:
            return 0
        said = {"n": last["n"] + 1 if last else 1, "at": now.isoformat(), "audit": audit, "cases": cases}
        line = {**said, "mac": self._mac(said, last["mac"] if last else "")}
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return len(audit) + len(cases)

    def _mac(self, said: dict[str, Any], previous: str) -> str:
        return hmac.new(self._key, json.dumps([previous, said]).encode(), "sha256").hexdigest()

    def _last(self) -> dict[str, Any] | None:
        """The newest line that is whole; what a kill has left of another one is taken off."""
        if not self.path.exists():
            return None
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST_LINE))
            *lines, cut_off = file.read().split(b"\n")
            file.truncate(size - len(cut_off))
        return json.loads(lines[-1]) if lines else None

    def broken(self, connection: Connection) -> Iterator[str]:
        """Where the database has less than a checkpoint saw, or something else; where the file was changed."""
        previous, n = "", 0
        audit: dict[str, tuple[int, str]] = {}
        cases: dict[str, tuple[int, str]] = {}
        for line in self._lines():
            mac = line.pop("mac")
            if line["n"] != n + 1 or mac != self._mac(line, previous):
                yield f"checkpoint {line['n']} is not what was written, or one before it is missing"
            previous, n = mac, line["n"]
            audit |= {writer: (number, seen) for writer, number, seen in line["audit"]}
            cases |= {case_id: (seq, head) for case_id, seq, head in line["cases"]}
        yield from _missing_audit(connection, audit)
        yield from _missing_cases(connection, cases)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            with self.path.open() as file:
                yield from (json.loads(line) for line in file if line.endswith("\n"))


def _audit_since(connection: Connection, since: datetime) -> list[list[Any]]:
    tenants = select(CaseRow.tenant).distinct()
    fresh = select(AuditRow.writer, func.max(AuditRow.n)).where(
        col(AuditRow.tenant).in_(tenants), col(AuditRow.at) > since
    )
    found = connection.execute(fresh.group_by(col(AuditRow.writer)).order_by(col(AuditRow.writer))).all()
    return [[writer, n, _mac_of(connection, writer, n)] for writer, n in found]


def _mac_of(connection: Connection, writer: str, n: int) -> str | None:
    row = select(AuditRow.mac).where(col(AuditRow.writer) == writer, col(AuditRow.n) == n)
    return connection.execute(row).scalar()


def _cases_since(connection: Connection, since: datetime) -> list[list[Any]]:
    fresh = select(CaseRow.id, CaseRow.seq, CaseRow.head).where(col(CaseRow.recorded_at) > since)
    return [list(row) for row in connection.execute(fresh.order_by(col(CaseRow.id)))]


def _missing_audit(connection: Connection, seen: dict[str, tuple[int, str]]) -> Iterator[str]:
    for writer, (n, mac) in seen.items():
        there = _mac_of(connection, writer, n)
        if there is None:
            yield f"audit {writer}: row {n}, which a checkpoint saw, is gone"
        elif there != mac:
            yield f"audit {writer}: row {n} is not the one that a checkpoint saw"


def _missing_cases(connection: Connection, seen: dict[str, tuple[int, str]]) -> Iterator[str]:
    for case_id, (seq, head) in seen.items():
        row = select(TimelineRow.hash).where(col(TimelineRow.case_id) == case_id, col(TimelineRow.seq) == seq)
        there = connection.execute(row).scalar()
        if there is None:
            yield f"case {case_id}: entry {seq}, which a checkpoint saw, is gone (`make drift` puts it back)"
        elif there != head:
            yield f"case {case_id}: entry {seq} is not the one that a checkpoint saw"
