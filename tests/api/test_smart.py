"""A partner's backend service signs in with a token of its own issuer and does what its scopes say, by consent."""

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from exchange.fhir_subscription import topic_url
from infra.tokens import Verifier
from tests.api.test_fhir_task import SHARE
from tests.api.test_subscriptions import refer
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ISSUER = "https://idp.meadow.example"
KEYS: dict[str, Any] = {
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "RS384": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


@pytest.fixture
def key_set() -> Iterator[str]:
    """The partner's key set, over HTTP."""
    shown = []
    for algorithm, key in KEYS.items():
        kind = jwt.algorithms.ECAlgorithm if algorithm.startswith("ES") else jwt.algorithms.RSAAlgorithm
        shown.append(
            {**json.loads(kind.to_jwk(key.public_key())), "kid": algorithm, "alg": algorithm, "use": "sig"}
        )
    body = json.dumps({"keys": shown}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/jwks"
    server.shutdown()
    server.server_close()


@pytest.fixture
def office_of_partner(office: Office, key_set: str) -> Iterator[Office]:
    said = {"smart_issuers": f"meadow|{ISSUER}|{key_set}|local", "smart_token_url": f"{ISSUER}/token"}
    settings = office.parts.settings.model_copy(update=said)
    before, office.app.state.system = (
        office.parts,
        dataclasses.replace(office.parts, settings=settings, verifier=Verifier(settings)),
    )
    yield office
    office.app.state.system.let_go()
    office.app.state.system = before


def token(office: Office, scope: Any, algorithm: str = "ES384", key: Any = None, **more: Any) -> dict[str, str]:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": office.parts.settings.audience,
        "sub": "app-1",
        "client_id": "app-1",
        "scope": scope,
    }
    claims |= {"iat": now, "exp": now + 300, **more}
    signed = jwt.encode(claims, key or KEYS[algorithm], algorithm=algorithm, headers={"kid": algorithm})
    return {"Authorization": f"Bearer {signed}"}


async def status(office: Office, path: str, headers: dict[str, str]) -> int:
    return int((await office.http.get(path, headers=headers)).status_code)


async def test_a_partners_client_reads_what_its_scopes_say_of_what_people_share_with_it(
    office_of_partner: Office,
) -> None:
    """Its account carries the partner's name; either algorithm; without a share it finds nothing."""
    office = office_of_partner
    case_id = await office.open()
    await office.walk(case_id)
    tasks = token(office, "system/Task.rs")
    assert (await office.http.get("/fhir/Task", headers=tasks)).json()["entry"] == []
    shares = [{**SHARE, "reads": "referrals", "reader": "meadow.app-1"}]
    await office.do(case_id, "record-consent", form="written", shares=shares)
    await refer(office, case_id)
    for algorithm in KEYS:
        found = await office.http.get("/fhir/Task", headers=token(office, "system/Task.rs", algorithm))
        assert len(found.json()["entry"]) == 1, found.text
    [task] = [entry["resource"] for entry in found.json()["entry"]]
    beside = await office.http.get("/fhir/Task?_include=Task:focus", headers=tasks)
    assert (beside.status_code, "ServiceRequest.r" in beside.text) == (403, True)
    both = token(office, "system/Task.rs system/ServiceRequest.read")
    assert await status(office, "/fhir/Task?_include=Task:focus", both) == 200
    put = await office.http.put(f"/fhir/Task/{task['id']}", json={**task, "status": "accepted"}, headers=tasks)
    assert put.status_code == 403
    writes = token(office, "system/Task.rus")
    put = await office.http.put(f"/fhir/Task/{task['id']}", json={**task, "status": "accepted"}, headers=writes)
    assert (put.status_code, put.json()["status"]) == (200, "accepted")
    looked = (await office.get("dir-1", "/audit", actor="meadow.app-1")).json()["items"]
    assert {"update-task"} <= {one["action"] for one in looked}


async def test_what_a_scope_does_not_say_is_refused(office_of_partner: Office) -> None:
    office = office_of_partner
    every = token(office, ["system/*.rs"])
    assert await status(office, "/fhir/Task", every) == 200
    assert await status(office, "/fhir/metadata", token(office, "system/Task.r")) == 200
    for path in ("/cases", "/work", "/events", "/me", "/shares"):
        assert await status(office, path, every) == 403, path
    assert await status(office, "/fhir/Task", token(office, "system/Task.r")) == 403
    assert await status(office, "/fhir/Task", token(office, "system/CarePlan.rs")) == 403
    assert await status(office, "/fhir/Task", token(office, "system/Task.rs?status=requested")) == 403
    assert await status(office, "/fhir/Task", token(office, "system/Task.")) == 403
    post = await office.http.post("/fhir/Subscription", json={}, headers=every)
    assert (post.status_code, "Subscription.c" in post.text) == (403, True)


async def test_a_partner_can_make_nobody_of_ours_and_no_other_scope(office_of_partner: Office) -> None:
    """Whatever role, tenant or account its token claims; another's key, another's audience, an old one."""
    office = office_of_partner
    claims: dict[str, Any] = {
        "role": "director",
        "tenant": "elsewhere",
        "sub": "dir-1",
        "client_id": "dir-1",
        "teams": ["north"],
    }
    listed = token(office, ["system/*.rs feed", "events"], **claims)
    told = {"patient": "Patient/1", "command": {"source": "x", "died_on": "2026-11-01"}}
    for path in ("/feed/report-death", "/feed/Task"):
        answer = await office.http.post(path, json=told, headers=listed)
        assert (answer.status_code, answer.json()["code"]) == (403, "ScopeMissing"), answer.text
    for scope in (5, True, None, {"system/*.rs": 1}, [7]):
        assert await status(office, "/fhir/Task", token(office, scope)) == 401, scope
    crossed = {"alg": "ES256", "kid": "RS384"}
    signed = jwt.encode(
        {"iss": ISSUER}, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers=crossed
    )
    assert await status(office, "/fhir/Task", {"Authorization": f"Bearer {signed}"}) == 401
    posing = token(office, "system/*.rs feed events", **claims)
    assert await status(office, "/cases", posing) == 403
    assert await status(office, "/events", posing) == 403
    assert (await office.http.post("/feed/report-death", json={}, headers=posing)).status_code in (403, 422)
    assert await status(office, "/fhir/Task", token(office, "feed events")) == 401
    assert await status(office, "/fhir/Task", token(office, "user/*.rs")) == 401
    other = ec.generate_private_key(ec.SECP384R1())
    assert await status(office, "/fhir/Task", token(office, "system/*.rs", key=other)) == 401
    assert await status(office, "/fhir/Task", token(office, "system/*.rs", aud="another")) == 401
    assert await status(office, "/fhir/Task", token(office, "system/*.rs", iss="https://x.example")) == 401
    assert await status(office, "/fhir/Task", token(office, "system/*.rs", exp=int(time.time()) - 60)) == 401
    for client in ("a b/../c", 5, ["a"], ""):
        assert await status(office, "/fhir/Task", token(office, "system/*.rs", client_id=client)) == 401, client
    assert await status(office, "/cases", office.sign_in("cm-anna")) == 200  # our own people as before


async def test_a_subscription_needs_the_scope_for_what_it_tells_of(office_of_partner: Office) -> None:
    said = {
        **{"resourceType": "Subscription", "status": "requested", "criteria": topic_url("care-plan")},
        "channel": {"type": "rest-hook", "endpoint": "https://x.example/", "payload": "application/fhir+json"},
    }
    for scope, wanted in (("system/Subscription.c", 403), ("system/*.c system/*.r", 201)):
        headers = token(office_of_partner, scope)
        answer = await office_of_partner.http.post("/fhir/Subscription", json=said, headers=headers)
        assert answer.status_code == wanted, answer.text


async def test_where_tokens_come_from_is_told_to_everybody_or_not_at_all(office_of_partner: Office) -> None:
    office = office_of_partner
    said = (await office.http.get("/fhir/.well-known/smart-configuration")).json()
    assert said["token_endpoint"] == f"{ISSUER}/token"
    assert "client-confidential-asymmetric" in said["capabilities"]
    office.app.state.system = office.parts
    assert await status(office, "/fhir/.well-known/smart-configuration", {}) == 404
