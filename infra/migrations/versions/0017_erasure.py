"""Legal holds, erasures and what is left of erased cases

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("matter", sa.String(), nullable=False),
        sa.Column("placed_by", sa.String(), nullable=False),
        sa.Column("placed_at", UtcDateTime(), nullable=False),
        sa.Column("lifted_by", sa.String(), nullable=True),
        sa.Column("lifted_at", UtcDateTime(), nullable=True),
    )
    op.create_index("ix_legal_holds_person", "legal_holds", ["tenant", "person_id"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("ground", sa.String(), nullable=False),
        sa.Column("matter", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("seal", sa.String(), nullable=True),
    )
    op.create_index("ix_erasures_asked", "erasures", ["tenant", "asked_at", "id"])
    op.create_index("ix_erasures_person", "erasures", ["tenant", "person_id"])
    op.create_table(
        "erased_cases",
        sa.Column("case_id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("erasure_id", sa.String(), nullable=False),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.Column("erased_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_erased_cases_erasure", "erased_cases", ["erasure_id"])


def downgrade() -> None:
    for table in ("erased_cases", "erasures", "legal_holds"):
        op.drop_table(table)
