"""The whole of case management

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("weight", sa.Float(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("target_group", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.add_column(sa.Column("in_crisis", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("clocks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("policy", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.create_index("ix_clocks_policy", ["tenant", "policy", "due_at"], unique=False)

    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("staff", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cover", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.add_column(sa.Column("licences", sa.JSON(), server_default="[]", nullable=False))

    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("queue", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.create_index("ix_tasks_queue", ["tenant", "queue", "assignee"], unique=False)

    with op.batch_alter_table("timeline", schema=None) as batch_op:
        batch_op.create_index("ix_timeline_kind", ["tenant", "kind", "at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("timeline", schema=None) as batch_op:
        batch_op.drop_index("ix_timeline_kind")

    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index("ix_tasks_queue")
        batch_op.drop_column("queue")

    with op.batch_alter_table("staff", schema=None) as batch_op:
        batch_op.drop_column("licences")
        batch_op.drop_column("cover")

    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_column("urgent")

    with op.batch_alter_table("clocks", schema=None) as batch_op:
        batch_op.drop_index("ix_clocks_policy")
        batch_op.drop_column("policy")

    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_column("in_crisis")
        batch_op.drop_column("target_group")
        batch_op.drop_column("weight")
