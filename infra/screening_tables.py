"""Case finding: a population's file as it is received, and what was found of each person in it."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from infra.tables import instant


class ScreeningRow(SQLModel, table=True):
    """One screening: `receiving` its parts, `running`, `stopped`, `done`, or `discarded`.

    `tier` is the lowest that is proposed.
    """

    __tablename__ = "screenings"
    __table_args__ = (Index("ix_screenings_made", "tenant", "made_at", "id"),)

    id: str = Field(primary_key=True)
    tenant: str
    made_by: str
    fingerprint: str
    program: str
    version: int
    team: str
    source: str
    mapping: str | None = None
    tier: str
    as_of: datetime = instant()
    status: str = "receiving"
    made_at: datetime = instant()
    touched_at: datetime = instant()
    ended_at: datetime | None = instant(nullable=True)
    shards: int = 0


class PartRow(SQLModel, table=True):
    """One part of a screening's file: how many of its lines were kept, and which were not read."""

    __tablename__ = "screening_parts"

    screening_id: str = Field(primary_key=True)
    part: int = Field(primary_key=True)
    lines: int
    kept: int
    unread: int
    issues: list[Any] = Field(sa_column=Column(JSON, nullable=False))


class BlockRow(SQLModel, table=True):
    """What a part says of the people of one shard, packed and sealed, until the shard was screened."""

    __tablename__ = "screening_blocks"

    screening_id: str = Field(primary_key=True)
    shard: int = Field(primary_key=True)
    part: int = Field(primary_key=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ScreenedRow(SQLModel, table=True):
    """What was found of one person. Who she is and why stands in `sealed` of those whom somebody has to look at.

    `person_key` is a keyed digest of the reference by which the file names her.
    """

    __tablename__ = "screened"
    __table_args__ = (
        Index("ix_screened_result", "screening_id", "result", "points", "id"),
        Index("ix_screened_person", "tenant", "person_key"),
    )

    id: str = Field(primary_key=True)
    screening_id: str
    tenant: str
    shard: int
    person_key: str
    person_id: str | None = None
    result: str
    tier: str | None = None
    points: int = 0
    at_least: bool = False
    why: str | None = None
    sealed: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    decision: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = instant(nullable=True)
    reason: str | None = None
    until: datetime | None = instant(nullable=True)
    case_id: str | None = None
