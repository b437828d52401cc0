"""FHIR in: the recipient's system answers a referral by updating its Task."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from api.fhir_read import Answer, ResourceId, task_of
from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.submission import Wish, submit
from api.system import NOTE, PrincipalDep, SystemDep, ids_of
from domain.values import Role
from exchange.fhir_codes import Resource
from exchange.fhir_referral_task import OF_REQUESTER, PART, NotAnUpdate, Step, step_of

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
    now = await task_of(parts, who, resource_id)
    _require_version(request, now)
    step = _step(task, now)
    if step.status == now["status"]:
        return Answer(now, headers={"ETag": _etag(now)})
    if who.role is Role.INTEGRATOR and step.status in OF_REQUESTER:
        raise Refusal(403, "NotYourStep", f"who requested it sets {step.status}")
    if step.command is None:
        raise Refusal(409, "WrongReferralState", "a referral's Task has no such status here")
    said = {"referral_id": part.removeprefix(PART), **step.body}
    own = Wish(key=wish.key, later=wish.later)  # `If-Match` is the Task's version, and not the case's
    done = await submit(parts, who, case_id, step.command, said, own, Response())
    if done.status == "queued":
        return Answer(now, 202)
    changed = await task_of(parts, who, resource_id)
    return Answer(changed, headers={"ETag": _etag(changed)})


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
