"""Signing in at a provider: what comes back as it was sent signs in, and nothing else does."""

import asyncio
import base64
import dataclasses
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import pytest_asyncio
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from desk import oidc
from desk.app import app
from infra.loopback import free_port
from tests.desk.conftest import Browser
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
CLIENT, SECRET = "caseloom-desk", "s3cret"


class Provider:
    """An identity provider that gives a code to whoever asks, and says of her what a test wants it to say."""

    def __init__(self, port: int) -> None:
        self.issuer, self.codes, self.said = (
            f"http://127.0.0.1:{port}",
            dict[str, dict[str, str]](),
            dict[str, Any](),
        )
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signing, self.algorithm = self.key, "RS256"
        self.app = FastAPI()
        self.app.get("/.well-known/openid-configuration")(self.configuration)
        self.app.get("/keys")(self.keys)
        self.app.post("/token")(self.token)

    async def configuration(self) -> dict[str, str]:
        named = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return {"issuer": self.issuer, **{name: f"{self.issuer}{path}" for name, path in named.items()}}

    async def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}

    def authorize(self, address: str) -> tuple[str, str]:
        """What the person's browser does there: a code and the state, sent back with her."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return code, asked["state"]

    async def token(self, request: Request) -> JSONResponse:
        form = await request.form()
        asked = self.codes.pop(str(form["code"]), None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "cm-anna", "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], "tenant": "local", **self.said}
        signed = jwt.encode(claims, self.signing, algorithm=self.algorithm, headers={"kid": "one"})
        return JSONResponse({"id_token": signed, "access_token": "x", "token_type": "Bearer"})


@pytest_asyncio.fixture(loop_scope="session")
async def provider(at: Any, office: Office) -> AsyncIterator[Provider]:
    """The provider on a port of this machine, and the desk set to it."""
    found = Provider(free_port())
    port = int(found.issuer.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(found.app, port=port, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    more = {"oidc_issuer": found.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    there = app.state.system
    app.state.system = dataclasses.replace(there, settings=there.settings.model_copy(update=more))
    oidc._KEYS.clear()
    yield found
    app.state.system = there
    server.should_exit, server.force_exit = True, True
    with suppress(asyncio.CancelledError):
        await serving


async def round_trip(browser: Browser, provider: Provider, **changed: str) -> Any:
    """Begin to sign in, be at the provider, and come back."""
    begun = await browser.get("/desk/sign-in", next="/desk/caseload")
    start = await browser.get(begun.headers["location"])
    code, state = provider.authorize(start.headers["location"])
    return await browser.get("/desk/oidc/back", **{"code": code, "state": state, **changed})


async def test_whom_the_provider_names_is_signed_in_with_the_role_of_the_directory(
    office: Office, provider: Provider
) -> None:
    """Where she wanted to go; the provider's own role goes before the directory's."""
    anna = Browser(office, "cm-anna")
    back = await round_trip(anna, provider)
    assert back.headers["location"] == "/desk/caseload"
    assert "case manager" in await anna.page("/desk/")
    provider.said = {"role": "auditor", "sub": "aud-9"}
    other = Browser(office, "aud-9")
    assert (await round_trip(other, provider)).status_code == 303
    assert "/desk/audit" in await other.page("/desk/")
    assert (await anna.get("/desk/sign-in")).headers["location"].startswith("/desk/oidc/start")
    assert (await anna.post("/desk/sign-in", subject="dir-1")).status_code == 404


@pytest.mark.parametrize(
    "said",
    [
        {"aud": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"nonce": "another"},
        {"sub": "nobody-here"},
        {"role": "integrator"},
        {"role": "caseloom"},
    ],
    ids=str,
)
async def test_a_token_that_is_not_ours_signs_nobody_in(office: Office, provider: Provider, said: Any) -> None:
    provider.said = said
    browser = Browser(office, "x")
    assert (await round_trip(browser, provider)).status_code == 401
    assert (await browser.get("/desk/")).status_code == 303


async def test_what_was_begun_elsewhere_twice_or_signed_by_another_signs_nobody_in(
    office: Office, provider: Provider
) -> None:
    """Another state, another browser, a code twice, none at all, another key, no signature; a page elsewhere."""
    browser = Browser(office, "x")
    assert (await round_trip(browser, provider, state="another")).status_code == 401
    assert (await round_trip(browser, provider, code="unknown")).status_code == 401
    begun = await browser.get("/desk/oidc/start", next="//evil.example")
    code, state = provider.authorize(begun.headers["location"])
    assert (await Browser(office, "y").get("/desk/oidc/back", code=code, state=state)).status_code == 401
    assert (await browser.get("/desk/oidc/back", state=state, error="access_denied")).status_code == 401
    assert (await browser.get("/desk/oidc/back", code=code, state=state)).headers["location"] == "/desk/"
    again = Browser(office, "z")
    assert (await again.get("/desk/oidc/back", code=code, state=state)).status_code == 401
    provider.signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert (await round_trip(again, provider)).status_code == 401
    provider.signing, provider.algorithm = "", "none"  # type: ignore[assignment]
    assert (await round_trip(again, provider)).status_code == 401


async def test_while_the_provider_is_away_nobody_is_signed_in_and_it_says_so(
    office: Office, provider: Provider
) -> None:
    app.state.system = dataclasses.replace(
        app.state.system,
        settings=app.state.system.settings.model_copy(update={"oidc_issuer": f"http://127.0.0.1:{free_port()}"}),
    )
    answer = await Browser(office, "x").get("/desk/oidc/start")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
