"""SMART Backend Services: what a token of a partner's issuer lets its client do, and where such tokens come from.

Scopes by SMART App Launch 2.2 (hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html), of `system/` alone.
A scope never gives more than the policy and the person's share do: both are asked.
"""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.problems import Refusal, responses
from api.system import Principal, PrincipalDep, SystemDep

public = APIRouter(prefix="/fhir", tags=["FHIR"])
SYSTEM = "system/"
SCOPE = re.compile(r"system/(\*|[A-Za-z]{1,64})\.(read|write|\*|(?=[cruds])c?r?u?d?s?)")
LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}
SUBSCRIPTION = "Subscription"
ASKED = {  # by the name of a route: of which type, where that is not in its path, and what is done
    "search-resources": (None, "s"),
    "read-resource": (None, "r"),
    "read-version": (None, "r"),
    "read-everything": ("Patient", "r"),
    "update-task": ("Task", "u"),
    "create-subscription": (SUBSCRIPTION, "c"),
    "list-subscriptions": (SUBSCRIPTION, "s"),
    "read-subscription": (SUBSCRIPTION, "r"),
    "delete-subscription": (SUBSCRIPTION, "d"),
    "subscription-status": (SUBSCRIPTION, "r"),
    "subscription-events": (SUBSCRIPTION, "r"),
}
FREE = ("read-capabilities",)


def is_scoped(who: Principal) -> bool:
    """Whether the token is one whose scopes say what it is for."""
    return any(word.startswith(SYSTEM) for word in who.scope.split())


def may(who: Principal, kind: str, letter: str) -> bool:
    """Whether a token may do this with a type: c, r, u, d or s. One without such scopes goes by the policy alone.

    A scope that is narrowed by a search (`system/Task.rs?status=…`) is not understood, and gives nothing.
    """
    if not is_scoped(who):
        return True
    found = [match for word in who.scope.split() if (match := SCOPE.fullmatch(word))]
    return any(m[1] in ("*", kind) and letter in LETTERS.get(m[2], m[2]) for m in found)


async def scoped(request: Request, who: PrincipalDep) -> None:
    """Asked before every route but the public ones: raises 403 for what the scopes of a token do not say.

    Such a token is for FHIR alone.
    """
    name = request.scope["route"].name.replace("_", "-")
    if not is_scoped(who) or name in FREE:
        return
    kind, letter = ASKED.get(name, (None, ""))
    kind = kind or (request.path_params.get("kind") if letter else None)
    if kind is None or not may(who, kind, letter):
        needed = f"{SYSTEM}{kind}.{letter}" if kind else "a token that is no SMART token"
        raise Refusal(403, "ScopeMissing", f"this needs {needed}")


@public.get("/.well-known/smart-configuration", responses=responses(404))
async def read_smart_configuration(parts: SystemDep) -> Any:
    """Where a backend service gets its token, and how. 404 where none is taken."""
    url = parts.settings.smart_token_url
    if not url:
        raise Refusal(404, "NotFound", "no tokens of SMART Backend Services are taken here")
    return JSONResponse(
        {
            "token_endpoint": url,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "scopes_supported": ["system/*.rs", "system/Task.u", "system/Subscription.cruds"],
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        }
    )
