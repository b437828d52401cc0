"""Referrals that a programme's criteria refused

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    op.create_table(
        "refused_referrals",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("program", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("person_key", sa.String(), nullable=False),
        sa.Column("lacking", sa.JSON(), nullable=False),
    )
    op.create_index("ix_refused_referrals_at", "refused_referrals", ["tenant", "at", "id"])


def downgrade() -> None:
    op.drop_table("refused_referrals")
