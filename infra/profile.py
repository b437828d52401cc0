"""What a system for real people does not start with: `CASELOOM_PROFILE=production`, as the compose file has it."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from temporalio.envconfig import ClientConfig

from infra.encryption import load_keys
from infra.settings import Settings

KNOWN_PASSWORDS = {"", "postgres", "password", "caseloom", "temporal", "changeme", "change-me", "secret"}


class UnsafeSettings(Exception):
    """The settings are not fit for real people; the text says each reason and what to do about it."""


def require_safe(settings: Settings) -> None:
    """Raises `UnsafeSettings` in the production profile."""
    if settings.profile == "production" and (found := list(refusals(settings))):
        raise UnsafeSettings("not fit for production:\n" + "\n".join(f"- {line}" for line in found))


def refusals(settings: Settings) -> Iterator[str]:
    """What is unsafe, a line each."""
    yield from _keys(settings)
    yield from _sign_in(settings)
    yield from _places(settings)
    if settings.data_dir.exists() and settings.data_dir.stat().st_mode & 0o077:
        yield f"others can read {settings.data_dir.name}: chmod 700 it"


def _keys(settings: Settings) -> Iterator[str]:
    try:
        keys = load_keys(settings.encryption_keys, settings.data_dir)
    except (ValueError, PermissionError) as fault:
        yield f"{fault}: make one with `openssl rand -base64 32`"
        return
    if any(len(set(key)) < 8 for key in keys):
        yield "an encryption key is no random key: make one with `openssl rand -base64 32`"
    if not settings.encryption_keys:
        yield "set CASELOOM_ENCRYPTION_KEYS: a key that lies beside the data protects nothing"


def _sign_in(settings: Settings) -> Iterator[str]:
    if not settings.jwks_url:
        yield "set CASELOOM_JWKS_URL to the identity provider's key set: the local signing key is for trying out"
    elif urlsplit(settings.jwks_url).scheme != "https":
        yield "the key set of the identity provider is fetched over http: use https"
    if "http://" in settings.smart_issuers or settings.smart_token_url.startswith("http://"):
        yield "the keys of a partner are fetched over http: use https in CASELOOM_SMART_ISSUERS"
    if "*" in settings.hosts.split(","):
        yield "CASELOOM_HOSTS admits every name: list the names under which the system is reached"


def _places(settings: Settings) -> Iterator[str]:
    host = settings.temporal_address.rpartition(":")[0]
    config = dict(ClientConfig.load_client_connect_config())
    if not _inside(host) and not config.get("tls"):
        yield "the engine is on another machine without TLS: set TEMPORAL_TLS and its certificates"
    found = urlsplit(settings.database_url)
    if found.hostname and (found.password or "") in KNOWN_PASSWORDS:
        yield "the database has a password that everybody knows: set another"


def _inside(host: str) -> bool:
    """Whether an address is of this machine, or a bare name of a container's own network."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return "." not in host
