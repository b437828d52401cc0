"""Refusals and faults as problem details (RFC 9457). `code` is the name to program against."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.values import Rejected
from exchange.fhir_answers import MEDIA_TYPE as FHIR
from exchange.fhir_answers import outcome
from infra.encryption import KeyMissing
from infra.logs import places
from infra.timeline import RecordAltered

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
FOR_FHIR = {"WrongReferralState": 422}  # a step that the closed loop does not have
BODY_LIMIT = 64 * 1024
HEADERS = {  # of every answer, also of those that are given outside `api/transport.py`
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ADVICE: dict[str, str] = {}  # by the last part of a command's path; filled where the routes are made


class FieldFault(BaseModel):
    """One field that is wrong: where it is, and what is wrong with it."""

    path: str
    fault: str


class Problem(BaseModel):
    """Why a request was not carried out. Nothing was changed, unless `code` is `OutcomeUnknown`."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    missing: list[str] = Field(default=[], description="What is open or wrong, where there is a list")
    errors: list[FieldFault] = Field(default=[], description="The fields that are wrong")
    candidates: list[dict[str, Any]] = Field(default=[], description="Who may be meant")
    command_id: str | None = None
    advice: str | None = Field(default=None, description="What the sender must know besides")
    location: str | None = Field(default=None, description="Where to ask what became of the command")


class Refusal(Exception):
    """An answer that is not a success, as a problem."""

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(code)
        self.status = status
        title = more.pop("title", HTTPStatus(status).phrase)
        self.problem = Problem(title=title, status=status, code=code, detail=detail, **more)
        self.headers = headers or {}


class RecordSilent(Refusal):
    """The record, which is asked first, does not answer in time: nothing was sent on, so nothing has changed."""

    def __init__(self) -> None:
        detail = "the record does not answer; nothing was changed: repeat the request in a moment"
        super().__init__(503, "RecordUnavailable", detail, {"Retry-After": "2"})


def not_found() -> Refusal:
    """The one answer for what is not there and for what one may not know of."""
    return Refusal(404, "NotFound", "there is no such case, or it is not yours to see")


def place(case_id: str, command: str) -> str:
    """Where to ask what became of a command."""
    return f"/cases/{case_id}/commands/{command}"


def unknown(case_id: str, command: str) -> Refusal:
    """Nothing can be said; the same key asks again, or does it."""
    return Refusal(
        503,
        "OutcomeUnknown",
        "it may or may not have been applied: repeat it with the same Idempotency-Key",
        {"Retry-After": "2"},
        command_id=command,
        location=place(case_id, command),
    )


def respond(
    problem: Problem, headers: dict[str, str] | None = None, request: Request | None = None
) -> JSONResponse:
    """The problem; under `/fhir` as FHIR's OperationOutcome."""
    if request is not None and request.url.path.startswith("/fhir/"):
        status = FOR_FHIR.get(problem.code, 400 if problem.status == 422 else problem.status)
        places = [*problem.missing, *(error.path for error in problem.errors)]
        said = outcome(status, problem.code, problem.detail, places)
        return JSONResponse(said, status, headers, FHIR)
    if request is not None:  # said in every answer, whatever kept the command from being decided
        advice = ADVICE.get(request.url.path.rpartition("/")[2])
        problem = problem.model_copy(update={"advice": problem.advice or advice})
    body = problem.model_dump(mode="json", exclude_defaults=False, exclude_none=True)
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


class TooLarge:
    """Turns the body limiter's own plain 413 into a problem; the limiter answers outside all handlers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def watch(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                replaced = True
                problem = Problem(
                    title="Content Too Large", status=413, code="TooLarge", detail="send less in one request"
                )
                await respond(problem)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self.app(scope, receive, watch)


def install(app: FastAPI) -> None:
    """Let every refusal and fault of the application leave as a problem."""
    app.add_middleware(TooLarge)
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SQLAlchemyError, _database)
    app.add_exception_handler(RecordAltered, _altered)
    app.add_exception_handler(KeyMissing, _altered)
    app.add_exception_handler(Exception, _fault)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses for a route's OpenAPI, as problems."""
    return {
        status: {
            "model": Problem,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {}},
        }
        for status in statuses
    }


async def _refusal(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, Refusal)
    log.info("refused", status=fault.status, code=fault.problem.code)
    _count(request, fault.problem)
    return respond(fault.problem, fault.headers, request)


def _count(request: Request, problem: Problem) -> None:
    """Every request that is refused is counted by the reason's name, whoever found the reason."""
    meter = request.app.state.system.runtime.metric_meter.with_additional_attributes({"code": problem.code})
    meter.create_counter("caseloom_refusals", "Requests refused, by the reason's name").add(1)


async def _rejected(request: Request, fault: Exception) -> JSONResponse:
    """A rule of the domain that the API itself asked."""
    assert isinstance(fault, Rejected)
    problem = Problem(
        title=fault.title, status=422, code=fault.code, detail=fault.detail, missing=list(fault.missing)
    )
    _count(request, problem)
    return respond(problem, request=request)


async def _malformed(request: Request, fault: Exception) -> JSONResponse:
    """Field and fault of everything that does not fit; what was sent is never repeated."""
    assert isinstance(fault, RequestValidationError)
    errors = [FieldFault(path=".".join(str(part) for part in e["loc"]), fault=e["msg"]) for e in fault.errors()]
    problem = Problem(
        title="The request is malformed",
        status=422,
        code="Malformed",
        detail="correct the fields listed and send it again",
        errors=errors,
    )
    _count(request, problem)
    return respond(problem, request=request)


async def _http(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, HTTPException)
    if fault.status_code == 400:  # a body that is not JSON at all
        fault = HTTPException(422, "send a JSON body")
    phrase = HTTPStatus(fault.status_code).phrase
    code = phrase.title().replace(" ", "").replace("-", "")
    problem = Problem(title=phrase, status=fault.status_code, code=code, detail=str(fault.detail))
    return respond(problem, dict(fault.headers or {}), request)


async def _database(request: Request, fault: Exception) -> JSONResponse:
    log.error("database_fault", fault=type(fault).__name__, at=places(fault))
    away = RecordSilent()
    return respond(away.problem, away.headers, request)


async def _altered(request: Request, fault: Exception) -> JSONResponse:
    """The record was changed by hand, or its key is missing: nobody is told what may not have been written."""
    log.error("record_altered", fault=type(fault).__name__)
    detail = "the record has something that was not written there, or its key is missing: `make verify` says where"
    problem = Problem(title="Service Unavailable", status=503, code="RecordAltered", detail=detail)
    return respond(problem, HEADERS, request)


async def _fault(request: Request, fault: Exception) -> JSONResponse:
    log.error("request_failed", path=request.scope.get("route_path"), fault=type(fault).__name__, at=places(fault))
    problem = Problem(
        title="A fault of ours", status=500, code="Fault", detail="the fault is logged; nothing else is known"
    )
    return respond(problem, HEADERS)
