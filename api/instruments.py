"""The instruments of the catalogue, and scoring without storing."""

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, SystemDep
from domain.programs.condition import Answer
from domain.programs.instrument import Instrument, Result
from domain.programs.rulebook import UnknownInstrument
from domain.programs.scoring import answers_of_codes, score
from domain.values import Line, Rejected, Slug

router = APIRouter(tags=["catalogue"], max_body_size=BODY_LIMIT)
EXAMPLE = {"answers": {"q1": 2, "q2": 3, "q3": 1, "q4": 1, "q5": 0, "q6": 2, "q7": 1, "q8": 0, "q9": 1}}


class Answers(BaseModel):
    """The answers by item key, and ICD-10 codes for the items that list such codes; answers go first."""

    model_config = ConfigDict(extra="forbid")

    answers: dict[Slug, Answer] = Field(default={}, max_length=200)
    codes: list[Line] = Field(default=[], max_length=200)


@router.get("/instruments", responses=responses(401))
async def list_instruments(parts: SystemDep, who: PrincipalDep) -> list[Instrument]:
    """Every instrument in every version: items, points, bands, alerts, source and licence."""
    return list(parts.rulebook.instruments)


@router.get("/instruments/{name}/{version}", responses=responses(401, 404))
async def read_instrument(name: str, version: str, parts: SystemDep, who: PrincipalDep) -> Instrument:
    """One version of one instrument."""
    return _instrument(parts, name, version)


@router.post("/instruments/{name}/{version}/score", responses=responses(401, 404, 413, 422))
async def score_answers(
    name: str,
    version: str,
    said: Annotated[Answers, Body(openapi_examples={"PHQ-9": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
) -> Result:
    """Score a set of answers and store nothing. Missing items are listed; alerts are raised all the same."""
    instrument = _instrument(parts, name, version)
    coded = answers_of_codes(instrument, said.codes) if said.codes else {}
    try:
        return score(instrument, {**coded, **said.answers})
    except Rejected as fault:
        raise Refusal(422, fault.code, fault.detail, missing=list(fault.missing)) from None


def _instrument(parts: SystemDep, name: str, version: str) -> Instrument:
    try:
        return parts.rulebook.instrument(name, version)
    except UnknownInstrument as fault:
        raise Refusal(404, fault.code, fault.detail) from None
