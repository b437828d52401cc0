"""What is known of somebody is kept as long as the rules say, then erased: everywhere, for good, and provably."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlmodel import SQLModel, col
from temporalio.service import RPCError

from deploy.rebuild import rebuild
from deploy.verify import certificates_broken, erased, faults_of
from domain.values import Role
from infra import database
from infra.erasure_tables import ErasureRow
from infra.inbound_tables import InboundRow
from infra.tables import CaseRow, ProposalRow
from infra.temporal import workflow_id
from tests.api.test_at_rest import as_bytes
from tests.conftest import KEY
from tests.office import PEOPLE, Office
from tests.story import referral
from workflows import messages

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ODA = {"names": [{"given": ["Oda"], "family": "Quasimodo"}], "birth_date": "1950-05-05"}
NEW = {"program": "complex-care", "referral": referral(), "team": "north", "person": ODA, "is_new": True}
LONG_AGO = datetime(2014, 3, 31, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def second_director(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEOPLE, "dir-2", (Role.DIRECTOR, (), "local"))


async def closed(office: Office, key: str = "k") -> tuple[str, str]:
    """A case that is over, its last entry long ago, and whose it is."""
    opened = await office.post("cm-anna", "/cases", NEW, Idempotency_Key=key)
    assert opened.status_code == 201, opened.text
    case_id = str(opened.json()["case_id"])
    await office.do(case_id, "record-consent", form="verbal")
    await office.do(case_id, "add-note", text="Oda likes Canasta")
    await office.do(case_id, "close", reason="moved")
    await office.forward(case_id, days=32)

    async def over() -> bool:
        return bool((await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["sealed"])

    await office.until(over)
    person = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referral"]["patient"]["reference"]
    await let_age(office, case_id)
    return case_id, person


async def let_age(office: Office, case_id: str) -> None:
    async with office.parts.engine.begin() as connection:
        old = update(CaseRow).where(col(CaseRow.id) == case_id).values(updated_at=LONG_AGO)
        await connection.execute(old)


async def ask(office: Office, person: str, **said: Any) -> Any:
    return await office.post("dir-1", f"/persons/{person}/erasures", said or {"ground": "retention-over"})


async def erase(office: Office, person: str) -> dict[str, Any]:
    """Ask, confirm, and wait for the certificate."""
    asked = await ask(office, person)
    assert asked.status_code == 201, asked.text
    path = f"/erasures/{asked.json()['id']}"
    confirmed = await office.post("dir-2", f"{path}/confirm", None)
    assert confirmed.status_code == 202, confirmed.text

    async def ended() -> bool:
        return bool((await office.get("dir-1", path)).json()["status"] != "running")

    await office.until(ended)
    erasure = messages.erasure(asked.json()["id"])  # the files are cleared after the certificate
    await office.environment.client.get_workflow_handle(erasure).result()
    return dict((await office.get("dir-1", path)).json())


def kept_of(office: Office, person: str, case_id: str) -> dict[str, int]:
    """By table, in how many rows her ids, or anything that was written under the keys for them, still stands."""
    record = database.blocking(office.parts.engine.url)
    with record.connect() as connection:
        found = {
            table: [dict(row) for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings()]
            for table in SQLModel.metadata.tables
        }
    record.dispose()
    hers = {name.encode() for name in (person, case_id)}
    return {
        table: number
        for table, rows in found.items()
        if (number := sum(any(one in as_bytes(value) for one in hers for value in row.values()) for row in rows))
    }


async def test_what_is_known_of_her_is_gone_everywhere_and_what_is_left_proves_it(office: Office) -> None:
    """Lists, person, search, engine; the chain of hashes stays whole; others stay; nothing begins again."""
    case_id, person = await closed(office)
    other = await office.open(person={"names": [{"given": ["Ida"], "family": "Quasimodo"}]}, is_new=True)
    view = (await office.get("aud-1", f"/persons/{person}/retention")).json()
    assert (view["kept_until"], view["hindered_by"]) == ("2024-03-31", [])
    due = (await office.get("dir-1", "/retention")).json()["items"]
    assert due == [{"person_id": person, "name": "Oda Quasimodo", "kept_until": "2024-03-31", "cases": 1}]
    done = await erase(office, person)
    assert (done["status"], [case["case_id"] for case in done["cases"]]) == ("done", [case_id])
    assert done["rows"]["timeline"] == done["cases"][0]["entries"] > 3
    assert (done["rows"]["persons"], done["rows"]["states"]) == (1, 1)
    for path in (f"/cases/{case_id}", f"/cases/{case_id}/timeline", f"/persons/{person}"):
        assert (await office.get("dir-1", path)).status_code == 404, path
    found = (await office.get("dir-1", "/persons", q="quasimodo")).json()["items"]
    assert [one["name"] for one in found] == ["Ida Quasimodo"]
    assert (await office.get("dir-1", "/retention")).json()["items"] == []
    assert set(kept_of(office, person, case_id)) <= {
        *("timeline", "commands", "erased_cases", "erasures", "audit", "feed"),
    }
    assert (await office.get("cm-anna", f"/cases/{other}")).status_code == 200
    again = await office.post("cm-anna", "/cases", NEW, Idempotency_Key="k")
    assert (again.status_code, again.json()["code"]) == (409, "Erased")
    await check_engine(office, case_id)
    check_record(office, case_id)


@ONE
async def test_no_answer_can_be_guessed_from_what_is_left_of_commands(office: Office) -> None:
    """A fingerprint is a digest without a key: of a questionnaire of nine answers there are few enough to try."""
    case_id, person = await closed(office)
    assert (await erase(office, person))["status"] == "done"
    async with office.parts.engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM commands WHERE case_id = :c"), {"c": case_id})).all()
    assert {(row.status, row.fingerprint) for row in rows} == {("refused", "")}
    assert all('"fingerprint": ""' in str(row.outcome).replace("'", '"') for row in rows)


@ONE
async def test_a_reference_that_is_somebody_elses_id_erases_and_shows_nothing_of_hers(office: Office) -> None:
    """Whoever names A by B's id has not made B's cases A's."""
    bea_case, bea = await closed(office, "bea")
    named = {**NEW, "referral": referral(reference=bea), "person": {**ODA, "birth_date": "1971"}}
    opened = await office.post("cm-anna", "/cases", named)
    assert opened.status_code == 201, opened.text
    case = (await office.get("cm-anna", f"/cases/{opened.json()['case_id']}")).json()["case"]
    other = case["referral"]["patient"]["reference"]
    assert other != bea
    shown = (await office.get("cm-anna", f"/persons/{other}/cases")).json()["items"]
    assert [one["id"] for one in shown] == [opened.json()["case_id"]]
    async with office.parts.engine.begin() as connection:
        own = update(CaseRow).where(col(CaseRow.id) == opened.json()["case_id"])
        await connection.execute(own.values(sealed=True, updated_at=LONG_AGO))
    done = await erase(office, other)
    assert [one["case_id"] for one in done["cases"]] == [opened.json()["case_id"]]
    assert (await office.get("cm-anna", f"/cases/{bea_case}")).status_code == 200


