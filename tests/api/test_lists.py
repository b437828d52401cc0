"""What supervisors look at: a miss climbs to the list, is acknowledged, counted, noticed."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.office import Office

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_a_missed_follow_up_is_found_with_one_query_and_acknowledged(office: Office) -> None:
    """Nobody touched the case; the supervisor sees what, whose, since when, and who was told."""
    case_id = await office.open()
    await office.walk(case_id)
    await office.climb(case_id, "contact", "senior")
    [found] = (await office.get("sup-1", "/escalations", acknowledged=False)).json()["items"]
    assert found["told"] == "senior"
    assert (found["case_id"], found["kind"], found["owner"]) == (case_id, "contact", "cm-anna")
    [load] = (await office.get("sup-1", "/caseload")).json()
    assert (load["owner"], load["cases"], load["overdue"], load["escalations"]) == ("cm-anna", 1, 1, 1)
    for flag in ("overdue", "escalated"):
        assert len((await office.get("sup-1", "/cases", **{flag: True})).json()["items"]) == 1
        assert (await office.get("sup-1", "/cases", **{flag: False})).json()["items"] == []
    await office.do(case_id, "acknowledge-escalation", "sup-1", escalation_id=found["id"])
    assert (await office.get("sup-1", "/escalations", acknowledged=False)).json()["items"] == []
    [after] = (await office.get("sup-1", "/escalations", acknowledged=True)).json()["items"]
    assert after["acknowledged_by"] == "sup-1"
    [load] = (await office.get("sup-1", "/caseload", team="north")).json()
    assert (load["overdue"], load["escalations"]) == (1, 0)
    assert (await office.get("sup-1", "/escalations", team="south")).json()["items"] == []


async def test_a_notice_is_in_the_inbox_of_whoever_was_told_until_it_is_read(office: Office) -> None:
    """Each has an inbox of her own; reading twice changes nothing; another's is not there."""
    case_id = await office.open()
    await office.walk(case_id)
    await office.climb(case_id, "contact", "senior")
    [notice] = (await office.get("senior-1", "/notices", unread=True)).json()["items"]
    assert (notice["subject"], notice["case_id"]) == ("clock-missed", case_id)
    path = f"/notices/{case_id}/{notice['key']}/read"
    assert (await office.post("sup-2", path, None)).status_code == 404
    first = await office.post("senior-1", path, None)
    assert (await office.post("senior-1", path, None)).json() == first.json()
    assert (await office.get("senior-1", "/notices", unread=True)).json()["items"] == []
    assert len((await office.get("senior-1", "/notices")).json()["items"]) == 1
    mine = (await office.get("cm-anna", "/notices", limit=1)).json()
    more = (await office.get("cm-anna", "/notices", limit=1, cursor=mine["next"])).json()
    assert [mine["items"][0]["subject"], more["items"][0]["subject"]] == ["clock-missed", "reminder"]


async def test_the_directory_is_kept_and_paged(office: Office) -> None:
    """Put twice is changed once; absent until takes a zone; a person is not her own supervisor."""
    entry = {"name": "Anna Abel", "role": "case-manager", "team": "north", "absent_until": "2030-01-01T00:00:00Z"}
    headers = office.sign_in("sup-1")
    for _ in range(2):
        answer = await office.http.put("/staff/cm-anna", json=entry, headers=headers)
        assert answer.status_code == 200
    page = (await office.get("cm-anna", "/staff", limit=3)).json()
    rest = (await office.get("cm-anna", "/staff", cursor=page["next"])).json()
    subjects = [item["subject"] for item in page["items"] + rest["items"]]
    assert subjects == sorted(set(subjects))
    assert page["items"][0]["absent_until"] == "2030-01-01T00:00:00Z"
    for wrong in (
        {**entry, "absent_until": "2030-01-01T00:00:00"},
        {**entry, "supervisor": "cm-anna"},
        {**entry, "role": "queen"},
        {**entry, "shoe_size": 38},
    ):
        answer = await office.http.put("/staff/cm-anna", json=wrong, headers=headers)
        assert answer.status_code == 422, wrong
    assert (await office.get("dir-x", "/staff")).json()["items"] == []


@ONE
async def test_somebody_given_a_task_sees_its_case_and_has_it_on_the_worklist(office: Office) -> None:
    """Also from another team, and only while the task is open."""
    case_id = await office.open()
    await office.walk(case_id)
    done = await office.do(case_id, "add-task", task="follow-up-call", assignee="cm-cora")
    [item] = (await office.get("cm-cora", "/worklist")).json()["items"]
    assert (item["about"], item["title"]) == (done["created"][0], "Call the person")
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 200
    await office.do(case_id, "complete-task", "cm-cora", task_id=done["created"][0])
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 404
    assert (await office.get("cm-cora", "/worklist")).json()["items"] == []


@ONE
async def test_the_worklist_comes_by_deadline_page_by_page(office: Office) -> None:
    """The most urgent first, whatever kind of promise it is."""
    case_id = await office.open()
    await office.walk(case_id)
    for days in (40, 2, 5):
        due = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        await office.do(case_id, "add-task", task="follow-up-call", due_at=due)
    dues: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = (await office.get("sup-1", "/worklist", owner="cm-anna", limit=2, **more)).json()
        dues += [item["due_at"] for item in page["items"]]
        if page["next"] is None:
            break
        more = {"cursor": page["next"]}
    assert len(dues) == 7
    assert dues == sorted(dues)


@ONE
async def test_programmes_are_there_to_be_asked_for(office: Office) -> None:
    """A client reads from them which sections, tasks and reasons there are."""
    found = {p["program"]: p for p in (await office.get("ehr-1", "/programs")).json()}
    assert "goals-met" in found["complex-care"]["closure"]
    newest = found["complex-care"]["version"]
    assert (await office.get("ehr-1", f"/programs/complex-care/{newest}")).json() == found["complex-care"]
    assert (await office.get("ehr-1", "/programs/complex-care/99")).status_code == 404
