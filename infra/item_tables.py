"""The table of a case's open work beside tasks and promises, for the lists: approvals, referrals, flags …"""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, String
from sqlmodel import Field, SQLModel

from infra.tables import UtcDateTime, instant

ONCE: dict[str, Any] = {"info": {"once": True}}  # written when the row begins, and not by what changes it later


class ItemRow(SQLModel, table=True):
    """One item of a case, open or settled. Its title is encrypted."""

    __tablename__ = "items"
    __table_args__ = (
        Index("ix_items_opened", "tenant", "kind", "opened_at", "case_id", "id"),
        Index("ix_items_open", "tenant", "kind", "settled_at", "opened_at"),
        Index("ix_items_asked", "tenant", "asked", "kind", "settled_at"),
        Index("ix_items_by", "tenant", "by", "kind"),
        Index("ix_items_at", "tenant", "at"),
    )

    case_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    tenant: str
    type: str | None = None
    status: str
    title: str | None = None
    by: str | None = Field(default=None, sa_column=Column(String, nullable=True, **ONCE))
    asked: str | None = None
    clock_id: str | None = None
    at: datetime | None = instant(nullable=True)
    opened_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, **ONCE))
    settled_at: datetime | None = instant(nullable=True)
