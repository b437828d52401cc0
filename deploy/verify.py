"""`make verify`: whether timelines and audit are what was written, row by row; says where they are not."""

import sys
from collections.abc import Iterator

from rich.progress import track
from sqlalchemy import Connection
from sqlmodel import col, select

from deploy import running
from deploy.console import console as shown
from infra import audit
from infra.encryption import index_key
from infra.tables import CaseRow, TimelineRow
from infra.timeline import beginning, chain, entry_of, rows_of

console = shown()


def faults_of(connection: Connection, case_id: str) -> Iterator[str]:
    """Where the timeline of a case is not the chain that was written."""
    begun = beginning(connection, case_id)
    expected, previous = (begun.seq if begun else 0) + 1, None
    for row in rows_of(connection, case_id, begun.seq if begun else 0):
        if row.seq != expected:
            yield f"case {case_id}: entries {expected} to {row.seq - 1} are missing"
        elif previous is not None and row.previous != previous:
            yield f"case {case_id}: entry {row.seq} does not follow the one before it"
        if row.hash != chain(row.previous, case_id, entry_of(row)):
            yield f"case {case_id}: entry {row.seq} is not what was written"
        expected, previous = row.seq + 1, row.hash
    head = connection.execute(select(col(CaseRow.head)).where(col(CaseRow.id) == case_id)).scalar()
    if previous is not None and head is not None and head != previous:
        yield f"case {case_id}: its last entry is not the one that its line names"


def main() -> int:
    settings = running.settings()
    key = index_key(settings.index_key, settings.data_dir)
    with running.record(settings) as engine, engine.connect() as connection:
        named = select(col(TimelineRow.case_id)).distinct().order_by(col(TimelineRow.case_id))
        cases = list(connection.execute(named).scalars())
        found = [
            fault
            for case_id in track(cases, "Following timelines", console=console, transient=True)
            for fault in faults_of(connection, case_id)
        ]
        found += audit.broken(connection, key)
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    console.print(f"{len(cases)} timelines and the audit followed: {len(found) or 'no'} faults.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
