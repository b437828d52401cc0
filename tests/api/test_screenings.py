"""A population is screened by the rule of `stratify-risk`: leads decide on whom it finds."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from activities.screen import Screenings
from domain.values import Role
from infra import database, tokens, watchdog
from infra.notice_tables import OutboxRow
from infra.screening_tables import BlockRow, ScreenedRow, ScreeningRow
from infra.screenings import let_go_of_opened
from tests.office import Office

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
TODAY = datetime.now(UTC).date()
SICK = ("I50.9", "J44.9", "E11.9", "N18.4", "C34.9")
NEW = {"program": "complex-care", "team": "north"}


def day(ago: int) -> str:
    return (TODAY - timedelta(days=ago)).isoformat()


def encounter(who: str, setting: str, ago: int, **more: Any) -> dict[str, Any]:
    period = {"start": f"{day(ago)}T10:00:00Z", "end": f"{day(ago - 2)}T10:00:00Z"}
    subject = {"reference": f"Patient/{who}"}
    return {
        **{"resourceType": "Encounter", "id": f"{who}-{setting}-{ago}", "status": "finished"},
        **{"class": {"code": setting}, "period": period, "subject": subject, **more},
    }


def somebody(who: str, codes: Iterable[str] = (), stays: int = 0, visits: int = 0, drugs: int = 1) -> list[Any]:
    """The resources of one person."""
    subject = {"reference": f"Patient/{who}"}
    name = [{"given": ["Ada"], "family": f"Probe {who}"}]
    return [
        {"resourceType": "Patient", "id": who, "birthDate": "1950-05-05", "name": name},
        *(
            {
                **{"resourceType": "Condition", "id": f"{who}-c{number}", "subject": subject},
                "code": {"coding": [{"system": ICD, "code": code}]},
            }
            for number, code in enumerate(codes)
        ),
        *(encounter(who, "IMP", 40 * number + 20) for number in range(stays)),
        *(encounter(who, "EMER", 9 * number + 5) for number in range(visits)),
        *(
            {
                **{"resourceType": "MedicationRequest", "id": f"{who}-m{number}", "status": "active"},
                **{"intent": "order", "subject": subject, "medicationCodeableConcept": {"text": f"drug {number}"}},
            }
            for number in range(drugs)
        ),
    ]


def ndjson(*people: list[Any]) -> bytes:
    return b"\n".join(json.dumps(resource).encode() for person in people for resource in person)


HIGH = ndjson(somebody("p-high", SICK, stays=2, visits=4, drugs=10))


async def make(office: Office, person: str = "sup-1", **more: Any) -> str:
    answer = await office.post(person, "/screenings", {**NEW, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def send(office: Office, screening: str, body: bytes, part: int = 1, person: str = "sup-1") -> Any:
    headers = {**office.sign_in(person), "Content-Type": "application/fhir+ndjson"}
    return await office.http.put(f"/screenings/{screening}/parts/{part}", content=body, headers=headers)


async def ended(office: Office, screening: str) -> dict[str, Any]:
    assert (await office.post("sup-1", f"/screenings/{screening}/begin", None)).status_code == 202
    async with asyncio.timeout(30):
        while (found := (await office.get("sup-1", f"/screenings/{screening}")).json())["status"] == "running":
            await asyncio.sleep(0.05)
    return dict(found)


async def screened(office: Office, *parts: bytes, **more: Any) -> dict[str, Any]:
    screening = await make(office, **more)
    for number, body in enumerate(parts, 1):
        answer = await send(office, screening, body, number)
        assert answer.status_code == 200, answer.text
    return await ended(office, screening)


async def found(office: Office, **params: Any) -> list[dict[str, Any]]:
    return list((await office.get("sup-1", "/screened", **params)).json()["items"])


async def test_who_needs_the_programme_most_is_proposed_with_reasons_and_opened_by_a_lead(office: Office) -> None:
    """Her resources stand in two parts; the lead is told once; asked again it is the same case."""
    lines = HIGH.split(b"\n")
    low = ndjson(somebody("p-low", ["I10"], visits=1))
    done = await screened(office, b"\n".join([*lines[:7], low]), b"\n".join(lines[7:]))
    assert done["status"] == "done"
    assert done["people"] == {"proposed": 1, "below": 1}
    assert (done["shards"], done["shards_done"]) == (2, 2)
    [one] = await found(office)
    assert (one["name"], one["tier"], one["points"]) == ("Ada Probe p-high", "high", 12)
    assert "Admissions in twelve months: 2 (4)" in one["reasons"]
    told = (await office.get("sup-1", "/notices")).json()["items"]
    assert [n["subject"] for n in told].count("screening") == 1
    assert (await office.get("sup-1", "/cases")).json()["items"] == []  # nothing opens by itself
    opened = [await office.post("sup-1", f"/screened/{one['id']}/accept", {"owner": "cm-anna"}) for _ in range(2)]
    assert [answer.status_code for answer in opened] == [201, 201], opened[1].text
    assert opened[0].json()["case_id"] == opened[1].json()["case_id"]
    case = (await office.get("cm-anna", f"/cases/{opened[0].json()['case_id']}")).json()
    assert case["name"] == "Ada Probe p-high"
    assert len(case["case"]["referral"]["patient"]["conditions"]) == len(SICK)
    assert await found(office) == []
    assert (await office.post("sup-1", f"/screened/{one['id']}/decline", {"reason": "x"})).status_code == 409


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_dead_the_enrolled_and_those_decided_on_are_left_out_with_the_reason(office: Office) -> None:
    """Whoever was declined is proposed again only with more points than then."""
    enrolled = await office.open()  # Patient/1
    assert enrolled
    dead = somebody("p-dead", SICK, stays=2)
    dead[0]["deceasedDateTime"] = day(30)
    once = ndjson(somebody("1", SICK, stays=2, visits=4), dead, somebody("p-declined", SICK, stays=2, drugs=2))
    first = await screened(office, once)
    assert (first["people"], first["why"]) == ({"left-out": 2, "proposed": 1}, {"deceased": 1, "enrolled": 1})
    [one] = await found(office)
    declined = await office.post("sup-1", f"/screened/{one['id']}/decline", {"reason": "Has a nurse of her own"})
    assert declined.status_code == 204
    second = await screened(office, once)
    assert second["why"] == {"deceased": 1, "enrolled": 1, "declined-before": 1}
    worse = await screened(office, ndjson(somebody("p-declined", SICK, stays=2, visits=4, drugs=10)))
    assert worse["people"] == {"proposed": 1}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_who_is_snoozed_comes_back_by_herself(office: Office) -> None:
    await screened(office, HIGH)
    [one] = await found(office)
    path, soon = f"/screened/{one['id']}/snooze", datetime.now(UTC) + timedelta(seconds=1)
    past = await office.post("sup-1", path, {"until": (soon - timedelta(days=1)).isoformat()})
    assert (past.status_code, past.json()["code"]) == (422, "NotToCome")
    assert (await office.post("sup-1", path, {"until": soon.isoformat()})).status_code == 204
    assert (await found(office), len(await found(office, show="snoozed"))) == ([], 1)
    again = await screened(office, HIGH)
    assert again["why"] == {"snoozed-before": 1}
    async with asyncio.timeout(10):
        while not await found(office):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_is_not_known_is_never_low(office: Office) -> None:
    """Codes of another system say nothing of comorbidity, and no encounters nothing of admissions."""
    snomed = somebody("p-snomed", visits=1)
    snomed[1:1] = [
        {
            **{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p-snomed"}},
            "code": {
                "coding": [{"system": "http://snomed.info/sct", "code": "84114007"}],
                "text": "Heart failure",
            },
        }
    ]
    done = await screened(office, ndjson(snomed, somebody("p-codes", SICK, drugs=10)))
    assert (done["people"], done["why"]) == ({"incomplete": 2}, {"comorbidity": 1, "admissions": 1})


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_line_that_cannot_be_read_is_told_by_its_number_and_hinders_nobody(office: Office) -> None:
    """A resource of a shape that FHIR does not have is left out; the person is read without it."""
    bent = {"resourceType": "Condition", "id": "x", "subject": {"reference": "Patient/p-high"}, "code": "I50.9"}
    stranger = {"resourceType": "Condition", "id": "y", "subject": {"reference": "Patient?identifier=a|1"}}
    lone = encounter("p-nobody", "IMP", 5)
    body = b"\n".join([HIGH, json.dumps(bent).encode(), b"{no", b"[1]", json.dumps(stranger).encode()])
    screening = await make(office)
    answer = await send(office, screening, body + b"\n" + json.dumps(lone).encode() + b"\n")
    told = answer.json()
    assert told["unread"] == 3
    assert [issue["code"] for issue in told["issues"]] == ["not-json", "no-resource", "whose-is-it"]
    done = await ended(office, screening)
    assert (done["people"], done["why"]) == ({"proposed": 1, "unreadable": 1}, {"no-patient": 1})
    assert (await found(office))[0]["points"] == 12


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_payers_file_is_read_by_its_mapping(office: Office) -> None:
    head = "member_no,first_name,last_name,birth_date,phone,zip,plan,status,diagnoses,"
    head += "admissions_12m,ed_visits_6m,drugs"
    rows = [
        "M1,Ana,Óbvia,05/09/1948,555,10001,Gold,active,I50.9;J44.9;N18.4,2,1,4",
        "M1,Ana,Óbvia,05/09/1948,555,10001,Gold,active,E11.9,1,4,10",
        "M2,Bob,Dead,01/01/1940,555,10001,Gold,deceased,I50.9,9,9,20",
        "M3,Cid,Wrong,31/12/1950,555,10001,Gold,active,I50.9,1,1,1",
        "M4,Dee,Low,01/01/1980,555,10001,Gold,active,I10,0,0,2",
        "M5,Eve,Odd,01/01/1980,555,10001,Gold,active,I10,many,0,2",
    ]
    screening = await make(office, mapping="demo-payer")
    wrong = await send(office, screening, b"a,b\n1,2\n")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "NotThisFile")
    told = (await send(office, screening, "\n".join([head, *rows]).encode())).json()
    assert [(issue["line"], issue["code"]) for issue in told["issues"]] == [(5, "birth-date"), (7, "number")]
    done = await ended(office, screening)
    assert done["people"] == {"proposed": 1, "left-out": 1, "below": 1}
    [one] = await found(office)
    assert (one["name"], one["tier"]) == ("Ana Óbvia", "high")
    answer = await office.post("sup-1", f"/screened/{one['id']}/accept", {"owner": "cm-anna"})
    case_id = answer.json()["case_id"]
    person_id = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referral"]["patient"][
        "reference"
    ]
    person = (await office.get("cm-anna", f"/persons/{person_id}")).json()["person"]
    assert person["coverage"][0] | {"starts_on": None, "ends_on": None} == {
        **{"payer": "Gold", "member_id": "M1", "starts_on": None, "ends_on": None}
    }
    assert {"system": "urn:demo:evergreen-health-plan", "value": "M1"} in person["identifiers"]


async def test_killed_in_the_middle_it_goes_on_and_finds_the_same(quiet_office: Office) -> None:
    """Shard by shard: what is written stays, what is left is done; stopped, nothing goes on."""
    office = quiet_office
    people = [somebody(f"p-{n}", SICK, stays=2, visits=n % 5) for n in range(12)]
    screening = await make(office)
    await send(office, screening, ndjson(*people))
    assert (await office.post("sup-1", f"/screenings/{screening}/begin", None)).status_code == 202
    parts = office.parts
    engine = database.blocking(parts.engine.url)
    work = Screenings(engine, parts.keys, parts.index_key, parts.rulebook)

    def rows() -> list[Any]:
        with engine.connect() as connection:
            return sorted(
                (row.id, row.result, row.points) for row in connection.execute(select(ScreenedRow)).all()
            )

    try:
        for _ in range(3):
            assert work._next(screening) == "running"
        some = rows()
        view = (await office.get("sup-1", f"/screenings/{screening}")).json()
        assert view["shards_done"] == 3
        await office.post("sup-1", f"/screenings/{screening}/stop", None)
        assert work._next(screening) == "stopped"
        await office.post("sup-1", f"/screenings/{screening}/begin", None)
        begun_anew = Screenings(engine, parts.keys, parts.index_key, parts.rulebook)
        while begun_anew._next(screening) == "running":
            pass
        assert set(some) < set(rows())
        assert len(rows()) == 12
        with engine.connect() as connection:
            assert connection.execute(select(BlockRow)).all() == []  # what was received is let go of
            told = connection.execute(select(OutboxRow).where(OutboxRow.case_id == screening)).all()
        assert told
    finally:
        engine.dispose()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_who_may_look_for_people_and_decide_on_them(office: Office) -> None:
    """A feed sends a population and sees how it went; leads of the team decide; another team's see nothing."""
    token = tokens.issue(office.parts.settings, "payer-1", Role.INTEGRATOR, scope="feed")
    feed = {"Authorization": f"Bearer {token}"}
    made = await office.http.post("/screenings", json=NEW, headers={**feed, "Idempotency-Key": "k"})
    again = await office.http.post("/screenings", json=NEW, headers={**feed, "Idempotency-Key": "k"})
    assert (made.status_code, made.json()["id"]) == (201, again.json()["id"])
    other = await office.http.post(
        "/screenings", json={**NEW, "team": "south"}, headers={**feed, "Idempotency-Key": "k"}
    )
    assert other.json()["code"] == "KeyReused"
    screening = made.json()["id"]
    assert (
        await office.http.put(f"/screenings/{screening}/parts/1", content=HIGH, headers=feed)
    ).status_code == 200
    assert (await ended(office, screening))["people"] == {"proposed": 1}
    assert (await office.http.get("/screened", headers=feed)).status_code == 403
    assert (await office.post("ehr-2", "/screenings", NEW)).status_code == 403
    assert (await office.post("cm-anna", "/screenings", NEW)).status_code == 403
    assert (await office.get("cm-anna", "/screened")).status_code == 403
    assert (await office.get("sup-2", f"/screenings/{screening}")).status_code == 404
    assert (await office.get("sup-2", "/screened")).json()["items"] == []
    assert len((await office.get("dir-1", "/screened")).json()["items"]) == 1
    assert (await office.post("sup-1", "/screenings", {**NEW, "team": "south"})).status_code == 403
    late = await office.http.put(f"/screenings/{screening}/parts/2", content=HIGH, headers=feed)
    assert (late.status_code, late.json()["code"]) == (409, "NotReceiving")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_was_received_is_let_go_of_when_it_is_discarded(office: Office) -> None:
    screening = await make(office)
    assert (await office.post("sup-1", f"/screenings/{screening}/begin", None)).json()["code"] == "NothingReceived"
    await send(office, screening, HIGH)
    gone = await office.post("sup-1", f"/screenings/{screening}/discard", None)
    assert (gone.status_code, gone.json()["status"]) == (200, "discarded")
    assert (await office.post("sup-1", f"/screenings/{screening}/begin", None)).json()["code"] == "NotReceiving"
    async with office.parts.session() as session:
        assert (await session.exec(select(BlockRow))).all() == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"program": "nothing-such"}, "UnknownProgram"),
        ({"program": "transitions"}, "NotInProgram"),
        ({"mapping": "nothing-such"}, "UnknownMapping"),
        ({"as_of": str(date(TODAY.year + 1, 1, 1))}, "DayInTheFuture"),
        ({"tier": "highest"}, "Malformed"),
        ({"team": "nowhere"}, "UnknownTeam"),
    ],
)
async def test_a_screening_that_cannot_be_is_refused_by_name(
    quiet_office: Office, said: dict[str, Any], code: str
) -> None:
    answer = await quiet_office.post("dir-1", "/screenings", {**NEW, **said})
    assert answer.json()["code"] == code, answer.text


