"""Alembic's entry: runs migrations on the connection that `infra.migrate` hands over."""

from alembic import context

import infra.cds_tables
import infra.erasure_tables
import infra.inbound_tables
import infra.item_tables
import infra.notice_tables
import infra.person_tables
import infra.rosters
import infra.screening_tables
import infra.subscription_tables
import infra.webhook_tables  # noqa: F401
from infra.tables import SQLModel

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
