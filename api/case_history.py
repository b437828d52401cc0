"""What a case has had over time, a list a subject: contacts, scores, values, plans, goals, medications, stays …"""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AliasPath, BaseModel, Field, JsonValue
from sqlmodel import col

from api.commands import CaseId
from api.pages import Page, PagingDep
from api.problems import BODY_LIMIT, responses
from api.reading import read_case
from api.scope import require_case
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from api.timeline import NEWEST_FIRST, InError, Withheld, entries_of, shown, zone_of
from domain.case.stays import stays_of
from infra.tables import TimelineRow

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)


def of(*path: str) -> Any:
    """A field that stands at a place of the event; none where the event, or what this reader may see, has none."""
    return Field(default=None, validation_alias=AliasPath("data", *path))


class Told(BaseModel):
    """An entry of the timeline. What was entered in error stays, marked; what is withheld says nothing more."""

    seq: int
    at: datetime = Field(description="When it was written down")
    by: str = Field(validation_alias="actor")
    entered_in_error: InError | None = None
    withheld: Withheld | None = None


class ContactTold(Told):
    occurred_at: datetime | None = of("contact", "occurred_at")
    mode: str | None = of("contact", "mode")
    party: str | None = of("contact", "party")
    reached: bool | None = of("contact", "reached")
    outcome: str | None = of("contact", "outcome")
    minutes: int | None = of("contact", "minutes")


class ScoreTold(Told):
    scored_at: datetime | None = of("scored_at")
    instrument: str | None = of("result", "instrument")
    version: str | None = of("result", "version")
    total: int | None = of("result", "total")
    band: str | None = of("result", "band")
    positive: bool | None = of("result", "positive")
    missing: list[str] | None = of("result", "missing")
    alerts: list[str] | None = of("result", "alerts")
    since_baseline: int | None = of("change", "points")
    answers: dict[str, JsonValue] | None = of("answers")


class ValueTold(Told):
    taken_at: datetime | None = of("taken_at")
    indicator: str | None = of("indicator")
    value: float | None = of("value")
    unit: str | None = of("unit")
    crossed: str | None = of("crossed")
    by_own_limits: bool | None = of("by_own_limits")


class MedicationsTold(Told):
    occurred_at: datetime | None = of("occurred_at")
    medications: list[dict[str, JsonValue]] | None = of("medications")
    sources: list[str] | None = of("sources")
    discrepancies: list[dict[str, JsonValue]] | None = of("discrepancies")
    burden: bool | None = of("burden")


class PlanTold(Told):
    kind: str
    version: int | None = of("plan", "version")
    reason: str | None = of("reason")
    plan: dict[str, JsonValue] | None = of("plan")


class GoalTold(Told):
    goal: str | int | None = Field(
        default=None, validation_alias=AliasPath("data", "goal"), description="Its id; in 0.4 its place, from 1"
    )
    description: str | None = of("description")
    achievement: str | None = of("achievement")
    note: str | None = of("note")


class InterventionTold(Told):
    intervention: str | None = of("intervention")
    title: str | None = of("title")
    status: str | None = of("status")
    note: str | None = of("note")
    done_at: datetime | None = of("done_at")


class MilestoneTold(Told):
    pathway: str | None = of("pathway")
    milestone: str | None = of("milestone")
    title: str | None = of("title")
    day: int | None = of("day")
    late_by: int | None = of("late_by")
    variance: str | None = of("variance")
    note: str | None = of("note")
    reached_at: datetime | None = of("reached_at")


class SectionTold(Told):
    name: str | None = of("name")
    assessed_on: date | None = of("assessed_on")
    author: str | None = of("author")
    findings: str | None = of("findings")
    form: str | None = of("form")
    answers: dict[str, JsonValue] | None = of("answers")
    skipped: dict[str, str] | None = of("skipped")
    answered_by: str | None = of("answered_by")
    complete: bool | None = of("complete")


class SafetyPlanTold(Told):
    version: int | None = of("version")
    warning_signs: list[str] | None = of("warning_signs")
    coping: list[str] | None = of("coping")
    distractions: list[str] | None = of("distractions")
    people: list[str] | None = of("people")
    professionals: list[str] | None = of("professionals")
    environment: list[str] | None = of("environment")
    reasons_for_living: list[str] | None = of("reasons_for_living")


class DischargePlanTold(Told):
    event_id: str | None = of("event_id")
    safe: bool | None = of("safe")
    needs: list[str] | None = of("needs")
    services: list[str] | None = of("services")
    vendors: list[str] | None = of("vendors")
    appointments: list[dict[str, JsonValue]] | None = of("appointments")
    barriers: list[dict[str, JsonValue]] | None = of("barriers")
    medications_reconciled: bool | None = of("medications_reconciled")


