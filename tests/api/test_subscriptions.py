"""A system outside hears of changes in cases that people share with it: in order, by number, ids at the most."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update
from temporalio.testing import ActivityEnvironment

from activities.subscriptions import Subscriptions
from activities.webhooks import Webhooks
from exchange.fhir_subscription import BACKPORT, FILTER, HEARTBEAT, PAYLOAD, topic_url
from infra import database
from infra.encryption import ring_of
from infra.settings import Settings
from infra.subscription_tables import SubscriptionRow
from tests.api.test_fhir_task import SHARE
from tests.api.test_webhooks import Listener, listener
from tests.exchange.test_fhir_out import valid
from tests.office import Office
from worker import hang_bell

__all__ = ["listener"]
ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
WHOLE = {"with_whom": "Meadow hospital", "what": ["the care plan"], "purpose": "treatment", "reader": "ehr-2"}
Asked = dict[str, Any]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_loopback": True})


class Teller:
    """What bell and lane do, when a test says so."""

    def __init__(self, office: Office, settings: Settings) -> None:
        self.office, self.engine = office, database.blocking(office.parts.engine.url)
        keys = ring_of(settings)
        self.numbering = Webhooks(self.engine, keys, settings)
        self.works = Subscriptions(self.engine, keys, settings, office.parts.rulebook)

    async def tell(self, subscription: str) -> None:
        await asyncio.to_thread(self.numbering.number)
        while await ActivityEnvironment().run(self.works.notify, subscription):
            pass

    async def at_once(self, **values: Any) -> None:
        """The time to wait before the next try is over."""
        async with self.office.parts.engine.begin() as connection:
            await connection.execute(update(SubscriptionRow).values(**{"next_at": None, **values}))


@pytest_asyncio.fixture(loop_scope="session")
async def teller(office: Office, settings: Settings) -> AsyncIterator[Teller]:
    found = Teller(office, settings)
    yield found
    found.engine.dispose()


def asked(listener: Listener, topic: str = "task", content: str = "id-only", **more: Any) -> Asked:
    channel = {
        **{"type": "rest-hook", "endpoint": listener.url, "payload": "application/fhir+json"},
        "_payload": {"extension": [{"url": PAYLOAD, "valueCode": content}]},
        "header": ["Authorization: Bearer theirs"],
    }
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "criteria": topic_url(topic),
        "channel": channel,
    } | more


async def subscribed(office: Office, said: Asked, by: str = "ehr-2") -> str:
    answer = await office.post(by, "/fhir/Subscription", said)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "requested"
    return str(answer.json()["id"])


async def sent(office: Office, **share: Any) -> str:
    """A case with a referral to the food bank, which the person lets it read."""
    case_id = await office.open()
    await office.walk(case_id)
    await office.do(case_id, "record-consent", form="written", shares=[{**SHARE, "reads": "referrals", **share}])
    await refer(office, case_id)
    return case_id


async def refer(office: Office, case_id: str, recipient: str = "Food bank") -> None:
    await office.do(case_id, "draft-referral", type="community", recipient=recipient, reason="x")
    case = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]
    for referral in (r for r in case["referrals"] if r["status"] == "draft"):
        await office.do(case_id, "send-referral", referral_id=referral["id"])


def told(bundle: Asked) -> dict[str, list[Any]]:
    """What a notification says, by the names of its parameters."""
    valid(bundle)
    found: dict[str, list[Any]] = {}
    for one in bundle["entry"][0]["resource"]["parameter"]:
        value = next((value for name, value in one.items() if name.startswith("value")), None)
        found.setdefault(one["name"], []).append(one.get("part", value))
    return found


def focus(event: list[dict[str, Any]]) -> str:
    return next(str(p["valueReference"]["reference"]) for p in event if p["name"] == "focus")


async def test_a_recipient_hears_of_its_referral_and_of_nothing_else(
    office: Office, listener: Listener, teller: Teller
) -> None:
    """A handshake, then each change by its number; another's referral and the rest of the case are not told."""
    case_id = await sent(office)
    subscription = await subscribed(office, asked(listener))
    await teller.tell(subscription)
    assert told(listener.events[0])["type"] == ["handshake"]
    assert (await office.get("ehr-2", f"/fhir/Subscription/{subscription}")).json()["status"] == "active"
    await refer(office, case_id, "Dr. Lim")
    await office.do(case_id, "add-task", task="education")
    await refer(office, case_id)
    await teller.tell(subscription)
    [headers, _] = [one for one, _ in listener.heard]
    assert headers["Authorization"] == "Bearer theirs"
    said = told(listener.events[1])
    assert (said["type"], said["events-since-subscription-start"]) == (["event-notification"], ["1"])
    names = [focus(event).rpartition("/fhir/")[2] for event in said["notification-event"]]
    for name in names:
        read = await office.get("ehr-2", f"/fhir/{name}")
        assert (read.status_code, read.json()["id"]) == (200, name.partition("/")[2])
    [task] = [name for name in names if name.startswith("Task/")]
    now = (await office.get("ehr-2", f"/fhir/{task}")).json()
    assert (now["status"], now["owner"]["display"]) == ("requested", "Food bank")
    status = (await office.get("ehr-2", f"/fhir/Subscription/{subscription}/$status")).json()
    assert status["entry"][0]["resource"]["parameter"][-1]["valueString"] == "1"
    again = (await office.get("ehr-2", f"/fhir/Subscription/{subscription}/$events", eventsSinceNumber=0)).json()
    assert len(told(again)["notification-event"]) == 1


