"""What the API says when the engine or the record is away: the truth, and what to do."""

import dataclasses

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from activities.record import Recording
from infra import database, temporal
from infra.loopback import free_port
from tests.conftest import KEY
from tests.desk import Desk, write_ahead
from tests.office import Office
from tests.story import referral

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_with_the_engine_away_nothing_is_acknowledged_and_reads_go_on(office: Office) -> None:
    """503 with the command's id and what to do; health says which part it is."""
    case_id = await office.open()
    nowhere = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    office.app.state.system = dataclasses.replace(office.parts, client=nowhere)
    path = f"/cases/{case_id}/commands/add-note"
    answer = await office.post("cm-anna", path, {"text": "x"}, Idempotency_Key="k-9")
    assert (answer.status_code, answer.json()["code"]) == (503, "OutcomeUnknown")
    assert answer.headers["Retry-After"]
    opening = {"program": "complex-care", "referral": referral(), "team": "north"}
    assert (await office.post("ehr-1", "/cases", opening)).json()["code"] == "OutcomeUnknown"
    read = await office.get("cm-anna", f"/cases/{case_id}")
    assert read.json()["source"] == "record"
    health = await office.http.get("/healthz")
    assert (health.status_code, health.json()["engine"], health.json()["record"]) == (503, "away", "ok")
    office.app.state.system = office.parts
    again = await office.post("cm-anna", path, {"text": "x"}, Idempotency_Key="k-9")
    assert again.json()["command_id"] == answer.json()["command_id"]
    assert (await office.kinds(case_id)).count("note-added") == 1


async def test_with_the_record_away_commands_go_on_and_lists_say_so(office: Office, engine: AsyncEngine) -> None:
    """The case itself is asked who may see it; a list is 503, not empty."""
    case_id = await office.open()
    gone = database.connect("sqlite+aiosqlite:////nowhere/at/all.db")
    office.app.state.system = dataclasses.replace(office.parts, engine=gone)
    await office.do(case_id, "add-note", text="x")
    assert (await office.get("cm-anna", f"/cases/{case_id}")).json()["source"] == "live"
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    assert await office.refused(case_id, "add-note", "cm-cora", text="x") == (404, "NotFound")
    answer = await office.get("cm-anna", "/worklist")
    assert (answer.status_code, answer.json()["code"]) == (503, "RecordUnavailable")
    health = await office.http.get("/healthz")
    assert (health.status_code, health.json()["record"]) == (503, "away")
    await gone.dispose()


async def test_what_only_the_record_knows_is_shown_and_the_case_follows(
    office: Office, engine: AsyncEngine
) -> None:
    """A worker was lost after it had recorded a command: repeated, that is answered from the record."""
    desk = Desk(office.environment, office.parts.settings, engine)
    desk.case_id = await office.open()
    desk.id = f"case-local-{desk.case_id}"
    desk.first_run = (await desk.handle.describe()).run_id
    writing = database.blocking(engine.url)
    recorded = await write_ahead(desk, Recording(writing), desk.envelope("add-note", text="seen by nobody yet"))
    writing.dispose()
    shown = (await office.get("cm-anna", f"/cases/{desk.case_id}")).json()
    assert (shown["source"], shown["case"]["seq"]) == ("record", recorded.seq)

    async def followed() -> bool:
        found = (await office.get("cm-anna", f"/cases/{desk.case_id}")).json()
        return (found["source"], found["case"]["seq"]) == ("live", recorded.seq)

    await office.until(followed)
    assert (await office.kinds(desk.case_id))[-1] == "note-added"


async def test_with_both_away_nobody_is_told_that_there_is_no_such_case(office: Office) -> None:
    """404 would promise that nothing was applied: only the record knows what the engine has forgotten."""
    case_id = await office.open()
    path = f"/cases/{case_id}/commands/add-note"
    gone = database.connect("sqlite+aiosqlite:////nowhere/at/all.db")
    nowhere = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    office.app.state.system = dataclasses.replace(office.parts, engine=gone, client=nowhere)
    answer = await office.post("cm-anna", path, {"text": "x"}, Idempotency_Key="k-7")
    assert (answer.status_code, answer.json()["code"]) == (503, "OutcomeUnknown")
    assert answer.json()["location"].endswith(answer.json()["command_id"])
    assert (await office.get("cm-anna", f"/cases/{case_id}/timeline")).status_code == 503
    office.app.state.system = dataclasses.replace(office.parts, engine=gone)
    assert (await office.post("cm-anna", path.replace(case_id, "nobody"), {"text": "x"})).status_code == 503
    office.app.state.system = dataclasses.replace(office.parts, client=nowhere)
    assert (await office.post("cm-anna", path.replace(case_id, "nobody"), {"text": "x"})).status_code == 503
    office.app.state.system = office.parts
    assert (await office.post("cm-anna", path.replace(case_id, "nobody"), {"text": "x"})).status_code == 404
    await gone.dispose()


async def test_a_case_that_does_not_answer_is_not_said_to_be_missing(office: Office) -> None:
    """What needs the case as it is now says so, and asks to repeat: a merge may be half done."""
    case_id, other = await office.open(), await office.open()
    nowhere = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    office.app.state.system = dataclasses.replace(office.parts, client=nowhere)
    merge = {"case_id": other, "reason": "One person"}
    for path, body in ((f"/cases/{case_id}/assign", {}), (f"/cases/{case_id}/merge", merge)):
        answer = await office.post("sup-1", path, body)
        assert (answer.status_code, answer.json()["code"]) == (503, "OutcomeUnknown"), path
    assert (await office.get("sup-1", f"/cases/{case_id}/program-move/2")).status_code == 503
