"""Work finds its people: by weighted caseload, in bulk, when somebody leaves; two cases of one person are one."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col

from api.bulk_actions import Wanted, write_down
from api.system import Principal
from deploy.doctor import examine
from domain.steps.ownership import ReassignCase
from domain.values import Role
from infra import database
from infra.tables import BulkActionRow, CaseRow
from tests.office import Office
from tests.story import referral
from workflows.night_watch import NightWatch


async def put(office: Office, person: str, **entry: Any) -> None:
    answer = await office.http.put(f"/staff/{person}", json=entry, headers=office.sign_in("dir-1"))
    assert answer.status_code == 200, answer.text


async def owner_of(office: Office, case_id: str) -> str:
    return str((await office.get("dir-1", f"/cases/{case_id}")).json()["case"]["owner"])


async def seen(office: Office, case_id: str, **wanted: Any) -> None:
    """Wait until the record lists a case."""

    async def listed() -> bool:
        items = (await office.get("dir-1", "/cases", limit=200, **wanted)).json()["items"]
        return any(item["id"] == case_id for item in items)

    await office.until(listed)


async def test_a_case_goes_to_whoever_carries_least_and_is_not_excluded(office: Office) -> None:
    """Anna carries one weighing 1, so Ben has the next; excluded, it is the senior; without a licence, nobody."""
    case_id = await office.open(owner="cm-anna")
    await seen(office, case_id, owner="cm-anna")
    new = await office.open("sup-1", owner=None)
    assert (await office.post("cm-anna", f"/cases/{new}/assign", {})).status_code == 403
    first = await office.post("sup-1", f"/cases/{new}/assign", {}, Idempotency_Key="assign-1")
    assert first.status_code == 200
    assert await owner_of(office, new) == "cm-ben"
    again = await office.post("sup-1", f"/cases/{new}/assign", {}, Idempotency_Key="assign-1")
    assert again.json()["seq"] == first.json()["seq"]  # the person was chosen the first time
    await office.do(new, "exclude-assignee", "sup-1", person="cm-anna", reason="related")
    await office.post("sup-1", f"/cases/{new}/assign", {})
    assert await owner_of(office, new) == "senior-1"
    nobody = await office.post("sup-1", f"/cases/{new}/assign", {"licence": "pilot"})
    assert (nobody.status_code, nobody.json()["code"]) == (409, "NobodyToTakeIt")
    [load] = [row for row in (await office.get("sup-1", "/caseload")).json() if row["owner"] == "cm-anna"]
    assert (load["cases"], load["weight"]) == (1, 1)


async def test_the_work_of_somebody_who_is_disabled_goes_to_those_above_at_once(office: Office) -> None:
    """Owner and tasks, by a durable command; nothing is left in her name."""
    case_id, other = await office.open(owner="cm-anna"), await office.open(owner="cm-ben")
    await office.walk(case_id)
    await office.walk(other)
    added = await office.do(other, "add-task", task="education", assignee="cm-anna")
    task = added["created"][0]

    async def known() -> bool:
        mine = (await office.get("cm-anna", "/worklist", limit=200)).json()["items"]
        return {case_id, other} <= {item["case_id"] for item in mine}

    await office.until(known)
    await put(office, "cm-anna", name="Anna", role="case-manager", team="north", supervisor="sup-1", active=False)

    async def handed() -> bool:
        tasks = (await office.get("dir-1", f"/cases/{other}")).json()["case"]["tasks"]
        assignee = next(t["assignee"] for t in tasks if t["id"] == task)
        return await owner_of(office, case_id) == "sup-1" and assignee == "sup-1"

    await office.until(handed)
    assert await owner_of(office, other) == "cm-ben"


async def test_many_cases_are_given_away_at_once(office: Office) -> None:
    """To one person, or each to whoever carries least; repeated, nothing is left to do."""
    cases = [await office.open(owner="cm-anna") for _ in range(3)]
    for case_id in cases:
        await seen(office, case_id, owner="cm-anna")
    body = {"owner": "cm-anna", "to": "cm-ben", "reason": "on leave for a year"}
    assert (await office.post("cm-anna", "/caseload/reassign", body)).status_code == 403
    rows = await carried_out(office, body)
    assert {row["case_id"] for row in rows} >= set(cases)
    assert {row["status"] for row in rows} == {"applied"}
    assert [await owner_of(office, case_id) for case_id in cases] == ["cm-ben"] * 3


async def test_cases_that_each_go_to_whoever_carries_least_are_spread(office: Office) -> None:
    """Six asked at once: three to each of the two others, for one that is promised to somebody is carried."""
    cases = [await office.open(owner="cm-ben") for _ in range(6)]
    for case_id in cases:
        await seen(office, case_id, owner="cm-ben")
    rows = await carried_out(office, {"owner": "cm-ben", "reason": "spread"})
    assert Counter(row["chosen"] for row in rows) == {"cm-anna": 3, "senior-1": 3}
    assert {row["status"] for row in rows} == {"applied"}
    assert Counter([await owner_of(office, case_id) for case_id in cases]) == {"cm-anna": 3, "senior-1": 3}


async def test_a_key_begins_one_bulk_action_however_often_and_is_refused_for_another_request(
    quiet_office: Office,
) -> None:
    """Six times at once it is the same action; for another person's cases it is 422 and changes nothing."""
    office, body = quiet_office, {"owner": "cm-anna", "to": "cm-ben", "reason": "on leave for a year"}
    path, key = "/caseload/reassign", {"Idempotency_Key": "leave"}
    answers = await asyncio.gather(*(office.post("sup-1", path, body, **key) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await office.post("sup-1", path, {**body, "owner": "senior-1"}, **key)
    assert (other.status_code, other.json()["code"]) == (422, "KeyReused")


async def test_what_a_killed_api_has_only_written_down_is_carried_on_by_the_night_watch(office: Office) -> None:
    """It died before the engine heard of it; doctor names it until it goes on."""
    case_id = await office.open(owner="cm-anna")
    await seen(office, case_id, owner="cm-anna")
    wanted = Wanted(ReassignCase.kind, {"owner": "cm-ben", "reason": "x"}, [col(CaseRow.id) == case_id], {})
    supervisor = Principal(sub="sup-1", role=Role.SUPERVISOR, teams=("north",), tenant="local")
    async with office.parts.engine.begin() as connection:
        await connection.run_sync(write_down, office.parts.keys, supervisor, wanted, "00000000000000ab")
        late = datetime.now(UTC) - timedelta(minutes=5)
        await connection.execute(update(BulkActionRow).values(touched_at=late))
    record = database.blocking(office.parts.engine.url)
    settings, client = office.parts.settings, office.environment.client
    before = {check.name: check for check in await examine(client, record, settings)}
    assert not before["bulk actions"].well
    await client.execute_workflow(NightWatch.run, id=f"watch-{case_id}", task_queue=settings.task_queue)

    async def done() -> bool:
        found = await office.get("sup-1", "/bulk-actions/00000000000000ab")
        return bool(found.json()["status"] == "done")

    await office.until(done)
    assert await owner_of(office, case_id) == "cm-ben"
    after = {check.name: check for check in await examine(client, record, settings)}
    record.dispose()
    assert after["bulk actions"].well


async def carried_out(office: Office, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Begin to give cases away, wait until it is done, and return what became of each."""
    begun = await office.post("sup-1", "/caseload/reassign", body)
    assert begun.status_code == 202, begun.text
    place = begun.headers["Location"]

    async def done() -> bool:
        return bool((await office.get("sup-1", place)).json()["status"] == "done")

    await office.until(done, seconds=40)
    items: list[dict[str, Any]] = (await office.get("sup-1", f"{place}/cases", limit=200)).json()["items"]
    return items


async def test_two_cases_of_one_person_are_merged_and_unmerged(office: Office) -> None:
    """The running clock goes along with its deadline and comes back; the routes repeat safely."""
    target, source = await office.open(owner="cm-anna"), await office.open(owner="cm-anna")
    stranger = await office.open(owner="cm-anna", referral=referral(reference="Patient/other"))
    for case_id in (target, source):
        await office.walk(case_id)
    await office.do(source, "receive-message", channel="portal", text="hello")
    body = {"case_id": source, "reason": "the same person twice"}
    assert (await office.post("cm-anna", f"/cases/{target}/merge", body)).status_code == 403
    other = await office.post("sup-1", f"/cases/{target}/merge", {**body, "case_id": stranger})
    assert other.json()["code"] == "SamePerson"
    before = (await office.get("sup-1", f"/cases/{source}")).json()["case"]
    due = next(c["due_at"] for c in before["clocks"] if c["kind"] == "reply")
    merged = await office.post("sup-1", f"/cases/{target}/merge", body)
    assert merged.status_code == 200, merged.text
    assert (await office.post("sup-1", f"/cases/{target}/merge", body)).json()["code"] == "AlreadyMerged"
    clocks = (await office.get("sup-1", f"/cases/{target}")).json()["case"]["clocks"]
    assert [c["due_at"] for c in clocks if c["kind"] == "reply"] == [due]
    assert (await office.get("sup-1", f"/cases/{source}")).json()["case"]["closure"]["reason"] == "merged"

    async def given_back() -> bool:
        answer = await office.post("sup-1", f"/cases/{target}/undo-merge", {"case_id": source})
        return answer.status_code == 200

    await office.until(given_back)
    after = (await office.get("sup-1", f"/cases/{source}")).json()["case"]
    assert after["closure"] is None
    assert next(c["due_at"] for c in after["clocks"] if c["kind"] == "reply") == due
    again = await office.post("sup-1", f"/cases/{target}/undo-merge", {"case_id": source})
    assert again.json()["code"] == "NotMerged"


async def test_of_two_merges_at_once_one_holds_and_what_cannot_be_merged_changes_nothing(office: Office) -> None:
    """Each into the other: one is laid by and can be taken back; another programme is refused."""
    one, two = await office.open(owner="cm-anna"), await office.open(owner="cm-anna")
    for case_id in (one, two):
        await office.walk(case_id)
    before = [len((await office.get("sup-1", f"/cases/{c}")).json()["case"]["clocks"]) for c in (one, two)]
    answers = await asyncio.gather(
        office.post("sup-1", f"/cases/{one}/merge", {"case_id": two, "reason": "r"}),
        office.post("sup-1", f"/cases/{two}/merge", {"case_id": one, "reason": "r"}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    target, source = (one, two) if answers[0].status_code == 200 else (two, one)
    assert (await office.post("sup-1", f"/cases/{target}/undo-merge", {"case_id": source})).status_code == 200
    after = [len((await office.get("sup-1", f"/cases/{c}")).json()["case"]["clocks"]) for c in (one, two)]
    assert after == before
    shown = (await office.get("sup-1", f"/cases/{source}", live=True)).json()
    assert shown["live"]["seq"] <= shown["case"]["seq"]
    other = await office.open(owner="cm-anna", program="chronic-care")
    refused = await office.post("sup-1", f"/cases/{one}/merge", {"case_id": other, "reason": "r"})
    assert refused.json()["code"] == "OtherProgram"
    await office.do(two, "raise-crisis", description="x")
    refused = await office.post("sup-1", f"/cases/{one}/merge", {"case_id": two, "reason": "r"})
    assert (refused.json()["code"], refused.json()["missing"]) == ("NotMergeable", ["crisis"])
    assert (await office.get("sup-1", f"/cases/{two}")).json()["case"]["closure"] is None


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_every_answer_about_a_crisis_says_that_emergency_services_come_first(office: Office) -> None:
    """Applied, refused by a rule, malformed, not permitted and not found alike."""
    case_id = await office.open(owner="cm-anna")
    path = f"/cases/{case_id}/commands"
    answers = [
        await office.post("cm-anna", f"{path}/raise-crisis", {"description": "x"}),
        await office.post("cm-anna", f"{path}/end-crisis", {"follow_up_by": "2030-01-01T00:00:00Z"}),
        await office.post("cm-anna", f"{path}/raise-crisis", {"descriptoin": "x"}),
        await office.post("aud-1", f"{path}/raise-crisis", {"description": "x"}),
        await office.post("cm-cora", f"{path}/raise-crisis", {"description": "x"}),
        await office.http.post(f"{path}/raise-crisis", json={"description": "x"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 409, 422, 403, 404, 401]
    assert all("911" in answer.json()["advice"] for answer in answers)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_after_any_command_the_worker_goes_on(office: Office) -> None:
    """Minutes are recorded and refused, and the next case still opens: no module is taken in late."""
    case_id, other = await office.open(owner="cm-anna"), await office.open(program="chronic-care", owner="cm-anna")
    assert await office.refused(case_id, "record-minutes", minutes=5, activity="call") == (409, "NotInProgram")
    await office.do(other, "record-minutes", minutes=5, activity="call")
    await office.walk(await office.open(owner="cm-anna"))


async def test_nobody_invents_a_merge(office: Office) -> None:
    """The steps between two cases are no commands of the API."""
    case_id = await office.open(owner="cm-anna")
    for kind in ("merge-case", "undo-merge", "tick", "report-unreadable", "open"):
        answer = await office.post("dir-1", f"/cases/{case_id}/commands/{kind}", {})
        assert (answer.status_code, answer.json()["code"]) == (404, "UnknownCommand")


async def test_a_sample_for_review_is_the_same_at_every_draw(office: Office) -> None:
    """A share of the cases up to a cap, by setting."""
    cases = [await office.open(owner="cm-anna") for _ in range(5)]
    for case_id in cases:
        await seen(office, case_id)
    month = (await office.get("dir-1", "/cases")).json()["items"][0]["opened_at"][:7]
    first = (await office.get("sup-1", "/quality-reviews/sample", month=month)).json()
    assert first == (await office.get("sup-1", "/quality-reviews/sample", month=month)).json()
    assert (len(first["case_ids"]), first["of"] >= 5) == (-(-first["of"] // 10), True)
    assert (await office.get("sup-1", "/quality-reviews/sample", month="2020-01")).json()["case_ids"] == []
    assert (await office.get("cm-anna", "/quality-reviews/sample", month=month)).status_code == 403
    assert (await office.get("sup-1", "/quality-reviews/sample", month="soon")).status_code == 422


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_promise_is_previewed_and_an_instrument_scored_without_storing(office: Office) -> None:
    """Two business days over Thanksgiving; every rung with its time; refusals by name."""
    ask = {"anchor": "2026-11-25T16:00:00-05:00", "program": "transitions"}
    policy = "transitions.inpatient-discharge.clocks.contact-2bd"
    shown = (await office.post("ehr-1", "/clocks/preview", {**ask, "policy": policy})).json()
    assert shown["due_at"] == "2026-12-01T04:59:59Z"
    assert [(s["step"], s["tell"]) for s in shown["steps"]] == [
        ("remind", "owner"),
        ("miss", None),
        ("climb", "owner"),
        ("climb", "senior"),
        ("climb", "supervisor"),
        ("climb", "director"),
    ]
    own = {"anchor": "2027-03-13T12:00:00-05:00", "budget": "24 hours", "time_zone": "America/New_York"}
    assert (await office.post("ehr-1", "/clocks/preview", own)).json()["due_at"] == "2027-03-14T17:00:00Z"
    zero = {**own, "budget": "7 calendar days, day zero excluded"}
    assert (await office.post("ehr-1", "/clocks/preview", zero)).json()["counts_from"] == "2027-03-14T05:00:00Z"
    for body, code in (
        ({**ask, "policy": "no.such"}, "UnknownPolicy"),
        ({**ask, "program": "none", "policy": policy}, "UnknownProgram"),
        ({**own, "calendar": "lunar"}, "UnknownCalendar"),
        (ask, "Malformed"),
        ({**own, "time_zone": "Mars/Base"}, "Malformed"),
    ):
        assert (await office.post("ehr-1", "/clocks/preview", body)).json()["code"] == code
    names = {(i["name"], i["version"]) for i in (await office.get("ehr-1", "/instruments")).json()}
    assert {("hospital", "2013"), ("hospital", "2016"), ("news2", "2017")} <= names
    path = "/instruments/phq-9/2001/score"
    found = (await office.post("ehr-1", path, {"answers": {"q9": 1}})).json()
    assert (found["status"], found["alerts"]) == ("cannot-score", ["suicide-risk"])
    charlson = await office.post(
        "ehr-1", "/instruments/charlson/2011/score", {"codes": ["I50.9", "C77.1", "C50.9"]}
    )
    assert charlson.json()["total"] == 8
    assert (await office.post("ehr-1", path, {"answers": {"q9": 7}})).json()["code"] == "AnswerOutOfRange"
    assert (await office.post("ehr-1", "/instruments/phq-9/1/score", {"answers": {}})).status_code == 404
