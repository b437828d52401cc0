"""Hands commands that were answered 202 to the engine again until they are decided, should it have lost them."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, and_, delete, exists, func, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import col

from domain.case.command import Envelope
from infra import row_places
from infra.encryption import KeyMissing, KeyRing
from infra.tables import CaseRow, CommandRow, QueuedRow

log = structlog.get_logger()
SENT = timedelta(minutes=10)  # a command that is not decided this long after it was sent is sent again
_DECIDED = exists().where(
    col(CommandRow.case_id) == col(QueuedRow.case_id), col(CommandRow.command_id) == col(QueuedRow.command_id)
)


def waiting(connection: Connection, since: datetime) -> list[str]:
    """The cases with a command that was answered 202, was sent before then, and is not decided."""
    late = (col(QueuedRow.sent_at) < since, col(QueuedRow.envelope).is_not(None), ~_DECIDED)
    return list(connection.execute(select_columns(col(QueuedRow.case_id)).where(*late).distinct()).scalars())


def undecided(connection: Connection, now: datetime, most: int, sent: timedelta = SENT) -> list[Any]:
    """The commands sent so long ago that are to be sent again, the longest waiting first, with how far their cases
    are on record.

    They are taken for sent now; those that were decided are struck off.
    """
    _strike_off(connection, now)
    seq, head = func.coalesce(col(CaseRow.seq), 0), func.coalesce(col(CaseRow.head), "")
    mine = (col(QueuedRow.case_id), col(QueuedRow.command_id), col(QueuedRow.tenant), col(QueuedRow.envelope))
    query = (
        select_columns(*mine, seq.label("seq"), head.label("head"))
        .outerjoin(CaseRow, col(CaseRow.id) == col(QueuedRow.case_id))
        .where(col(QueuedRow.sent_at) <= now - sent, col(QueuedRow.envelope).is_not(None), ~_DECIDED)
        .order_by(col(QueuedRow.sent_at))
        .limit(most)
    )
    rows = list(connection.execute(query).all())
    for row in rows:
        this = and_(col(QueuedRow.case_id) == row.case_id, col(QueuedRow.command_id) == row.command_id)
        connection.execute(update(QueuedRow).where(this).values(sent_at=now))
    return rows


def opened(keys: KeyRing, row: Any) -> Envelope | None:
    """The command as it was sent; None where it cannot be read, which is said in the log."""
    try:
        plain = keys.decrypted(row.envelope, row_places.queued(row.case_id, row.command_id))
        return Envelope.model_validate_json(plain) if plain is not None else None
    except (KeyMissing, ValidationError) as fault:
        log.warning("queued_unreadable", command_id=row.command_id, fault=type(fault).__name__)
        return None


def _strike_off(connection: Connection, now: datetime) -> None:
    old = or_(col(QueuedRow.sent_at).is_(None), col(QueuedRow.sent_at) < now - SENT)
    connection.execute(delete(QueuedRow).where(old, _DECIDED))
