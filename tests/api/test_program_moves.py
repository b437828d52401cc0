"""Moving running cases between versions of a programme over HTTP: preview, undo, and many at a bounded pace."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.temporal import workflow_id
from tests.office import Office
from tests.recorded import put_on_record
from tests.story import plain_story
from workflows.messages import CASE_WORKFLOW, Life

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def under_version_one(office: Office) -> str:
    """A case that was opened before the second version came, running on the engine and on record."""
    case_id = uuid.uuid4().hex
    story = plain_story(now=datetime.now(UTC) - timedelta(hours=1)).open(case_id=case_id)
    story.do("record-consent", form="verbal")
    known = put_on_record(office.parts.engine.url, office.parts.settings, case_id, story.timeline)
    life = Life(tenant="local", case_id=case_id, history_events=300, known=known)
    await office.environment.client.start_workflow(
        CASE_WORKFLOW, life, id=workflow_id("local", case_id), task_queue=office.parts.settings.task_queue
    )
    return case_id


async def version(office: Office, case_id: str) -> int:
    return int((await office.get("sup-1", f"/cases/{case_id}")).json()["case"]["program_version"])


async def test_a_supervisor_sees_what_would_move_moves_the_case_and_takes_it_back(office: Office) -> None:
    """The preview changes nothing; the deadlines after the undoing are those before the move."""
    case_id = await under_version_one(office)
    before = (await office.get("sup-1", f"/cases/{case_id}")).json()["case"]
    shown = await office.get("sup-1", f"/cases/{case_id}/program-move/2")
    assert shown.status_code == 200, shown.text
    assert shown.json()["missing"] == []
    assert (await office.get("sup-1", f"/cases/{case_id}")).json()["case"] == before
    await office.do(case_id, "move-to-program-version", "sup-1", version=2, reason="In force")
    assert await version(office, case_id) == 2
    moved = {
        c["id"]: c["due_at"] for c in (await office.get("sup-1", f"/cases/{case_id}")).json()["case"]["clocks"]
    }
    assert all(moved[clock["clock_id"]] == clock["would_be_due_at"] for clock in shown.json()["clocks"])
    await office.do(case_id, "undo-program-move", "sup-1", reason="Too early")
    after = (await office.get("sup-1", f"/cases/{case_id}")).json()["case"]
    assert {**after, "seq": before["seq"]} == before
    assert (await office.get("sup-1", f"/cases/{case_id}/program-move/7")).json()["code"] == "UnknownVersion"
    assert (await office.get("cm-anna", f"/cases/{case_id}/program-move/2")).status_code == 403


async def bulk(office: Office, **more: Any) -> Any:
    body = {"program": "complex-care", "from_version": 1, "to_version": 2, "reason": "In force", **more}
    answer = await office.post("dir-1", "/program-moves", body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def test_many_cases_move_at_their_pace_and_each_once(office: Office) -> None:
    """All of them end under the new version; cases of other versions are not asked."""
    ids = [await under_version_one(office) for _ in range(5)]
    other = await office.open(owner="cm-anna")
    begun = await bulk(office, per_minute=600)

    async def done() -> bool:
        found = (await office.get("dir-1", f"/bulk-actions/{begun['id']}")).json()
        return bool(found["status"] == "done")

    await office.until(done, seconds=40)
    assert [await version(office, case_id) for case_id in ids] == [2] * 5
    timeline = (await office.get("dir-1", f"/cases/{ids[0]}/timeline")).json()["items"]
    assert [e["kind"] for e in timeline].count("program-version-changed") == 1
    assert "program-version-changed" not in str((await office.get("dir-1", f"/cases/{other}/timeline")).json())
    assert (await office.get("dir-1", f"/bulk-actions/{begun['id']}")).json()["applied"] == 5


async def test_a_bulk_move_can_be_stopped(office: Office) -> None:
    """One a minute: after the first it is stopped, and the others stay where they are."""
    ids = [await under_version_one(office) for _ in range(3)]
    begun = await bulk(office, per_minute=1)

    async def first() -> bool:
        return bool((await office.get("dir-1", f"/bulk-actions/{begun['id']}")).json()["applied"] == 1)

    await office.until(first)
    stopped = await office.post("dir-1", f"/bulk-actions/{begun['id']}/stop", {})
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["waiting"]) == (200, "stopped", 2)
    assert sorted([await version(office, case_id) for case_id in ids]) == [1, 1, 2]
    assert (await office.post("sup-1", "/program-moves", {})).status_code in (403, 422)
    assert (await office.get("dir-1", "/bulk-actions/0000000000000000")).status_code == 404


async def test_a_bulk_move_says_which_cases_refused_and_why_and_is_begun_once_by_its_key(office: Office) -> None:
    """A case that moved by itself meanwhile refuses, the others move; sent again it finds the same action."""
    ids = [await under_version_one(office) for _ in range(3)]
    body = {"program": "complex-care", "from_version": 1, "to_version": 2, "reason": "x", "per_minute": 600}
    begun, again = [
        (await office.post("dir-1", "/program-moves", body, Idempotency_Key="once")).json()["id"] for _ in range(2)
    ]
    assert begun == again
    await office.post("sup-1", f"/cases/{ids[2]}/commands/move-to-program-version", {"version": 2, "reason": "x"})

    async def done() -> bool:
        return bool((await office.get("dir-1", f"/bulk-actions/{begun}")).json()["status"] == "done")

    await office.until(done, seconds=40)
    found = (await office.get("dir-1", f"/bulk-actions/{begun}")).json()
    assert found["applied"] + found["refused"] == 3
    rows = (await office.get("dir-1", f"/bulk-actions/{begun}/cases", status="refused")).json()["items"]
    assert {row["code"] for row in rows} <= {"AlreadyUnderIt"}
    assert [await version(office, case_id) for case_id in ids] == [2] * 3
    assert (await office.get("dir-x", f"/bulk-actions/{begun}")).status_code == 404
