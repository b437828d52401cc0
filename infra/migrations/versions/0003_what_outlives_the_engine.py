"""What outlives the engine: snapshots, and when a case asks to be woken

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import infra.tables

revision: str = "0003"
down_revision: str | None = "0002"


REMADE = (
    ("ix_cases_owner", "cases", ["tenant", "owner", "id"]),
    ("ix_cases_team", "cases", ["tenant", "team", "id"]),
    ("ix_tasks_assignee", "tasks", ["tenant", "assignee", "status", "case_id"]),
)
BEFORE = (
    ("ix_cases_owner", "cases", ["tenant", "owner", "opened_at"]),
    ("ix_cases_team", "cases", ["tenant", "team", "opened_at"]),
    ("ix_tasks_assignee", "tasks", ["tenant", "assignee", "status"]),
)


def upgrade() -> None:
    op.create_table(
        "snapshots",
        sa.Column("case_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("tenant", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", infra.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("digest", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "seq"),
    )
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("wakes_at", infra.tables.UtcDateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("written_by", sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default="")
        )
        batch_op.create_index("ix_cases_wakes", ["wakes_at"], unique=False)
        batch_op.create_index("ix_cases_quarantined", ["tenant", "quarantined"], unique=False)
    with op.batch_alter_table("clocks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("queue", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.create_index("ix_clocks_queue", ["tenant", "queue", "state", "due_at", "case_id", "id"])
    for name, table, columns in REMADE:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns)
    op.execute(
        "UPDATE clocks SET queue = (SELECT t.queue FROM tasks t WHERE t.case_id = clocks.case_id"
        " AND t.id = clocks.about AND t.assignee IS NULL)"
    )
    # until a case's next event says it exactly: what is due next is when it wakes
    op.execute("UPDATE cases SET wakes_at = next_due_at WHERE status = 'open'")


def downgrade() -> None:
    for name, table, columns in BEFORE:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns)
    with op.batch_alter_table("clocks", schema=None) as batch_op:
        batch_op.drop_index("ix_clocks_queue")
        batch_op.drop_column("queue")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_index("ix_cases_quarantined")
        batch_op.drop_index("ix_cases_wakes")
        batch_op.drop_column("written_by")
        batch_op.drop_column("wakes_at")

    op.drop_table("snapshots")
