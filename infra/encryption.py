"""Encryption of what the engine stores, and of a case's state on record: AES-256-GCM, under a ring of keys.

A payload names its key by a fingerprint of the key's bytes, and is bound to the namespace and the workflow that
it is for: the same bytes sent to another case, or changed, are garbage. Garbage becomes a payload that nothing can
read, so that the message is quarantined and the case goes on. Under an unknown key it stays as it is: what a case
cannot go on without waits until the key is back, what was sent to it is set aside (docs/decisions/0006).
"""

import base64
import copy
import hashlib
import hmac
import json
import os
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from infra.settings import Settings

ENCODING = b"binary/caseloom-aes256gcm"
NONCE = 12
TEXT = "aes:"
WORTH_PACKING = 120  # bytes
NAME = 16  # characters of a key's fingerprint
UNREADABLE = Payload(metadata={"encoding": b"binary/unreadable"}, data=b"")


class KeyMissing(Exception):
    """A payload was encrypted under a key that this process does not have."""


class KeyRing(PayloadCodec, WithSerializationContext):
    """Encrypts under the first key and decrypts under any. Keys are 32 bytes each."""

    def __init__(self, keys: Sequence[bytes], secret: bytes = b"") -> None:
        """`secret` is what the digests of the record are made under; it stays when the keys change."""
        self._secret = hmac.digest(secret, b"record", "sha256")
        self._ciphers = {fingerprint(key): AESGCM(key) for key in keys}
        self.first = fingerprint(keys[0])  # the name of the key that encrypts
        self._place = b""

    def with_context(self, context: SerializationContext) -> Self:
        """The same keys for the payloads of one workflow; its id names tenant and case."""
        assert isinstance(context, WorkflowSerializationContext | ActivitySerializationContext)
        bound = copy.copy(self)
        bound._place = f"/{context.namespace}/{context.workflow_id or ''}".encode()
        return bound

    async def encode(self, payloads: Iterable[Payload]) -> list[Payload]:
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Iterable[Payload]) -> list[Payload]:
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        """Packed first where that is worth it: what a command leaves in history is JSON, and shrinks to a half."""
        nonce, plain, how = os.urandom(NONCE), payload.SerializeToString(), {}
        if len(plain) > WORTH_PACKING:
            plain, how = zlib.compress(plain, 1), {"packed": b"zlib"}
        text = self._ciphers[self.first].encrypt(nonce, plain, self.first + self._place)
        return Payload(metadata={"encoding": ENCODING, "key": self.first, **how}, data=nonce + text)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return UNREADABLE
        key = payload.metadata.get("key", b"")
        cipher = self._ciphers.get(key)
        if cipher is None:
            return payload
        try:
            plain = cipher.decrypt(payload.data[:NONCE], payload.data[NONCE:], key + self._place)
            if "packed" in payload.metadata:
                plain = zlib.decompress(plain)
            return Payload.FromString(plain)
        except (InvalidTag, ValueError, zlib.error, DecodeError):
            return UNREADABLE

    @staticmethod
    def missing(payload: Payload) -> str | None:
        """The name of the key that a payload waits for; None where it was decrypted, or never can be."""
        if payload.metadata.get("encoding") != ENCODING:
            return None
        return payload.metadata.get("key", b"").decode(errors="replace")[:NAME]

    def encrypted(self, plain: bytes, place: str) -> bytes:
        """Bytes as the record keeps them: packed, encrypted, with the name of their key in front.

        `place` is the row that they are for (table and key): in another one they cannot be read.
        """
        nonce, cipher = os.urandom(NONCE), self._ciphers[self.first]
        packed = zlib.compress(plain, 1)
        return self.first + nonce + cipher.encrypt(nonce, packed, self.first + place.encode())

    def decrypted(self, stored: bytes, place: str) -> bytes | None:
        """What was encrypted for this place; None where it was changed or moved since.

        Raises `KeyMissing` for a key that is not here.
        """
        try:
            return zlib.decompress(self._plain(stored, place))
        except (InvalidTag, ValueError, zlib.error):
            return None

    def _plain(self, stored: bytes, place: str) -> bytes:
        """Raises `KeyMissing`, `InvalidTag`, `ValueError`."""
        key, nonce, text = stored[:NAME], stored[NAME : NAME + NONCE], stored[NAME + NONCE :]
        if (cipher := self._ciphers.get(key)) is None:
            raise KeyMissing(f"no encryption key {key.decode(errors='replace')}")
        return cipher.decrypt(nonce, text, key + place.encode())

    def encrypted_text(self, text: str, place: str) -> str:
        """A short text of a list as its column keeps it, for `place` alone.

        The same text there gives the same again, so that a list made anew is the same list; the nonce is a keyed
        digest of both.
        """
        nonce = hmac.digest(self._secret, f"{place}\0{text}".encode(), "sha256")[:NONCE]
        kept = self._ciphers[self.first].encrypt(nonce, text.encode(), self.first + place.encode())
        return TEXT + base64.b64encode(self.first + nonce + kept).decode()

    def decrypted_text(self, kept: str, place: str) -> str:
        """The text again; what is not encrypted, of an older release, as it is. Raises `KeyMissing`.

        What was changed or moved is an empty text: `make rebuild` puts it right.
        """
        if not kept.startswith(TEXT):
            return kept
        try:
            return self._plain(base64.b64decode(kept.removeprefix(TEXT), validate=True), place).decode()
        except (InvalidTag, ValueError):
            return ""

    def digest(self, said: object) -> str:
        """A keyed digest of what JSON can hold: whoever has the database alone cannot make one."""
        written = json.dumps(said, sort_keys=True, ensure_ascii=False)
        return hmac.new(self._secret, written.encode(), "sha256").hexdigest()


