"""A feed tells every open case of a person what happened, whoever opened it, and reads none."""

import asyncio
from typing import Any

import pytest

from domain.values import Role
from infra import tokens
from tests.office import Office
from tests.story import referral

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
HOME = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": "2026-03-06T15:00:00-05:00"}


async def feed(office: Office, path: str, body: Any, **more: str) -> Any:
    token = tokens.issue(office.parts.settings, "adt-feed", Role.INTEGRATOR, scope="feed")
    return await office.http.post(path, json=body, headers={"Authorization": f"Bearer {token}", **more})


def now_home(office: Office) -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    return {**HOME, "occurred_at": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}


async def test_a_discharge_reaches_all_open_cases_of_the_person_and_its_owner_is_told(office: Office) -> None:
    """Opened by staff, before consent; repeated under its key it is told once."""
    first, second = await office.open(), await office.open(program="transitions")
    body = {"patient": "Patient/1", "command": now_home(office)}
    for _ in range(2):
        answer = await feed(office, "/feed/record-transition", body, **{"Idempotency-Key": "adt-1"})
        assert answer.status_code == 200, answer.text
        assert {c["case_id"]: c["status"] for c in answer.json()["cases"]} == {first: "applied", second: "applied"}
    assert (await office.kinds(second)).count("transition-recorded") == 1
    told = (await office.get("cm-anna", "/notices")).json()["items"]
    assert [n["subject"] for n in told].count("transition") == 2


async def test_a_feed_writes_what_happened_and_reads_and_does_nothing_else(office: Office) -> None:
    """One case is told by its id as well; an integrator without the scope is answered that there is none."""
    case_id = await office.open()
    path = f"/cases/{case_id}/commands"
    assert (await feed(office, f"{path}/record-transition", now_home(office))).status_code == 200
    assert (await feed(office, f"{path}/add-note", {"text": "x"})).status_code == 404
    token = tokens.issue(office.parts.settings, "adt-feed", Role.INTEGRATOR, scope="feed")
    read = await office.http.get(f"/cases/{case_id}", headers={"Authorization": f"Bearer {token}"})
    assert read.status_code == 404
    assert (await office.post("ehr-2", f"{path}/record-transition", now_home(office))).status_code == 404
    body = {"patient": "Patient/1", "command": now_home(office)}
    assert (await office.post("ehr-2", "/feed/record-transition", body)).status_code == 403
    assert (await feed(office, "/feed/add-note", body)).json()["code"] == "UnknownCommand"
    assert (await feed(office, "/feed/record-transition", {**body, "command": {}})).status_code == 422