@ONE
async def test_what_feeds_told_of_her_and_nobody_took_is_gone_too(office: Office) -> None:
    """A proposal that waits for a lead would bring her back."""
    _, person = await closed(office)
    number = {"system": "urn:demo:meadow-hospital", "value": "4711"}
    await office.http.patch(
        f"/persons/{person}", json={"identifiers": [number]}, headers=office.sign_in("cm-anna")
    )
    row = {"id": "p" * 32, "tenant": "local", "kind": "record-transition", "program": "complex-care", "feed": "f"}
    about = f"local/proposals-about/{person}"
    row |= {"person_key": office.parts.derived_id(about).hex, "status": "waiting"}
    lane = office.parts.derived_id("inbound/local/demo-hospital/of/urn:demo:meadow-hospital|4711").hex
    message: dict[str, Any] = {
        "id": "m" * 32,
        "tenant": "local",
        "feed": "demo-hospital",
        "digest": "d",
        "event": "A03",
    }
    message |= {"lane": lane, "state": "open", "answer": "AA", "sealed": b"x", "seen": 1, "tries": 0, "cases": []}
    async with office.parts.engine.begin() as connection:
        await connection.execute(insert(ProposalRow).values(**row, at=LONG_AGO))
        await connection.execute(insert(InboundRow).values(**message, received_at=LONG_AGO, sent_at=LONG_AGO))
    done = await erase(office, person)
    assert (done["rows"]["proposals"], done["rows"]["inbound"]) == (1, 1)


