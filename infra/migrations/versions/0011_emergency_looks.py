"""Who looks into a case in an emergency, and until when

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    with op.batch_alter_table("cases") as table:
        table.add_column(sa.Column("glass", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("cases") as table:
        table.drop_column("glass")