async def test_who_has_no_case_is_found_by_a_programme_that_says_so(office: Office) -> None:
    """Once under one key; by no other programme."""
    body = {"patient": "Patient/new", "command": now_home(office), "team": "north"}
    nobody = await feed(office, "/feed/record-transition", body)
    assert (nobody.status_code, nobody.json()["code"]) == (404, "NoOpenCase")
    unknown = await feed(office, "/feed/record-transition", {**body, "open_in": "nothing-such"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "UnknownProgram")
    assert (await office.get("sup-1", "/proposals")).json()["items"] == []
    found = set()
    for _ in range(2):
        wanted = {**body, "open_in": "transitions"}
        answer = await feed(office, "/feed/record-transition", wanted, **{"Idempotency-Key": "adt-9"})
        found |= {c["case_id"] for c in answer.json()["cases"]}
    [case_id] = found
    kinds = await office.kinds(case_id)
    assert kinds.count("transition-recorded") == 1


async def propose(office: Office, team: str | None, event_id: str = "d1", **more: str) -> str:
    command = {**now_home(office), "event_id": event_id}
    body = {"patient": "Patient/new", "command": command, "open_in": "complex-care", "team": team}
    answer = await feed(office, "/feed/record-transition", body, **more)
    assert (answer.status_code, answer.json()["cases"]) == (202, []), answer.text
    return str(answer.json()["proposal"])


async def test_for_a_programme_that_finds_nobody_a_lead_opens_the_case_and_it_is_told_all_that_waited(
    office: Office,
) -> None:
    first, second = await propose(office, "north"), await propose(office, "north", "d2")
    waiting = (await office.get("sup-1", "/proposals")).json()["items"]
    assert [one["id"] for one in waiting] == [first, second]
    assert (waiting[0]["program"], waiting[0]["feed"]) == ("complex-care", "adt-feed")
    answer = await office.post("sup-1", f"/proposals/{second}/accept", {"owner": "cm-anna"})
    assert answer.status_code == 200, answer.text
    [told] = answer.json()["cases"]
    assert (told["status"], told["opened"]) == ("applied", True)
    assert (await office.kinds(told["case_id"])).count("transition-recorded") == 2
    assert (await office.get("sup-1", "/proposals")).json()["items"] == []
    assert (await office.post("sup-1", f"/proposals/{first}/accept", {})).status_code == 404


async def test_a_proposal_is_for_the_leads_of_its_team_and_dismissed_with_a_reason_it_stays_so(
    office: Office,
) -> None:
    body = {"patient": "Patient/new", "command": now_home(office), "open_in": "complex-care", "team": "south"}
    proposal = (await feed(office, "/feed/record-transition", body)).json()["proposal"]
    assert (await office.get("cm-anna", "/proposals")).status_code == 403
    assert (await office.get("sup-1", "/proposals")).json()["items"] == []
    path, why = f"/proposals/{proposal}/dismiss", {"reason": "Their own programme was called"}
    assert (await office.post("sup-1", path, why)).status_code == 404
    assert (await office.post("dir-1", path, {})).status_code == 422
    assert (await office.post("sup-2", path, why)).status_code == 204
    again = await feed(office, "/feed/record-transition", body)
    assert (again.status_code, again.json()["proposal"]) == (202, proposal)
    assert (await office.get("dir-1", "/proposals")).json()["items"] == []


async def test_leads_are_told_once_of_a_proposal_until_it_is_settled(office: Office) -> None:
    """Those of its team; for a team without any the directors."""

    async def told(person: str) -> list[str]:
        found = (await office.get(person, "/notices", unread=True)).json()["items"]
        return [notice["about"] for notice in found if notice["subject"] == "proposal"]

    body = {"patient": "Patient/new", "command": now_home(office), "open_in": "complex-care", "team": "north"}
    [proposal] = {(await feed(office, "/feed/record-transition", body)).json()["proposal"] for _ in range(2)}
    orphan = await propose(office, "nobody-is-here")
    assert (await told("sup-1"), await told("sup-2"), await told("dir-1")) == ([proposal], [], [orphan])
    assert (await office.get("sup-1", "/me")).json()["counts"]["proposals"] == 1
    await office.post("sup-1", f"/proposals/{proposal}/dismiss", {"reason": "Known elsewhere"})
    assert await told("sup-1") == []
    assert (await office.get("sup-1", "/me")).json()["counts"]["proposals"] == 0


async def test_what_no_case_takes_of_somebody_s_messages_waits_on_and_is_said(office: Office) -> None:
    first = await propose(office, "north")
    command = {**now_home(office), "event_id": "d2", "setting": "moon"}
    body = {"patient": "Patient/new", "command": command, "open_in": "complex-care", "team": "north"}
    second = (await feed(office, "/feed/record-transition", body)).json()["proposal"]
    answer = await office.post("sup-1", f"/proposals/{first}/accept", {"owner": "cm-anna"})
    told = [(one["status"], one["code"]) for one in answer.json()["cases"]]
    assert told == [("applied", None), ("refused", "UnknownSetting")]
    assert [one["id"] for one in (await office.get("sup-1", "/proposals")).json()["items"]] == [second]


async def test_messages_that_come_together_find_one_case_for_somebody_new(office: Office) -> None:
    """An admission, the discharge and its repetition at once, without keys and from two feeds."""
    body = {"patient": "Patient/together", "open_in": "transitions", "team": "north"}
    first = {**now_home(office), "event_id": "a1", "event": "admission"}
    said = [{**body, "command": c} for c in (first, now_home(office), now_home(office))]
    answers = await asyncio.gather(*(feed(office, "/feed/record-transition", one) for one in said))
    assert [a.status_code for a in answers] == [200, 200, 200], [a.text for a in answers]
    [case_id] = {c["case_id"] for a in answers for c in a.json()["cases"]}
    assert (await office.kinds(case_id)).count("transition-recorded") == 2


async def test_a_second_case_of_one_programme_is_opened_with_a_word(office: Office) -> None:
    """The sender hears that there is another; the two are for people to look at."""
    new = {"program": "complex-care", "referral": referral(), "team": "north"}
    one, two = await office.post("cm-anna", "/cases", new), await office.post("cm-anna", "/cases", new)
    assert (one.status_code, one.json()["advice"]) == (201, None)
    assert two.status_code == 201
    assert "another open case of this programme" in two.json()["advice"]


async def test_what_a_case_would_not_take_opens_none(office: Office) -> None:
    """A discharge of next year is refused with its reason, and nobody hears of a case."""
    next_year = {**now_home(office), "occurred_at": "2031-01-27T10:00:00Z"}
    body = {"patient": "Patient/tomorrow", "open_in": "transitions", "team": "north", "command": next_year}
    answer = await feed(office, "/feed/record-transition", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "NotYetHappened")
    assert (await office.get("dir-1", "/cases")).json()["items"] == []
