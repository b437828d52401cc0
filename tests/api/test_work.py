"""What somebody owes is in one list with what to do about it; a case says what is next, a promise says why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.office import Office
from tests.story import referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ALICE: dict[str, Any] = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05"}


async def work(office: Office, who: str, **params: Any) -> dict[str, Any]:
    answer = await office.get(who, "/work", **params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def next_of(office: Office, who: str, case_id: str) -> dict[str, Any]:
    answer = await office.get(who, f"/cases/{case_id}/next")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_everything_that_somebody_owes_is_in_her_list_with_what_to_do(office: Office) -> None:
    """Tasks, signatures, contacts of her own cases; what she may send is filled in; on both databases."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    await office.walk(case_id)
    task = (await office.do(case_id, "add-task", task="education"))["created"][0]
    found = await work(office, "cm-anna")
    mine = {item["title"]: item for item in found["items"] if item["case_id"] == case_id}
    assert {"Contact the person", "Have the plan signed", "Review the plan"} <= set(mine)
    [taught] = [i for i in mine.values() if i["do"]["body"].get("task_id") == task]
    assert taught["do"] == {"command": "complete-task", "body": {"task_id": task}}
    assert (taught["name"], taught["program"], taught["tier"], taught["owner"]) == (
        "Alice Zephyrine",
        "complex-care",
        "high",
        "cm-anna",
    )
    assert taught["age"] == (datetime.now(UTC) - datetime(1950, 5, 5, tzinfo=UTC)).days // 365.25
    assert taught["next_told"] == "owner"
    due = [item["due_at"] for item in found["items"]]
    assert due == sorted(due)
    first = await work(office, "cm-anna", limit=2)
    rest = await work(office, "cm-anna", cursor=first["next"])
    assert first["items"] + rest["items"] == found["items"]
    groups = [item["group"] for item in found["items"]]
    for group in ("overdue", "today", "week", "later"):
        only = await work(office, "cm-anna", group=group)
        assert [item["group"] for item in only["items"]] == [group] * groups.count(group)
        assert found["counts"][group] == groups.count(group)
    await office.do(case_id, taught["do"]["command"], **taught["do"]["body"])
    assert not [i for i in (await work(office, "cm-anna"))["items"] if i["clock_id"] == taught["clock_id"]]


@ONE
async def test_who_must_answer_has_it_in_her_list_and_who_waits_sees_whom_for(office: Office) -> None:
    """An approval stands with the approver, an offer with whom it is made to; the asker sees that it waits."""
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    asked = (await office.do(case_id, "request-approval", subject="tier-override", tier="low"))["created"][0]
    await office.do(case_id, "offer-transfer", to="cm-ben", reason="closer")
    [approval] = [i for i in (await work(office, "senior-1"))["items"] if i["kind"] == "approval"]
    assert approval["do"] == {"command": "decide-approval", "body": {"approval_id": asked}}
    [offer] = (await work(office, "cm-ben"))["items"]
    assert (offer["kind"], offer["do"]["command"]) == ("transfer", "answer-transfer")
    waiting = (await work(office, "cm-anna", group="waiting"))["items"]
    assert {(i["kind"], i["owner"]) for i in waiting} == {("approval", "senior-1"), ("transfer", "cm-ben")}
    told = {n["subject"]: n["why"] for n in (await office.get("senior-1", "/notices")).json()["items"]}
    assert told["approval-requested"] == "approver"


@ONE
async def test_what_nobody_has_is_in_the_list_of_those_who_lead(office: Office) -> None:
    """From the first second, with a notice; a case manager has no such list, nor another team's supervisor."""
    new = {"program": "complex-care", "referral": referral(), "team": "north"}
    answer = await office.post("ehr-1", "/cases", new)
    case_id = answer.json()["case_id"]
    found = await work(office, "sup-1", group="unowned")
    assert [(i["case_id"], i["title"], i["owner"]) for i in found["items"]] == [
        (case_id, "Complete screening", None)
    ]
    assert found["counts"]["unowned"] == 1
    assert (await office.get("sup-1", "/me")).json()["counts"]["unowned"] == 1
    for lead in ("sup-1", "senior-1"):
        told = [n["subject"] for n in (await office.get(lead, "/notices")).json()["items"]]
        assert told == ["case-assigned"]
    assert (await work(office, "sup-2", group="unowned"))["items"] == []


