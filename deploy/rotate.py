"""`make rotate-keys`: encrypts the record anew under the first of the keys, while the system runs.

Put a new key first in `CASELOOM_ENCRYPTION_KEYS` (or in `encryption.keys`), keep the old ones behind it, start the
worker and the API again, and run this. Stopped and begun again, it goes on where it was. What the engine has stays
under the keys that it was written with: keep those for as long as it keeps closed workflows.
"""

import base64
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.progress import Progress
from sqlalchemy import ColumnElement, Engine, func, select, tuple_
from sqlmodel import SQLModel

from activities.rows import table_of
from deploy import running
from deploy.console import console as shown
from infra import (
    inbound_tables,
    item_tables,
    notice_tables,
    person_tables,
    screening_tables,
    subscription_tables,
    tables,
    webhook_tables,
)
from infra import row_places as places
from infra.encryption import TEXT, KeyMissing, KeyRing, ring_of

BATCH = 500
CHARACTERS = 20  # of base64 that the first fifteen of the sixteen characters of a key's name make
console = shown()


@dataclass(frozen=True)
class Kept:
    """A column in which something is encrypted, and the place of each row, to which it is bound."""

    model: type[SQLModel]
    column: str
    place: Callable[[Any], str]
    text: bool = False

    def under_another_key(self, keys: KeyRing) -> ColumnElement[bool]:
        column = table_of(self.model).c[self.column]
        if not self.text:
            return column.is_not(None) & (func.substr(column, 1, len(keys.first)) != keys.first)
        ours = TEXT + base64.b64encode(keys.first).decode()[:CHARACTERS]
        return column.startswith(TEXT) & ~column.startswith(ours, autoescape=True)

    def anew(self, keys: KeyRing, row: Any) -> bytes | str | None:
        """The same under the first key; None where it cannot be read. Raises `KeyMissing`."""
        kept, place = getattr(row, self.column), self.place(row)
        if self.text:
            return keys.encrypted_text(text, place) if (text := keys.decrypted_text(kept, place)) else None
        plain = keys.decrypted(bytes(kept), place)
        return keys.encrypted(plain, place) if plain is not None else None


EVERYTHING = (
    Kept(tables.TimelineRow, "encrypted", lambda r: places.timeline(r.case_id, r.seq)),
    Kept(tables.StateRow, "state", lambda r: places.state(r.case_id)),
    Kept(tables.SnapshotRow, "encrypted", lambda r: places.snapshot(r.case_id, r.seq)),
    Kept(tables.QueuedRow, "envelope", lambda r: places.queued(r.case_id, r.command_id)),
    Kept(tables.QuarantineRow, "envelope", lambda r: places.quarantined(r.case_id, r.command_id)),
    Kept(tables.ProposalRow, "message", lambda r: places.proposal(r.id)),
    Kept(tables.ProposalRow, "reason", lambda r: places.proposal_reason(r.id), text=True),
    Kept(inbound_tables.InboundRow, "sealed", lambda r: places.inbound(r.id)),
    Kept(inbound_tables.InboundRow, "reason", lambda r: places.inbound_reason(r.id), text=True),
    Kept(screening_tables.BlockRow, "sealed", lambda r: places.block(r.screening_id, r.shard, r.part)),
    Kept(screening_tables.ScreenedRow, "sealed", lambda r: places.screened(r.id)),
    Kept(screening_tables.ScreenedRow, "reason", lambda r: places.screened_reason(r.id), text=True),
    Kept(person_tables.PersonRow, "sealed", lambda r: places.person(r.tenant, r.id)),
    Kept(
        person_tables.PersonHistoryRow, "sealed", lambda r: places.person_version(r.tenant, r.person_id, r.version)
    ),
    Kept(tables.TaskRow, "title", lambda r: places.task(r.case_id, r.id), text=True),
    Kept(tables.ClockRow, "title", lambda r: places.clock(r.case_id, r.id), text=True),
    Kept(item_tables.ItemRow, "title", lambda r: places.item(r.case_id, r.kind, r.id), text=True),
    Kept(notice_tables.OutboxRow, "subject", lambda r: places.notice(r.case_id, r.key), text=True),
    Kept(notice_tables.ReachRow, "address", lambda r: places.reach(r.tenant, r.subject, r.channel), text=True),
    Kept(webhook_tables.EndpointRow, "url", lambda r: places.endpoint_url(r.id), text=True),
    Kept(webhook_tables.EndpointRow, "secret", lambda r: places.endpoint_secret(r.id), text=True),
    Kept(webhook_tables.EndpointRow, "secret_before", lambda r: places.endpoint_secret(r.id), text=True),
    Kept(subscription_tables.SubscriptionRow, "url", lambda r: places.subscription_url(r.id), text=True),
    Kept(subscription_tables.SubscriptionRow, "headers", lambda r: places.subscription_headers(r.id), text=True),
    Kept(tables.StaffRow, "name", lambda r: places.staff(r.tenant, r.subject), text=True),
)


