"""A hospital's feed over real sockets: stored before it is answered, told once, worked off by rules or people."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment

from infra.loopback import free_port
from infra.settings import Settings
from listener import BEGIN, END, FeedsWrong, listening, ports_of, tls_of
from tests.exchange.test_hl7 import hl7
from tests.office import Office
from tests.story import in_force
from worker import worker

ALICE = {"names": [{"family": "Zephyrine", "given": ["Alice"]}], "birth_date": "1951-03-02"}
NUMBER = {"system": "urn:demo:meadow-hospital", "value": "4711"}


class Hospital:
    """A sender: each message waits for its answer, as MLLP has it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, *messages: bytes, split: int = 0) -> list[str]:
        """Send over one connection; with `split` in pieces. An empty answer is a connection that was cut."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answers = []
        for message in messages:
            framed = BEGIN + message + END
            for at in range(0, len(framed), split or len(framed)):
                writer.write(framed[at : at + (split or len(framed))])
                await writer.drain()
            try:
                answers.append((await reader.readuntil(END)).decode())
            except asyncio.IncompleteReadError:
                answers.append("")
                break
        writer.close()
        return answers


@pytest.fixture
async def hospital(office: Office) -> AsyncIterator[Hospital]:
    port = free_port()
    settings = office.parts.settings.model_copy(update={"feeds": f"demo-hospital:{port}"})
    async with listening(office.parts, settings, ports_of(settings)):
        yield Hospital(port)


def at(**ago: float) -> str:
    return f"{datetime.now(UTC) - timedelta(**ago):%Y%m%d%H%M%S}+0000"


def came(event: str = "A01", **more: Any) -> bytes:
    return hl7(event, {44: at(days=3), **more.pop("pv1", {})}, **more)


def left(**more: Any) -> bytes:
    return hl7("A03", {44: at(days=3), 45: at(days=1), **more.pop("pv1", {})}, id=more.pop("id", "c2"), **more)


async def known(office: Office, **more: Any) -> str:
    """A case of Alice, whose number at the hospital is on record."""
    return await office.open(person={**ALICE, "identifiers": [NUMBER]}, **more)


async def settled(office: Office, state: str, number: int = 1) -> list[dict[str, Any]]:
    """The messages in a state, once there are so many."""

    async def there() -> bool:
        found.clear()
        found.extend((await office.get("sup-1", "/inbound", state=state)).json()["items"])
        return len(found) == number

    found: list[dict[str, Any]] = []
    await office.until(there)
    return found


async def test_a_discharge_reaches_the_case_and_a_repeat_is_told_once(office: Office, hospital: Hospital) -> None:
    """In pieces, twice on one connection, and once more later; the case manager is told."""
    case_id = await known(office)
    said = [came(), left(), left()]
    assert all("MSA|AA|" in one for one in await hospital.send(*said[:1], split=7))
    said = [said[1], said[1]]
    assert all("MSA|AA|" in one for one in await hospital.send(*said))
    done = await settled(office, "done", 2)
    assert sorted(m["seen"] for m in done) == [1, 2]
    kinds = await office.kinds(case_id)
    assert kinds.count("transition-recorded") == 2
    notices = (await office.get("cm-anna", "/notices")).json()["items"]
    assert "transition" in {notice["subject"] for notice in notices}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5])
async def test_a_day_in_any_order_with_repeats_and_cancels_ends_in_the_same_stays(
    office: Office, hospital: Hospital, seed: int
) -> None:
    """A cancel before its original too; who came to the emergency room only has a visit."""
    when = {number: at(days=number) for number in range(1, 6)}
    day = [
        hl7("A01", {44: when[5], 19: "V1"}, id="a"),
        hl7("A08", {44: when[4], 19: "V1"}, id="b"),
        hl7("A03", {44: when[4], 45: when[3], 19: "V1", 36: "01"}, id="c"),
        hl7("A01", {44: when[2], 19: "V2"}, id="d"),
        hl7("A11", {44: when[2], 19: "V2"}, id="e"),
        hl7("A13", {44: when[4], 19: "V1"}, id="g"),
        hl7("A03", {44: when[4], 45: when[3], 19: "V1", 36: "02"}, id="h"),
        hl7("A04", {2: "E", 44: when[1], 19: "V3"}, id="f"),
    ]
    case_id = await known(office)
    day = [said.replace(b"20261120120000", f"202611201200{n:02}".encode(), 1) for n, said in enumerate(day)]
    shuffled = [*day, *day[2:5]]
    if seed:  # else in the order in which they were written
        random.Random(seed).shuffle(shuffled)
    assert all("MSA|AA|" in one for one in await hospital.send(*shuffled))

    async def all_worked_off() -> bool:
        waiting = (await office.get("sup-1", "/inbound", state="waiting")).json()["items"]
        return not waiting

    await office.until(all_worked_off)
    case = (await office.get("dir-1", f"/cases/{case_id}")).json()["case"]
    found = sorted(
        (t["event"], t["setting"], t["disposition"], _short(t["occurred_at"])) for t in case["transitions"]
    )
    assert found == [
        ("admission", "inpatient", None, when[4]),
        ("discharge", "inpatient", "facility", when[3]),
        ("visit", "emergency", None, when[1]),
    ]


def _short(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y%m%d%H%M%S}+0000"


async def test_what_no_rule_can_place_waits_for_a_lead_who_is_told_and_says_whose_it_is(
    office: Office, hospital: Hospital
) -> None:
    """The number becomes the person's: the next message finds her by itself. One notice a patient."""
    case_id = await office.open(person=ALICE)
    await hospital.send(came(), left())
    waiting = await settled(office, "open", 2)
    assert {m["because"] for m in waiting} == {"unknown-patient"}
    notices = (await office.get("sup-1", "/notices")).json()["items"]
    assert [n["subject"] for n in notices].count("inbound") == 1
    whole = await office.get("sup-1", f"/inbound/{waiting[0]['id']}")
    assert "Zephyrine^Alice" in whole.json()["text"]
    assert (await office.get("sup-2", f"/inbound/{waiting[0]['id']}")).status_code == 404
    assert (await office.get("cm-anna", "/inbound")).status_code == 403
    person = (await office.get("sup-1", "/persons", q="zephyrine")).json()["items"][0]["person_id"]
    path = f"/inbound/{waiting[0]['id']}/assign"
    assert (await office.post("sup-1", path, {"person_id": "nobody"})).status_code == 404
    assert (await office.post("sup-1", path, {"person_id": person})).status_code == 200
    await settled(office, "done", 2)
    assert (await office.kinds(case_id)).count("transition-recorded") == 2
    unread = (await office.get("sup-1", "/notices", unread=True)).json()["items"]
    assert "inbound" not in {n["subject"] for n in unread}
    await hospital.send(hl7("A04", {2: "E", 44: at(hours=2), 19: "V9"}, id="c9"))
    await settled(office, "done", 3)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_message_is_discarded_with_a_reason_or_tried_again(office: Office, hospital: Hospital) -> None:
    await known(office)
    await hospital.send(came(pv1={2: "ff"}), hl7("A40", and_="MRG|4712^^^MH^MR", id="c7"))
    first, second = await settled(office, "open", 2)
    assert [first["because"], second["because"]] == ["unknown-class", "two-records-of-one-person"]
    again = await office.post("sup-1", f"/inbound/{first['id']}/work-again", {})
    assert again.json()["state"] == "waiting"
    await settled(office, "open", 2)
    path = f"/inbound/{second['id']}/discard"
    assert (await office.post("sup-1", path, {})).status_code == 422
    assert (await office.post("sup-1", path, {"reason": "merged by hand"})).status_code == 204
    assert (await office.post("sup-1", path, {"reason": "merged by hand"})).json()["code"] == "NotWaiting"
    [gone] = await settled(office, "discarded")
    assert gone["settled_by"] == "sup-1"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_who_is_known_and_has_no_case_is_found_by_a_programme_that_says_so(
    office: Office, hospital: Hospital
) -> None:
    """The feed's file names one; a cancel opens nothing."""
    body = {**ALICE, "identifiers": [NUMBER]}
    assert (await office.post("sup-1", "/persons", body)).status_code == 201
    await hospital.send(came("A11"))
    await settled(office, "nothing")
    await hospital.send(left(pv1={19: "V2"}))
    [done] = await settled(office, "done")
    case = (await office.get("sup-1", f"/cases/{done['cases'][0]['case_id']}")).json()["case"]
    assert (case["program"], case["team"]) == ("transitions", "north")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_is_no_message_or_not_for_this_feed_is_answered_as_that_and_kept(
    office: Office, hospital: Hospital
) -> None:
    """Nobody's connection is cut for it, and nothing of the message is in the answer."""
    test = came().replace(b"|P|2.5", b"|T|2.5")
    answers = await hospital.send(b"garbage", test, came(pid={3: ""}), came())
    assert [a.split("\rMSA|")[1][:2] for a in answers] == ["AR", "AR", "AE", "AA"]
    assert not any("Zephyrine" in one or "4711" in one for one in answers)
    waiting = await settled(office, "open", 4)
    assert [m["because"] for m in waiting][:3] == ["unreadable"] * 3


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_while_the_record_is_away_nothing_is_answered_and_the_sender_keeps_its_message(
    office: Office, hospital: Hospital
) -> None:
    """The connection is cut; sent again later it is stored."""
    await known(office)
    async with office.parts.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))  # BEGIN IMMEDIATE: nobody else can write
        assert await hospital.send(came()) == [""]
    assert "MSA|AA|" in (await hospital.send(came()))[0]
    await settled(office, "done")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_number_and_no_name_stands_in_clear_in_the_record(office: Office, hospital: Hospital) -> None:
    await known(office)
    await hospital.send(came(pid={5: "Qvxnth^Canary"}, pv1={19: "VISIT-CANARY-77"}))
    await settled(office, "done")
    folder = office.parts.settings.data_dir
    kept = b"".join(path.read_bytes() for path in folder.glob("record.db*"))
    assert b"Qvxnth" not in kept
    assert b"VISIT-CANARY-77" not in kept


