"""Who looked at what is on record before the answer leaves, and nobody changes it unseen."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from infra.audit import broken
from tests.office import Office
from tests.story import referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def looks(office: Office, **wanted: Any) -> list[tuple[str, str, int]]:
    """Who did what with which status, the oldest first."""
    items = (await office.get("aud-1", "/audit", limit=200, **wanted)).json()["items"]
    return [(item["actor"], item["action"], item["status"]) for item in reversed(items)]


async def faults(office: Office) -> list[str]:
    async with office.parts.engine.connect() as connection:
        return await connection.run_sync(lambda c: list(broken(c, office.parts.index_key)))


async def test_reads_lists_searches_changes_and_refusals_are_on_record_by_case_person_and_actor(
    office: Office,
) -> None:
    """On both databases; a command that was taken is on the timeline, and not here too."""
    case_id = await office.open()
    seen = await office.get("cm-anna", f"/cases/{case_id}")
    await office.http.get(
        f"/cases/{case_id}/timeline", headers={**office.sign_in("cm-ben"), "Purpose-Of-Use": "TREAT"}
    )
    await office.get("cm-cora", f"/cases/{case_id}")
    await office.do(case_id, "add-note", text="x")
    assert (await office.refused(case_id, "add-note", "cm-cora", text="x"))[0] == 404
    assert await looks(office, case_id=case_id) == [
        ("cm-anna", "read-case", 200),
        ("cm-ben", "read-timeline", 200),
        ("cm-cora", "read-case", 404),
        ("cm-cora", "add-note", 404),
    ]
    person = seen.json()["case"]["referral"]["patient"]["reference"]
    await office.get("cm-anna", f"/persons/{person}")
    await office.get("cm-anna", "/persons", q="nobody")
    await office.get("cm-anna", "/reports/caseload")
    actions = [action for _, action, _ in await looks(office, actor="cm-anna")]
    assert {"read-case", "read-person", "find-persons", "read-report"} <= {*actions}
    assert ("cm-anna", "read-person", 200) in await looks(office, person_id=person)
    assert ("cm-ben", "read-timeline", 200) in await looks(office, person_id=person)
    entry = (await office.get("aud-1", "/audit", actor="cm-ben")).json()["items"][0]
    assert (entry["purpose"], entry["address"]) == ("TREAT", "127.0.0.1")
    assert ("aud-1", "read-audit", 200) in await looks(office)
    assert await faults(office) == []


@ONE
async def test_only_auditors_and_directors_of_the_tenant_read_it_and_a_table_holds_no_formula(
    quiet_office: Office,
) -> None:
    office = quiet_office
    for person in ("cm-anna", "sup-1", "ehr-1"):
        assert (await office.get(person, "/audit")).status_code == 403
    assert (await office.get("dir-x", "/audit")).json()["items"] == []
    answer = await office.get("dir-1", "/audit", format="csv", limit=1)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "cursor=" in answer.headers["Link"]
    assert answer.text.startswith("at,actor,role,action,")


async def test_a_row_that_was_changed_taken_out_or_put_in_shows(quiet_office: Office) -> None:
    """Each by itself, on both databases."""
    office = quiet_office
    for _ in range(4):
        await office.get("cm-anna", "/cases")
    assert await faults(office) == []
    for statement, says in (
        ("UPDATE audit SET actor = 'cm-ben' WHERE n = 3", "row 3"),
        ("DELETE FROM audit WHERE n = 2", "missing before row 3"),
        ("UPDATE audit SET n = 99 WHERE n = 4", "missing before row"),
    ):
        async with office.parts.engine.connect() as connection:
            await connection.execute(text(statement))
            found = await connection.run_sync(lambda c: list(broken(c, office.parts.index_key)))
            await connection.rollback()
        assert any(says in fault for fault in found), (statement, found)


@ONE
async def test_what_cannot_be_written_down_is_not_answered(
    quiet_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Any) -> None:
        raise OperationalError("", None, Exception())

    monkeypatch.setattr(quiet_office.parts.audit, "note", away)
    answer = await quiet_office.get("cm-anna", "/cases")
    assert (answer.status_code, answer.json()["code"]) == (503, "RecordUnavailable")
    assert answer.headers["cache-control"] == "no-store"
    assert (await quiet_office.get("cm-anna", "/cases/nosuchcase")).status_code == 404


@ONE
async def test_a_page_over_several_cases_is_not_given_when_one_of_them_cannot_be_written_down(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record was away for a moment: the row of the second case is lost, that of the first would be taken."""
    first, second = await office.open(), await office.open(program="transitions")
    share = {"with_whom": "Food bank", "what": ["name"], "purpose": "food", "reader": "ehr-2", "reads": "case"}
    for case_id in (first, second):
        await office.do(case_id, "record-consent", form="written", shares=[share])
    given = (await office.get("ehr-2", "/fhir/EpisodeOfCare")).json()["entry"]
    assert {entry["resource"]["id"].partition("-")[0] for entry in given} == {first, second}
    written, tried = office.parts.audit.note, 0

    async def away_once(row: dict[str, Any]) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise OperationalError("", None, Exception())
        await written(row)

    monkeypatch.setattr(office.parts.audit, "note", away_once)
    answer = await office.get("ehr-2", "/fhir/EpisodeOfCare")
    assert (answer.status_code, first in answer.text, second in answer.text) == (503, False, False)
    assert (await office.get("ehr-2", "/fhir/EpisodeOfCare")).status_code == 200


@ONE
async def test_nothing_that_somebody_searched_for_or_sent_is_in_the_audit(quiet_office: Office) -> None:
    office = quiet_office
    await office.get("cm-anna", "/persons", q="CANARY-NAME")
    about = {"referral": referral(reference="Patient/CANARY"), "team": "north", "program": "CANARY"}
    await office.post("cm-anna", "/cases", about)
    async with office.parts.engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM audit"))).all()
    assert rows
    assert "CANARY" not in str(rows)