class TransitionTold(Told):
    kind: str
    id: str | None = of("transition", "id")
    event: str | None = of("transition", "event")
    setting: str | None = of("transition", "setting")
    occurred_at: datetime | None = of("transition", "occurred_at")
    whole_day: bool | None = of("transition", "whole_day")
    disposition: str | None = of("transition", "disposition")
    encounter: str | None = of("transition", "encounter")


class NoteTold(Told):
    text: str | None = of("text")


class StayView(BaseModel):
    """A time in one setting, made of all messages. Without an end it lasts, or its end is not known."""

    setting: str
    started_on: date | None
    started_at: datetime | None
    ended_on: date | None
    ended_at: datetime | None
    admitted: bool
    planned: bool
    disposition: str | None
    encounter: str | None


LISTS: dict[str, tuple[type[Told], tuple[str, ...], str]] = {
    "contacts": (ContactTold, ("contact-logged",), "Contacts and attempts, the last written first."),
    "scores": (ScoreTold, ("instrument-scored",), "Results of instruments over time, with their answers."),
    "values": (ValueTold, ("observation-recorded",), "Measurements over time, and limits that they crossed."),
    "medications": (
        MedicationsTold,
        ("medications-reconciled",),
        "Lists of medications as they were reconciled.",
    ),
    "plans": (
        PlanTold,
        ("plan-agreed", "plan-amended", "plan-revised"),
        "The care plan in all its versions, each whole.",
    ),
    "goals": (GoalTold, ("goal-progressed",), "How each goal went."),
    "interventions": (
        InterventionTold,
        ("intervention-progressed",),
        "What came of what was done, learnt or obtained.",
    ),
    "milestones": (
        MilestoneTold,
        ("milestone-reached",),
        "Milestones of pathways: on which day each came, how much later than expected, and why.",
    ),
    "sections": (
        SectionTold,
        ("section-assessed", "answers-kept-apart"),
        "Sections of the assessment as they were written; answers under a stricter label stand by themselves.",
    ),
    "safety-plans": (SafetyPlanTold, ("safety-plan-written",), "The safety plan in all its versions."),
    "discharge-plans": (DischargePlanTold, ("discharge-planned",), "How the person goes home, as it was planned."),
    "transitions": (
        TransitionTold,
        ("transition-recorded", "transition-corrected", "transition-retracted"),
        "Messages of admissions, discharges and visits; what they come to is `/stays`.",
    ),
    "notes": (NoteTold, ("note-added",), "Notes."),
}


async def read_list(path: str, case_id: str, parts: System, who: Principal, page: PagingDep) -> Page[Any]:
    """A page of one of the lists, the last written first."""
    item, kinds, _ = LISTS[path]
    seen = await require_case(parts, who, case_id, action="read-timeline")
    of_kinds = col(TimelineRow.kind).in_(kinds)
    rows, marks = await entries_of(parts, who, case_id, NEWEST_FIRST, page, of_kinds)
    told = [shown(parts, who, seen, row, marks).model_dump() for row in rows[: page.limit]]
    items: list[Any] = [item.model_validate(one) for one in told]
    following = NEWEST_FIRST.cursor(items[-1].seq) if len(rows) > page.limit else None
    return Page(items=items, next=following)


def _route(path: str, item: type[Told], says: str) -> Callable[..., Awaitable[Any]]:
    async def listed(
        case_id: CaseId,
        parts: SystemDep,
        who: PrincipalDep,
        page: PagingDep,
        request: Request,
        format: Annotated[Format, Query()] = "json",
    ) -> Any:
        found = await read_list(path, case_id, parts, who, page)
        return page_as(format, path, found, item, request)

    listed.__doc__ = says
    listed.__name__ = f"read_{path.replace('-', '_')}"
    return listed


for _path, (_item, _, _says) in LISTS.items():
    router.add_api_route(
        f"/cases/{{case_id}}/{_path}",
        _route(_path, _item, _says),
        methods=["GET"],
        response_model=Page[_item],  # type: ignore[valid-type]
        responses=responses(401, 404, 422, 503),
    )


@router.get("/cases/{case_id}/stays", responses=responses(401, 404, 422, 503), response_model=list[StayView])
async def read_stays(
    case_id: CaseId,
    parts: SystemDep,
    who: PrincipalDep,
    request: Request,
    format: Annotated[Format, Query()] = "json",
) -> Any:
    """Where the person was, and from when to when: one stay an encounter, however many messages told of it."""
    case = (await read_case(parts, who, case_id, "read-timeline")).case
    zone = await zone_of(parts, case_id)
    found = []
    for stay in stays_of(case.transitions, zone, case.referral.patient.encounters):
        started, ended = stay.started, stay.ended
        said = {
            name: getattr(stay, name) for name in ("setting", "admitted", "planned", "disposition", "encounter")
        }
        found.append(
            StayView(
                **said,
                started_on=started.day if started else None,
                started_at=started.at if started else None,
                ended_on=ended.day if ended else None,
                ended_at=ended.at if ended else None,
            )
        )
    return found if format == "json" else page_as(format, "stays", Page(items=found), StayView, request)
