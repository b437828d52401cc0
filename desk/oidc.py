"""Signing in at an identity provider: OpenID Connect's code flow with PKCE, state and nonce.

What the provider says of her (subject, role, teams, tenant) is what its access tokens say; where it says no role,
the staff directory does.
"""

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import jwt
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from api.problems import Refusal
from api.system import System
from desk import session as sessions
from desk.session import Session
from desk.web import FORM_LIMIT, asked_language, back, to
from domain.values import Role
from infra import row_places
from infra.settings import Settings
from infra.tables import StaffRow
from infra.tokens import LEEWAY, PROVIDER_ALGORITHMS, ProviderAway, ProviderKeys

router = APIRouter(max_body_size=FORM_LIMIT)
PLACE = "desk/oidc"  # what the cookie of a sign-in under way is sealed for
MINUTES = 10
PATIENCE = 10.0
REQUIRED = ["exp", "iat", "sub", "iss", "aud", "nonce"]
_KEYS: dict[str, ProviderKeys] = {}


class UnderWay(BaseModel):
    """A sign-in that was begun at this browser: what has to come back, and where she wanted to go."""

    state: str
    nonce: str
    verifier: str
    next: str
    begun: float


class Provider(BaseModel):
    """What the provider says of itself (OpenID Connect Discovery 1.0)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


def _settings(request: Request) -> Settings:
    """Raises 404 where no provider is set."""
    parts: System = request.app.state.system
    if not parts.settings.oidc_issuer:
        raise Refusal(404, "NotFound", "there is no such page")
    return parts.settings


def _cookie(request: Request) -> str:
    return f"{sessions.cookie_name(request)}-oidc"


def _refused(why: str) -> Refusal:
    return Refusal(401, "NotSignedIn", f"the sign-in was not taken ({why}); begin again")


@router.get("/oidc/start")
async def start(request: Request) -> Response:
    """On to the provider, with what only this browser can bring back."""
    settings = _settings(request)
    provider = await _discover(settings)
    said = UnderWay(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        next=back(request),
        begun=time.time(),
    )
    digest = hashlib.sha256(said.verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": settings.oidc_client_id,
        "redirect_uri": _redirect(settings),
        "scope": "openid profile",
        "state": said.state,
        "nonce": said.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    parts: System = request.app.state.system
    answer = to(f"{provider.authorization_endpoint}?{urlencode(asked)}")
    sealed = parts.keys.encrypted_text(said.model_dump_json(), PLACE)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        _cookie(request), sealed, MINUTES * 60, httponly=True, secure=secure, samesite="lax", path="/"
    )
    return answer


@router.get("/oidc/back")
async def returned(request: Request) -> Response:
    """Back from the provider: who she is, if all that was sent has come back as it was sent."""
    settings, parts = _settings(request), request.app.state.system
    said = _under_way(request)
    given = request.query_params
    if said is None or not secrets.compare_digest(given.get("state", ""), said.state):
        raise _refused("it was begun at another browser, or too long ago")
    if "code" not in given:
        raise _refused("the provider gave no code")
    provider = await _discover(settings)
    claims = await _claims(settings, provider, given["code"], said)
    session = await _session(parts, claims, asked_language(request))
    answer = to(said.next)
    sessions.write(request, answer, session)
    answer.delete_cookie(_cookie(request), path="/")
    return answer


def _under_way(request: Request) -> UnderWay | None:
    found = sessions.unsealed(request, _cookie(request), PLACE, UnderWay)
    return found if found is not None and time.time() - found.begun < MINUTES * 60 else None


def _redirect(settings: Settings) -> str:
    return settings.oidc_redirect or f"{settings.public_url.rstrip('/')}/desk/oidc/back"


async def _discover(settings: Settings) -> Provider:
    """Raises 503 while the provider does not answer, and for one that is another than the settings name."""
    address = f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"
    found = Provider.model_validate(await _asked("GET", address))
    same = urlsplit(settings.oidc_issuer).scheme == urlsplit(found.token_endpoint).scheme
    if found.issuer != settings.oidc_issuer or not same:
        raise Refusal(503, "SignInUnavailable", "the identity provider is another than CASELOOM_OIDC_ISSUER names")
    return found


async def _asked(method: str, address: str, **more: Any) -> Any:
    try:
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            answer = await http.request(method, address, **more)
        said = answer.json() if answer.status_code in (200, 400, 401) else None
    except (httpx2.HTTPError, ValueError):
        said = None
    if not isinstance(said, dict):
        detail = "the identity provider does not answer; nobody can be signed in now"
        raise Refusal(503, "SignInUnavailable", detail, {"Retry-After": "5"})
    return said


async def _claims(settings: Settings, provider: Provider, code: str, said: UnderWay) -> dict[str, Any]:
    """What the provider says of her, once her code is changed for it. Raises 401 unless all of it is right."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _redirect(settings),
        "client_id": settings.oidc_client_id,
        "code_verifier": said.verifier,
    }
    client = (settings.oidc_client_id, settings.oidc_client_secret) if settings.oidc_client_secret else None
    told = await _asked("POST", provider.token_endpoint, data=form, auth=client)
    token = told.get("id_token")
    if not isinstance(token, str):
        raise _refused("the provider did not take the code")
    keys = _KEYS.setdefault(provider.jwks_uri, ProviderKeys(provider.jwks_uri))
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            await keys.key(token),
            algorithms=PROVIDER_ALGORITHMS,
            issuer=settings.oidc_issuer,
            audience=settings.oidc_client_id,
            leeway=LEEWAY,
            options={"require": REQUIRED},
        )
    except ProviderAway:
        raise Refusal(503, "SignInUnavailable", "the provider's keys cannot be fetched now") from None
    except Exception as fault:  # whatever is wrong with a token, nobody is signed in by it
        raise _refused(type(fault).__name__) from None
    if not secrets.compare_digest(str(claims["nonce"]), said.nonce):
        raise _refused("Nonce")
    return claims


async def _session(parts: System, claims: dict[str, Any], language: str) -> Session:
    """The session of whoever the provider names. Raises 401 for somebody without a role."""
    tenant, subject, now = str(claims.get("tenant", "local")), str(claims["sub"]), time.time()
    async with parts.session() as session:
        row = await session.get(StaffRow, (tenant, subject))
    role, teams, by_directory = claims.get("role"), claims.get("teams"), False
    if role is None and row is not None:
        role, teams = row.role, [row.team] if row.team else []
        by_directory = True
    name = parts.keys.decrypted_text(row.name, row_places.staff(tenant, subject)) if row is not None else ""
    said: dict[str, Any] = {
        "sub": subject,
        "role": role,
        "teams": teams or (),
        "tenant": tenant,
        "language": language,
        "by_directory": by_directory,
    }
    try:
        found = Session(**said, name=name or str(claims.get("name", ""))[:200], since=now, seen=now)
    except ValidationError:
        raise _refused("the provider and the directory name no role") from None
    if found.role in (Role.SYSTEM, Role.INTEGRATOR):
        raise _refused("the desk is for people")
    return found
