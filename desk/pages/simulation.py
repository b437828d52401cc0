"""A programme, published or only written yet, played by a scenario: what it promises, and what differs."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import simulations
from api.problems import Refusal
from api.simulations import NewSimulation, SimulationResult
from api.system import System
from desk import typed as sent
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page
from infra import catalog

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/programs/{name}/{version}/simulation", name="simulate-program")
async def show(request: Request, guest: GuestDep, name: str, version: int, scenario: str = "") -> Response:
    """The scenarios of a programme; of the one that is chosen, what it comes to."""
    wanted = NewSimulation(program=name, version=version, scenario=scenario or None)
    return await _shown(request, guest, (name, version), wanted if scenario else None, "")


@router.post("/programs/{name}/{version}/simulation", name="simulate-program")
async def try_file(request: Request, guest: GuestDep, name: str, version: int) -> Response:
    """The same for a file that somebody has written and not published, beside the version in force."""
    typed = await sent.read(request)
    text, scenario = sent.one(typed, "file") or "", sent.one(typed, "scenario") or ""
    wanted = NewSimulation(file=text, scenario=scenario or None) if text.strip() else None
    return await _shown(request, guest, (name, version), wanted, text)


async def _shown(
    request: Request, guest: Guest, named: tuple[str, int], wanted: NewSimulation | None, text: str
) -> Response:
    parts: System = request.app.state.system
    found: SimulationResult | None = None
    refusal: Refusal | None = None
    try:
        found = await simulations.simulate_program(wanted, parts, guest.who) if wanted is not None else None
    except Refusal as fault:
        if fault.status != 422:
            raise
        refusal = fault
    program = parts.rulebook.program(*named)
    said: dict[str, Any] = {
        "program": program,
        "scenarios": catalog.scenarios(named[0]),
        "chosen": wanted.scenario if wanted is not None else None,
        "found": found,
        "refusal": refusal.problem if refusal is not None else None,
        "file": text,
        "zone": program.time_zone,
    }
    return page(request, "simulation.html", guest, refusal.status if refusal is not None else 200, **said)