@ONE
async def test_a_case_that_is_opened_while_she_is_erased_is_refused_and_not_left_without_a_person(
    office: Office,
) -> None:
    """Asked by whoever decides, under a lock: whichever comes first, nobody's case is an orphan."""
    _, person = await closed(office)
    path = f"/erasures/{(await ask(office, person)).json()['id']}"
    again = {"program": "transitions", "referral": referral(), "team": "north", "person_id": person}
    async with office.parts.engine.begin() as connection:
        await connection.execute(
            update(ErasureRow).values(status="running", decided_by="dir-2", decided_at=LONG_AGO)
        )
    refused = await office.post("cm-anna", "/cases", again)
    assert (refused.status_code, refused.json()["code"]) == (409, "PersonErased")
    late = await office.post("dir-1", f"/persons/{person}/legal-holds", {"matter": "CV-1"})
    assert (late.status_code, late.json()["code"]) == (409, "ErasureRuns")
    await office.post("dir-2", f"{path}/confirm", None)

    async def ended() -> bool:
        return bool((await office.get("dir-1", path)).json()["status"] == "done")

    await office.until(ended)
    assert (await office.post("cm-anna", "/cases", again)).status_code == 404


@ONE
async def test_an_erasure_is_of_whom_it_was_asked_for_and_a_hold_is_lifted_where_it_lies(office: Office) -> None:
    """After a merge it would be somebody else's too; another's hold is not there under one's path."""
    _, person = await closed(office)
    asked = (await ask(office, person)).json()
    other = await office.open(person={"names": [{"family": "Survivor"}]}, is_new=True)
    kept = (await office.get("cm-anna", f"/cases/{other}")).json()["case"]["referral"]["patient"]["reference"]
    placed = (await office.post("dir-1", f"/persons/{kept}/legal-holds", {"matter": "CV-1"})).json()
    wrong = await office.post("dir-1", f"/persons/{person}/legal-holds/{placed['id']}/lift", None)
    assert wrong.status_code == 404
    assert len((await office.get("dir-1", f"/persons/{kept}/retention")).json()["holds"]) == 1
    merged = await office.post("sup-1", f"/persons/{kept}/merge", {"person_id": person, "reason": "the same"})
    assert merged.status_code == 200, merged.text
    confirmed = await office.post("dir-2", f"/erasures/{asked['id']}/confirm", None)
    assert (confirmed.status_code, confirmed.json()["code"]) == (409, "PersonMerged")
    assert (await ask(office, kept)).json()["code"] == "CaseOpen"


async def check_engine(office: Office, case_id: str) -> None:
    """The engine forgets in the background."""
    handle = office.environment.client.get_workflow_handle(workflow_id("local", case_id))
    async with asyncio.timeout(60):
        while True:
            try:
                await handle.fetch_history()
            except RPCError:
                return
            await asyncio.sleep(0.1)


def check_record(office: Office, case_id: str) -> None:
    """`make verify` follows what is left, `make rebuild` makes nothing of it; what is changed by hand is found."""
    keys, record = office.parts.keys, database.blocking(office.parts.engine.url)
    with record.connect() as connection:
        assert list(faults_of(connection, keys, case_id, erased(connection)[case_id])) == []
        assert list(certificates_broken(connection, keys)) == []
    assert not any(rebuild(record, keys).values())
    with record.begin() as connection:
        connection.execute(text("UPDATE timeline SET kind = 'x' WHERE case_id = :c AND seq = 2"), {"c": case_id})
        connection.execute(text("UPDATE erasures SET asked_by = 'dir-9'"))
        assert len(list(faults_of(connection, keys, case_id, erased(connection)[case_id]))) == 1
        assert any("not as it was written" in fault for fault in certificates_broken(connection, keys))
        connection.execute(text("DELETE FROM timeline WHERE case_id = :c AND seq <= 2"), {"c": case_id})
        assert any(
            "missing" in fault for fault in faults_of(connection, keys, case_id, erased(connection)[case_id])
        )
        connection.execute(text("UPDATE erasures SET seal = NULL, status = 'running'"))
        assert any("no certificate" in fault for fault in certificates_broken(connection, keys))
    record.dispose()


