"""What the API says when the engine or the record is away: the truth, and what to do."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from deploy.doctor import examine
from deploy.drift import Comparison
from infra import database, temporal
from infra.loopback import free_port
from infra.tables import QueuedRow
from tests.conftest import KEY
from tests.office import Office
from tests.one_case import Desk, forget, settle_and_lose
from tests.story import in_force, referral
from worker import worker
from workflows.night_watch import NightWatch

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


async def test_with_the_record_away_nothing_is_changed_and_everything_says_so(
    office: Office, engine: AsyncEngine
) -> None:
    """Nobody can tell who may see a case: 503, never 404, and no command reaches the case."""
    case_id = await office.open()
    gone = database.connect("sqlite+aiosqlite:////nowhere/at/all.db")
    office.app.state.system = dataclasses.replace(office.parts, engine=gone)
    for path in (f"/cases/{case_id}", "/cases/nobody", f"/cases/{case_id}/timeline", "/worklist"):
        answer = await office.get("cm-anna", path)
        assert (answer.status_code, answer.json()["code"]) == (503, "RecordUnavailable"), path
        assert answer.headers["Retry-After"]
    for person in ("cm-anna", "cm-cora"):
        assert await office.refused(case_id, "add-note", person, text="x") == (503, "RecordUnavailable")
    opening = {"program": "complex-care", "referral": referral(), "team": "north"}
    answer = await office.post("cm-anna", "/cases", opening, Idempotency_Key="k-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "RecordUnavailable")
    health = await office.http.get("/healthz")
    assert (health.status_code, health.json()["record"]) == (503, "away")
    office.app.state.system = office.parts
    assert (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["seq"] == 2
    assert (await office.get("cm-anna", "/cases/nobody")).status_code == 404
    await gone.dispose()


async def test_commands_sent_while_the_record_cannot_be_written_are_queued_and_then_applied(
    office: Office, engine: AsyncEngine
) -> None:
    """It can still be read: 202 with a place to ask at, and the outcome there when the record is back."""
    case_id = await office.open()
    settings = office.parts.settings.model_copy(update={"update_seconds": 2})
    office.app.state.system = dataclasses.replace(office.parts, settings=settings)
    path = f"/cases/{case_id}/commands/add-note"
    async with engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        answer = await office.post("cm-anna", path, {"text": "x"}, Idempotency_Key="k-5")
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        asked = await office.get("cm-anna", answer.headers["Location"])
        assert (asked.status_code, asked.json()["status"]) == (202, "queued")
        await holder.rollback()

    async def applied() -> bool:
        return bool((await office.get("cm-anna", answer.headers["Location"])).json()["status"] == "applied")

    await office.until(applied)
    assert (await office.kinds(case_id)).count("note-added") == 1


async def test_what_a_lost_task_has_settled_is_shown_and_answered_from_the_record(
    office: Office, engine: AsyncEngine
) -> None:
    """A worker was lost after it had recorded a command: the record is never behind, its run follows."""
    desk = Desk(office.environment, office.parts.settings, engine)
    desk.case_id = await office.open()
    desk.id = f"case-local-{desk.case_id}"
    [lost] = await settle_and_lose(desk, desk.envelope("add-note", text="seen by nobody yet"))
    shown = (await office.get("cm-anna", f"/cases/{desk.case_id}", live=True)).json()
    assert (shown["source"], shown["case"]["seq"]) == ("live", lost.known.seq)
    assert shown["live"]["seq"] == lost.known.seq - 1
    await office.do(desk.case_id, "add-note", text="and on")
    shown = (await office.get("cm-anna", f"/cases/{desk.case_id}", live=True)).json()
    assert shown["case"]["seq"] == shown["live"]["seq"] == lost.known.seq + 1


async def test_asked_live_a_case_that_does_not_answer_says_so(office: Office) -> None:
    """The record answers without it; what is asked of the workflow itself is 503."""
    case_id = await office.open()
    nowhere = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    office.app.state.system = dataclasses.replace(office.parts, client=nowhere)
    assert (await office.get("cm-anna", f"/cases/{case_id}")).status_code == 200
    answer = await office.get("cm-anna", f"/cases/{case_id}", live=True)
    assert (answer.status_code, answer.json()["code"]) == (503, "CaseSilent")
    assert (await office.get("sup-1", f"/cases/{case_id}/program-move/2")).status_code == 200


async def test_a_message_to_a_case_that_the_engine_has_lost_begins_it_again(office: Office) -> None:
    """The engine was emptied: the command is queued, applied, and the case keeps its promises from then on."""
    case_id = await office.open()
    await forget(office.environment, f"case-local-{case_id}")
    path = f"/cases/{case_id}/commands/add-note"
    answer = await office.post("cm-anna", path, {"text": "x"}, Idempotency_Key="k-6")
    assert answer.status_code == 202, answer.text

    async def applied() -> bool:
        return bool((await office.get("cm-anna", answer.headers["Location"])).json()["status"] == "applied")

    await office.until(applied)
    shown = (await office.get("cm-anna", f"/cases/{case_id}", live=True)).json()
    assert shown["case"]["seq"] == shown["live"]["seq"] == 3
    assert shown["live"]["wakes_at"]


@pytest.mark.parametrize("by", ["the night watch", "make drift HEAL=1"])
async def test_what_was_answered_202_is_applied_even_where_the_engine_loses_it(
    quiet_office: Office, engine: AsyncEngine, by: str
) -> None:
    """An opening, and a note to another case: nobody was at work, and the engine was emptied. Said to be queued
    meanwhile, named by doctor, sent again, applied once, and struck off.
    """
    office, settings = quiet_office, quiet_office.parts.settings
    settings.update_seconds = 2
    client = office.environment.client
    async with worker(client, settings, in_force(), engine.url):
        case_id = await office.open()
    note = await office.post("cm-anna", f"/cases/{case_id}/commands/add-note", {"text": "x"})
    opening = {"program": "complex-care", "referral": referral(), "team": "north"}
    opened = await office.post("ehr-1", "/cases", opening)
    assert (note.status_code, opened.status_code) == (202, 202)
    new = opened.json()["case_id"]
    for lost in (case_id, new):
        await forget(office.environment, f"case-local-{lost}")
    places = [("cm-anna", note.headers["Location"]), ("ehr-1", opened.headers["Location"])]
    for person, place in places:
        assert (await office.get(person, place)).json()["status"] == "queued"
    record = database.blocking(engine.url)
    async with worker(client, settings, in_force(), engine.url):
        if by == "the night watch":
            await sent_long_ago(engine)
            [queued] = [c for c in await examine(client, record, settings) if c.name == "queued"]
            assert (queued.well, set(queued.cases)) == (False, {case_id, new})
            await client.execute_workflow(NightWatch.run, id=f"watch-{new}", task_queue=settings.task_queue)
        else:
            await Comparison(client, record, settings, mend=True, over_gap=False).send_again()

        async def applied() -> bool:
            answers = [(await office.get(person, place)).json() for person, place in places]
            return [answer["status"] for answer in answers] == ["applied"] * 2

        await office.until(applied)
        await sent_long_ago(engine)
        await client.execute_workflow(NightWatch.run, id=f"again-{new}", task_queue=settings.task_queue)
    assert (await office.kinds(case_id)).count("note-added") == 1
    assert (await office.kinds(new)).count("case-opened") == 1
    assert await waiting(engine) == 0
    record.dispose()


async def test_what_the_engine_did_not_take_is_not_said_to_be_queued(office: Office, engine: AsyncEngine) -> None:
    """A 503 leaves nothing behind that would be sent again behind the sender's back."""
    case_id = await office.open()
    nowhere = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    office.app.state.system = dataclasses.replace(office.parts, client=nowhere)
    opening = {"program": "complex-care", "referral": referral(), "team": "north"}
    answer = await office.post("ehr-1", "/cases", opening, Idempotency_Key="o-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "OutcomeUnknown")
    assert await office.refused(case_id, "add-note", text="x") == (503, "OutcomeUnknown")
    assert await waiting(engine) == 0
    case = answer.json()["location"].partition("/commands")[0]
    assert (await office.get("ehr-1", case)).status_code == 404


async def sent_long_ago(engine: AsyncEngine) -> None:
    """Let the commands that wait have waited for a while."""
    async with engine.begin() as connection:
        await connection.execute(update(QueuedRow).values(sent_at=datetime.now(UTC) - timedelta(hours=1)))


async def waiting(engine: AsyncEngine) -> int:
    """How many commands are written down to be decided."""
    async with engine.connect() as connection:
        return int((await connection.execute(select(func.count()).select_from(QueuedRow))).scalar_one())
