"""Bearer tokens: issued here under a local key, or by an identity provider whose key set is fetched.

The local key is made on first start, readable by its owner only.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from domain.values import Role
from infra.encryption import secret_file
from infra.settings import Settings

LOCAL_ALGORITHM = "EdDSA"
PROVIDER_ALGORITHMS = ["RS256", "ES256", "EdDSA"]
REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
LEEWAY = timedelta(seconds=30)


class InvalidToken(Exception):
    """The token cannot be trusted; the message says why, without quoting it."""


class ProviderAway(Exception):
    """The identity provider's key set cannot be fetched: nobody's token can be checked now."""


def _make_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_key(data_dir: Path) -> Any:
    """The local signing key, made on first use."""
    return load_pem_private_key(secret_file(data_dir / "signing-key.pem", _make_key), password=None)


def issue(
    settings: Settings,
    subject: str,
    role: Role,
    teams: Sequence[str] = (),
    tenant: str = "local",
    lifetime: timedelta = timedelta(hours=12),
    scope: str = "",
) -> str:
    """A token under the local key."""
    now = datetime.now(UTC)
    claims = {
        "sub": subject,
        "role": role.value,
        "teams": list(teams),
        "tenant": tenant,
        "scope": scope,
        "iss": settings.issuer,
        "aud": settings.audience,
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, signing_key(settings.data_dir), algorithm=LOCAL_ALGORITHM)


class Verifier:
    """Checks tokens against the local key or, when the settings name one, a provider's key set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = jwt.PyJWKClient(settings.jwks_url, cache_keys=True) if settings.jwks_url else None
        self._local = None if self._keys else signing_key(settings.data_dir).public_key()

    async def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that is to be trusted. Raises `InvalidToken`, `ProviderAway`."""
        try:
            if self._keys is None:
                return self._decode(token, self._local, [LOCAL_ALGORITHM])
            return self._decode(token, await self._key_of(token), PROVIDER_ALGORITHMS)
        except jwt.PyJWTError as fault:
            raise InvalidToken(type(fault).__name__) from None

    async def _key_of(self, token: str) -> Any:
        """The provider's key that a token names. Raises `ProviderAway` where it gives none, or something else."""
        assert self._keys is not None
        try:
            found = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
        except (jwt.PyJWKClientConnectionError, ValueError):
            raise ProviderAway from None
        return found.key

    def _decode(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            leeway=LEEWAY,
            options={"require": REQUIRED},
        )
