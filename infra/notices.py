"""The rows of notices. One about what is in no case, a proposal or an endpoint, stands under its own id."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update
from sqlmodel import col

from domain.lines import NoticeLine
from domain.notices import GATHER, MISSED
from infra import row_places
from infra.directory import leads_of
from infra.encryption import KeyRing
from infra.notice_tables import DeliveryRow, OutboxRow


def tell_leads(
    connection: Connection, keys: KeyRing, tenant: str, team: str | None, about: str, subject: str, at: datetime
) -> None:
    """A notice of this subject to each lead of the team, else to each director."""
    staff = leads_of(connection, tenant, team)
    key = f"{subject}-{int(at.timestamp())}"
    place = {"tenant": tenant, "case_id": about}
    for person in staff.leads(None, team, at):
        notice = NoticeLine(key=key, recipient=person, subject=subject, about=about, why="lead", created_at=at)
        connection.execute(insert(OutboxRow).values(notice_row(keys, place, notice)))
        connection.execute(insert(DeliveryRow).values(delivery_row(place, notice)))


def settled(connection: Connection, about: str, at: datetime) -> None:
    """Nobody need read of it any more, and no mail goes out that has not gone yet."""
    unread = (col(OutboxRow.case_id) == about, col(OutboxRow.read_at).is_(None))
    connection.execute(update(OutboxRow).where(*unread).values(read_at=at))


def notice_row(keys: KeyRing, key: dict[str, str], notice: NoticeLine) -> dict[str, Any]:
    """The row of a notice that nobody has read yet."""
    subject = keys.encrypted_text(notice.subject, row_places.notice(key["case_id"], notice.key))
    return {**key, **dict(notice), "subject": subject, "read_at": None}


def delivery_row(key: dict[str, str], notice: NoticeLine) -> dict[str, Any]:
    """The row of a notice that has to leave the house. What can wait is gathered for a while; a miss cannot."""
    at_once = notice.urgent or notice.subject == MISSED
    at = notice.created_at if at_once else notice.created_at + GATHER
    named = {name: getattr(notice, name) for name in ("key", "recipient", "urgent", "created_at")}
    return {**key, **named, "state": "pending", "next_at": at, "tries": 0, "times_sent": 0}
