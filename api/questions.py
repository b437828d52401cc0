"""What a request must not leave open: parameters that no route knows, or twice, and JSON that says a thing twice.

A misspelt filter that is ignored lists everything; of a key that is there twice, one value is lost in silence.
"""

import json
from functools import cache
from typing import Any, get_origin

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Cookie, Header, Path
from pydantic import TypeAdapter, ValidationError

from api.problems import Refusal

ELSEWHERE = (Path, Header, Cookie)


async def asked_clearly(request: Request) -> None:
    """Raises 422 `UnknownParameter`, `RepeatedParameter`, `RepeatedKey`, and for values of another type.

    The body of somebody who is not signed in is not looked at: the route refuses it.
    """
    _parameters(request)
    body = await request.body() if "authorization" in request.headers else b""
    if body and "json" in request.headers.get("content-type", ""):
        _keys(body)
        _strictly(request, body)


def _parameters(request: Request) -> None:
    if not (given := [name for name, _ in request.query_params.multi_items()]):
        return
    known = _known(request)
    if unknown := sorted(set(given) - set(known)):
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise Refusal(422, "UnknownParameter", f"this route has no such parameters; {takes}", missing=unknown)
    several = _several(request)
    if twice := sorted({name for name in given if given.count(name) > 1 and name not in several}):
        raise Refusal(422, "RepeatedParameter", "give each parameter once", missing=twice)


def _known(request: Request) -> list[str]:
    """The names of the query parameters of the route that was asked, those of a model's fields among them."""
    takes = get_flat_params(request.scope["route"].dependant)
    return sorted({field.alias for field in takes if not isinstance(field.field_info, ELSEWHERE)})


def _several(request: Request) -> set[str]:
    """The parameters that the route takes more than once, such as the two ends of a span of time."""
    takes = get_flat_params(request.scope["route"].dependant)
    return {field.alias for field in takes if get_origin(field.field_info.annotation) is list}


def _keys(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        fault = {"type": "json_invalid", "loc": ("body",), "msg": "nested too deeply", "input": {}}
        raise RequestValidationError([fault]) from None
    except ValueError:
        return  # the route says so itself


def _strictly(request: Request, body: bytes) -> None:
    """Hold the body against the route's form: a number in quotes is no number, and "yes" is not true."""
    field = request.scope["route"].body_field
    if field is None:
        return
    try:
        _form(field.field_info.annotation).validate_json(body, strict=True)
    except ValidationError as fault:
        faults = [{**found, "loc": ("body", *found["loc"])} for found in fault.errors(include_url=False)]
        raise RequestValidationError(faults) from None


@cache
def _form(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise Refusal(422, "RepeatedKey", "an object of the body has a key twice", missing=[t[:64] for t in twice])
    return found
