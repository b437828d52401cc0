"""FHIR subscriptions of systems outside, and the events that each was told of."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from infra.tables import instant


class SubscriptionRow(SQLModel, table=True):
    """What a system outside wants to hear of, and where. Its address and headers are encrypted.

    `position` is how far of the tenant's feed it has heard, `events` how many of its own it was told of.
    `failing_since` and `tries` are of what is tried again at `next_at`.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_due", "status", "next_at"),
        Index("ix_subscriptions_reader", "tenant", "reader", "id"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    reader: str
    partner: str | None = None
    topic: str
    person_id: str | None = None
    base: str
    url: str
    headers: str | None = None
    content: str
    heartbeat: int | None = None
    status: str = "requested"
    error: str | None = None
    ends_at: datetime | None = instant(nullable=True)
    created_at: datetime = instant()
    heard_at: datetime | None = instant(nullable=True)
    position: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    events: int = 0
    tries: int = 0
    next_at: datetime | None = instant(nullable=True)
    failing_since: datetime | None = instant(nullable=True)


class SubscriptionEventRow(SQLModel, table=True):
    """One event that a subscriber was told of, under its number, and the resource that it is about."""

    __tablename__ = "subscription_events"

    subscription_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    case_id: str
    seq: int
    focus: str
    at: datetime = instant()
