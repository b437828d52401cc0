"""One kind of command to several cases at once, each with an answer of its own: a supervisor's morning.

What is to go on whatever dies is a bulk action (`api/bulk_actions.py`); here a case that refuses stops no other.
"""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import require_case, require_own_task
from api.submission import Wish, enveloped, send
from api.system import Principal, PrincipalDep, System, SystemDep
from api.transport import note_also
from domain.commands import ALL
from domain.values import Opaque

router = APIRouter(tags=["commands"], max_body_size=BODY_LIMIT)
MOST, AT_ONCE = 50, 5
EXAMPLE = {
    "items": [
        {"case_id": "8f14e45fceea467a9b0a5b3a1c8d2e11", "command": "acknowledge-escalation",
         "body": {"escalation_id": "c9-missed", "note": "Looked at this morning"}},
        {"case_id": "c9f0f895fb98ab9159f51fd0297e236d", "command": "complete-task", "body": {"task_id": "t4"}},
    ]
}  # fmt: skip


class BatchItem(BaseModel):
    """A command as its own route takes it."""

    model_config = ConfigDict(extra="forbid")

    case_id: Opaque
    command: Literal["acknowledge-escalation", "complete-task"]
    body: dict[str, JsonValue]


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    items: list[BatchItem] = Field(min_length=1, max_length=MOST)


class BatchAnswer(BaseModel):
    """What became of one of them; `entry` is what `correct-entry` takes to undo it."""

    case_id: str
    command: str
    status: Literal["applied", "queued", "refused"]
    code: str | None = None
    detail: str | None = None
    missing: list[str] = []
    entry: int | None = None


@router.post("/commands", responses=responses(401, 403, 422, 503))
async def send_batch(
    batch: Annotated[Batch, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    request: Request,
) -> list[BatchAnswer]:
    """Acknowledge escalations or complete tasks in several cases; an answer for each, in the same order.

    With an `Idempotency-Key` the whole may be repeated: each is applied once.
    """
    few = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, item: BatchItem) -> BatchAnswer:
        async with few:
            own = Wish(key=f"{wish.key}/{number}" if wish.key else None, later=wish.later)
            return await _send(parts, who, item, own, request)

    return list(await asyncio.gather(*(one(number, item) for number, item in enumerate(batch.items))))


async def _send(parts: System, who: Principal, item: BatchItem, wish: Wish, request: Request) -> BatchAnswer:
    said: dict[str, Any] = {"case_id": item.case_id, "command": item.command}
    command = next(c for c in ALL if c.kind == item.command)
    try:
        body = command.model_validate(item.body).model_dump(mode="json", exclude_unset=True)
        envelope = enveloped(parts, who, item.case_id, item.command, body, wish)
        seen = await require_case(parts, who, item.case_id, envelope.command_id, item.command)
        await require_own_task(parts, who, item.case_id, item.command, body, seen)
        done = await send(parts, who.tenant, item.case_id, envelope, seen, wish, Response())
    except ValidationError as fault:
        fields = [".".join(map(str, error["loc"])) for error in fault.errors(include_input=False)]
        detail = "correct the fields listed and send it again"
        return BatchAnswer(**said, status="refused", code="Malformed", detail=detail, missing=fields)
    except Refusal as refusal:
        problem = refusal.problem
        await note_also(request.scope, who, item.command, item.case_id, refusal.status)
        return BatchAnswer(
            **said, status="refused", code=problem.code, detail=problem.detail, missing=list(problem.missing)
        )
    return BatchAnswer(**said, status=done.status, entry=done.seq)