@ONE
async def test_a_held_task_is_on_hold_and_comes_back(office: Office) -> None:
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    task = (await office.do(case_id, "add-task", task="education"))["created"][0]
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    await office.do(case_id, "hold-task", task_id=task, reason="pharmacy", until=until)
    [held] = (await work(office, "cm-anna", group="on-hold"))["items"]
    assert (held["on_hold_until"] is not None, held["do"]["command"]) == (True, "resume-task")
    assert not [i for i in (await work(office, "cm-anna"))["items"] if i["do"]["body"].get("task_id") == task]


@ONE
async def test_a_case_says_what_may_be_done_next_and_what_it_lacks(office: Office) -> None:
    """With the ids and the programme's words; what is possible is taken, what is blocked is refused so."""
    case_id = await office.open(owner="cm-anna")
    first = await next_of(office, "cm-anna", case_id)
    assert first["stage_needs"] == ["consent", "complete-screening"]
    possible = {p["command"]: p for p in first["possible"]}
    assert "record-consent" in possible
    [blocked] = [b for b in first["blocked"] if b["command"] == "agree-plan"]
    assert await office.refused(case_id, "agree-plan", **_plan()) == (409, blocked["code"])
    assert not [p for p in first["possible"] if p["command"] in ("decide-again", "move-to-program-version")]
    await office.walk(case_id)
    later = await next_of(office, "cm-anna", case_id)
    words = {p["command"]: p["choices"] for p in later["possible"]}
    assert "education" in [choice["id"] for choice in words["add-task"]["task"]]
    assert {c["id"] for c in words["sign-plan"]["signer"]} == {"patient", "case-manager"}
    closing = {c["reason"]: c["missing"] for c in later["closing"]}
    assert closing["died"] == []
    assert "outcome evaluation" in closing["goals-met"]
    for reason in words["close"]["reason"]:
        assert closing[reason["id"]] == []


@ONE
async def test_a_case_that_one_may_not_read_whole_says_nothing_of_what_is_next(office: Office) -> None:
    case_id = await office.open(owner="cm-anna")
    assert (await office.get("cm-cora", f"/cases/{case_id}/next")).status_code == 404
    assert (await office.get("ehr-1", f"/cases/{case_id}/clocks/c1/why")).status_code == 404


@ONE
async def test_a_promise_says_why_it_is_there_and_who_hears_of_it(office: Office) -> None:
    """The rule with its source, the discharge that it stands on, what keeps it, and whom it tells next."""
    case_id = await office.open(owner="cm-anna", program="transitions")
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": at}
    await office.do(case_id, "record-transition", **home)
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    [clock] = [c for c in case["clocks"] if c["about"] == "d1/contact-2bd"]
    why = (await office.get("cm-anna", f"/cases/{case_id}/clocks/{clock['id']}/why")).json()
    assert why["path"] == clock["policy"]
    assert "CPT" in why["rule"]["source"] or "TCM" in why["rule"]["source"]
    assert [entry["kind"] for entry in why["stands_on"]] == ["transition-recorded", "clock-started"]
    assert (why["responsible"], why["kept_by"]["command"]) == ("cm-anna", "log-contact")
    assert (why["next"]["rank"], why["next"]["people"]) == ("owner", ["cm-anna"])
    body = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "well"}
    await office.do(case_id, "log-contact", **body)
    kept = (await office.get("cm-anna", f"/cases/{case_id}/clocks/{clock['id']}/why")).json()
    assert [entry["kind"] for entry in kept["stands_on"]][-1] == "clock-kept"
    assert (kept["next"], kept["kept_by"]) == (None, None)
    assert (await office.get("cm-anna", f"/cases/{case_id}/clocks/c999/why")).status_code == 404


def _plan() -> dict[str, Any]:
    goal = {"description": "x", "measure": "y", "target": "z", "due_on": "2030-06-30"}
    return {"goals": [goal], "interventions": [{"task": "education"}], "strengths": ["a daughter"]}


