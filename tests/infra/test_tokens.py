"""Tokens of an identity provider are checked against its keys; whatever it answers instead is no fault of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

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
