"""Screens a population shard by shard: who is in it, what the programme's factors say, who is proposed to a lead.

A shard's people, its findings and the end of what was received of it are one transaction: killed at any point, it
goes on with the shards that are left.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, delete, func, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import col
from temporalio import activity

from activities.rows import add, table_of
from domain.case.case import Patient
from domain.case.command import Moment
from domain.case.staff import Directory
from domain.persons.person import REFERENCE, Person
from domain.programs.eligibility import by_record
from domain.programs.policies import Tier
from domain.programs.program import DIED
from domain.programs.rulebook import Rulebook
from domain.steps.population import Finding, Population, Result, Screened
from exchange import csv_population
from exchange.fhir_population import Said, Unread, person_in
from infra import row_places
from infra.database import reading
from infra.encryption import KeyRing, derived_id
from infra.notices import tell_leads
from infra.persons import Persons, one_person
from infra.screening_tables import BlockRow, ScreenedRow, ScreeningRow
from infra.tables import CaseRow

log = structlog.get_logger()
Row = Any
MOST_ASKED = 500


class Screenings:
    """Holds the record with its keys, and the rules."""

    def __init__(self, engine: Engine, keys: KeyRing, index_key: bytes, rulebook: Rulebook) -> None:
        self._engine, self._keys, self._index_key, self._rulebook = engine, keys, index_key, rulebook
        self._looking = reading(engine)

    @activity.defn(name="screen")
    async def screen(self, screening_id: str) -> str:
        """Screen what is left, until it is done or somebody stops it; return how it stands then."""
        while (status := await asyncio.to_thread(self._next, screening_id)) == "running":
            activity.heartbeat()
        return status

    def _next(self, screening_id: str) -> str:
        """Screen one shard, or end the screening where none is left."""
        with self._looking.connect() as connection:
            screening = _of_id(connection, screening_id)
            if screening is None or screening.status != "running":
                return screening.status if screening else "unknown"
            shard = connection.execute(
                select_columns(func.min(col(BlockRow.shard))).where(col(BlockRow.screening_id) == screening_id)
            ).scalar()
            people = self._people(connection, screening, shard) if shard is not None else {}
        if shard is None:
            return self._end(screening)
        rows = self._rows(screening, shard, people)
        with self._engine.begin() as connection:
            self._write(connection, screening, shard, rows)
        return "running"

    def _people(self, connection: Connection, screening: Row, shard: int) -> dict[str, list[Said]]:
        """What was received of the people of a shard, by the id that the file gives each."""
        table = table_of(BlockRow)
        mine = (table.c.screening_id == screening.id, table.c.shard == shard)
        found: dict[str, list[Said]] = {}
        for block in connection.execute(table.select().where(*mine).order_by(table.c.part)):
            place = row_places.block(screening.id, shard, block.part)
            plain = self._keys.decrypted(block.sealed, place)
            if plain is None:
                raise ValueError(f"part {block.part} of screening {screening.id} is not what was written")
            for whose, said in json.loads(plain):
                found.setdefault(whose, []).append(said)
        return found

    def _rows(self, screening: Row, shard: int, people: Mapping[str, list[Said]]) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        program = self._rulebook.at(screening.program, screening.version, screening.team, now.date())
        moment = Moment(screening.as_of, self._rulebook, Directory(known=False))
        population = Population(moment, program, screening.team, Tier(screening.tier))
        as_of = program.day_of(screening.as_of)
        read: dict[str, tuple[Patient, Person]] = {}
        found: dict[str, Screened] = {}
        for whose, said in people.items():
            try:
                patient, person, numbers = _read(screening, whose, said, as_of)
                homes = [a.postal_code for a in person.addresses if a.postal_code]
                record = by_record(program.eligibility.criteria, [c.payer for c in person.coverage], homes)
                found[whose] = population.screen(patient, numbers, record)
                read[whose] = (patient, person)
            except Unread as fault:
                found[whose] = Screened(result=Result.UNREADABLE, why=str(fault))
            except Exception as fault:  # one person on whom a rule fails keeps nobody else from being found
                log.error("screening_fault", screening_id=screening.id, fault=type(fault).__name__)
                found[whose] = Screened(result=Result.UNREADABLE, why="fault")
        references = {whose: _reference(screening, whose) for whose in people}
        with self._looking.connect() as connection:
            known = self._known(connection, screening, {w: read[w][1] for w in read}, references)
            before = self._decided(connection, screening, references.values(), now)
        rows = []
        for whose, screened in found.items():
            person_id, left_out = known.get(whose, (None, None))
            key = person_key(self._index_key, screening.tenant, references[whose])
            decided, points = before.get(key, ("", 0))
            why = left_out or (decided if decided and screened.points <= points else None)
            if why and screened.result is not Result.UNREADABLE:
                found[whose] = screened.changed(result=Result.LEFT_OUT, why=why)
            row = self._row(screening, references[whose], found[whose], read.get(whose))
            rows.append({**row, "shard": shard, "person_key": key, "person_id": person_id})
        return rows

    def _row(
        self, screening: Row, reference: str, found: Screened, who: tuple[Patient, Person] | None
    ) -> dict[str, Any]:
        """What is kept of one person: who she is and why only of those who are proposed."""
        row_id = derived_id(self._index_key, f"{screening.tenant}/screened/{screening.id}/{reference}").hex
        sealed = None
        if who is not None and found.result is Result.PROPOSED:
            plain = Finding(patient=who[0], person=who[1], screened=found).model_dump_json().encode()
            sealed = self._keys.encrypted(plain, row_places.screened(row_id))
        said = {name: getattr(found, name) for name in ("result", "tier", "points", "at_least", "why")}
        return {"id": row_id, "screening_id": screening.id, "tenant": screening.tenant, "sealed": sealed, **said}

    def _known(
        self, connection: Connection, screening: Row, read: Mapping[str, Person], references: Mapping[str, str]
    ) -> dict[str, tuple[str, str | None]]:
        """Those who are persons on record: her id, and why she is left out (she has died, or is enrolled)."""
        store = Persons(connection, self._keys, self._index_key, screening.tenant)
        keys = {(w, f"id {REFERENCE} {references[w]}") for w in read}
        keys |= {(w, f"id {i.system} {i.value}") for w, person in read.items() for i in person.identifiers}
        people: dict[str, str] = {}
        asked = sorted(keys)
        for first in range(0, len(asked), MOST_ASKED):
            some = {str(n): key for n, (_, key) in enumerate(asked[first : first + MOST_ASKED])}
            people |= {asked[first + int(n)][0]: person_id for n, person_id in store.under(some).items()}
        return {whose: (person_id, self._why(store, screening, person_id)) for whose, person_id in people.items()}

    def _why(self, store: Persons, screening: Row, person_id: str) -> str | None:
        ids = one_person(store.connection, screening.tenant, person_id)
        people = store.read(ids)
        if any(person.deceased is not None for _, person in people.values()):
            return "deceased"
        names = {*ids, *(name for _, person in people.values() for name in store.references_of(person))}
        hers = (col(CaseRow.tenant) == screening.tenant, col(CaseRow.person_id).in_(names))
        enrolled = (col(CaseRow.program) == screening.program) & (col(CaseRow.status) == "open")
        query = select_columns(col(CaseRow.closure_reason)).where(
            *hers, or_(enrolled, col(CaseRow.closure_reason) == DIED)
        )
        reasons = store.connection.execute(query).scalars().all()
        return "deceased" if DIED in reasons else "enrolled" if reasons else None

    def _decided(
        self, connection: Connection, screening: Row, references: Iterable[str], now: datetime
    ) -> dict[str, tuple[str, int]]:
        """What leads have said of these people for this programme before: why, and with how many points."""
        keys = [person_key(self._index_key, screening.tenant, reference) for reference in references]
        table, other = table_of(ScreenedRow), table_of(ScreeningRow)
        found: dict[str, tuple[str, int]] = {}
        for first in range(0, len(keys), MOST_ASKED):
            query = (
                select_columns(table.c.person_key, table.c.decision, table.c.points, table.c.until)
                .join(other, other.c.id == table.c.screening_id)
                .where(
                    table.c.tenant == screening.tenant, table.c.person_key.in_(keys[first : first + MOST_ASKED])
                )
                .where(other.c.program == screening.program, table.c.screening_id != screening.id)
                .where(table.c.decision.in_(("declined", "snoozed")))
                .order_by(table.c.decided_at)
            )
            for row in connection.execute(query):
                over = row.decision == "snoozed" and row.until is not None and row.until <= now
                found[row.person_key] = ("" if over else f"{row.decision}-before", row.points)
        return found

    def _write(self, connection: Connection, screening: Row, shard: int, rows: list[dict[str, Any]]) -> None:
        """Once, whatever was written of the shard before; nothing where it was stopped or discarded meanwhile."""
        running = (col(ScreeningRow.id) == screening.id, col(ScreeningRow.status) == "running")
        touched = update(ScreeningRow).where(*running).values(touched_at=datetime.now(UTC))
        if not connection.execute(touched).rowcount:
            return
        for model in (ScreenedRow, BlockRow):
            table = table_of(model)
            mine = (table.c.screening_id == screening.id, table.c.shard == shard)
            connection.execute(delete(table).where(*mine))
        add(connection, ScreenedRow, rows)

    def _end(self, screening: Row) -> str:
        """Done: the leads are told where there is somebody to decide on."""
        now = datetime.now(UTC)
        running = (col(ScreeningRow.id) == screening.id, col(ScreeningRow.status) == "running")
        proposed = (
            select_columns(func.count())
            .select_from(table_of(ScreenedRow))
            .where(col(ScreenedRow.screening_id) == screening.id, col(ScreenedRow.result) == Result.PROPOSED)
        )
        with self._engine.begin() as connection:
            done = update(ScreeningRow).where(*running).values(status="done", ended_at=now, touched_at=now)
            if not connection.execute(done).rowcount:
                return "stopped"
            if connection.execute(proposed).scalar():
                tell_leads(
                    connection, self._keys, screening.tenant, screening.team, screening.id, "screening", now
                )
        return "done"


def person_key(index_key: bytes, tenant: str, reference: str) -> str:
    """What tells the findings about one person from others', without naming her."""
    return derived_id(index_key, f"{tenant}/screened/{reference}").hex


def _of_id(connection: Connection, screening_id: str) -> Row:
    table = table_of(ScreeningRow)
    return connection.execute(table.select().where(table.c.id == screening_id)).first()


def _reference(screening: Row, whose: str) -> str:
    """How the file names her; a mapping's source is part of it, since a number alone may be anybody's."""
    return f"{screening.mapping}/{whose}" if screening.mapping else f"Patient/{whose}"


def _read(screening: Row, whose: str, said: list[Said], as_of: Any) -> tuple[Patient, Person, Mapping[Any, float]]:
    """Who somebody is and what is known of her; by a mapping her reference names the mapping's source."""
    if not screening.mapping:
        return *person_in(said, as_of), {}
    resources, numbers, coverage = csv_population.together(said)
    patient, person = person_in(resources, as_of)
    patient = patient.changed(reference=_reference(screening, whose))
    return patient, person.changed(coverage=coverage), numbers
