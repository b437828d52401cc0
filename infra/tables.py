"""The tables of the record. `timeline` is append-only; the other tables of a case are derived from it.

Every row carries its tenant, and no query crosses it.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Dialect, Index, LargeBinary, TypeDecorator
from sqlalchemy import false as sa_false
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, stored in UTC on both databases (SQLite keeps no zone of its own)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def instant(**more: Any) -> Any:
    nullable = more.pop("nullable", False)
    return Field(sa_column=Column(UtcDateTime, nullable=nullable, **more))


class CaseRow(SQLModel, table=True):
    """One case, for the lists."""

    __tablename__ = "cases"
    __table_args__ = (
        Index("ix_cases_opened", "tenant", "opened_at", "id"),
        Index("ix_cases_due", "tenant", "next_due_at", "id"),
        Index("ix_cases_owner", "tenant", "owner", "id"),
        Index("ix_cases_team", "tenant", "team", "id"),
        Index("ix_cases_status", "tenant", "status", "owner"),
        Index("ix_cases_overdue", "tenant", "overdue", "escalated"),
        Index("ix_cases_quarantined", "tenant", "quarantined"),
        Index("ix_cases_wakes", "wakes_at"),
        Index("ix_cases_recorded", "recorded_at"),
        Index("ix_cases_person", "tenant", "person_id"),
        Index("ix_cases_offered", "tenant", "offered_to"),
        Index("ix_cases_opened_by", "tenant", "opened_by"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    program: str
    program_version: int
    seq: int
    stage: str
    status: str
    closure_reason: str | None = None
    owner: str | None = None
    team: str | None = None
    offered_to: str | None = None
    excluded: str = ""
    glass: str = Field(default="", sa_column_kwargs={"server_default": ""})
    tier: str | None = None
    weight: float = 1
    target_group: str | None = None
    in_crisis: bool = False
    opened_at: datetime = instant()
    opened_by: str
    updated_at: datetime = instant()
    recorded_at: datetime = instant()
    person_id: str
    next_due_at: datetime | None = instant(nullable=True)
    wakes_at: datetime | None = instant(nullable=True)
    head: str = ""
    sealed: bool = False
    open_tasks: int
    overdue: int
    escalated: int
    quarantined: int


class StateRow(SQLModel, table=True):
    """A case as its timeline makes it up to `seq`, encrypted, so that one look reads it."""

    __tablename__ = "states"

    case_id: str = Field(primary_key=True)
    seq: int
    state: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TimelineRow(SQLModel, table=True):
    """One event of one case. Each row carries the keyed hash of the one before, so that a change shows.

    What happened is `encrypted`, its keyed `digest` beside it; `facts` are the ids and words of process
    that reports count. `data` is what releases up to 0.3 left in clear, until `make migrate`.
    """

    __tablename__ = "timeline"
    __table_args__ = (Index("ix_timeline_kind", "tenant", "kind", "at"),)

    case_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    tenant: str
    at: datetime = instant()
    kind: str
    actor: str
    actor_role: str
    command_id: str
    facts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    encrypted: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    data: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    digest: str
    previous: str
    hash: str


class TaskRow(SQLModel, table=True):
    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_assignee", "tenant", "assignee", "status", "case_id"),
        Index("ix_tasks_queue", "tenant", "queue", "assignee"),
    )

    case_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    tenant: str
    type: str
    title: str
    category: str
    status: str
    assignee: str | None = None
    queue: str | None = None
    clock_id: str


class ClockRow(SQLModel, table=True):
    """One promise. Worklists and escalations are read from here."""

    __tablename__ = "clocks"
    __table_args__ = (
        Index("ix_clocks_owner", "tenant", "owner", "state", "due_at"),
        Index("ix_clocks_due", "tenant", "state", "due_at", "case_id", "id"),
        Index("ix_clocks_policy", "tenant", "policy", "due_at"),
        Index("ix_clocks_queue", "tenant", "queue", "state", "due_at", "case_id", "id"),
    )

    case_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    tenant: str
    kind: str
    title: str
    about: str | None = None
    policy: str | None = None
    owner: str | None = None
    state: str
    due_at: datetime = instant()
    paused_until: datetime | None = instant(nullable=True)
    missed_at: datetime | None = instant(nullable=True)
    told: str | None = None
    acknowledged_by: str | None = None
    settled_at: datetime | None = instant(nullable=True)
    late_by: int | None = None
    queue: str | None = None
    lapses: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    since: datetime | None = instant(nullable=True)
    next_at: datetime | None = instant(nullable=True)
    rung: int | None = None
    raised: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    duty: bool = Field(default=False, sa_column_kwargs={"server_default": sa_false()})


class ContactRow(SQLModel, table=True):
    __tablename__ = "contacts"

    case_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    tenant: str
    mode: str
    party: str
    reached: bool
    sensitivity: str
    occurred_at: datetime = instant()
    logged_by: str


class CommandRow(SQLModel, table=True):
    """What became of a command, for ever: the permanent half of exactly once."""

    __tablename__ = "commands"

    case_id: str = Field(primary_key=True)
    command_id: str = Field(primary_key=True)
    tenant: str
    kind: str
    fingerprint: str
    status: str
    at: datetime = instant()
    actor: str = ""
    outcome: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class QueuedRow(SQLModel, table=True):
    """A command that was answered 202, encrypted as it was sent, until its outcome is on record; `sent_at` is when
    it was last handed to the engine. Rows of releases up to 0.3 have no envelope."""

    __tablename__ = "queued"

    case_id: str = Field(primary_key=True)
    command_id: str = Field(primary_key=True)
    tenant: str
    fingerprint: str
    actor: str = ""
    sent_at: datetime | None = instant(nullable=True)
    envelope: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class QuarantineRow(SQLModel, table=True):
    """A command that met a fault of ours, encrypted as it was sent, to be decided again after a fix."""

    __tablename__ = "quarantine"

    case_id: str = Field(primary_key=True)
    command_id: str = Field(primary_key=True)
    tenant: str
    kind: str
    fault: str
    at: datetime = instant()
    envelope: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ProposalRow(SQLModel, table=True):
    """What a feed told about somebody without a case, until a lead opens one or says why not.

    `message` is as it was sent, encrypted; it is let go of when the proposal is settled. `person_key` is a keyed
    digest of the reference by which the feed names the person.
    """

    __tablename__ = "proposals"
    __table_args__ = (Index("ix_proposals_status", "tenant", "status", "at", "id"),)

    id: str = Field(primary_key=True)
    tenant: str
    person_key: str
    kind: str
    program: str
    team: str | None = None
    feed: str
    at: datetime = instant()
    status: str = "waiting"
    message: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    settled_by: str | None = None
    settled_at: datetime | None = instant(nullable=True)
    reason: str | None = None


class WorkerRow(SQLModel, table=True):
    """A worker process, when it was last at work (it says so every few seconds), and the programmes it has."""

    __tablename__ = "workers"

    id: str = Field(primary_key=True)
    task_queue: str
    build: str = ""
    programs: list[str] = Field(default=[], sa_column=Column(JSON, nullable=False))
    started_at: datetime = instant()
    seen_at: datetime = instant()


class WakingRow(SQLModel, table=True):
    """A case that slept past its time and was woken by the night watch."""

    __tablename__ = "wakings"

    case_id: str = Field(primary_key=True)
    at: datetime = instant(primary_key=True)
    tenant: str
    should_have: datetime = instant()


class BulkActionRow(SQLModel, table=True):
    """One command to each of many cases. `touched_at` is when it last came on."""

    __tablename__ = "bulk_actions"

    id: str = Field(primary_key=True)
    tenant: str
    command: str
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    fingerprint: str
    actor: str
    actor_role: str
    to_lightest: bool = False
    per_minute: int
    status: str = "running"
    created_at: datetime = instant()
    touched_at: datetime = instant()


class BulkItemRow(SQLModel, table=True):
    """What became of one case of a bulk action: `waiting`, `applied`, `refused`, `failed`.

    `ask_again_at` is set while the command is left with a case that has not answered.
    """

    __tablename__ = "bulk_items"
    __table_args__ = (Index("ix_bulk_items_status", "status", "action_id"),)

    action_id: str = Field(primary_key=True)
    case_id: str = Field(primary_key=True)
    tenant: str
    status: str = "waiting"
    chosen: str | None = None
    ask_again_at: datetime | None = instant(nullable=True)
    code: str | None = None
    detail: str | None = None


class SnapshotRow(SQLModel, table=True):
    """A case as it was at one event: `gap` where the entries before it are lost (up to 0.3 also `sealed`)."""

    __tablename__ = "snapshots"

    case_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    tenant: str
    reason: str
    at: datetime = instant()
    state: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    encrypted: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    digest: str


class AuditRow(SQLModel, table=True):
    """That somebody looked at something, or was refused. Appended by one process, `writer`, in its own chain."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_at", "tenant", "at"),
        Index("ix_audit_case", "tenant", "case_id", "at"),
        Index("ix_audit_person", "tenant", "person_id", "at"),
        Index("ix_audit_actor", "tenant", "actor", "at"),
    )

    writer: str = Field(primary_key=True)
    n: int = Field(primary_key=True)
    tenant: str
    at: datetime = instant()
    actor: str
    role: str
    action: str
    case_id: str | None = None
    person_id: str | None = None
    status: int
    address: str
    purpose: str | None = None
    mac: str


class SignOutRow(SQLModel, table=True):
    """When a person was signed out everywhere: no token that was issued before signs her in."""

    __tablename__ = "sign_outs"

    tenant: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    at: datetime = instant()
    by: str


class StaffRow(SQLModel, table=True):
    __tablename__ = "staff"
    __table_args__ = (Index("ix_staff_team", "tenant", "team", "role"),)

    tenant: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    name: str
    role: str
    team: str | None = None
    supervisor: str | None = None
    active: bool = True
    absent_until: datetime | None = instant(nullable=True)
    cover: str | None = None
    licences: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))