@ONE
async def test_what_is_not_taken_is_told_again_under_the_same_number(
    office: Office, listener: Listener, teller: Teller
) -> None:
    """Nothing is skipped; what is told again after a lost answer is the same event."""
    case_id = await sent(office)
    subscription = await subscribed(office, asked(listener, content="empty"))
    listener.answers = [500]
    await teller.tell(subscription)
    assert (await office.get("ehr-2", f"/fhir/Subscription/{subscription}")).json()["error"] == "not taken: 500"
    await teller.at_once()
    await teller.tell(subscription)
    await refer(office, case_id)
    listener.answers = [503]
    await teller.tell(subscription)
    assert len(listener.events) == 1
    await teller.at_once()
    await teller.tell(subscription)
    await refer(office, case_id)
    await teller.tell(subscription)
    numbers = [
        part["valueString"]
        for bundle in listener.events[1:]
        for event in told(bundle)["notification-event"]
        for part in event
        if part["name"] == "event-number"
    ]
    assert numbers == ["1", "2"]
    assert all("focus" not in json.dumps(bundle) for bundle in listener.events)


@ONE
async def test_an_event_keeps_its_number_when_the_share_ends_before_it_was_taken(
    office: Office, listener: Listener, teller: Teller
) -> None:
    """Told again under it, without what it is about; the next event has the next number; no error stays behind."""
    first, second = [await office.open(program=name) for name in ("complex-care", "transitions")]
    await office.walk(first)
    for case_id in (first, second):
        await office.do(case_id, "record-consent", form="written", shares=[WHOLE])
    subscription = await subscribed(office, asked(listener, topic="episode-of-care"))
    await teller.tell(subscription)
    await office.do(first, "reassign-case", owner="cm-ben", reason="x")
    listener.answers = [500]
    await teller.tell(subscription)
    await office.do(first, "record-consent", "cm-ben", form="written", shares=[])
    await office.do(second, "reassign-case", owner="cm-ben", reason="x")
    await teller.at_once()
    await teller.tell(subscription)
    events = [event for bundle in listener.events[1:] for event in told(bundle)["notification-event"]]
    numbers = [next(p["valueString"] for p in event if p["name"] == "event-number") for event in events]
    about = [[p["valueReference"]["reference"] for p in event if p["name"] == "focus"] for event in events]
    assert numbers == ["1", "2"]
    assert (about[0], about[1][0].rpartition("/")[2]) == ([], f"{second}-episode")
    now = (await office.get("ehr-2", f"/fhir/Subscription/{subscription}")).json()
    assert (now["status"], "error" in now) == ("active", False)
    again = (await office.get("ehr-2", f"/fhir/Subscription/{subscription}/$events")).json()
    assert json.dumps(again).count(f"{first}-episode") == 0


