"""What others wrote and we ship is what they released, with its licence beside it; and a page stays light."""

import gzip
import hashlib

from desk.web import STATIC

RELEASED = {  # as npm has htmx.org 4.0.1
    "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-sse-4.0.1.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
}
MOST_BYTES = 60 * 1024


def test_vendored_files_are_those_that_were_released() -> None:
    for name, digest in RELEASED.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name
    assert "Zero-Clause BSD" in (STATIC / "htmx-LICENSE.txt").read_text()


def test_all_that_a_first_page_fetches_is_light() -> None:
    """Compressed, without the page itself, which is a few kilobytes."""
    fetched = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css")]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in fetched) < MOST_BYTES / 2
