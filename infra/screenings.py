"""Letting go of what a screening has received, of whom nobody has decided on, and of those who have a case."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, update
from sqlmodel import col

from infra.notices import settled
from infra.screening_tables import BlockRow, ScreenedRow, ScreeningRow
from infra.tables import CaseRow

DECIDED = ("accepted", "accepting", "declined")


def discard(connection: Connection, screening_id: str, at: datetime) -> None:
    """End a screening for good. What was decided stays; whoever was put off was not decided on."""
    own = (col(ScreeningRow.id) == screening_id, col(ScreeningRow.status) != "discarded")
    ended = {"status": "discarded", "ended_at": at, "touched_at": at}
    connection.execute(update(ScreeningRow).where(*own).values(**ended))
    connection.execute(delete(BlockRow).where(col(BlockRow.screening_id) == screening_id))
    decision = col(ScreenedRow.decision)
    undecided = decision.is_(None) | decision.not_in(DECIDED)
    hers = col(ScreenedRow.screening_id) == screening_id
    connection.execute(delete(ScreenedRow).where(hers, undecided))
    connection.execute(update(ScreenedRow).where(hers).values(sealed=None))
    settled(connection, screening_id, at)


def let_go_of_opened(connection: Connection) -> None:
    """Whoever was accepted while her opening was queued has her case by now: what the file said of her goes."""
    opened = exists().where(
        col(CaseRow.id) == col(ScreenedRow.case_id), col(CaseRow.tenant) == col(ScreenedRow.tenant)
    )
    begun = (col(ScreenedRow.decision) == "accepting", opened)
    connection.execute(update(ScreenedRow).where(*begun).values(decision="accepted", sealed=None))
