"""What met a fault of ours is looked at, decided again after the fix, or dismissed; then all is well again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import Engine

from deploy.doctor import examine
from domain.case.command import Draft
from domain.steps.contacts import AddNote
from infra import database
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest_asyncio.fixture(loop_scope="session")
async def record(office: Office) -> AsyncIterator[Engine]:
    found = database.blocking(office.parts.engine.url)
    yield found
    found.dispose()


async def faulty(office: Office, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A case in which a note met a bug; the note's id beside it."""
    case_id = await office.open(owner="cm-anna")

    def broken(self: AddNote, draft: Draft) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(AddNote, "decide", broken)
        answer = await office.post("cm-anna", f"/cases/{case_id}/commands/add-note", {"text": "kept"})
    assert (answer.status_code, answer.json()["code"]) == (500, "RuleFailed")
    return case_id, str(answer.json()["command_id"])


async def well(office: Office, record: Engine) -> bool:
    checks = await examine(office.environment.client, record, office.parts.settings)
    return next(check.well for check in checks if check.name == "quarantined")


async def test_after_the_fix_a_command_is_decided_again_as_it_was_sent(
    office: Office, record: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its sender's name, once however often it is asked; nothing is set aside any more."""
    case_id, command_id = await faulty(office, monkeypatch)
    [item] = (await office.get("sup-1", "/quarantine")).json()["items"]
    assert (item["case_id"], item["id"], item["fault"]) == (case_id, command_id, "ZeroDivisionError")
    assert not await well(office, record)
    path = f"/quarantine/{case_id}/{command_id}/decide-again"
    assert (await office.post("cm-anna", path, {})).status_code == 403
    assert (await office.post("sup-2", path, {})).status_code == 404
    for _ in range(2):
        answer = await office.post("sup-1", path, {})
        assert (answer.status_code, answer.json()["events"]) == (200, ["note-added"])
    rows = (await office.get("dir-1", f"/cases/{case_id}/timeline")).json()["items"]
    [note] = [row for row in rows if row["kind"] == "note-added"]
    assert (note["actor"], note["data"]["text"]) == ("cm-anna", "kept")
    assert rows[-1]["data"]["reason"] == "decided again: applied"
    assert (await office.get("sup-1", "/quarantine")).json()["items"] == []
    assert await well(office, record)


async def test_what_needs_nothing_more_is_dismissed_with_its_reason(
    office: Office, record: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thing by its id, or all that is set aside in a case; what is not there is refused by name."""
    case_id, command_id = await faulty(office, monkeypatch)
    await office.environment.client.get_workflow_handle(f"case-local-{case_id}").signal("no_such_signal", 7)

    async def both() -> bool:
        return len((await office.get("sup-1", "/quarantine")).json()["items"]) == 2

    await office.until(both)
    await office.do(case_id, "dismiss-quarantined", "sup-1", quarantined_id=command_id, reason="said by telephone")
    again = {"quarantined_id": command_id, "reason": "x"}
    assert await office.refused(case_id, "dismiss-quarantined", "sup-1", **again) == (409, "UnknownReference")
    [left] = (await office.get("sup-1", "/quarantine")).json()["items"]
    assert left["kind"] == "message"
    gone = await office.post("sup-1", f"/quarantine/{case_id}/{left['id']}/decide-again", {})
    assert gone.status_code == 404
    await office.do(case_id, "dismiss-quarantined", "sup-1", reason="a test of the feed")
    assert await well(office, record)
