"""The tables of what other systems hear: the feed of events in their order, and the endpoints that are told."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from infra.tables import instant


class FeedRow(SQLModel, table=True):
    """An event that others may hear of. `position` is its place in the tenant's order, given after it was written.

    Numbers that are given while transactions are open would come out of order, and whoever reads behind the last
    one would never see an earlier one that came later.
    """

    __tablename__ = "feed"
    __table_args__ = (
        Index("ix_feed_position", "tenant", "position", unique=True),
        Index("ix_feed_unnumbered", "position", "at"),
    )

    case_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    tenant: str
    kind: str
    program: str
    at: datetime = instant()
    position: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))


class EndpointRow(SQLModel, table=True):
    """Where events of a tenant are sent. `position` is how far it has heard; address and secrets are encrypted.

    `kinds` and `programs` choose the events, empty means all. `failing_since` and `tries` are of the event after
    `position`, which is tried again at `next_at`. `disabled` says why it hears nothing any more.
    """

    __tablename__ = "endpoints"
    __table_args__ = (Index("ix_endpoints_due", "next_at"), Index("ix_endpoints_tenant", "tenant", "id"))

    id: str = Field(primary_key=True)
    tenant: str
    url: str
    secret: str
    secret_before: str | None = None
    before_until: datetime | None = instant(nullable=True)
    kinds: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    programs: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_by: str
    created_at: datetime = instant()
    position: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    tries: int = 0
    next_at: datetime | None = instant(nullable=True)
    failing_since: datetime | None = instant(nullable=True)
    disabled: str | None = None