async def test_two_leads_who_decide_at_once_decide_once(office: Office) -> None:
    """Whoever accepts has the case, or nobody has; a refusal means that none was opened."""
    for number in range(4):
        await screened(office, ndjson(somebody(f"p-{number}", SICK, stays=2, visits=4)))
        [one] = await found(office)
        accept, decline = await asyncio.gather(
            office.post("dir-1", f"/screened/{one['id']}/accept", {"owner": "cm-anna", "is_new": True}),
            office.post("sup-1", f"/screened/{one['id']}/decline", {"reason": "x"}),
        )
        cases = (await office.get("dir-1", "/cases", limit=50)).json()["items"]
        assert (accept.status_code == 201) is (decline.status_code in (404, 409)), (accept.text, decline.text)
        assert (decline.status_code == 204) is (accept.status_code in (404, 409))
        opened = [c for c in cases if c["name"] == f"Ada Probe p-{number}"]
        assert len(opened) == (accept.status_code == 201)
        assert await found(office) == []


async def test_a_refused_acceptance_leaves_her_to_be_decided_on_by_anybody(office: Office) -> None:
    """A mistyped owner; then the same lead, or another, says it right."""
    for number, second in enumerate(("sup-1", "dir-1")):
        await screened(office, ndjson(somebody(f"p-{number}", SICK, stays=2, visits=4)))
        [one] = await found(office)
        wrong = await office.post("sup-1", f"/screened/{one['id']}/accept", {"owner": "ghost-1", "is_new": True})
        assert (wrong.status_code, wrong.json()["code"]) == (409, "UnknownStaff")
        assert [again["id"] for again in await found(office)] == [one["id"]]
        said = {"owner": "cm-anna", "is_new": True}
        right = await office.post(second, f"/screened/{one['id']}/accept", said)
        assert right.status_code == 201, right.text
        assert await found(office) == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_whoever_has_come_into_the_programme_meanwhile_is_not_opened_twice(office: Office) -> None:
    await screened(office, HIGH)
    [first] = await found(office)
    await screened(office, HIGH)
    second = next(one for one in await found(office) if one["id"] != first["id"])
    await office.post("sup-1", f"/screened/{first['id']}/accept", {"owner": "cm-anna"})
    answer = await office.post("sup-1", f"/screened/{second['id']}/accept", {"owner": "cm-anna"})
    assert (answer.status_code, answer.json()["code"]) == (409, "AlreadyEnrolled")
    assert (await office.post("sup-1", f"/screened/{second['id']}/decline", {"reason": "x"})).status_code == 204


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_one_person_who_cannot_be_read_keeps_nobody_else_from_being_found(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name nested nine hundred deep, a number where none belongs, a rule that fails."""
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    odd = {"resourceType": "Patient", "id": "p-deep", "birthDate": "1950-05-05", "name": deep}
    dead = {"resourceType": "Patient", "id": "p-dead", "birthDate": "1950-05-05", "deceasedBoolean": "false"}
    body = b"\n".join([HIGH, json.dumps(odd).encode(), json.dumps(dead).encode()])
    done = await screened(office, body)
    assert (done["people"], done["why"]) == (
        {"proposed": 1, "incomplete": 1, "unreadable": 1},
        {"comorbidity": 1, "unreadable": 1},
    )

    def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("activities.screen.by_record", fails)
    assert (await screened(office, ndjson(somebody("p-x", SICK, stays=2))))["why"] == {"fault": 1}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("body", [b"\x1f\x8b\x08", b"\xff\xfe{\x00", b"1\n" * 10_001])
async def test_a_file_of_another_kind_is_refused_and_not_kept(quiet_office: Office, body: bytes) -> None:
    screening = await make(quiet_office)
    answer = await send(quiet_office, screening, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "NotThisFile")
    assert (await quiet_office.get("sup-1", f"/screenings/{screening}")).json()["parts"] == 0


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_whoever_was_put_off_is_let_go_of_with_the_rest(office: Office) -> None:
    done = await screened(office, HIGH)
    [one] = await found(office)
    until = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    await office.post("sup-1", f"/screened/{one['id']}/snooze", {"until": until})
    await office.post("sup-1", f"/screenings/{done['id']}/discard", None)
    assert await found(office, show="snoozed") == []
    async with office.parts.session() as session:
        assert (await session.exec(select(ScreenedRow))).all() == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_population_that_nobody_goes_on_with_is_let_go_of_after_a_week(quiet_office: Office) -> None:
    office = quiet_office
    kept, left = await make(office), await make(office)
    await send(office, left, HIGH)
    engine = database.blocking(office.parts.engine.url)
    try:
        with engine.begin() as connection:
            old = datetime.now(UTC) - timedelta(days=8)
            connection.execute(update(ScreeningRow).where(col(ScreeningRow.id) == left).values(touched_at=old))
            rows = connection.execute(watchdog.abandoned_screenings(datetime.now(UTC))).all()
        assert [row.id for row in rows] == [left] != [kept]
    finally:
        engine.dispose()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_whoever_is_accepted_while_the_record_decides_later_is_let_go_of_when_her_case_is_there(
    office: Office,
) -> None:
    """Until then she stands in the list; repeated, the answer says that it waits, then that it is done."""
    await screened(office, HIGH)
    [one] = await found(office)
    engine = database.blocking(office.parts.engine.url)
    path = f"/screened/{one['id']}/accept"
    try:
        opened = await office.post("sup-1", path, {"owner": "cm-anna"})
        case_id = opened.json()["case_id"]
        with engine.begin() as connection:  # as it is after a 202
            queued = {"decision": "accepting", "sealed": b"x", "case_id": case_id}
            connection.execute(update(ScreenedRow).values(**queued))
        assert await found(office) == []
        again = await office.post("sup-1", path, {"owner": "cm-anna"})
        assert (again.status_code, again.json()["case_id"]) == (201, case_id)
        with engine.begin() as connection:
            connection.execute(update(ScreenedRow).values(**queued))
            let_go_of_opened(connection)
            row = connection.execute(select(ScreenedRow)).one()
        assert (row.decision, row.sealed) == ("accepted", None)
    finally:
        engine.dispose()
