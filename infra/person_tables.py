"""The tables of persons. What they say of somebody is sealed; nothing in them can be read without the keys."""

from datetime import datetime

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from infra.tables import instant


class PersonRow(SQLModel, table=True):
    """A person, sealed. One that was merged names the person that she is."""

    __tablename__ = "persons"
    __table_args__ = (Index("ix_persons_merged", "tenant", "merged_into"),)

    id: str = Field(primary_key=True)
    tenant: str
    version: int
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = instant()
    created_by: str
    updated_at: datetime = instant()
    merged_into: str | None = None


class PersonKeyRow(SQLModel, table=True):
    """One look-up by which a person is found: a keyed digest, from which nothing is read."""

    __tablename__ = "person_keys"
    __table_args__ = (Index("ix_person_keys_person", "tenant", "person_id"),)

    tenant: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    person_id: str = Field(primary_key=True)


class PersonHistoryRow(SQLModel, table=True):
    """How a person was known, version by version, and who changed it."""

    __tablename__ = "person_history"

    person_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    tenant: str
    kind: str
    by: str
    at: datetime = instant()
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LikenessRow(SQLModel, table=True):
    """Two persons who may be one, as it was seen when the second was made, until a lead has decided."""

    __tablename__ = "likenesses"
    __table_args__ = (Index("ix_likenesses_status", "tenant", "status", "at", "person_id", "other_id"),)

    person_id: str = Field(primary_key=True)
    other_id: str = Field(primary_key=True)
    tenant: str
    points: int
    reasons: list[str] = Field(sa_column=Column(JSON, nullable=False))
    at: datetime = instant()
    status: str = "open"
    settled_by: str | None = None


class RefusedReferralRow(SQLModel, table=True):
    """A referral that a programme's criteria refused: no case was opened, and this is what is left of it.

    `person_key` is a keyed digest of the reference by which the sender named the person; `lacking` are the titles
    of criteria, none of which is about one person.
    """

    __tablename__ = "refused_referrals"
    __table_args__ = (Index("ix_refused_referrals_at", "tenant", "at", "id"),)

    id: str = Field(primary_key=True)
    tenant: str
    at: datetime = instant()
    by: str
    team: str | None = None
    program: str
    version: int
    source: str
    code: str
    person_key: str
    lacking: list[str] = Field(default=[], sa_column=Column(JSON, nullable=False))