async def test_feeds_that_nobody_could_listen_to_are_refused_with_what_to_do(office: Office) -> None:
    settings = office.parts.settings
    for wrong, says in (
        ("moonbase:2575", "there is no feed moonbase"),
        ("demo-hospital", "give each feed its port"),
    ):
        with pytest.raises(FeedsWrong, match=says):
            ports_of(settings.model_copy(update={"feeds": wrong}))
    with pytest.raises(FeedsWrong, match="over TLS only"):
        tls_of(settings.model_copy(update={"hl7_host": "0.0.0.0"}))
    with pytest.raises(FeedsWrong, match="give an address"):
        tls_of(settings.model_copy(update={"hl7_host": "localhost"}))
    with pytest.raises(FeedsWrong, match="cannot be read"):
        tls_of(settings.model_copy(update={"hl7_certificate": "/nowhere.pem"}))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_no_worker_has_decided_on_waits_and_is_told_when_one_is_back(
    quiet_office: Office, environment: WorkflowEnvironment, engine: AsyncEngine, settings: Settings
) -> None:
    """Queued is not taken: the case may still refuse it, and then a lead has to know."""
    async with worker(environment.client, settings, in_force(), engine.url):
        case_id = await known(quiet_office)
    port = free_port()
    given = quiet_office.parts.settings.model_copy(update={"feeds": f"demo-hospital:{port}"})
    async with listening(quiet_office.parts, given, ports_of(given)):
        await Hospital(port).send(left(pv1={45: f"{datetime.now(UTC) + timedelta(days=2):%Y%m%d%H%M%S}+0000"}))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(settled(quiet_office, "done"), 2)
        async with worker(environment.client, settings, in_force(), engine.url):
            [refused] = await settled(quiet_office, "open")
    assert [told["code"] for told in refused["cases"] if told["status"] == "refused"] == ["NotYetHappened"]
    assert refused["cases"][0]["case_id"] == case_id


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_message_that_no_rule_foresaw_stops_no_other_and_the_leads_are_told(
    office: Office, hospital: Hospital
) -> None:
    """A number that nobody could have, one cut off in the middle, one marked as a test."""
    case_id = await known(office)
    for wrong in (came(pid={3: "9" * 300 + "^^^MH^MR"}), came(pid={3: "4711\\X07\\^^^MH^MR"})):
        assert "MSA|AE|" in (await hospital.send(wrong))[0]
    cut = hl7("A01", {19: "OTHER"}, pid={3: "4711^^^MH^MR"})[:90]
    answers = await hospital.send(cut + BEGIN + came(pid={3: "888^^^MH^MR"}, pv1={19: "V8"}, id="c8"))
    assert "MSA|AA|c8" in answers[0]
    assert "MSA|AR|" in (await hospital.send(came(pv1={19: "TEST"}).replace(b"|P|2.5", b"|T|2.5")))[0]
    waiting = await settled(office, "open", 4)
    assert sorted(m["because"] for m in waiting) == ["unknown-patient", *["unreadable"] * 3]
    assert "transition-recorded" not in await office.kinds(case_id)
    told = (await office.get("sup-1", "/notices", limit=200)).json()["items"]
    assert "inbound" in {notice["subject"] for notice in told}
    [test] = [m for m in waiting if m["because"] == "unreadable"][-1:]
    assert (await office.post("sup-1", f"/inbound/{test['id']}/work-again", {})).status_code == 200
    await settled(office, "open", 4)
    assert "transition-recorded" not in await office.kinds(case_id), "refused at the door, told to nobody"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_patients_without_a_number_are_not_one_and_a_stay_that_becomes_another_asks_people(
    office: Office, hospital: Hospital
) -> None:
    case_id = await known(office)
    nobody = {3: "^^^MH^MR"}
    await hospital.send(came(pid=nobody, pv1={19: "V5"}), came(pid=nobody, pv1={19: "V6"}, id="c6"))
    first, second = await settled(office, "open", 2)
    person = (await office.get("cm-anna", "/persons", q="zephyrine")).json()["items"][0]["person_id"]
    answer = await office.post("sup-1", f"/inbound/{first['id']}/assign", {"person_id": person})
    assert answer.status_code == 200, answer.text
    await settled(office, "done")
    assert [m["id"] for m in await settled(office, "open")] == [second["id"]]
    await hospital.send(came(), came("A08", pv1={2: "O"}, id="c9"))
    assert "changed-by-the-sender" in {m["because"] for m in await settled(office, "open", 2)}
    assert (await office.kinds(case_id)).count("transition-recorded") == 2
