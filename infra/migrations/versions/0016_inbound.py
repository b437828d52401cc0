"""Messages that feeds have sent

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

from infra.tables import UtcDateTime

revision: str = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    op.create_table(
        "inbound",
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("feed", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("visit", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("because", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=True),
        sa.Column("cases", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("settled_by", sa.String(), nullable=True),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
    )
    op.create_index("ix_inbound_id", "inbound", ["id"], unique=True)
    op.create_index("ix_inbound_digest", "inbound", ["tenant", "digest"], unique=True)
    op.create_index("ix_inbound_state", "inbound", ["tenant", "state", "n"])
    op.create_index("ix_inbound_lane", "inbound", ["tenant", "lane", "state"])
    op.create_index("ix_inbound_visit", "inbound", ["tenant", "visit"])


def downgrade() -> None:
    op.drop_table("inbound")
