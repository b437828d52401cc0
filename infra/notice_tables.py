"""The tables of what people are told."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from infra.tables import instant


class OutboxRow(SQLModel, table=True):
    """A notice to one person, and what she is to it. The unread ones are the person's inbox."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_recipient", "tenant", "recipient", "created_at"),)

    case_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    recipient: str = Field(primary_key=True)
    tenant: str
    subject: str
    about: str
    urgent: bool = False
    why: str | None = None
    created_at: datetime = instant()
    read_at: datetime | None = instant(nullable=True)
