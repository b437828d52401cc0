"""The programmes a client may refer to: what they ask for, promise and allow."""

from datetime import UTC, datetime

from fastapi import APIRouter

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, SystemDep
from domain.programs.program import Program
from domain.programs.rulebook import ProgramMissing

router = APIRouter(tags=["catalogue"], max_body_size=BODY_LIMIT)


@router.get("/programs", responses=responses(401))
async def list_programs(parts: SystemDep, who: PrincipalDep) -> list[Program]:
    """The newest version of each programme, as new cases open under it."""
    now = datetime.now(UTC)
    names = sorted({p.program for p in parts.rulebook.programs if p.in_force_on(p.day_of(now))})
    return [parts.rulebook.latest(name, now) for name in names]


@router.get("/programs/{name}/{version}", responses=responses(401, 404, 422))
async def read_program(name: str, version: int, parts: SystemDep, who: PrincipalDep) -> Program:
    """One version of a programme, as the cases that opened under it keep it."""
    try:
        return parts.rulebook.program(name, version)
    except ProgramMissing:
        raise Refusal(404, "NotFound", "the catalogue has no such version") from None
