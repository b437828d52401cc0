"""Persons on record: sealed, found by keyed look-ups only, and never in clear text in any row."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, update
from sqlmodel import col, select

from domain.persons.person import Person
from infra import row_places
from infra.encryption import KeyRing
from infra.names import keys_of
from infra.person_tables import PersonHistoryRow, PersonKeyRow, PersonRow

MOST_UNDER = 100_000
_TENANT: Any = bindparam("tenant")
_IDS: Any = bindparam("ids", expanding=True)
_KEYS: Any = bindparam("keys", expanding=True)
_OF_IDS = select(PersonRow).where(
    PersonRow.tenant == _TENANT, col(PersonRow.id).in_(_IDS)
)  # built once: it takes longer
_TAKEN = _OF_IDS.with_only_columns(col(PersonRow.id))
_OF_KEYS = select(PersonKeyRow.key, PersonKeyRow.person_id).where(
    col(PersonKeyRow.tenant) == _TENANT, col(PersonKeyRow.key).in_(_KEYS)
)
_UNDER = (
    select(PersonKeyRow.person_id)
    .where(PersonKeyRow.tenant == _TENANT, col(PersonKeyRow.key).in_(_KEYS))
    .limit(MOST_UNDER)  # keeps SQLite from reading all persons in order, which it does where it has no statistics
    .subquery()
)
_FOUND = select(_UNDER.c.person_id).distinct().order_by(_UNDER.c.person_id).limit(bindparam("most"))
_MERGED = select(PersonRow.id).where(col(PersonRow.tenant) == _TENANT, col(PersonRow.merged_into).in_(_IDS))
_INTO = select(PersonRow.merged_into).where(PersonRow.tenant == _TENANT, PersonRow.id == bindparam("id"))
KEY_BYTES = 10  # of a look-up's keyed digest: two of a million persons share one by chance in a thousand billion


class Persons:
    """Reads and writes the persons of one tenant, within a transaction of the caller's."""

    def __init__(self, connection: Connection, keys: KeyRing, index_key: bytes, tenant: str) -> None:
        self.connection, self.tenant = connection, tenant
        self._keys, self._index_key = keys, index_key

    def lock(self) -> None:
        """One who makes, merges or changes identifiers at a time."""
        lock_persons(self.connection, self.tenant)

    def blind(self, key: str) -> str:
        """A look-up as it is stored: the same for the same, and nothing to be read from it without the key."""
        said = f"person/{self.tenant}/{key}".encode()
        return hmac.digest(self._index_key, said, "sha256")[:KEY_BYTES].hex()

    def get(self, person_id: str) -> PersonRow | None:
        """The row of a person, whatever she was merged into."""
        row = self.connection.execute(_OF_IDS, {"tenant": self.tenant, "ids": [person_id]}).first()
        return PersonRow(**row._mapping) if row else None

    def sealed(self, person_id: str, person: Person) -> bytes:
        """What a person's row keeps of her."""
        return self._keys.encrypted(person.model_dump_json().encode(), row_places.person(self.tenant, person_id))

    def open(self, row: PersonRow) -> Person:
        """What a row says of a person. Raises `ValueError` where somebody has changed it by hand."""
        return unsealed(self._keys, self.tenant, row.id, row.sealed)

    def read(self, ids: Iterable[str]) -> dict[str, tuple[PersonRow, Person]]:
        """Those of some persons that there are."""
        if not (ids := list(ids)):
            return {}
        found = self.connection.execute(_OF_IDS, {"tenant": self.tenant, "ids": ids})
        rows = [PersonRow(**row._mapping) for row in found]
        return {row.id: (row, self.open(row)) for row in rows}

    def find(self, keys: Iterable[str], most: int) -> list[str]:
        """The ids under any of some look-ups."""
        if not (blind := [self.blind(key) for key in keys]):
            return []
        wanted = {"tenant": self.tenant, "keys": blind, "most": most}
        return list(self.connection.execute(_FOUND, wanted).scalars())

    def under(self, keys: Mapping[str, str]) -> dict[str, str]:
        """The person under each of some look-ups that name one person at the most, by what the look-up is for."""
        if not (asked := {self.blind(key): name for name, key in keys.items()}):
            return {}
        found = self.connection.execute(_OF_KEYS, {"tenant": self.tenant, "keys": list(asked)})
        return {asked[row.key]: row.person_id for row in found}

    def together(self, ids: Iterable[str]) -> list[str]:
        """These persons, and those who were merged into them, or into one of those."""
        return _together(self.connection, self.tenant, ids)

    def references_of(self, person: Person) -> list[str]:
        """The references by which a case may name her; one that is the id of a person on record names that one."""
        said = person.references
        taken = (
            set(self.connection.execute(_TAKEN, {"tenant": self.tenant, "ids": said}).scalars()) if said else set()
        )
        return [reference for reference in said if reference not in taken]

    def add(self, person_id: str, person: Person, by: str, at: datetime) -> None:
        """Put a new person on record."""
        row = PersonRow(
            id=person_id, tenant=self.tenant, version=0, sealed=b"", created_at=at, created_by=by, updated_at=at
        )
        self.save(row, person, "created", by, at)

    def save(self, row: PersonRow, person: Person, kind: str, by: str, at: datetime, **more: Any) -> PersonRow:
        """Write a person as she is known now, and that it was written. The first time she is added."""
        version = row.version + 1
        said = {"version": version, "sealed": self.sealed(row.id, person), "updated_at": at, **more}
        if version == 1:
            self.connection.execute(insert(PersonRow).values(**{**row.model_dump(), **said}))
        else:
            mine = (col(PersonRow.id) == row.id, col(PersonRow.tenant) == self.tenant)
            self.connection.execute(update(PersonRow).where(*mine).values(**said))
        self._note(row.id, version, kind, by, at, person)
        self._index(row.id, person)
        return row.model_copy(update=said)

    def _note(self, person_id: str, version: int, kind: str, by: str, at: datetime, person: Person) -> None:
        place = row_places.person_version(self.tenant, person_id, version)
        sealed = self._keys.encrypted(person.model_dump_json().encode(), place)
        said = {"person_id": person_id, "version": version, "tenant": self.tenant, "kind": kind}
        self.connection.execute(insert(PersonHistoryRow).values(**said, by=by, at=at, sealed=sealed))

    def history(self, person_id: str) -> Sequence[tuple[PersonHistoryRow, Person | None]]:
        """How a person was known, version by version."""
        query = select(PersonHistoryRow).where(
            PersonHistoryRow.tenant == self.tenant, PersonHistoryRow.person_id == person_id
        )
        rows = [
            PersonHistoryRow(**row._mapping)
            for row in self.connection.execute(query.order_by(col(PersonHistoryRow.version)))
        ]
        return [(row, self._known_then(row)) for row in rows]

    def _known_then(self, row: PersonHistoryRow) -> Person | None:
        plain = self._keys.decrypted(
            row.sealed, row_places.person_version(self.tenant, row.person_id, row.version)
        )
        return Person.model_validate_json(plain) if plain is not None else None

    def _index(self, person_id: str, person: Person) -> None:
        mine = (col(PersonKeyRow.tenant) == self.tenant, col(PersonKeyRow.person_id) == person_id)
        self.connection.execute(delete(PersonKeyRow).where(*mine))
        keyed = [self.blind(key) for key in keys_of(person)]
        if rows := [{"tenant": self.tenant, "key": key, "person_id": person_id} for key in keyed]:
            self.connection.execute(insert(PersonKeyRow), rows)


