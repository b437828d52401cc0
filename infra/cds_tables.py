"""What clinicians have done with the cards that their system showed them."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from infra.tables import instant


class CardFeedbackRow(SQLModel, table=True):
    """One answer to one card; a comment is not kept, since it may say anything of anybody."""

    __tablename__ = "card_feedback"
    __table_args__ = (Index("ix_card_feedback_at", "tenant", "at"),)

    tenant: str = Field(primary_key=True)
    card: str = Field(primary_key=True)
    service: str
    outcome: str
    reason: str | None = None
    at: datetime = instant()
    by: str