@ONE
async def test_nothing_is_told_of_a_case_once_the_person_shares_it_no_more(
    office: Office, listener: Listener, teller: Teller
) -> None:
    case_id = await office.open()
    await office.walk(case_id)
    subscription = await subscribed(office, asked(listener, topic="episode-of-care"))
    await office.do(case_id, "record-consent", form="written", shares=[WHOLE])
    await teller.tell(subscription)
    await teller.tell(subscription)
    before = len(listener.events)
    await office.do(case_id, "record-consent", form="written", shares=[])
    await office.do(case_id, "reassign-case", owner="cm-ben", reason="x")
    await teller.tell(subscription)
    assert len(listener.events) == before


@ONE
async def test_what_stands_under_a_label_that_the_share_does_not_name_is_not_told(
    office: Office, listener: Listener, teller: Teller
) -> None:
    case_id = await office.open()
    await office.walk(case_id)
    await office.do(case_id, "record-consent", form="written", shares=[WHOLE])
    subscription = await subscribed(office, asked(listener, topic="encounter"))
    await teller.tell(subscription)
    call = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "spoke of her week"}
    await office.do(case_id, "log-contact", **call, sensitivity="part2")
    await teller.tell(subscription)
    assert len(listener.events) == 1
    await office.do(case_id, "log-contact", **call)
    await teller.tell(subscription)
    assert told(listener.events[1])["events-since-subscription-start"] == ["1"]


@ONE
async def test_a_topic_is_narrowed_to_one_person(office: Office, listener: Listener, teller: Teller) -> None:
    case_id = await sent(office)
    person = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referral"]["patient"]["reference"]
    filtered = {
        name: {"extension": [{"url": FILTER, "valueString": f"Task?patient=Patient/{name}"}]}
        for name in (person, "x")
    }
    hers = await subscribed(office, asked(listener, _criteria=filtered[person]))
    others = await subscribed(office, asked(listener, _criteria=filtered["x"]))
    for subscription in (hers, others):
        await teller.tell(subscription)
    await refer(office, case_id)
    for subscription in (hers, others):
        await teller.tell(subscription)
    kinds = [told(bundle)["type"][0] for bundle in listener.events]
    assert kinds.count("event-notification") == 1


