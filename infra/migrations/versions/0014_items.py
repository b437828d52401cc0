"""The open work of cases beside tasks and promises, for the lists

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    op.create_table(
        "items",
        sa.Column("case_id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=True),
        sa.Column("asked", sa.String(), nullable=True),
        sa.Column("clock_id", sa.String(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
    )
    op.create_index("ix_items_open", "items", ["tenant", "kind", "settled_at", "opened_at"])
    op.create_index("ix_items_at", "items", ["tenant", "at"])
    op.create_index("ix_items_asked", "items", ["tenant", "asked", "kind", "settled_at"])
    op.create_index("ix_items_by", "items", ["tenant", "by", "kind"])
    op.create_index("ix_items_opened", "items", ["tenant", "kind", "opened_at", "case_id", "id"])
    op.create_index("ix_cases_recorded", "cases", ["recorded_at"])
    op.create_index("ix_outbox_created", "outbox", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_outbox_created", "outbox")
    op.drop_index("ix_cases_recorded", "cases")
    op.drop_table("items")
