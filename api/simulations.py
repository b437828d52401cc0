"""Playing scenarios against a programme before it is published, beside the version in force. Nothing is stored."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, System, SystemDep
from domain.programs.program import Program
from domain.programs.rulebook import ProgramMissing, Rulebook, UnknownProgram
from domain.simulation.compare import Compared, Load, compared, load
from domain.simulation.play import Played, alone, play
from domain.simulation.scenario import Scenario
from domain.values import Slug
from infra import catalog

router = APIRouter(tags=["programme versions"], max_body_size=BODY_LIMIT)
EXAMPLE = {"program": "transitions", "scenario": "friday-discharge"}


class NewSimulation(BaseModel):
    """Which programme is played: a published version, or a file that is not published yet."""

    model_config = ConfigDict(extra="forbid")

    program: Slug | None = Field(default=None, description="A published programme; or send `file`")
    version: int | None = Field(default=None, description="Its version; left out, the newest")
    file: str | None = Field(default=None, max_length=60_000, description="The text of a programme's file (YAML)")
    against: int | None = Field(
        default=None, description="The version it is held against; left out, the newest other one"
    )
    scenario: Slug | None = Field(default=None, description="Left out, all that are for the programme")
    days: int | None = Field(default=None, ge=1, le=400, description="Left out, those of each scenario")


class ScenarioResult(BaseModel):
    """What one scenario came to, who has how much to do, and what differs from the other version."""

    title: str
    says: str
    played: Played
    load: list[Load]
    compared: Compared | None = Field(description="None where there is no other version")


class SimulationResult(BaseModel):
    program: str
    version: int
    against: int | None
    scenarios: list[ScenarioResult]


@router.get("/scenarios", responses=responses(401))
async def list_scenarios(who: PrincipalDep, program: Slug = "complex-care") -> list[Scenario]:
    """The scenarios that are played for a programme: who does what, and when."""
    return catalog.scenarios(program)


@router.post("/programs/simulate", responses=responses(401, 403, 404, 413, 422))
async def simulate_program(
    wanted: Annotated[NewSimulation, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> SimulationResult:
    """What falls due, who is told and when; what would be earlier, later, new or gone. Changes nothing."""
    rulebook, program = _program(parts, wanted)
    other = _other(parts, wanted, program)
    scenarios = catalog.scenarios(program.program, wanted.scenario)
    if not scenarios:
        names = [one.name for one in catalog.scenarios(program.program)]
        raise Refusal(422, "UnknownScenario", "choose one of `missing`", missing=names)
    found = [
        await anyio.to_thread.run_sync(_result, one, (rulebook, program), (parts.rulebook, other), wanted.days)
        for one in scenarios
    ]
    against = other.version if other is not None else None
    return SimulationResult(program=program.program, version=program.version, against=against, scenarios=found)


def _program(parts: System, wanted: NewSimulation) -> tuple[Rulebook, Program]:
    """Raises 422 with every fault of a file, 404 for a programme that there is not."""
    if (wanted.file is None) == (wanted.program is None):
        raise Refusal(422, "Malformed", "send either program, or file")
    try:
        if wanted.file is not None:
            return catalog.with_text(wanted.file)
        name = wanted.program or ""
        latest = parts.rulebook.latest(name)
        version = latest if wanted.version is None else parts.rulebook.program(name, wanted.version)
        return parts.rulebook, version
    except catalog.CatalogError as fault:
        raise Refusal(422, "BrokenFile", "the file cannot be used", missing=str(fault).split("\n")) from None
    except (UnknownProgram, ProgramMissing):
        raise Refusal(404, "NotFound", "the catalogue has no such programme or version") from None


def _other(parts: System, wanted: NewSimulation, program: Program) -> Program | None:
    """The version that it is held against. Raises 404 for one that there is not."""
    if wanted.against is not None:
        try:
            return parts.rulebook.program(program.program, wanted.against)
        except ProgramMissing:
            raise Refusal(404, "NotFound", "the catalogue has no such version to hold it against") from None
    mine = (p for p in parts.rulebook.programs if p.program == program.program and p != program)
    others = (p for p in mine if wanted.file is not None or p.version != program.version)
    return max(others, key=lambda p: p.version, default=None)


def _result(
    scenario: Scenario,
    wanted: tuple[Rulebook, Program],
    other: tuple[Rulebook, Program | None],
    days: int | None,
) -> ScenarioResult:
    rulebook, program = wanted
    now = play(scenario, program, alone(rulebook, program), days)
    was = play(scenario, other[1], alone(other[0], other[1]), days) if other[1] is not None else None
    return ScenarioResult(
        title=scenario.title,
        says=scenario.says,
        played=now,
        load=load(now, program.zone),
        compared=compared(was, now) if was is not None else None,
    )
