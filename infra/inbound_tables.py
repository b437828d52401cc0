"""What feeds have sent: kept as it came, sealed, before the sender hears that it arrived."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from infra.tables import instant


class InboundRow(SQLModel, table=True):
    """One message. `state` is waiting, done, nothing (for no case), open (waits for a person) or discarded.

    `n` is the order of arrival. `digest` is a keyed one of the message, by which a repeat is known, `lane` one of
    the patient's number, within which messages are worked off in order, and `visit` one of the number of the stay.
    `sent_at` is when the sender wrote it. `because` says why it is nothing or open.
    """

    __tablename__ = "inbound"
    __table_args__ = (
        Index("ix_inbound_id", "id", unique=True),
        Index("ix_inbound_digest", "tenant", "digest", unique=True),
        Index("ix_inbound_state", "tenant", "state", "n"),
        Index("ix_inbound_lane", "tenant", "lane", "state"),
        Index("ix_inbound_visit", "tenant", "visit"),
    )

    n: int | None = Field(default=None, primary_key=True)
    id: str
    tenant: str
    feed: str
    team: str | None = None
    received_at: datetime = instant()
    digest: str
    event: str
    sent_at: datetime = instant()
    lane: str
    visit: str | None = None
    state: str
    because: str | None = None
    answer: str
    seen: int = 1
    tries: int = 0
    person_id: str | None = None
    cases: list[dict[str, Any]] = Field(default=[], sa_column=Column(JSON, nullable=False))
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    settled_by: str | None = None
    settled_at: datetime | None = instant(nullable=True)
    reason: str | None = None
