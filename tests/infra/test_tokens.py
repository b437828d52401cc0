"""Tokens of an identity provider are checked against its keys; whatever it answers instead is no fault of ours."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from domain.values import Role
from infra import tokens
from infra.settings import Settings


@contextmanager
def provider(answer: bytes, status: int = 200) -> Iterator[str]:
    """A server that gives this as its key set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/keys"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("answer", "status"), [(b"<html>Sign in</html>", 200), (b"", 200), (b"no", 502)])
async def test_a_provider_that_gives_no_keys_is_away(tmp_path: Path, answer: bytes, status: int) -> None:
    """A page of words in place of keys: nobody can be checked now, and nobody is refused for it."""
    token = tokens.issue(Settings(data_dir=tmp_path), "cm-anna", Role.CASE_MANAGER)
    with provider(answer, status) as url:
        verifier = tokens.Verifier(Settings(data_dir=tmp_path, jwks_url=url))
        with pytest.raises(tokens.ProviderAway):
            await verifier.claims(token)


class Provider:
    """A key set that changes, is slow, or is gone, as the test says."""

    def __init__(self) -> None:
        self.keys = {"one": Ed25519PrivateKey.generate(), "two": Ed25519PrivateKey.generate()}
        self.given, self.hangs, self.asked = {"one", "two"}, Event(), 0
        self.hangs.set()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                provider.hangs.wait(20)
                jwks = [
                    {
                        **json.loads(OKPAlgorithm.to_jwk(key.public_key())),
                        "kid": name,
                        "use": "sig",
                        "alg": "EdDSA",
                    }
                    for name, key in provider.keys.items()
                    if name in provider.given
                ]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": jwks}).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Keep the tests' output quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"

    def token(self, key: str, kid: str | None = None) -> str:
        now = int(time.time())
        claims = {"sub": "x", "iss": "caseloom", "aud": "caseloom", "iat": now, "exp": now + 600}
        return jwt.encode(claims, self.keys[key], algorithm="EdDSA", headers={"kid": kid or key})


@pytest.fixture
def changing() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.hangs.set()
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock that the key set goes by."""
    now = [1000.0]
    monkeypatch.setattr("infra.tokens.time.monotonic", lambda: now[0])
    return now


async def test_a_key_that_the_provider_took_out_is_out_within_five_minutes(
    tmp_path: Path, changing: Provider, passing: list[float]
) -> None:
    """Also where its name stands for another key now."""
    verifier = tokens.Verifier(Settings(data_dir=tmp_path, jwks_url=changing.url))
    for name in ("one", "two"):
        assert (await verifier.claims(changing.token(name)))["sub"] == "x"
    changing.given = {"two"}
    old = changing.token("one")
    changing.keys["two"] = Ed25519PrivateKey.generate()
    passing[0] += 299
    with pytest.raises(tokens.InvalidToken):
        await verifier.claims(old)
    with pytest.raises(tokens.InvalidToken):
        await verifier.claims(changing.token("one", kid="two"))
    assert (await verifier.claims(changing.token("two")))["sub"] == "x"


async def test_while_the_provider_hangs_known_keys_sign_in_at_once_and_unknown_ones_wait_alone(
    tmp_path: Path, changing: Provider, passing: list[float]
) -> None:
    verifier = tokens.Verifier(Settings(data_dir=tmp_path, jwks_url=changing.url))
    await verifier.claims(changing.token("one"))
    changing.hangs.clear()
    passing[0] += 100
    asked = changing.asked
    strangers = [asyncio.create_task(verifier.claims(changing.token("one", kid=f"k{n}"))) for n in range(22)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert (await verifier.claims(changing.token("one")))["sub"] == "x"
    assert not any(task.done() for task in strangers)
    changing.hangs.set()
    refused = await asyncio.gather(*strangers, return_exceptions=True)
    assert {type(fault) for fault in refused} == {tokens.InvalidToken}
    assert changing.asked == asked + 1


async def test_keys_of_a_provider_that_is_gone_are_trusted_for_less_than_five_minutes(
    tmp_path: Path, changing: Provider, passing: list[float]
) -> None:
    verifier = tokens.Verifier(Settings(data_dir=tmp_path, jwks_url=changing.url))
    await verifier.claims(changing.token("one"))
    changing.given = set()
    passing[0] += 200
    await verifier.claims(changing.token("one"))
    passing[0] += 99
    with pytest.raises(tokens.ProviderAway):
        await verifier.claims(changing.token("one"))


@pytest.mark.parametrize(
    "said",
    [
        "a|b|c",
        "a|b|c|d|e",
        "a|b|http://c|d a|x|http://c|d",
        "a|b|http://c|d x|b|http://c|d",
        "|b|c|d",
        "a.b|b|http://c|d",
    ],
)
def test_a_partner_that_is_not_written_as_it_should_be_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"write|unpack"):
        tokens.partners(said)
