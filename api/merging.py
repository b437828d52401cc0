"""Merging two cases of one person, and undoing it. Each step is a command that is safe to repeat."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, JsonValue
from sqlmodel import col, select

from api.commands import REFUSALS, CaseId
from api.headers import WishDep
from api.problems import BODY_LIMIT, Refusal
from api.reading import read_case
from api.submission import CommandResult, Wish, submit
from api.system import Principal, PrincipalDep, System, SystemDep, require_role
from domain.case import MOST_OPEN_TASKS, Case
from domain.deadlines import MOST_CLOCKS
from domain.merge import MAY_MERGE, GiveBack, LayBy, TakeIn, TakeUpAgain, moves, not_mergeable
from domain.values import Opaque, Text
from infra.tables import TimelineRow

router = APIRouter(tags=["merging"], max_body_size=BODY_LIMIT)


class MergeRequest(BaseModel):
    """The case whose work is taken in, and why the two are one person's."""

    model_config = ConfigDict(extra="forbid")

    case_id: Opaque
    reason: Text


class UndoRequest(BaseModel):
    """The case that goes on by itself again."""

    model_config = ConfigDict(extra="forbid")

    case_id: Opaque


@router.post("/cases/{case_id}/merge", responses=REFUSALS)
async def merge(
    case_id: CaseId,
    wanted: Annotated[MergeRequest, Body()],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> CommandResult:
    """Take the open tasks and running clocks of another case of the person into this one.

    The other is laid by first, so that nothing can happen to it meanwhile; repeating the request carries an
    interrupted merge to its end.
    """
    target, source = await _both(parts, who, case_id, wanted.case_id)
    if target.referral.patient.reference != source.referral.patient.reference or case_id == wanted.case_id:
        raise Refusal(409, "SamePerson", "only two different cases of one person are merged")
    if source.laid_by is None:
        _check(target, source)
        body: dict[str, JsonValue] = {"into": case_id, "reason": wanted.reason}
        at = Wish(key=_step(wish, "lay-by"), expected_seq=source.seq)
        _now(await submit(parts, who, source.id, LayBy.kind, body, at, Response()))
        source = await _live(parts, who, source.id)
    if source.laid_by is None or source.laid_by.into != case_id:
        raise Refusal(409, "AlreadyMerged", "the case was merged into another one")
    kept = source.laid_by.model_dump(mode="json")
    taken = {"case_id": source.id, "tasks": kept["tasks"], "clocks": kept["clocks"]}
    return await submit(parts, who, case_id, TakeIn.kind, taken, Wish(key=_step(wish, "take-in")), response)


@router.post("/cases/{case_id}/undo-merge", responses=REFUSALS)
async def undo_merge(
    case_id: CaseId,
    wanted: Annotated[UndoRequest, Body()],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> CommandResult:
    """Give the other case its work back, as it stands now; it goes on by itself."""
    target, source = await _both(parts, who, case_id, wanted.case_id)
    if source.laid_by is None or source.laid_by.into != case_id:
        raise Refusal(409, "NotMerged", "the other case is not part of this one")
    taken_in = any(m.id == source.id for m in target.merges)
    if source.sealed or (taken_in and target.closed):
        raise Refusal(409, "WindowOver", "the other case is sealed, or this one is closed; refer the person again")
    if taken_in:
        body: dict[str, JsonValue] = {"case_id": source.id}
        given = await submit(
            parts, who, case_id, GiveBack.kind, body, Wish(key=_step(wish, "give-back")), Response()
        )
        _now(given)
    back = await _given_back(parts, who, case_id, source)
    taken = {"tasks": back["tasks"], "clocks": back["clocks"]}
    return await submit(parts, who, source.id, TakeUpAgain.kind, taken, Wish(key=_step(wish, "up")), response)


def _step(wish: Wish, name: str) -> str | None:
    return f"{wish.key}/{name}" if wish.key else None


def _now(result: CommandResult) -> None:
    """The next step reads what this one did. Raises 503 while it is only queued."""
    if result.status != "applied":
        raise Refusal(503, "OutcomeUnknown", "a step waits for a worker; repeat the request", {"Retry-After": "2"})


def _check(target: Case, source: Case) -> None:
    """Raises 409 unless the target can take everything in: nothing may be laid by that nobody takes up."""
    if target.closed:
        raise Refusal(409, "CaseClosed", "merge into an open case")
    if (target.program, target.program_version) != (source.program, source.program_version):
        raise Refusal(409, "OtherProgram", "only cases of one programme, in one version, are merged")
    if missing := not_mergeable(source) + not_mergeable(target):
        raise Refusal(409, "NotMergeable", "settle what is open in both cases first", missing=missing)
    if len(target.open_tasks) + len(source.open_tasks) > MOST_OPEN_TASKS:
        raise Refusal(409, "TooManyTasks", f"together they have more than {MOST_OPEN_TASKS} open tasks")
    if len(target.running) + len(source.running) > MOST_CLOCKS:
        raise Refusal(409, "TooManyClocks", f"together they have more than {MOST_CLOCKS} running clocks")


async def _both(parts: System, who: Principal, target: str, source: str) -> tuple[Case, Case]:
    require_role(who, *MAY_MERGE)
    return await _live(parts, who, target), await _live(parts, who, source)


async def _live(parts: System, who: Principal, case_id: str) -> Case:
    return (await read_case(parts, who, case_id)).case


async def _given_back(parts: System, who: Principal, case_id: str, source: Case) -> dict[str, Any]:
    """What the source goes on with: what the target gave back last, or what it laid by if that was never taken in.

    Raises 503 until the record has it.
    """
    if source.laid_by is None:
        raise Refusal(409, "NotMerged", "the other case goes on by itself")
    kinds = ("case-taken-in", "case-given-back")
    ours = (TimelineRow.case_id == case_id, TimelineRow.tenant == who.tenant)
    async with parts.session() as session:
        query = select(TimelineRow).where(*ours, col(TimelineRow.kind).in_(kinds))
        rows = (await session.exec(query.order_by(col(TimelineRow.seq).desc()))).all()
    about = [row for row in rows if source.id in (row.data.get("case_id"), row.data.get("merge", {}).get("id"))]
    if about and about[0].kind == "case-given-back":
        return about[0].data
    if about:
        raise Refusal(503, "OutcomeUnknown", "the record is behind; repeat the request", {"Retry-After": "2"})
    kept = source.laid_by.model_dump(mode="json")
    moved = [c.model_dump(mode="json") for c in source.laid_by.clocks if moves(c)]
    return {"tasks": kept["tasks"], "clocks": moved}
