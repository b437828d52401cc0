"""The record decides: a case's state beside its line, who sent a command, what is set aside, who is at work

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

import infra.tables

revision: str = "0004"
down_revision: str | None = "0003"

TEXT = sa.String()
WHEN = infra.tables.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "states",
        sa.Column("case_id", TEXT, primary_key=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("case_id", TEXT, primary_key=True),
        sa.Column("command_id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("fault", TEXT, nullable=False),
        sa.Column("at", WHEN, nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "proposals",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("person_key", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("program", TEXT, nullable=False),
        sa.Column("team", TEXT, nullable=True),
        sa.Column("feed", TEXT, nullable=False),
        sa.Column("at", WHEN, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=True),
        sa.Column("settled_by", TEXT, nullable=True),
        sa.Column("settled_at", WHEN, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
    )
    op.create_index("ix_proposals_status", "proposals", ["tenant", "status", "at", "id"])
    op.create_table(
        "workers",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("task_queue", TEXT, nullable=False),
        sa.Column("build", TEXT, nullable=False),
        sa.Column("programs", sa.JSON(), nullable=False),
        sa.Column("started_at", WHEN, nullable=False),
        sa.Column("seen_at", WHEN, nullable=False),
    )
    op.create_table(
        "wakings",
        sa.Column("case_id", TEXT, primary_key=True),
        sa.Column("at", WHEN, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("should_have", WHEN, nullable=False),
    )
    op.create_table(
        "bulk_actions",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("command", TEXT, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("actor_role", TEXT, nullable=False),
        sa.Column("to_lightest", sa.Boolean(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("created_at", WHEN, nullable=False),
        sa.Column("touched_at", WHEN, nullable=False),
    )
    op.create_table(
        "bulk_items",
        sa.Column("action_id", TEXT, primary_key=True),
        sa.Column("case_id", TEXT, primary_key=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("chosen", TEXT, nullable=True),
        sa.Column("ask_again_at", WHEN, nullable=True),
        sa.Column("code", TEXT, nullable=True),
        sa.Column("detail", TEXT, nullable=True),
    )
    op.create_index("ix_bulk_items_status", "bulk_items", ["status", "action_id"])
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("head", TEXT, nullable=False, server_default=""))
        batch_op.add_column(sa.Column("sealed", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.drop_column("written_by")
    for table in ("commands", "queued"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column("actor", TEXT, nullable=False, server_default=""))
    with op.batch_alter_table("queued", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sent_at", WHEN, nullable=True))
        batch_op.add_column(sa.Column("envelope", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("clocks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("lapses", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE cases SET head = COALESCE((SELECT t.hash FROM timeline t"
        " WHERE t.case_id = cases.id AND t.seq = cases.seq), '')"
    )
    cases = sa.table(
        "cases", *(sa.column(name) for name in ("id", "seq", "status", "sealed", "updated_at", "wakes_at"))
    )
    line = sa.table("timeline", sa.column("case_id"), sa.column("seq"), sa.column("kind"))
    is_sealed = sa.exists().where(
        line.c.case_id == cases.c.id, line.c.seq == cases.c.seq, line.c.kind == "case-sealed"
    )
    op.execute(cases.update().where(is_sealed).values(sealed=sa.true()))
    # one that nobody knows when to wake: the night watch does, and it says when it wants to be woken next
    unknown = (cases.c.status == "closed", cases.c.wakes_at.is_(None), ~is_sealed)
    op.execute(cases.update().where(*unknown).values(wakes_at=cases.c.updated_at))
    op.execute(
        "UPDATE commands SET actor = COALESCE((SELECT t.actor FROM timeline t"
        " WHERE t.case_id = commands.case_id AND t.command_id = commands.command_id LIMIT 1), '')"
    )


def downgrade() -> None:
    with op.batch_alter_table("clocks", schema=None) as batch_op:
        batch_op.drop_column("lapses")
    with op.batch_alter_table("queued", schema=None) as batch_op:
        batch_op.drop_column("envelope")
        batch_op.drop_column("sent_at")
    for table in ("commands", "queued"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column("actor")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("written_by", TEXT, nullable=False, server_default=""))
        batch_op.drop_column("sealed")
        batch_op.drop_column("head")
    for table in ("bulk_items", "bulk_actions", "wakings", "workers", "proposals", "quarantine", "states"):
        op.drop_table(table)
