"""Addresses by which calendars fetch an agenda

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0018"
down_revision: str | None = "0017"


def upgrade() -> None:
    op.create_table(
        "calendars",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_calendars_subject", "calendars", ["tenant", "subject"])


def downgrade() -> None:
    op.drop_table("calendars")
