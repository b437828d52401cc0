"""`make migrate`: brings the database to this release, then the cases that an older release left in the engine.

Runs of releases up to 0.3 are ended, and begin anew from the record with everything that was sent to them: what
the record has already is answered from there, what it lacks is settled. Safe to repeat. Stop the workers and the
API first.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import track
from sqlalchemy import Engine
from sqlmodel import col, select
from temporalio.client import Client

from deploy import running
from deploy.runs import OLD_TYPE, begin_again
from domain.case.event import Position
from domain.persons.person import REFERENCE, Identifier, Person
from infra import database, migrate, temporal
from infra.encryption import KeyRing, derived_id, index_key, load_keys
from infra.persons import Persons
from infra.settings import Settings
from infra.tables import CaseRow
from workflows import messages

OLD = f"WorkflowType = '{OLD_TYPE}' AND ExecutionStatus = 'Running'"
console = Console(stderr=True)


async def renew(client: Client, engine: Engine, settings: Settings) -> int:
    """Begin every run of an older release anew; return how many there were."""
    names = sorted([found.id async for found in client.list_workflows(OLD)])
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
    keys = KeyRing(load_keys(settings.encryption_keys, settings.data_dir))
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
        console.print(f"{await renew(client, engine, settings)} cases of an older release begun anew.")
    finally:
        engine.dispose()
    return 0


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