def rotate(engine: Engine, keys: KeyRing) -> dict[str, tuple[int, int]]:
    """Encrypt everything anew; by column how many were, and how many cannot be read under any key."""
    found: dict[str, tuple[int, int]] = {}
    with Progress(console=console, transient=True) as progress:
        for kept in EVERYTHING:
            name = f"{kept.model.__tablename__}.{kept.column}"
            task = progress.add_task(name, total=_number(engine, keys, kept))
            done = unread = 0
            for batch_done, batch_unread in _batches(engine, keys, kept):
                done, unread = done + batch_done, unread + batch_unread
                progress.update(task, completed=done + unread)
            found[name] = (done, unread)
    return {**found, "bulk_actions.body": (_bulk_actions(engine, keys), 0)}


def _bulk_actions(engine: Engine, keys: KeyRing) -> int:
    """What bulk actions say stands in a document; there are few of them. Raises `KeyMissing`."""
    table, done = table_of(tables.BulkActionRow), 0
    with engine.begin() as connection:
        for row in connection.execute(table.select()).all():
            place, kept = places.bulk_action(row.id), row.body["encrypted"]
            anew = keys.encrypted_text(keys.decrypted_text(kept, place), place)
            if anew != kept:
                connection.execute(table.update().where(table.c.id == row.id).values(body={"encrypted": anew}))
                done += 1
    return done


def _number(engine: Engine, keys: KeyRing, kept: Kept) -> int:
    with engine.connect() as connection:
        rows = select(func.count()).select_from(table_of(kept.model)).where(kept.under_another_key(keys))
        return int(connection.execute(rows).scalar_one())


def _batches(engine: Engine, keys: KeyRing, kept: Kept) -> Iterator[tuple[int, int]]:
    """Row by row in the order of their keys. What the running system writes meanwhile is left as it writes it."""
    table = table_of(kept.model)
    own, last = tuple(table.primary_key), None
    while True:
        query = table.select().where(kept.under_another_key(keys)).order_by(*own).limit(BATCH)
        if last is not None:
            query = query.where(tuple_(*own) > tuple_(*last))
        done = unread = 0
        with engine.begin() as connection:
            rows = connection.execute(query).all()
            for row in rows:
                last = tuple(getattr(row, column.name) for column in own)
                try:
                    value = kept.anew(keys, row)
                except KeyMissing:
                    value = None
                if value is None:
                    unread += 1
                    continue
                column = table.c[kept.column]
                mine = (*(c == v for c, v in zip(own, last, strict=True)), column == getattr(row, kept.column))
                done += connection.execute(table.update().where(*mine).values({kept.column: value})).rowcount
        yield done, unread
        if len(rows) < BATCH:
            return


def main() -> int:
    settings = running.settings()
    keys = ring_of(settings)
    with running.record(settings) as engine:
        found = rotate(engine, keys)
    unread = {name: number for name, (_, number) in found.items() if number}
    for name, number in unread.items():
        sys.stdout.write(f"{name}: {number} cannot be read under any key that is here, or were changed by hand\n")
    console.print(f"{sum(done for done, _ in found.values())} values encrypted anew under {keys.first.decode()}.")
    return int(bool(unread))


if __name__ == "__main__":
    sys.exit(main())
