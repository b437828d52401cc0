"""MLLP over TLS: a sender with the certificate that is asked for is taken, and one without it is not."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.loopback import free_port
from listener import BEGIN, END, listening, ports_of
from tests.exchange.test_hl7 import hl7
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def certificate(path: Path, name: str) -> Path:
    """A key and the certificate that it has signed for itself, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_only_a_sender_with_its_certificate_is_taken(office: Office, tmp_path: Path) -> None:
    """Over clear text, or with another's certificate, nothing is read and nothing is kept."""
    ours, theirs = certificate(tmp_path / "ours.pem", "caseloom.test"), certificate(tmp_path / "theirs.pem", "adt")
    strange, port = certificate(tmp_path / "strange.pem", "strange"), free_port()
    settings = office.parts.settings.model_copy(
        update={"feeds": f"demo-hospital:{port}", "hl7_certificate": str(ours), "hl7_clients": str(theirs)}
    )

    async def send(own: Path | None) -> bytes:
        context = ssl.create_default_context(cafile=str(ours)) if own else None
        if context and own:
            context.load_cert_chain(own)
        name = "caseloom.test" if own else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        try:
            writer.write(BEGIN + hl7("A01") + END)
            return await reader.readuntil(END)
        finally:
            writer.transport.abort()

    async with listening(office.parts, settings, ports_of(settings)):
        assert b"MSA|AA|" in await send(theirs)
        for other in (strange, None):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await send(other)
    kept = [
        m for s in ("open", "waiting") for m in (await office.get("sup-1", "/inbound", state=s)).json()["items"]
    ]
    assert [m["seen"] for m in kept] == [1]
