"""Previewing a promise: when it would fall due, and who would be told when."""

from typing import Annotated, Self

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.problems import BODY_LIMIT, Refusal, responses
from api.system import PrincipalDep, System, SystemDep
from domain.clocks.budget import Budget
from domain.clocks.clock import Ladder, Rank, Rung
from domain.clocks.preview import Preview, preview, would_be
from domain.programs.program import Program
from domain.programs.rulebook import ProgramMissing, UnknownProgram
from domain.values import Instant, Line, Slug, Zone

router = APIRouter(tags=["catalogue"], max_body_size=BODY_LIMIT)
FIRST_YEAR, LAST_YEAR = 2000, 2050  # the catalogue's holidays end with 2060, the longest budget is ten years
OF_A_POLICY, OF_A_BUDGET = {"program", "version", "policy", "team"}, {"calendar", "time_zone", "ladder"}
TOLD_AT_ONCE = Ladder(
    rungs=(Rung(tell=Rank.OWNER, after=Budget.model_validate("0 seconds")),),
    acknowledged_for=Budget.model_validate("1 business day"),
)
EXAMPLES = {
    "a programme's policy": {
        "value": {
            "anchor": "2026-11-20T16:00:00-05:00",
            "program": "transitions",
            "policy": "transitions.inpatient-discharge.clocks.contact-2bd",
        }
    },
    "a policy of one's own": {
        "value": {
            "anchor": "2026-11-20T16:00:00-05:00",
            "budget": "7 calendar days, day zero excluded",
            "calendar": "us-federal",
            "time_zone": "America/Chicago",
        }
    },
}


class PreviewRequest(BaseModel):
    """A policy of a programme by its path, or a budget of one's own; and the time it is counted from."""

    model_config = ConfigDict(extra="forbid")

    anchor: Instant
    program: Slug | None = None
    version: int | None = Field(default=None, ge=1)
    team: Slug | None = Field(default=None, description="Whose zone, calendar and own times hold")
    policy: Line | None = None
    budget: Budget | None = Field(
        default=None, description="`2 business days`, `7 calendar days, day zero excluded`"
    )
    calendar: Slug = "us-federal"
    time_zone: Zone = "America/New_York"
    ladder: Ladder | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        given = self.model_fields_set
        if (self.budget is None) == (self.program is None or self.policy is None):
            raise ValueError("give program and policy, or a budget")
        if beside := sorted(given & (OF_A_POLICY if self.budget is not None else OF_A_BUDGET)):
            raise ValueError(f"what a budget is counted by and a policy do not go together: {', '.join(beside)}")
        if not FIRST_YEAR <= self.anchor.year <= LAST_YEAR:
            raise ValueError(f"calendars are kept for anchors from {FIRST_YEAR} to {LAST_YEAR}")
        return self


@router.post("/clocks/preview", responses=responses(401, 404, 422))
async def preview_clock(
    asked: Annotated[PreviewRequest, Body(openapi_examples=EXAMPLES)], parts: SystemDep, who: PrincipalDep
) -> Preview:
    """When a promise would fall due, and when each rung of its ladder would be climbed. Nothing is stored."""
    if asked.budget is not None:
        calendars = {calendar.name: calendar for calendar in parts.rulebook.calendars}
        if asked.calendar not in calendars:
            raise Refusal(404, "UnknownCalendar", f"choose one of: {', '.join(calendars)}")
        clock = would_be(asked.anchor, asked.time_zone, asked.calendar, budget=asked.budget)
        return preview(clock, asked.ladder or TOLD_AT_ONCE, calendars[asked.calendar])
    program = _program(parts, asked)
    policy = program.policies.get(asked.policy or "")
    if policy is None:
        raise Refusal(404, "UnknownPolicy", "the programme has no such policy", missing=list(program.policies))
    calendar = program.calendar_of(policy)
    whose = program.narrowed.get(asked.policy or "") or program.place
    clock = would_be(asked.anchor, program.time_zone, calendar, budget=policy.within, narrowed_by=whose)
    return preview(clock, program.ladders[policy.ladder], parts.rulebook.calendar(calendar))


def _program(parts: System, asked: PreviewRequest) -> Program:
    try:
        version = asked.version or parts.rulebook.latest(asked.program or "").version
        return parts.rulebook.at(asked.program or "", version, asked.team or "", asked.anchor.date())
    except (UnknownProgram, ProgramMissing):
        raise Refusal(404, "UnknownProgram", "the catalogue has no such programme or version") from None
