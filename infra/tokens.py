"""Bearer tokens: issued here under a local key, or by an identity provider whose key set is fetched.

The local key is made on first start, readable by its owner only.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
PARTNER_ALGORITHMS = ["RS384", "ES384", "RS256", "ES256"]
PARTNER = re.compile(  # a name has no dot, so that no two partners make the same account
    r"(?P<name>[a-z0-9][a-z0-9-]{0,30})\|(?P<issuer>[^|]+)\|(?P<jwks_url>[^|]+)\|(?P<tenant>[^|]+)"
)
OF_PARTNERS = "system/"  # the only scopes that a partner's issuer can give
LEEWAY = timedelta(seconds=30)
OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})  # OpenID Connect Core 1.0, sections 2 and 3.3.2.11
FETCH_SECONDS, WAIT_SECONDS, PAUSE_SECONDS = 5, 3.0, 10.0
REFRESH_SECONDS, TRUSTED_SECONDS = 60.0, 280.0


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


class ProviderKeys:
    """The key set of an identity provider, fetched on a thread of its own so that a slow provider holds nobody up.

    A key that the provider has taken out of its set is out here when the set is next fetched, within
    `REFRESH_SECONDS`; while the provider does not answer, keys are trusted until `TRUSTED_SECONDS` after the last
    answer. A key that is not known has the set fetched at most every `PAUSE_SECONDS`.
    """

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_keys=False, cache_jwk_set=False, timeout=FETCH_SECONDS)
        self._thread = ThreadPoolExecutor(1, "sign-in")
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Future[None] | None = None

    async def key(self, token: str) -> Any:
        """The key that a token names. Raises `ProviderAway`, `InvalidToken`, PyJWT's own for what is no token."""
        name = str(jwt.get_unverified_header(token).get("kid"))
        age = time.monotonic() - self._fetched_at
        if name not in self._keys or age > REFRESH_SECONDS:
            self._fetch()
        if name in self._keys and age < TRUSTED_SECONDS:
            return self._keys[name]
        if self._fetching is not None:
            await asyncio.wait([self._fetching], timeout=WAIT_SECONDS)
        if time.monotonic() - self._fetched_at > TRUSTED_SECONDS:
            raise ProviderAway
        if name not in self._keys:
            raise InvalidToken("UnknownKey")
        return self._keys[name]

    def _fetch(self) -> None:
        """Begin to fetch the set, unless that goes on or was tried a moment ago."""
        now = time.monotonic()
        if self._fetching is None and now - self._tried_at >= PAUSE_SECONDS:
            self._tried_at = now
            self._fetching = asyncio.get_running_loop().run_in_executor(self._thread, self._fetch_now)
            self._fetching.add_done_callback(self._over)

    def _fetch_now(self) -> None:
        found = self._client.get_signing_keys(refresh=True)
        self._keys = {key.key_id: key.key for key in found if key.key_id is not None}
        self._fetched_at = time.monotonic()

    def _over(self, fetched: "asyncio.Future[None]") -> None:
        """Where the provider did not give a set, the one before holds until its time is over."""
        self._fetching = None
        if not fetched.cancelled():
            fetched.exception()


@dataclass(frozen=True)
class Partner:
    """A partner's issuer of tokens (SMART Backend Services): its name here, and its tenant."""

    name: str
    issuer: str
    jwks_url: str
    tenant: str


def partners(said: str) -> list[Partner]:
    """The partners, from `name|issuer|key set's address|tenant` each, with blanks between them.

    Raises `ValueError` for one that is written otherwise, or twice.
    """
    written = [PARTNER.fullmatch(one) for one in said.split()]
    known = [Partner(**match.groupdict()) for match in written if match]
    names, issuers = {partner.name for partner in known}, {partner.issuer for partner in known}
    if not len(written) == len(known) == len(names) == len(issuers):
        raise ValueError("write each partner once, as name|issuer|jwks-url|tenant; a name has no dot")
    return known


class Verifier:
    """Checks tokens against the local key or a provider's key set, and those of partners against their own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        known = partners(settings.smart_issuers)
        self._partners = {partner.issuer: (partner, ProviderKeys(partner.jwks_url)) for partner in known}
        if settings.issuer in self._partners:
            raise ValueError("a partner's issuer is another than our own (CASELOOM_ISSUER)")
        self._keys = ProviderKeys(settings.jwks_url) if settings.jwks_url else None
        self._local = None if self._keys else signing_key(settings.data_dir).public_key()

    async def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that is to be trusted. Raises `InvalidToken`, `ProviderAway`."""
        try:
            if self._partners and (found := self._partners.get(_issuer(token))) is not None:
                return await self._of_partner(token, *found)
            if self._keys is None:
                return self._decode(token, self._local, [LOCAL_ALGORITHM])
            return self._decode(token, await self._keys.key(token), PROVIDER_ALGORITHMS)
        except (jwt.PyJWTError, TypeError, ValueError) as fault:  # a key of another family than the token says
            raise InvalidToken(type(fault).__name__) from None

    async def _of_partner(self, token: str, partner: Partner, keys: ProviderKeys) -> dict[str, Any]:
        """A partner's client as an account of ours: under the partner's name, as an integrator, with its scopes.

        Whatever else the token says of a role, a tenant or other scopes is not the partner's to say.
        """
        claims = self._decode(token, await keys.key(token), PARTNER_ALGORITHMS, partner.issuer)
        client = next((claims[name] for name in ("client_id", "azp", "sub") if name in claims), None)
        if not isinstance(client, str) or not client:
            raise InvalidToken("ClientMalformed")
        scope = " ".join(word for word in _words(claims.get("scope")) if word.startswith(OF_PARTNERS))
        if not scope:
            raise InvalidToken("ScopeMissing")
        account = {"sub": f"{partner.name}.{client}", "role": Role.INTEGRATOR.value, "tenant": partner.tenant}
        return {**account, "scope": scope, "iat": claims["iat"], "exp": claims["exp"]}

    def _decode(self, token: str, key: Any, algorithms: list[str], issuer: str | None = None) -> dict[str, Any]:
        """Raises `InvalidToken` also for one that tells a page who signed in, and for one that lives too long."""
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=issuer or self._settings.issuer,
            audience=self._settings.audience,
            leeway=LEEWAY,
            options={"require": REQUIRED},
        )
        kinds = {str(said.get("typ")).lower() for said in (jwt.get_unverified_header(token), claims)}
        if kinds & {"id", "id+jwt"} or not OF_ID_TOKENS.isdisjoint(claims):
            raise InvalidToken("IdToken")
        if not all(isinstance(claims[name], int | float) for name in ("exp", "iat")):
            raise InvalidToken("TimesMalformed")
        if claims["exp"] - claims["iat"] > self._settings.token_hours * 3600 + LEEWAY.total_seconds():
            raise InvalidToken("LivesTooLong")
        return claims


def _words(scope: Any) -> list[str]:
    """The scopes, each a word, however they are written. Raises `InvalidToken` for what is no text."""
    said = [scope] if isinstance(scope, str) else scope
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise InvalidToken("ScopeMalformed")
    return [word for one in said for word in one.split()]


def _issuer(token: str) -> str:
    """Whom a token says that it is from: by that is chosen with whose key it is checked, and no more."""
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return str(said.get("iss"))
