"""The tables of what people are told."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from infra.tables import instant


class OutboxRow(SQLModel, table=True):
    """A notice to one person, and what she is to it. The unread ones are the person's inbox."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_recipient", "tenant", "recipient", "created_at"),
        Index("ix_outbox_created", "created_at"),
    )

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


class DeliveryRow(SQLModel, table=True):
    """What became of a notice on its way to the person. Not derived: `make rebuild` sends nothing again.

    `state` is pending, sending (under `message_id`, which another try keeps), sent, bounced, dead, or why it was
    not sent: read, settled, withdrawn. `next_at` is when it is looked at again.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "next_at", "tenant", "recipient"),
        Index("ix_deliveries_recipient", "tenant", "recipient", "state"),
    )

    case_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    recipient: str = Field(primary_key=True)
    tenant: str
    urgent: bool
    created_at: datetime = instant()
    state: str = "pending"
    next_at: datetime | None = instant(nullable=True)
    tries: int = 0
    times_sent: int = 0
    sent_at: datetime | None = instant(nullable=True)
    message_id: str | None = None
    fault: str | None = None


class AttemptRow(SQLModel, table=True):
    """One try to send one message: by which channel, how many notices it held, and what the other side said."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_recipient", "tenant", "recipient", "at"),)

    id: str = Field(primary_key=True)
    tenant: str
    recipient: str
    channel: str
    message_id: str
    notices: int
    at: datetime = instant()
    outcome: str
    code: str | None = None


class ReachRow(SQLModel, table=True):
    """How somebody is reached: an address, encrypted, that she has shown to be hers, and when not to disturb her.

    `code` is a keyed digest of what was sent there to show that. Quiet hours are minutes of her local day.
    """

    __tablename__ = "reach"

    tenant: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    address: str
    zone: str
    language: str = "en"
    quiet_from: int | None = None
    quiet_to: int | None = None
    code: str | None = None
    code_until: datetime | None = instant(nullable=True)
    code_tries: int = 0
    verified_at: datetime | None = instant(nullable=True)
    failing_since: datetime | None = instant(nullable=True)


class CalendarRow(SQLModel, table=True):
    """An address by which a calendar fetches somebody's agenda, or a team's; only a digest of it is kept."""

    __tablename__ = "calendars"
    __table_args__ = (Index("ix_calendars_subject", "tenant", "subject"),)

    digest: str = Field(primary_key=True)
    tenant: str
    subject: str
    team: str | None = None
    created_at: datetime = instant()
