"""What a promise counts from, and what its ladder does next; `make rebuild` fills it for what was there before

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0009"
down_revision: str | None = "0008"
ADDED = ("since", "next_at", "rung", "raised", "duty")


def upgrade() -> None:
    with op.batch_alter_table("clocks") as table:
        table.add_column(sa.Column("since", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("next_at", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("rung", sa.Integer(), nullable=True))
        table.add_column(sa.Column("raised", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("duty", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("clocks") as table:
        for name in ADDED:
            table.drop_column(name)
