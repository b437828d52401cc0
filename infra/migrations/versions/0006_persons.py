"""Persons: who the cases are about, sealed, and found by keyed look-ups; and who looked at them

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

import infra.tables

revision: str = "0006"
down_revision: str | None = "0005"

TEXT = sa.String()
WHEN = infra.tables.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "persons",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", WHEN, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("updated_at", WHEN, nullable=False),
        sa.Column("merged_into", TEXT, nullable=True),
    )
    op.create_index("ix_persons_merged", "persons", ["tenant", "merged_into"])
    op.create_table(
        "person_keys",
        sa.Column("tenant", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("person_id", TEXT, primary_key=True),
    )
    op.create_index("ix_person_keys_person", "person_keys", ["tenant", "person_id"])
    op.create_table(
        "person_history",
        sa.Column("person_id", TEXT, primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("at", WHEN, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "likenesses",
        sa.Column("person_id", TEXT, primary_key=True),
        sa.Column("other_id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("at", WHEN, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("settled_by", TEXT, nullable=True),
    )
    op.create_index("ix_likenesses_status", "likenesses", ["tenant", "status", "at", "person_id", "other_id"])
    op.create_table(
        "audit",
        sa.Column("writer", TEXT, primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("at", WHEN, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=True),
        sa.Column("person_id", TEXT, nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=True),
        sa.Column("mac", TEXT, nullable=False),
    )
    for name in ("case_id", "person_id", "actor"):
        op.create_index(f"ix_audit_{name.removesuffix('_id')}", "audit", ["tenant", name, "at"])
    op.create_index("ix_audit_at", "audit", ["tenant", "at"])
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.alter_column("patient_reference", new_column_name="person_id")
    op.create_index("ix_cases_person", "cases", ["tenant", "person_id"])


def downgrade() -> None:
    op.drop_index("ix_cases_person", "cases")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.alter_column("person_id", new_column_name="patient_reference")
    for table in ("audit", "likenesses", "person_history", "person_keys", "persons"):
        op.drop_table(table)
