"""`make verify`: whether timelines and audit are what was written, by row and by checkpoint, and where not."""

import sys
from collections.abc import Iterator
from typing import Any

from rich.progress import track
from sqlalchemy import Connection
from sqlmodel import col, select

from activities.erase import certified
from activities.rows import table_of
from deploy import running
from deploy.console import console as shown
from infra import audit
from infra.checkpoints import Checkpoints
from infra.encryption import KeyMissing, KeyRing, index_key, ring_of
from infra.erasure_tables import ErasedCaseRow, ErasureRow
from infra.tables import CaseRow, TimelineRow
from infra.timeline import RecordAltered, beginning, chain, entry_of, rows_of

console = shown()


def erased(connection: Connection) -> dict[str, Any]:
    """The cases whose content is gone, with what must be left of each."""
    table = table_of(ErasedCaseRow)
    return {row.case_id: row for row in connection.execute(table.select())}


def certificates_broken(connection: Connection, keys: KeyRing) -> Iterator[str]:
    """The certificates of erasure that are not what was written, and cases that none says to be erased."""
    sealed = set()
    query = select(ErasureRow.id, ErasureRow.status, ErasureRow.seal)
    for erasure_id, status, seal in connection.execute(query).all():
        if seal and keys.digest(certified(connection, erasure_id)) == seal:
            sealed.add(erasure_id)
        elif seal or status not in ("asked", "withdrawn"):
            yield f"erasure {erasure_id}: not certified (is it still running?), or not as it was written"
    for case in erased(connection).values():
        if case.erasure_id not in sealed:
            yield f"case {case.case_id}: said to be erased, and no certificate says so (is it still running?)"


def faults_of(connection: Connection, keys: KeyRing, case_id: str, left: Any = None) -> Iterator[str]:
    """Where the timeline of a case is not the chain that was written; `left` is what an erased one must have."""
    try:
        begun = beginning(connection, keys, case_id)
    except (RecordAltered, KeyMissing) as fault:
        yield str(fault)
        return
    rows = rows_of(connection, case_id, begun.seq if begun else 0)
    expected, previous = (left.first if left is not None else (begun.seq if begun else 0) + 1), None
    for row in rows:
        if row.seq != expected:
            yield f"case {case_id}: entries {expected} to {row.seq - 1} are missing"
        elif previous is not None and row.previous != previous:
            yield f"case {case_id}: entry {row.seq} does not follow the one before it"
        try:
            check(keys, row, erased=left is not None)
        except (RecordAltered, KeyMissing) as fault:
            yield str(fault)
        expected, previous = row.seq + 1, row.hash
    if left is not None and expected != left.entries + 1:
        yield f"case {case_id}: entries {expected} to {left.entries} are missing"
    kept = connection.execute(select(col(CaseRow.head)).where(col(CaseRow.id) == case_id)).scalar()
    head = left.head if left is not None else kept
    if previous is not None and head is not None and head != previous:
        yield f"case {case_id}: its last entry is not the one that its line names"


def check(keys: KeyRing, row: Any, erased: bool) -> None:
    """Raises `RecordAltered`, `KeyMissing`. Of an erased entry all but what it said is compared."""
    if not erased:
        entry_of(keys, row)
    elif row.encrypted is not None or row.hash != chain(keys, dict(row._mapping)):
        raise RecordAltered(f"entry {row.seq} of case {row.case_id} is not what its erasure left")


def main() -> int:
    settings = running.settings()
    keys, key = ring_of(settings), index_key(settings.index_key, settings.data_dir)
    with running.record(settings) as engine, engine.connect() as connection:
        named = select(col(TimelineRow.case_id)).distinct().order_by(col(TimelineRow.case_id))
        cases = list(connection.execute(named).scalars())
        gone = erased(connection)
        cases = sorted({*cases, *gone})
        found = [
            fault
            for case_id in track(cases, "Following timelines", console=console, transient=True)
            for fault in faults_of(connection, keys, case_id, gone.get(case_id))
        ]
        found += certificates_broken(connection, keys)
        found += audit.broken(connection, key)
        found += Checkpoints(settings.checkpoints_folder, key).broken(connection)
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    console.print(f"{len(cases)} timelines, the audit and the checkpoints followed: {len(found) or 'no'} faults.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
