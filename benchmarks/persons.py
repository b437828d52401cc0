"""Finding one of many people, on both databases, as a case manager does with somebody on the telephone."""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, insert, text

from api.system import System
from benchmarks.lists import office_over
from benchmarks.report import Report
from domain.persons.person import ContactPoint, Identifier, Person, PersonName
from infra import database, migrate
from infra.names import keys_of
from infra.person_tables import PersonKeyRow, PersonRow
from infra.persons import Persons
from tests import postgres
from tests.office import Office

LIMIT_MS, ASKED, BATCH = 50.0, 60, 2_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SYLLABLES = ("ma", "ri", "jo", "an", "el", "ka", "ro", "si", "ta", "ne", "lu", "bo", "vi", "da", "ho", "gre")


def word(chance: random.Random, common: int) -> str:
    """A name as frequent as names are: a few are everybody's (Zipf's law), most are somebody's."""
    rank = int(common ** chance.random())
    shape = random.Random(f"{common}/{rank}")
    return "".join(shape.choice(SYLLABLES) for _ in range(shape.randint(2, 4))).title()


def person(number: int) -> Person:
    chance = random.Random(number)
    born = date(1930, 1, 1) + timedelta(days=chance.randrange(33_000))
    return Person(
        names=(PersonName(given=(word(chance, 5_000),), family=word(chance, 60_000)),),
        birth_date=born.isoformat(),
        identifiers=(Identifier(system="urn:mrn", value=f"MRN-{number:08}"),),
        contacts=(ContactPoint(kind="phone", value=f"+1 {chance.randrange(2_000_000_000, 9_999_999_999)}"),),
    )


def fill(engine: Engine, parts: System, people: int) -> None:
    """Put so many people on record, without their histories."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET statement_timeout = 0"))
        store = Persons(connection, parts.keys, parts.index_key, "local")
        rows, keys = [], []
        for number in range(people):
            known, person_id = person(number), f"p{number}"
            sealed = store.sealed(person_id, known)
            made = {"id": person_id, "tenant": "local", "version": 1, "sealed": sealed, "created_by": "cm-anna"}
            rows.append({**made, "created_at": NOW, "updated_at": NOW, "merged_into": None})
            keys += [{"tenant": "local", "key": store.blind(k), "person_id": person_id} for k in keys_of(known)]
            if len(rows) == BATCH or number == people - 1:
                connection.execute(insert(PersonRow), rows)
                connection.execute(insert(PersonKeyRow), keys)
                rows, keys = [], []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def questions(people: int) -> Iterator[tuple[str, str]]:
    """What is asked, by kind: as somebody hears it, half remembers it, or reads it from a card."""
    for n in range(ASKED):
        known = person(n * 7919 % people)
        name = known.names[0]
        yield "name", str(name)
        yield "name with a slip", f"{name.family[:-1] if name.family else ''} {name.given[0].lower()}"
        yield "family name alone", name.family or ""
        yield "name and birth date", f"{name.given[0]} {name.family} {known.birth_date}"
        yield "telephone", known.contacts[0].value
        yield "identifier", known.identifiers[0].value


async def ask_all(report: Report, office: Office, title: str, people: int) -> None:
    """The p95 of each kind of question, for a director, who may know of all."""
    times: dict[str, list[float]] = {}
    for kind, question in questions(people):
        began = time.perf_counter()
        answer = await office.get("dir-1", "/persons", q=question)
        times.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
    for kind, found in times.items():
        worst = sorted(found)[int(len(found) * 0.95)]
        report.ratio(f"{title}: {kind}: p95 ms", LIMIT_MS, "at most").note(worst, 1.0)
        report.figures[f"{title}: {kind}: p50 ms"] = statistics.median(found)


async def on(report: Report, url: str, title: str, people: int) -> None:
    """Fill a database and ask it."""
    await migrate.upgrade(url)
    with tempfile.TemporaryDirectory() as folder:
        async with office_over(url, Path(folder)) as office:
            engine = database.blocking(url)
            fill(engine, office.parts, people)
            engine.dispose()
            await ask_all(report, office, f"{title}, {people:,} people", people)


async def both(report: Report, people: int) -> None:
    """SQLite and PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        await on(report, f"sqlite+aiosqlite:///{folder}/record.db", "SQLite", people)
    with postgres.server() as found:
        await on(report, postgres.by_psycopg(postgres.create(found.address, "people")), "PostgreSQL", people)