@ONE
async def test_who_is_away_has_her_work_in_her_cover_s_list_until_she_is_back(office: Office) -> None:
    """She says so herself; nothing is moved; notices go to the cover meanwhile."""
    case_id = await office.open(owner="cm-anna")
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    away = {"absent_until": until, "cover": "cm-ben"}
    for wrong in ({**away, "cover": "cm-anna"}, {**away, "cover": "nobody"}):
        answer = await office.http.put("/me/absence", json=wrong, headers=office.sign_in("cm-anna"))
        assert (answer.status_code, answer.json()["code"]) == (409, "UnknownStaff")
    assert (await office.http.put("/me/absence", json=away, headers=office.sign_in("cm-anna"))).status_code == 200
    covered = await work(office, "cm-ben", group="covering")
    assert [(i["case_id"], i["owner"]) for i in covered["items"]] == [(case_id, "cm-anna")]
    assert covered["counts"]["covering"] == 1
    await office.do(case_id, "raise-risk-tier", "sup-1", tier="high", reason="found pills")
    told = {n["subject"]: n["why"] for n in (await office.get("cm-ben", "/notices")).json()["items"]}
    assert told["tier-raised"] == "cover"
    back = {"absent_until": None, "cover": None}
    assert (await office.http.put("/me/absence", json=back, headers=office.sign_in("cm-anna"))).status_code == 200
    assert (await work(office, "cm-ben", group="covering"))["items"] == []
    assert [i["case_id"] for i in (await work(office, "cm-anna"))["items"]] == [case_id]


@ONE
async def test_whoever_has_to_find_somebody_has_it_in_his_list_and_can_do_what_it_says(office: Office) -> None:
    """And a mistaken offer is taken back by whoever made it."""
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "offer-transfer", to="cm-ben", reason="closer")
    await office.do(case_id, "answer-transfer", accept=False, note="the wrong one")
    told = [n["subject"] for n in (await office.get("cm-ben", "/notices")).json()["items"]]
    assert "transfer-withdrawn" in told
    await office.do(case_id, "request-transfer", reason="too many")
    [owed] = [i for i in (await work(office, "sup-1"))["items"] if i["kind"] == "transfer"]
    assert owed["do"]["command"] == "reassign-case"
    found = await next_of(office, "sup-1", case_id)
    [possible] = [p for p in found["possible"] if p["command"] == "reassign-case"]
    assert "cm-ben" in [c["id"] for c in possible["choices"]["owner"]]
    await office.do(case_id, "reassign-case", "sup-1", owner="cm-ben", reason="closer")
    assert not [i for i in (await work(office, "sup-1"))["items"] if i["kind"] == "transfer"]


@ONE
async def test_what_is_next_is_said_once_and_in_the_programme_s_own_words(office: Office) -> None:
    """A command is possible or blocked, never both; titles are titles."""
    case_id = await office.open(owner="cm-anna")
    for walked in (False, True):
        if walked:
            await office.walk(case_id)
        found = await next_of(office, "cm-anna", case_id)
        assert "<built-in" not in str(found)
        said = [one["command"] for one in (*found["possible"], *found["blocked"])]
        assert len(said) == len(set(said))
        assert {"close", "complete-screening", "agree-plan", "stratify-risk"} <= set(said)


async def test_a_lead_lists_what_anybody_owes_what_rests_and_what_is_nobodys(office: Office) -> None:
    """Reassessments, signatures or held work of all cases by one question; as CSV too; no other team's."""
    await office.hire()
    first = await office.open(person=ALICE, owner="cm-anna")
    await office.walk(first)
    held = (await office.do(first, "add-task", task="education"))["created"][0]
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    await office.do(first, "hold-task", task_id=held, until=until, reason="on holiday")
    everything = (await work(office, "sup-1", scope="all"))["items"]
    assert {item["owner"] for item in everything} == {"cm-anna"}
    signatures = (await work(office, "sup-1", scope="all", kind="signature"))["items"]
    assert [item["title"] for item in signatures] == ["Have the plan signed"]
    rests = (await work(office, "sup-1", scope="all", group="on-hold"))["items"]
    assert [item["on_hold_until"] is not None for item in rests] == [True]
    last = max(item["due_at"] for item in everything)
    assert [i["due_at"] for i in (await work(office, "sup-1", scope="all", due_from=last))["items"]] == [last]
    table = await office.get("sup-1", "/work", scope="all", format="csv")
    assert table.text.splitlines()[0].startswith("group,case_id,clock_id,kind,title,name")
    assert len(table.text.splitlines()) == len(everything) + 1
    assert (await work(office, "sup-2", scope="all"))["items"] == []
    opening = {"program": "complex-care", "referral": referral(reference="Patient/3"), "team": "north"}
    unowned = (await office.post("ehr-1", "/cases", opening)).json()["case_id"]
    nobodys = (await work(office, "sup-1", owner="none"))["items"]
    assert {item["case_id"] for item in nobodys} == {unowned}
