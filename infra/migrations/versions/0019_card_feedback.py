"""What clinicians have done with cards

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0019"
down_revision: str | None = "0018"


def upgrade() -> None:
    op.create_table(
        "card_feedback",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("card", sa.String(), primary_key=True),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
    )
    op.create_index("ix_card_feedback_at", "card_feedback", ["tenant", "at"])


def downgrade() -> None:
    op.drop_table("card_feedback")
