"""`make migrate`: brings the database to this release, then the cases that an older release left in the engine.

Runs of releases up to 0.3 are ended, and begin anew from the record with everything that was sent to them: what
the record has already is answered from there, what it lacks is settled. Safe to repeat. Stop the workers and the
API first.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import track
from sqlalchemy import Connection, Engine, update
from sqlmodel import col, select
from temporalio.client import Client

from activities.derived import rebuild_case
from activities.rows import table_of
from deploy import running
from deploy.runs import OLD_TYPE, begin_again
from domain.case.event import Entry, Position
from domain.persons.person import REFERENCE, Identifier, Person
from domain.values import Actor, Role
from infra import database, migrate, row_places, temporal
from infra.encryption import TEXT, KeyRing, derived_id, index_key, ring_of
from infra.erasure_tables import ErasedCaseRow
from infra.persons import Persons
from infra.settings import Settings
from infra.tables import BulkActionRow, CaseRow, SnapshotRow, StaffRow, TimelineRow
from infra.temporal import workflow_id
from infra.timeline import rows_of, timeline_row
from workflows import messages

OLD = f"WorkflowType = '{OLD_TYPE}' AND ExecutionStatus = 'Running'"
RUNNING = "WorkflowId STARTS_WITH 'case-' AND ExecutionStatus = 'Running'"
console = Console(stderr=True)


async def renew(
    client: Client, engine: Engine, settings: Settings, chained_anew: Iterable[tuple[str, str]] = ()
) -> int:
    """Begin every run of an older release anew, and those whose timeline has other hashes than they know.

    Return how many there were.
    """
    old = {found.id async for found in client.list_workflows(OLD)}
    running = {found.id async for found in client.list_workflows(RUNNING)}
    names = sorted(old | running & {workflow_id(*case) for case in chained_anew})
    for name in track(names, "Beginning cases anew", console=console, transient=True):
        tenant, case_id = name.removeprefix("case-").rsplit("-", 1)
        with engine.connect() as connection:
            mine = select(CaseRow.seq, CaseRow.head).where(col(CaseRow.id) == case_id)
            row = connection.execute(mine).first()
        life = messages.Life(
            tenant=tenant,
            case_id=case_id,
            history_events=settings.history_events,
            known=Position(seq=row.seq, head=row.head) if row else Position(),
        )
        await begin_again(client, engine, name, settings.task_queue, life)
        if row is not None:  # it learns when to wake, also where nothing was sent to it
            await messages.wake(client, name, settings.task_queue, life, messages.RING)
    return len(names)


def name_old_people(engine: Engine, settings: Settings) -> int:
    """Put a person on record for each reference under which a case of releases up to 0.3 is kept; safe to repeat.

    She has that reference as her identifier and no more; what else is known of her is added by whoever knows.
    """
    keys = ring_of(settings)
    secret, now, made = index_key(settings.index_key, settings.data_dir), datetime.now(UTC), 0
    with engine.connect() as connection:
        query = select(col(CaseRow.tenant), col(CaseRow.person_id)).distinct()
        kept = list(connection.execute(query).all())
    for tenant, name in track(kept, "People", console=console, transient=True):
        with engine.begin() as connection:
            store = Persons(connection, keys, secret, tenant)
            reference = Identifier(system=REFERENCE, value=name)
            if store.get(name) is not None or store.find([f"id {reference.system} {name}"], 1):
                continue
            person_id = derived_id(secret, f"{tenant}/person/{REFERENCE}|{name}").hex
            store.add(person_id, Person(identifiers=(reference,)), "caseloom", now)
            made += 1
    return made


def encrypt_old_timelines(engine: Engine, settings: Settings) -> list[tuple[str, str]]:
    """Encrypt what releases up to 0.3 left in clear, and chain it under the key; safe to repeat.

    Return the cases, with their tenants. A case of which anything is encrypted was written by this release: what
    lies in clear there was put in by hand, and stays refused.
    """
    keys = ring_of(settings)
    with engine.connect() as connection:
        encrypted = col(TimelineRow.case_id).in_(
            select(col(TimelineRow.case_id)).where(col(TimelineRow.encrypted).is_not(None))
        )
        gone = col(TimelineRow.case_id).in_(select(col(ErasedCaseRow.case_id)))
        query = select(col(TimelineRow.tenant), col(TimelineRow.case_id)).where(~encrypted, ~gone).distinct()
        cases = [(str(tenant), str(case_id)) for tenant, case_id in connection.execute(query)]
    _encrypt_the_rest(engine, keys)
    for tenant, case_id in track(cases, "Encrypting timelines", console=console, transient=True):
        with engine.begin() as connection:
            _encrypt(connection, keys, {"tenant": tenant, "case_id": case_id})
    if cases:  # what was in clear is otherwise still in the pages that it was written to
        _vacuum(engine)
    return cases


def _vacuum(engine: Engine) -> None:
    connection = engine.raw_connection()
    try:
        if engine.dialect.name == "postgresql":
            connection.driver_connection.autocommit = True  # type: ignore[union-attr]
            connection.cursor().execute("VACUUM FULL")
        else:
            connection.cursor().execute("VACUUM")
    finally:
        connection.close()


def _encrypt_the_rest(engine: Engine, keys: KeyRing) -> None:
    """The names of staff, and what bulk actions said."""
    table, actions = table_of(StaffRow), table_of(BulkActionRow)
    with engine.begin() as connection:
        for row in connection.execute(table.select().where(~table.c.name.startswith(TEXT))).all():
            mine = (table.c.tenant == row.tenant, table.c.subject == row.subject)
            name = keys.encrypted_text(row.name, row_places.staff(row.tenant, row.subject))
            connection.execute(table.update().where(*mine).values(name=name))
        for row in connection.execute(actions.select()).all():
            if "encrypted" not in row.body:
                body = {"encrypted": keys.encrypted_text(json.dumps(row.body), row_places.bulk_action(row.id))}
                connection.execute(actions.update().where(actions.c.id == row.id).values(body=body))


def _encrypt(connection: Connection, keys: KeyRing, key: dict[str, str]) -> None:
    """Encrypt one case: the states kept of it where entries are lost, and its entries, chained anew."""
    table, mine = table_of(SnapshotRow), table_of(SnapshotRow).c.case_id == key["case_id"]
    for row in connection.execute(table.select().where(mine)).all():
        place = row_places.snapshot(row.case_id, row.seq)
        kept = {"state": None, "encrypted": keys.encrypted(json.dumps(row.state).encode(), place)}
        connection.execute(table.update().where(mine, table.c.seq == row.seq).values(kept))
    table, head = table_of(TimelineRow), None
    for row in rows_of(connection, key["case_id"]):
        actor = Actor(subject=row.actor, role=Role(row.actor_role))
        said = {"seq": row.seq, "at": row.at, "kind": row.kind, "command_id": row.command_id, "data": row.data}
        before = row.previous if head is None else head
        made = timeline_row(keys, key, Entry(actor=actor, **said), before)
        there = (table.c.case_id == key["case_id"], table.c.seq == row.seq)
        connection.execute(table.update().where(*there).values(made))
        head = made["hash"]
    connection.execute(update(CaseRow).where(col(CaseRow.id) == key["case_id"]).values(head=head))
    rebuild_case(connection, keys, key["case_id"])


async def main() -> int:
    settings = running.located(Settings())
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    await migrate.upgrade(settings.database)
    console.print("The database is of this release.")
    try:
        client = await temporal.connect(settings)
    except RuntimeError:
        console.print(
            f"The engine does not answer at {settings.temporal_address}: start it and run this again, so that"
            " cases of an older release are begun anew (`make up` does both by itself)."
        )
        return 1
    engine = database.blocking(settings.database)
    try:
        console.print(f"{name_old_people(engine, settings)} people put on record for cases of an older release.")
        anew = encrypt_old_timelines(engine, settings)
        console.print(f"{len(anew)} timelines of an older release encrypted.")
        console.print(f"{await renew(client, engine, settings, anew)} cases of an older release begun anew.")
    finally:
        engine.dispose()
    return 0


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
