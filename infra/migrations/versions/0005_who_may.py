"""Who may: to whom a case is offered, who is kept from it, who was signed out

Revision ID: 0005
Revises: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

import infra.tables

revision: str = "0005"
down_revision: str | None = "0004"

KINDS = ("assignee-excluded", "assignee-allowed", "transfer-offered", "transfer-answered")
cases = sa.table("cases", sa.column("id"), sa.column("offered_to"), sa.column("excluded"))
timeline = sa.table(
    "timeline", sa.column("case_id"), sa.column("seq"), sa.column("kind"), sa.column("data", sa.JSON())
)


def upgrade() -> None:
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("offered_to", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("excluded", sa.String(), nullable=False, server_default=""))
    op.create_index("ix_cases_offered", "cases", ["tenant", "offered_to"])
    op.create_index("ix_cases_opened_by", "cases", ["tenant", "opened_by"])
    op.create_table(
        "sign_outs",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("at", infra.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
    )
    told = sa.select(timeline).where(timeline.c.kind.in_(KINDS)).order_by(timeline.c.case_id, timeline.c.seq)
    found: dict[str, dict[str, Any]] = {}
    for row in op.get_bind().execute(told).mappings():
        _follow(found.setdefault(row["case_id"], {"offered_to": None, "excluded": []}), row["kind"], row["data"])
    for case_id, line in found.items():
        excluded = f"|{'|'.join(line['excluded'])}|" if line["excluded"] else ""
        mine = cases.update().where(cases.c.id == case_id)
        op.execute(mine.values(offered_to=line["offered_to"], excluded=excluded))


def _follow(line: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    if kind == "transfer-offered":
        line["offered_to"] = data["transfer"].get("to")
    elif kind == "transfer-answered":
        line["offered_to"] = None
    elif kind == "assignee-excluded":
        line["excluded"].append(data["person"])
    else:
        line["excluded"] = [person for person in line["excluded"] if person != data["person"]]


def downgrade() -> None:
    op.drop_table("sign_outs")
    op.drop_index("ix_cases_opened_by", "cases")
    op.drop_index("ix_cases_offered", "cases")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_column("excluded")
        batch_op.drop_column("offered_to")
