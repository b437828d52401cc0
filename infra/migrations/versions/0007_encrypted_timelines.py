"""What happened is kept encrypted, under keyed digests; what older releases left in clear is encrypted after this

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    with op.batch_alter_table("timeline") as table:
        table.add_column(sa.Column("facts", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("encrypted", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("digest", sa.String(), nullable=False, server_default=""))
        table.alter_column("data", existing_type=sa.JSON(), nullable=True)
    with op.batch_alter_table("snapshots") as table:
        table.add_column(sa.Column("encrypted", sa.LargeBinary(), nullable=True))
        table.alter_column("state", existing_type=sa.JSON(), nullable=True)
    with op.batch_alter_table("timeline") as table:
        table.alter_column("facts", existing_type=sa.JSON(), server_default=None)
        table.alter_column("digest", existing_type=sa.String(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("snapshots") as table:
        table.alter_column("state", existing_type=sa.JSON(), nullable=False)
        table.drop_column("encrypted")
    with op.batch_alter_table("timeline") as table:
        table.alter_column("data", existing_type=sa.JSON(), nullable=False)
        for name in ("digest", "encrypted", "facts"):
            table.drop_column(name)
