"""Other systems hear what happened: in order, signed, with ids only, and never within our own network."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from activities.webhooks import Webhooks
from domain.values import Role
from infra import database, outbound, tokens
from infra.encryption import ring_of
from infra.settings import Settings
from infra.webhook_tables import EndpointRow
from tests.office import Office
from worker import hang_bell

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ALICE: dict[str, Any] = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05"}


class Listener:
    """A real endpoint. It keeps what it hears, and may be told to answer otherwise."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.later = "0"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = outer.answers.pop(0) if outer.answers else 204
                if status < 300:
                    outer.heard.append((dict(self.headers.items()), body))
                self.send_response(status)
                self.send_header("retry-after", outer.later)
                self.send_header("location", "http://127.0.0.1:1/inside")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?team=north"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_loopback": True})


@pytest_asyncio.fixture(loop_scope="session")
async def poster(office: Office, settings: Settings) -> AsyncIterator[Webhooks]:
    """What bell and lane do, when a test says so."""
    engine = database.blocking(office.parts.engine.url)
    yield Webhooks(engine, ring_of(settings), settings)
    engine.dispose()


async def endpoint(office: Office, listener: Listener, **more: Any) -> dict[str, Any]:
    answer = await office.post("dir-1", "/webhooks", {"url": listener.url, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def posted(poster: Webhooks, endpoint_id: str) -> None:
    from temporalio.testing import ActivityEnvironment

    await asyncio.to_thread(poster.number)
    while await ActivityEnvironment().run(poster.post_events, endpoint_id):
        pass


async def at_once(office: Office) -> None:
    """The time to wait before the next try is over."""
    async with office.parts.engine.begin() as connection:
        await connection.execute(update(EndpointRow).values(next_at=None))


def signs(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As the receiver checks it (Standard Webhooks 1.0.0), written down a second time."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    return wanted in headers["webhook-signature"].split(" ")


async def test_events_arrive_by_themselves_in_order_signed_and_say_ids_only(
    office: Office, listener: Listener, settings: Settings
) -> None:
    """From the command to the endpoint through bell and lane, on both databases; the feed says the same."""
    there = await endpoint(office, listener)
    await hang_bell(office.parts.client, settings)
    case_id = await office.open(person=ALICE, owner="cm-anna")
    await office.do(case_id, "record-consent", form="verbal")
    await office.do(case_id, "close", reason="moved", note="Alice lives in Ohio now")
    async with asyncio.timeout(30):
        while "case-ended" not in [event["data"]["kind"] for event in listener.events]:
            await asyncio.sleep(0.1)
    kinds = [event["data"]["kind"] for event in listener.events]
    assert [k for k in kinds if k != "stage-entered"][:2] == ["case-opened", "consent-recorded"]
    assert [event["sequence"] for event in listener.events] == sorted(e["sequence"] for e in listener.events)
    for headers, body in listener.heard:
        assert signs(there["secret"], headers, body)
        assert headers["content-type"] == "application/cloudevents+json"
        assert set(json.loads(body)["data"]) == {"case_id", "seq", "kind"}
        for word in (b"Alice", b"Ohio", b"complex"):
            assert word not in body
    assert listener.events[0]["type"] == "org.caseloom.case.opened.v1"
    feed = (await office.get("dir-1", "/events")).json()
    assert [(e["case_id"], e["seq"]) for e in feed["items"]] == [
        (e["data"]["case_id"], e["data"]["seq"]) for e in listener.events
    ]
    assert (await office.get("dir-1", "/events", after=feed["next"])).json()["items"] == []


@ONE
async def test_what_was_not_taken_is_sent_again_under_its_id_before_anything_else(
    office: Office, listener: Listener, poster: Webhooks
) -> None:
    """A redirect counts as not taken, and is not followed."""
    there = await endpoint(office, listener, kinds=["case-opened", "case-ended"])
    listener.answers = [500, 302, 429]
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "close", reason="moved")
    for _ in range(3):
        await posted(poster, there["id"])
        assert listener.heard == []
        [stands] = (await office.get("dir-1", "/webhooks")).json()
        assert stands["next_at"] is not None
        await at_once(office)
    await posted(poster, there["id"])
    assert [event["data"]["kind"] for event in listener.events] == ["case-opened", "case-ended"]
    tried = (await office.get("dir-1", f"/webhooks/{there['id']}/attempts")).json()
    assert [one["code"] for one in tried] == ["204", "204", "429", "302", "500"]
    assert len({one["message_id"] for one in tried}) == 2


@ONE
async def test_an_endpoint_that_is_set_back_while_an_event_is_posted_is_not_moved_on(
    office: Office, listener: Listener, poster: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay holds, whatever was under way."""
    there = await endpoint(office, listener, kinds=["case-opened"])
    await office.open(owner="cm-anna")
    await posted(poster, there["id"])
    await office.open(owner="cm-anna")
    post = poster.post

    async def set_back_meanwhile(*given: Any) -> Any:
        answer = await post(*given)
        monkeypatch.setattr(poster, "post", post)
        await office.post("dir-1", f"/webhooks/{there['id']}/replay", {"after": 0})
        return answer

    monkeypatch.setattr(poster, "post", set_back_meanwhile)
    await posted(poster, there["id"])
    names = [event["id"] for event in listener.events]
    assert names == [names[0], names[1], names[0], names[1]]


@ONE
@pytest.mark.parametrize("status", [204, 500])
async def test_nothing_fails_for_an_endpoint_that_is_taken_away_while_an_event_is_posted(
    office: Office, listener: Listener, poster: Webhooks, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    there = await endpoint(office, listener, kinds=["case-opened"])
    post = poster.post

    async def taken_away_meanwhile(*given: Any) -> Any:
        answer = await post(*given)
        await office.http.delete(f"/webhooks/{there['id']}", headers=office.sign_in("dir-1"))
        return answer

    monkeypatch.setattr(poster, "post", taken_away_meanwhile)
    listener.answers = [status]
    await office.open(owner="cm-anna")
    await posted(poster, there["id"])
    assert (await office.get("dir-1", "/webhooks")).json() == []


@ONE
async def test_a_place_beyond_the_end_is_refused_for_nothing_would_be_heard_behind_it(
    office: Office, listener: Listener
) -> None:
    there = await endpoint(office, listener)
    beyond = {"after": 1_000_000}
    answers = [
        await office.get("dir-1", "/events", **beyond),
        await office.post("dir-1", "/webhooks", {"url": listener.url, **beyond}),
        await office.post("dir-1", f"/webhooks/{there['id']}/replay", beyond),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "BeyondTheEnd")] * 3
    assert (await office.get("dir-1", "/events", after=2**63)).status_code == 422


@ONE
@pytest.mark.parametrize("later", ["1" + "0" * 14, "\u00b2", "-5", "soon"])
async def test_an_answer_that_asks_to_wait_for_ever_is_a_failure_like_any_other(
    office: Office, listener: Listener, poster: Webhooks, later: str
) -> None:
    """It is written down, and tried again; nothing raises on every round from then on."""
    there = await endpoint(office, listener, kinds=["case-opened"])
    listener.answers, listener.later = [503], later
    await office.open(owner="cm-anna")
    await posted(poster, there["id"])
    [stands] = (await office.get("dir-1", "/webhooks")).json()
    assert stands["failing_since"] is not None


@ONE
async def test_an_endpoint_for_which_there_is_no_seat_is_told_when_one_is_free(
    office: Office, listener: Listener, poster: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are slow it takes nothing of the worker, which sends the mail as well."""
    there = await endpoint(office, listener, kinds=["case-opened"])
    await office.open(owner="cm-anna")
    monkeypatch.setattr("activities.webhooks.AT_ONCE", 0)
    await posted(poster, there["id"])
    assert listener.heard == []
    monkeypatch.undo()
    await posted(poster, there["id"])
    assert len(listener.heard) == 1


@ONE
async def test_an_endpoint_that_is_gone_is_left_alone_until_it_is_told_again(
    office: Office, listener: Listener, poster: Webhooks
) -> None:
    there = await endpoint(office, listener, kinds=["case-opened"])
    listener.answers = [410]
    await office.open(owner="cm-anna")
    await posted(poster, there["id"])
    [stands] = (await office.get("dir-1", "/webhooks")).json()
    assert stands["disabled"] == "gone"
    [told] = (await office.get("dir-1", "/notices", unread=True)).json()["items"]
    assert (told["subject"], told["about"]) == ("webhook-disabled", there["id"])
    await posted(poster, there["id"])
    assert listener.heard == []
    again = await office.post("dir-1", f"/webhooks/{there['id']}/replay", {"after": 0})
    assert (again.status_code, again.json()["disabled"]) == (200, None)
    await posted(poster, there["id"])
    assert len(listener.heard) == 1


@ONE
async def test_after_a_rotation_both_secrets_sign_and_only_the_new_one_is_shown(
    office: Office, listener: Listener, poster: Webhooks
) -> None:
    old = await endpoint(office, listener, kinds=["case-opened"])
    new = (await office.post("dir-1", f"/webhooks/{old['id']}/rotate", {})).json()
    await office.open(owner="cm-anna")
    await posted(poster, old["id"])
    [(headers, body)] = listener.heard
    assert signs(old["secret"], headers, body)
    assert signs(new["secret"], headers, body)
    assert "secret" not in (await office.get("dir-1", "/webhooks")).json()[0]
    assert (await office.http.delete(f"/webhooks/{old['id']}", headers=office.sign_in("dir-1"))).status_code == 204
    assert (await office.get("dir-1", "/webhooks")).json() == []


@ONE
async def test_events_are_for_whoever_may_hear_them(office: Office, listener: Listener) -> None:
    """An integrator with the scope, directors, auditors; endpoints are a director's; no other tenant hears."""
    await office.open(owner="cm-anna")
    assert (await office.get("cm-anna", "/events")).status_code == 403
    assert (await office.get("ehr-1", "/events")).status_code == 403
    token = tokens.issue(office.parts.settings, "ehr-1", Role.INTEGRATOR, scope="events")
    heard = await office.http.get("/events", headers={"Authorization": f"Bearer {token}"})
    assert heard.status_code == 200
    for who in ("cm-anna", "sup-1", "ehr-1", "aud-1"):
        assert (await office.post(who, "/webhooks", {"url": listener.url})).status_code == 403
    mine = await endpoint(office, listener)
    assert (await office.post("dir-x", f"/webhooks/{mine['id']}/replay", {"after": 0})).status_code == 404
    assert (await office.get("dir-x", "/webhooks")).json() == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "https://example.org:8443/x",
        "https://user:pw@example.org/x",
        "ftp://example.org/x",
        "https:///x",
        "https://example.org:99999/",
        "https://[::1",
        "https://example..org/",
        f"https://{'a' * 64}.org/",
        "https://exämple.org/",
        "https://example.org/\x7f",
    ],
)
def test_an_address_that_cannot_be_a_webhook_s_is_refused(url: str) -> None:
    with pytest.raises(outbound.NotOutside):
        outbound.check_url(url, loopback=False)


@pytest.mark.parametrize(
    "inside",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "192.88.99.1",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "fec0::1",
        "fe80::1",
        "::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "192.0.0.192",
        "168.63.129.16",
        "3fff::1",
        "5f00::1",
    ],
)
def test_an_address_of_our_own_network_is_not_outside(inside: str) -> None:
    assert not outbound.is_outside(ipaddress.ip_address(inside))


def test_an_address_of_the_outside_is() -> None:
    assert outbound.is_outside(ipaddress.ip_address("93.184.216.34"))
    assert outbound.is_outside(ipaddress.ip_address("2606:2800:220:1:248:1893:25c8:1946"))


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "017700000001", "localhost"])
async def test_what_a_name_leads_to_is_looked_at_and_not_how_it_is_written(host: str) -> None:
    with pytest.raises(outbound.NotOutside):
        await outbound.post(f"https://{host}/x", b"{}", {})