@ONE
async def test_nothing_of_it_can_be_read_out_of_the_files_with_every_key(office: Office) -> None:
    """Not in a page that was freed, and not in the write-ahead log: each sealed text there is opened."""
    _, person = await closed(office)
    folder = office.parts.settings.data_dir
    assert sealed_of(folder, office.parts.keys.first), "the files have what is looked for"
    before = len(sealed_of(folder, office.parts.keys.first))
    assert (await erase(office, person))["status"] == "done"
    left = sealed_of(folder, office.parts.keys.first)
    assert len(left) < before
    async with office.parts.engine.connect() as connection:
        rows = [
            as_bytes(value)
            for table in SQLModel.metadata.tables
            for row in (await connection.execute(text(f'SELECT * FROM "{table}"'))).all()
            for value in row
        ]
    there = b"".join(rows)
    assert [at for at in left if at not in there] == []
    assert KEY not in there


def sealed_of(folder: Path, key: bytes) -> list[bytes]:
    """The beginnings of all that was encrypted under a key, wherever it lies in the database's files."""
    found = []
    for path in folder.glob("record.db*"):
        parts = path.read_bytes().split(key)
        found += [key + part[:8] for part in parts[1:]]
    return found


@ONE
async def test_what_hinders_an_erasure_is_refused_by_name_and_changes_nothing(office: Office) -> None:
    """An open case, a hold, time that is not over, one person alone, a second request; an order needs a number."""
    open_case = await office.open(person={**ODA, "birth_date": "1951"}, is_new=True)
    case = (await office.get("cm-anna", f"/cases/{open_case}")).json()["case"]
    at_work = case["referral"]["patient"]["reference"]
    assert (await ask(office, at_work)).json()["code"] == "CaseOpen"
    assert (await ask(office, at_work, ground="ordered", matter="O 1/26")).json()["code"] == "CaseOpen"
    case_id, person = await closed(office)
    unnumbered = await ask(office, person, ground="ordered")
    assert unnumbered.status_code == 422
    placed = await office.post("dir-1", f"/persons/{person}/legal-holds", {"matter": "CV-2026-00417"})
    assert placed.status_code == 201
    assert (await ask(office, person)).json()["code"] == "LegalHold"
    assert (await office.get("dir-1", "/retention")).json()["items"] == []
    lift = f"/persons/{person}/legal-holds/{placed.json()['id']}/lift"
    assert [(await office.post("dir-1", lift, None)).status_code for _ in range(2)] == [204, 404]
    async with office.parts.engine.begin() as connection:
        fresh = datetime.now(UTC) - timedelta(days=40)
        await connection.execute(update(CaseRow).where(col(CaseRow.id) == case_id).values(updated_at=fresh))
    assert (await ask(office, person)).json()["code"] == "RetentionRuns"
    asked = await ask(office, person, ground="ordered", matter="O 1/26")
    assert asked.status_code == 201
    assert (await ask(office, person, ground="ordered", matter="O 1/26")).json()["code"] == "ErasureAsked"
    path = f"/erasures/{asked.json()['id']}"
    alone = await office.post("dir-1", f"{path}/confirm", None)
    assert (alone.status_code, alone.json()["code"]) == (403, "SecondPerson")
    held = await office.post("dir-2", f"/persons/{person}/legal-holds", {"matter": "CV-2026-00418"})
    assert held.status_code == 201
    assert (await office.post("dir-2", f"{path}/confirm", None)).json()["code"] == "LegalHold"
    assert (await office.post("dir-2", f"{path}/withdraw", None)).json()["status"] == "withdrawn"
    assert (await office.post("dir-2", f"{path}/confirm", None)).json()["code"] == "ErasureOver"
    assert (await office.get("cm-anna", f"/cases/{case_id}")).status_code == 200


@ONE
async def test_only_directors_ask_and_auditors_look(office: Office) -> None:
    _, person = await closed(office)
    for who, status in (("cm-anna", 403), ("sup-1", 403), ("aud-1", 200), ("dir-1", 200), ("dir-x", 404)):
        assert (await office.get(who, f"/persons/{person}/retention")).status_code == status, who
    for who in ("cm-anna", "sup-1", "aud-1"):
        refused = await office.post(who, f"/persons/{person}/erasures", {"ground": "retention-over"})
        assert refused.status_code == 403, who
    asked = (await ask(office, person)).json()
    assert (await office.get("dir-x", f"/erasures/{asked['id']}")).status_code == 404
    assert [one["id"] for one in (await office.get("aud-1", "/erasures")).json()["items"]] == [asked["id"]]


