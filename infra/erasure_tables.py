"""What is erased for good, who said so, and what may not be erased for now."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from infra.tables import instant


class LegalHoldRow(SQLModel, table=True):
    """Why a person's record may not be erased whatever its age, until somebody lifts it. `matter` is a number."""

    __tablename__ = "legal_holds"
    __table_args__ = (Index("ix_legal_holds_person", "tenant", "person_id"),)

    id: str = Field(primary_key=True)
    tenant: str
    person_id: str
    matter: str
    placed_by: str
    placed_at: datetime = instant()
    lifted_by: str | None = None
    lifted_at: datetime | None = instant(nullable=True)


class ErasureRow(SQLModel, table=True):
    """One person's record that is to be erased, or was.

    `status` is asked, withdrawn, running, done, or incomplete where a case was at work again when its turn came.
    `person_id` names nobody any more when it is done. `rows` says how many were taken out of which table, and
    `seal` is the keyed digest of the certificate.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        Index("ix_erasures_asked", "tenant", "asked_at", "id"),
        Index("ix_erasures_person", "tenant", "person_id"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    person_id: str
    ground: str
    matter: str | None = None
    status: str
    asked_by: str
    asked_at: datetime = instant()
    decided_by: str | None = None
    decided_at: datetime | None = instant(nullable=True)
    finished_at: datetime | None = instant(nullable=True)
    rows: dict[str, Any] = Field(default={}, sa_column=Column(JSON, nullable=False))
    seal: str | None = None


class ErasedCaseRow(SQLModel, table=True):
    """A case whose content is gone. Its timeline is whole from entry `first` to `entries`, to the hash `head`."""

    __tablename__ = "erased_cases"
    __table_args__ = (Index("ix_erased_cases_erasure", "erasure_id"),)

    case_id: str = Field(primary_key=True)
    tenant: str
    erasure_id: str
    program: str
    opened_at: datetime = instant()
    first: int
    entries: int
    head: str
    erased_at: datetime = instant()
