"""`make verify`: whether timelines and audit are what was written, by row and by checkpoint, and where not."""

import sys
from collections.abc import Iterator
from typing import Any

from rich.progress import track
from sqlalchemy import Connection
from sqlmodel import col, select

from activities.erase import certified
from deploy import running
from deploy.console import console as shown
from infra import audit
from infra.checkpoints import Checkpoints
from infra.encryption import KeyMissing, KeyRing, index_key, ring_of
from infra.erasure_tables import ErasedCaseRow, ErasureRow
from infra.tables import CaseRow, TimelineRow
from infra.timeline import RecordAltered, beginning, chain, entry_of, rows_of

console = shown()


def erased(connection: Connection) -> dict[str, str]:
    """The cases whose content is gone, with the last hash of each."""
    rows = connection.execute(select(ErasedCaseRow.case_id, ErasedCaseRow.head))
    return {row.case_id: row.head for row in rows}


def certificates_broken(connection: Connection, keys: KeyRing) -> Iterator[str]:
    """The certificates of erasure that are not what was written, and cases that none says to be erased."""
    at_work = set()
    for erasure_id, status, seal in connection.execute(select(ErasureRow.id, ErasureRow.status, ErasureRow.seal)):
        at_work |= {erasure_id} if status == "running" or seal else set()
        if seal and status != "running" and keys.digest(certified(connection, erasure_id)) != seal:
            yield f"erasure {erasure_id}: its certificate is not what was written"
    for case_id, erasure_id in connection.execute(select(ErasedCaseRow.case_id, ErasedCaseRow.erasure_id)):
        if erasure_id not in at_work:
            yield f"case {case_id}: it is said to be erased, and no certificate says so"


def faults_of(connection: Connection, keys: KeyRing, case_id: str, left: str | None = None) -> Iterator[str]:
    """Where the timeline of a case is not the chain that was written; `left` is the last hash of an erased one."""
    try:
        begun = beginning(connection, keys, case_id)
    except (RecordAltered, KeyMissing) as fault:
        yield str(fault)
        return
    rows = rows_of(connection, case_id, begun.seq if begun else 0)
    expected, previous = (rows[0].seq if left is not None else (begun.seq if begun else 0) + 1), None
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
    head = left or connection.execute(select(col(CaseRow.head)).where(col(CaseRow.id) == case_id)).scalar()
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
        heads = erased(connection)
        found = [
            fault
            for case_id in track(cases, "Following timelines", console=console, transient=True)
            for fault in faults_of(connection, keys, case_id, heads.get(case_id))
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