@ONE
async def test_a_quiet_subscription_gives_a_sign_of_life_and_one_that_is_over_ends(
    office: Office, listener: Listener, teller: Teller
) -> None:
    said = asked(listener)
    said["channel"]["extension"] = [{"url": HEARTBEAT, "valueUnsignedInt": 60}]
    subscription = await subscribed(office, {**said, "end": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
    await teller.tell(subscription)
    assert teller.works.due(datetime.now(UTC)) == []
    assert teller.works.due(datetime.now(UTC) + timedelta(seconds=61)) == [subscription]
    await teller.at_once(heard_at=datetime.now(UTC) - timedelta(seconds=61))
    await teller.tell(subscription)
    assert [told(bundle)["type"][0] for bundle in listener.events] == ["handshake", "heartbeat"]
    await teller.at_once(ends_at=datetime.now(UTC))
    await teller.tell(subscription)
    assert (await office.get("ehr-2", f"/fhir/Subscription/{subscription}")).json()["status"] == "off"


@ONE
async def test_one_that_is_gone_is_off_and_one_whose_account_is_ended_is_told_nothing(
    office: Office, listener: Listener, teller: Teller
) -> None:
    gone, other = [await subscribed(office, asked(listener)) for _ in range(2)]
    listener.answers = [410]
    await teller.tell(gone)
    assert (await office.get("ehr-2", f"/fhir/Subscription/{gone}")).json()["status"] == "off"
    notices = (await office.get("dir-1", "/notices")).json()["items"]
    assert "subscription-ended" in [n["subject"] for n in notices]
    entry = {"name": "EHR", "role": "integrator", "active": False}
    put = await office.http.put("/staff/ehr-2", json=entry, headers=office.sign_in("dir-1"))
    assert put.status_code == 200, put.text
    await teller.tell(other)
    assert listener.events == []


@ONE
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"criteria": "Task?status=requested"}, "NotASubscription"),
        ({"channel": {"type": "email"}}, "NotASubscription"),
        ({"resourceType": "Task"}, "NotASubscription"),
        ({"end": "2020-01-01T00:00:00Z"}, "NotASubscription"),
        ({"end": "tomorrow"}, "NotASubscription"),
        ({"_criteria": {"extension": [{"url": FILTER, "valueString": "Task?owner=me"}]}}, "NotASubscription"),
        ({"endpoint": "http://169.254.169.254/"}, "NotOutside"),
        ({"header": ["Host: inside"]}, "NotASubscription"),
        ({"header": ["X-A: 1", "x-a: 2"]}, "NotASubscription"),
        ({"header": ["Expect: 100-continue"]}, "NotASubscription"),
        ({"criteria": "task"}, "NotASubscription"),
        ({"status": 9}, "NotASubscription"),
        ({"_criteria": [1]}, "NotASubscription"),
        ({"_criteria": {"extension": None}}, "NotASubscription"),
        ({"_criteria": {"extension": [{"url": FILTER, "valueString": "Banana?patient=a"}]}}, "NotASubscription"),
        ({"end": "9999-12-31T23:59:59-14:00"}, "NotASubscription"),
        ({"endpoint": "https://[::1]/"}, "NotOutside"),
        ({"endpoint": "file://127.0.0.1/etc/passwd"}, "NotOutside"),
        ({"header": ["X: a\r\nHost: inside"]}, "NotASubscription"),
        ({"header": "Authorization: x"}, "NotASubscription"),
        ({"payload": "text/plain"}, "NotASubscription"),
        ({"_payload": {"extension": [{"url": PAYLOAD, "valueCode": "full-resource"}]}}, "NotASubscription"),
        ({"extension": [{"url": HEARTBEAT, "valueUnsignedInt": 1}]}, "NotASubscription"),
    ],
)
async def test_what_cannot_be_subscribed_to_is_refused_by_its_element(
    quiet_office: Office, listener: Listener, said: Asked, code: str
) -> None:
    wanted = asked(listener)
    of_channel = {"endpoint", "header", "payload", "_payload", "extension"} & said.keys()
    whole = {**wanted, "channel": {**wanted["channel"], **said}} if of_channel else {**wanted, **said}
    answer = await quiet_office.post("ehr-2", "/fhir/Subscription", whole)
    assert answer.status_code == 400, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == code


@ONE
async def test_a_subscription_is_its_accounts_own(quiet_office: Office, listener: Listener) -> None:
    """Its headers are told to nobody; without it nothing is found."""
    office = quiet_office
    mine = await subscribed(office, asked(listener))
    shown = await office.get("ehr-2", "/fhir/Subscription")
    assert [entry["resource"]["id"] for entry in shown.json()["entry"]] == [mine]
    valid(shown.json()["entry"][0]["resource"])
    assert "theirs" not in shown.text
    assert BACKPORT in shown.text
    for path in ("", "/$status", "/$events"):
        assert (await office.get("ehr-1", f"/fhir/Subscription/{mine}{path}")).status_code == 404
    assert (await office.get("cm-anna", "/fhir/Subscription")).status_code == 403
    headers = office.sign_in("ehr-1")
    assert (await office.http.delete(f"/fhir/Subscription/{mine}", headers=headers)).status_code == 404
    headers = office.sign_in("ehr-2")
    assert (await office.http.delete(f"/fhir/Subscription/{mine}", headers=headers)).status_code == 204
    assert (await office.get("ehr-2", "/fhir/Subscription")).json()["entry"] == []


@ONE
async def test_bell_and_lane_tell_by_themselves(office: Office, listener: Listener, settings: Settings) -> None:
    await hang_bell(office.parts.client, settings)
    case_id = await sent(office)
    await subscribed(office, asked(listener))

    async def heard(kind: str) -> bool:
        return kind in [told(bundle)["type"][0] for bundle in listener.events]

    await office.until(lambda: heard("handshake"))
    await refer(office, case_id)
    await office.until(lambda: heard("event-notification"))
