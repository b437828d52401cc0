"""FHIR in: the recipient's system answers a referral by updating its Task."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from api.fhir_read import Answer, ResourceId, note_given, task_of
from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.submission import Wish, command_id, recorded, submit
from api.system import NOTE, Principal, PrincipalDep, System, SystemDep, ids_of
from domain.values import Role
from exchange.fhir_codes import Resource
from exchange.fhir_readable import READ
from exchange.fhir_referral_task import NO_WORDS, OF_REQUESTER, PART, NotAnUpdate, Step, step_of

router = APIRouter(prefix="/fhir", tags=["FHIR"], max_body_size=BODY_LIMIT)
EXAMPLE = {"resourceType": "Task", "status": "accepted", "note": [{"text": "First box on Tuesday"}]}


@router.put("/Task/{resource_id}", response_class=Answer, responses=responses(401, 403, 404, 409, 412, 422, 503))
async def update_task(
    resource_id: Annotated[ResourceId, Path()],
    task: Annotated[dict[str, Any], Body(openapi_examples={"example": {"value": EXAMPLE}})],
    request: Request,
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
) -> Any:
    """Set the status of a referral's Task, with its reason or a note; what it has already changes nothing.

    The recipient sets accepted, rejected, in-progress, on-hold, failed, completed; who requested it, cancelled.

    With `If-Match` it is refused where somebody has changed it meanwhile. 202 where it is queued.
    """
    case_id, _, part = resource_id.partition("-")
    note: dict[str, Any] = request.scope.get(NOTE, {})
    note |= ids_of({"case_id": case_id})
    if not part.startswith(PART):
        raise Refusal(405, "NotUpdated", "only the Task of a referral is updated here")
    seen = (await read_case(parts, who, case_id, READ)).case.seq
    now = await task_of(parts, who, resource_id)
    if not await _was_sent(parts, who, case_id, wish):  # the same again is answered as it was, whatever came since
        _require_version(request, now)
    step = _step(task, now)
    if step.status == now["status"]:
        note_given(request, who, "Task", [now])
        return Answer(now, headers={"ETag": _etag(now)})
    _require_own_step(who, step)
    said = {"referral_id": part.removeprefix(PART), **step.body}
    exactly = seen if "if-match" in request.headers else None  # what was compared is what it is decided on
    own, answer = Wish(key=wish.key, expected_seq=exactly, later=wish.later), Response()
    done = await submit(parts, who, case_id, step.command or "", said, own, answer)
    if done.status == "queued":
        return Answer(now, 202, headers={"Location": answer.headers["location"]})
    changed = await task_of(parts, who, resource_id)
    note_given(request, who, "Task", [changed])
    return Answer(changed, headers={"ETag": _etag(changed)})


async def _was_sent(parts: System, who: Principal, case_id: str, wish: Wish) -> bool:
    """Whether this very request is on record already."""
    name = command_id(parts.index_key, who, case_id, wish.key)
    return wish.key is not None and await recorded(parts, who.tenant, case_id, name) is not None


def _require_own_step(who: Principal, step: Step) -> None:
    """Raises 403 for a step of the other side, 422 for none of the closed loop or without the staff's reason."""
    outside = who.role is Role.INTEGRATOR
    if outside and step.status in OF_REQUESTER:
        raise Refusal(403, "NotYourStep", f"who requested it sets {step.status}")
    if step.command is None:
        raise Refusal(422, "WrongReferralState", "a referral's Task has no such status here")
    if step.body.get("reason") == NO_WORDS and not outside:
        raise Refusal(422, "ReasonMissing", "say why in `statusReason.text`", missing=["Task.statusReason"])


def _step(task: dict[str, Any], now: Resource) -> Step:
    try:
        return step_of(task, now)
    except NotAnUpdate as fault:
        element, _, says = str(fault).partition(": ")
        raise Refusal(422, "Malformed", says, missing=[f"Task.{element}"]) from None


def _etag(task: Resource) -> str:
    return f'W/"{task["meta"]["versionId"]}"'


def _require_version(request: Request, now: Resource) -> None:
    """Raises 412 where `If-Match` names another version than the Task has now."""
    wanted = request.headers.get("if-match")
    if wanted not in (None, "*", _etag(now)):
        raise Refusal(412, "TaskChanged", "the Task has changed since; read it again and decide anew")
