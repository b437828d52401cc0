"""Notices about what is in no case, a proposal or an endpoint: under its own id, to the leads or directors."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update
from sqlmodel import col

from domain.addressees.telling import LEADS
from domain.clocks.clock import Rank
from domain.notices import GATHER
from infra import row_places
from infra.directory import leads_of
from infra.encryption import KeyRing
from infra.notice_tables import DeliveryRow, OutboxRow


def tell_leads(
    connection: Connection, keys: KeyRing, tenant: str, team: str | None, about: str, subject: str, at: datetime
) -> None:
    """A notice of this subject to each lead of the team, else to each director."""
    staff = leads_of(connection, tenant, team)
    leads = [person for rank in LEADS for person in staff.find(rank, None, team, at)] if team else []
    people = dict.fromkeys(leads) or staff.find(Rank.DIRECTOR, None, None, at)
    _write(connection, keys, tenant, people, about, subject, at)


def settled(connection: Connection, about: str, at: datetime) -> None:
    """Nobody need read of it any more, and no mail goes out that has not gone yet."""
    unread = (col(OutboxRow.case_id) == about, col(OutboxRow.read_at).is_(None))
    connection.execute(update(OutboxRow).where(*unread).values(read_at=at))


def _write(
    connection: Connection,
    keys: KeyRing,
    tenant: str,
    people: Iterable[str],
    about: str,
    subject: str,
    at: datetime,
) -> None:
    key = f"{subject}-{int(at.timestamp())}"
    place: dict[str, Any] = {"tenant": tenant, "case_id": about, "key": key, "created_at": at}
    kept = keys.encrypted_text(subject, row_places.notice(about, key))
    for person in people:
        told = OutboxRow(**place, recipient=person, subject=kept, about=about, why="lead")
        sent = DeliveryRow(**place, recipient=person, urgent=False, next_at=at + GATHER)
        for row in (told, sent):
            connection.execute(insert(type(row)).values(row.model_dump()))