def unsealed(keys: KeyRing, tenant: str, person_id: str, sealed: bytes) -> Person:
    """What a person's row says of her. Raises `ValueError` where somebody has changed it by hand."""
    plain = keys.decrypted(sealed, row_places.person(tenant, person_id))
    if plain is None:
        raise ValueError(f"the row of person {person_id} was changed outside the system")
    return Person.model_validate_json(plain)


def lock_persons(connection: Connection, tenant: str, shared: bool = False) -> None:
    """One writer of a tenant's persons at a time, until the transaction ends; SQLite has one in any case.

    `shared` is for whoever needs only that none of them is erased meanwhile.
    """
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        connection.execute(select(lock(func.hashtext(f"persons/{tenant}"))))


def one_person(connection: Connection, tenant: str, person_id: str) -> list[str]:
    """All ids under which one person's cases are kept: hers, and those of records that are hers by a merge."""
    seen, now = [person_id], person_id
    while now:
        now = connection.execute(_INTO, {"tenant": tenant, "id": now}).scalar() or ""
        if now in seen:
            break
        seen += [now] if now else []
    return _together(connection, tenant, seen[-1:])


def _together(connection: Connection, tenant: str, ids: Iterable[str]) -> list[str]:
    found, news = list[str](), list(ids)
    while news:
        found += news
        merged = connection.execute(_MERGED, {"tenant": tenant, "ids": news}).scalars()
        news = [person_id for person_id in merged if person_id not in found]
    return found