def fingerprint(key: bytes) -> bytes:
    """The public name of a key."""
    return hashlib.sha256(b"caseloom key " + key).hexdigest()[:16].encode()


def load_keys(given: str, data_dir: Path) -> list[bytes]:
    """The keys of this process: those given (base64, comma between them), else the data folder's own.

    The file is made on first use, readable by its owner only. Raises `PermissionError` when others can
    read it, `ValueError` when a key is not 32 bytes.
    """
    if given:
        keys = [base64.b64decode(part) for part in given.split(",")]
    else:
        lines = secret_file(data_dir / "encryption.keys", lambda: base64.b64encode(os.urandom(32)))
        keys = [base64.b64decode(line) for line in lines.split()]
    if not keys or any(len(key) != 32 for key in keys):
        raise ValueError("an encryption key is 32 bytes, written in base64")
    return keys


def ring_of(settings: Settings) -> KeyRing:
    """The keys of this process, as the settings say. Raises what `load_keys` raises."""
    keys = load_keys(settings.encryption_keys, settings.data_dir)
    return KeyRing(keys, index_key(settings.index_key, settings.data_dir))


def index_key(given: str, data_dir: Path) -> bytes:
    """The key under which ids and look-ups are derived: given (base64), else the data folder's own.

    It is never rotated: an id that was derived under it must be found again. Raises as `load_keys` does.
    """
    if not given:
        return base64.b64decode(secret_file(data_dir / "index.key", lambda: base64.b64encode(os.urandom(32))))
    key = base64.b64decode(given)
    if len(key) != 32:
        raise ValueError("the index key is 32 bytes, written in base64")
    return key


def derived_id(key: bytes, name: str) -> uuid.UUID:
    """The same id for the same name, and one that nobody without the index key can compute from it."""
    return uuid.UUID(bytes=hmac.digest(key, name.encode(), "sha256")[:NAME])


def secret_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a secret file, made once by whoever comes first. Raises `PermissionError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path.name} can be read by others: chmod 600 it")
    return path.read_bytes()
