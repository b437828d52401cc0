"""`make verify`: whether timelines and audit are what was written, by row and by checkpoint, and where not."""

import sys
from collections.abc import Iterator

from rich.progress import track
from sqlalchemy import Connection
from sqlmodel import col, select

from deploy import running
from deploy.console import console as shown
from infra import audit
from infra.checkpoints import Checkpoints
from infra.encryption import KeyMissing, KeyRing, index_key, ring_of
from infra.tables import CaseRow, TimelineRow
from infra.timeline import RecordAltered, beginning, entry_of, rows_of

console = shown()


def faults_of(connection: Connection, keys: KeyRing, case_id: str) -> Iterator[str]:
    """Where the timeline of a case is not the chain that was written."""
    try:
        begun = beginning(connection, keys, case_id)
    except (RecordAltered, KeyMissing) as fault:
        yield str(fault)
        return
    expected, previous = (begun.seq if begun else 0) + 1, None
    for row in rows_of(connection, case_id, begun.seq if begun else 0):
        if row.seq != expected:
            yield f"case {case_id}: entries {expected} to {row.seq - 1} are missing"
        elif previous is not None and row.previous != previous:
            yield f"case {case_id}: entry {row.seq} does not follow the one before it"
        try:
            entry_of(keys, row)
        except (RecordAltered, KeyMissing) as fault:
            yield str(fault)
        expected, previous = row.seq + 1, row.hash
    head = connection.execute(select(col(CaseRow.head)).where(col(CaseRow.id) == case_id)).scalar()
    if previous is not None and head is not None and head != previous:
        yield f"case {case_id}: its last entry is not the one that its line names"


def main() -> int:
    settings = running.settings()
    keys, key = ring_of(settings), index_key(settings.index_key, settings.data_dir)
    with running.record(settings) as engine, engine.connect() as connection:
        named = select(col(TimelineRow.case_id)).distinct().order_by(col(TimelineRow.case_id))
        cases = list(connection.execute(named).scalars())
        found = [
            fault
            for case_id in track(cases, "Following timelines", console=console, transient=True)
            for fault in faults_of(connection, keys, case_id)
        ]
        found += audit.broken(connection, key)
        found += Checkpoints(settings.checkpoints_folder, key).broken(connection)
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    console.print(f"{len(cases)} timelines, the audit and the checkpoints followed: {len(found) or 'no'} faults.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
