"""Several cases are answered in one request; one that refuses stops no other, and repeating it doubles nothing."""

from typing import Any

import pytest

from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def batch(office: Office, by: str, *items: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    answer = await office.post(by, "/commands", {"items": list(items)}, **headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def item(case_id: str, command: str, **body: Any) -> dict[str, Any]:
    return {"case_id": case_id, "command": command, "body": body}


async def test_escalations_and_tasks_of_several_cases_are_answered_each_by_itself(office: Office) -> None:
    """Applied, refused by name, not there, malformed; in the order in which they were sent; repeated, once."""
    first, second = [await office.open(owner="cm-anna") for _ in range(2)]
    hidden = await office.open("cm-cora", team="south")
    for case_id in (first, second):
        await office.walk(case_id)
    [task] = (await office.do(first, "add-task", task="education"))["created"][:1]
    await office.climb(second, "contact", "supervisor")
    [late] = (await office.get("sup-1", "/escalations", acknowledged="false")).json()["items"]
    sent = (
        item(first, "complete-task", task_id=task),
        item(second, "acknowledge-escalation", escalation_id=late["id"], note="this morning"),
        item(first, "complete-task", task_id="t999"),
        item(hidden, "complete-task", task_id="t1"),
        item(first, "complete-task"),
    )
    told = await batch(office, "sup-1", *sent, Idempotency_Key="k-1")
    assert [(one["status"], one["code"]) for one in told] == [
        ("applied", None),
        ("applied", None),
        ("refused", "UnknownTask"),
        ("refused", "NotFound"),
        ("refused", "Malformed"),
    ]
    assert told[4]["missing"] == ["task_id"]
    looked = (await office.get("aud-1", "/audit", case_id=hidden)).json()["items"]
    assert ("complete-task", 404) in {(row["action"], row["status"]) for row in looked}
    before = await office.kinds(first)
    assert await batch(office, "sup-1", *sent, Idempotency_Key="k-1") == told
    assert await office.kinds(first) == before
    undone = await office.do(first, "correct-entry", "sup-1", entry=told[0]["entry"], reason="the wrong one")
    assert "entered-in-error" in undone["events"]
    assert (await office.get("sup-1", "/escalations", acknowledged="false")).json()["items"] == []


async def test_only_what_is_meant_for_many_is_taken_and_not_too_much_of_it(office: Office) -> None:
    case_id = await office.open()
    bodies: tuple[dict[str, Any], ...] = (
        {"items": [item(case_id, "close", reason="moved")]},
        {"items": []},
        {"items": [item(case_id, "complete-task", task_id="t1")] * 51},
    )
    for body in bodies:
        assert (await office.post("sup-1", "/commands", body)).status_code == 422
