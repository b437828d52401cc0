"""Under a new key everything is encrypted anew, while people work; then the old key is not needed any more."""

import base64

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel, col, select

from deploy.rotate import CHARACTERS, EVERYTHING, rotate
from infra import database
from infra.encryption import KeyMissing, KeyRing, fingerprint, index_key, load_keys
from infra.tables import TimelineRow
from infra.timeline import entry_of, folded, rows_of
from tests.api.test_at_rest import as_bytes
from tests.office import Office

NEW = base64.b64encode(b"n" * 32).decode()


async def under(office: Office, key: bytes) -> set[str]:
    """The tables in which anything is still encrypted under a key: none may be forgotten."""
    name = fingerprint(key)
    marks = (name, base64.b64encode(name)[:CHARACTERS])
    async with office.parts.engine.connect() as connection:
        rows = {
            table: (await connection.execute(text(f'SELECT * FROM "{table}"'))).all()
            for table in SQLModel.metadata.tables
        }
    return {table for table in rows if any(m in as_bytes(v) for row in rows[table] for v in row for m in marks)}


async def test_after_a_change_of_keys_the_record_is_read_without_the_old_one(office: Office) -> None:
    """Timelines keep their chain; a second run has nothing to do; a row that was changed by hand is counted."""
    case_id = await office.open(person={"names": [{"given": ["Lucy"], "family": "Nowak"}]}, is_new=True)
    await office.walk(case_id)
    said = {"owner": "cm-anna", "to": "cm-ben", "reason": "is ill"}
    begun = await office.post("sup-1", "/caseload/reassign", said)

    async def given_away() -> bool:  # under the old key, before anything is rotated
        return bool((await office.get("sup-1", begun.headers["Location"])).json()["status"] == "done")

    await office.until(given_away)
    settings = office.parts.settings
    [old], secret = load_keys("", settings.data_dir), index_key("", settings.data_dir)
    [new] = load_keys(NEW, settings.data_dir)
    record = database.blocking(office.parts.engine.url)
    with record.connect() as connection:
        before = folded(connection, KeyRing([old], secret), case_id)
        with pytest.raises(KeyMissing):
            folded(connection, KeyRing([new], secret), case_id)
    both, alone = KeyRing([new, old], secret), KeyRing([new], secret)
    assert await under(office, old) >= {"timeline", "states", "persons", "clocks", "bulk_actions"}
    first = rotate(record, both)
    await office.do(case_id, "add-note", text="written under the old key meanwhile")
    second = rotate(record, both)
    assert first["timeline.encrypted"][0] > 20
    assert 1 <= second["timeline.encrypted"][0] < 5
    assert sum(done for done, _ in rotate(record, both).values()) == 0
    assert {name for name, (done, _) in first.items() if done} >= {
        *("timeline.encrypted", "states.state", "persons.sealed", "person_history.sealed", "tasks.title"),
        *("clocks.title", "staff.name", "bulk_actions.body"),
    }
    assert await under(office, old) == set()
    with record.connect() as connection:
        after = folded(connection, alone, case_id)
        assert before is not None
        assert after is not None
        assert (after.id, after.tasks) == (before.id, before.tasks)
        assert [entry_of(alone, row).seq for row in rows_of(connection, case_id)]
    with record.begin() as connection:
        row = connection.execute(select(TimelineRow).where(col(TimelineRow.case_id) == case_id)).first()
        assert row is not None
        table = EVERYTHING[0].model.__table__  # type: ignore[attr-defined]
        mine = (table.c.case_id == case_id, table.c.seq == row.seq)
        forged = KeyRing([old], secret).encrypted(b"{}", "timeline/another/1")
        connection.execute(table.update().where(*mine).values(encrypted=forged))
    assert rotate(record, both)["timeline.encrypted"] == (0, 1)
    record.dispose()
