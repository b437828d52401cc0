"""Who is on duty for a team

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0013"
down_revision: str | None = "0012"


def upgrade() -> None:
    op.create_table(
        "rosters",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("team", sa.String(), primary_key=True),
        sa.Column("roster", sa.JSON(), nullable=False),
        sa.Column("written_by", sa.String(), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("rosters")