@ONE
async def test_an_erasure_that_the_engine_lost_is_gone_on_with_and_what_was_reopened_stays(office: Office) -> None:
    """Two cases, of which one is at work again when its turn comes: the other is gone, the person stays."""
    case_id, person = await closed(office)
    more = {"program": "transitions", "referral": referral(), "team": "north", "person_id": person}
    back = (await office.post("cm-anna", "/cases", more)).json()["case_id"]
    async with office.parts.engine.begin() as connection:
        said: dict[str, Any] = {"id": "e" * 32, "tenant": "local", "person_id": person, "rows": {}}
        said |= {"ground": "retention-over", "status": "running", "asked_by": "dir-1", "asked_at": LONG_AGO}
        said |= {"decided_by": "dir-2", "decided_at": LONG_AGO}
        await connection.execute(ErasureRow.__table__.insert().values(**said))  # type: ignore[attr-defined]
    handle = await office.environment.client.start_workflow(
        "NightWatch", id=f"watch-{case_id}", task_queue=office.parts.settings.task_queue
    )
    await handle.result()
    path = f"/erasures/{'e' * 32}"

    async def ended() -> bool:
        return bool((await office.get("dir-1", path)).json()["status"] == "incomplete")

    await office.until(ended)
    assert [case["case_id"] for case in (await office.get("dir-1", path)).json()["cases"]] == [case_id]
    assert (await office.get("cm-anna", f"/cases/{back}")).status_code == 200
    assert (await office.get("cm-anna", f"/persons/{person}")).status_code == 200
    over = await office.post("dir-1", f"{path}/confirm", None)
    assert (over.status_code, over.json()["code"]) == (409, "ErasureOver")
    assert (await ask(office, person)).json()["code"] == "CaseOpen"


async def test_a_hold_and_a_confirmation_at_once_never_both_succeed(office: Office) -> None:
    """Whichever comes first: a record that is held is not erased, and one that is being erased takes no hold."""
    case_id, person = await closed(office)
    asked = (await ask(office, person)).json()
    held, confirmed = await asyncio.gather(
        office.post("dir-1", f"/persons/{person}/legal-holds", {"matter": "CV-1"}),
        office.post("dir-2", f"/erasures/{asked['id']}/confirm", None),
    )
    assert (held.status_code, confirmed.status_code) in ((201, 409), (409, 202)), (held.text, confirmed.text)
    if held.status_code == 201:
        assert (await office.get("cm-anna", f"/cases/{case_id}")).status_code == 200


@ONE
async def test_a_record_that_was_merged_is_listed_under_the_one_that_it_is(office: Office) -> None:
    _, person = await closed(office)
    new = {"names": [{"family": "Quasimodo", "given": ["Oda", "M."]}], "is_new": True}
    kept = (await office.post("cm-anna", "/persons", new)).json()["id"]
    merged = await office.post("dir-1", f"/persons/{kept}/merge", {"person_id": person, "reason": "the same"})
    assert merged.status_code == 200, merged.text
    assert [one["person_id"] for one in (await office.get("dir-1", "/retention")).json()["items"]] == [kept]


@ONE
async def test_what_a_screening_has_found_of_her_goes_with_her(office: Office) -> None:
    """Known by a number that the file has as well; who reads the finding afterwards finds nobody."""
    from tests.api.test_screenings import SICK, found, ndjson, screened, somebody

    case_id, person = await closed(office)
    await let_age(office, case_id)
    number = {"system": "urn:mrn", "value": "E-777"}
    known = (await office.get("dir-1", f"/persons/{person}")).json()
    identifiers = [*known["person"]["identifiers"], number]
    patched = await office.http.patch(
        f"/persons/{person}",
        json={"identifiers": identifiers},
        headers={**office.sign_in("dir-1"), "If-Match": f'"{known["version"]}"'},
    )
    assert patched.status_code == 200, patched.text
    hers = somebody("elsewhere", SICK, stays=2, visits=4)
    hers[0]["identifier"] = [number]
    await screened(office, ndjson(hers))
    [one] = await found(office)
    assert one["person_id"] == person
    done = await erase(office, person)
    assert done["rows"]["screened"] == 1
    assert await found(office) == []
    assert (await office.get("sup-1", f"/screened/{one['id']}")).status_code == 404
