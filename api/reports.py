"""Reports: SQL over the record, as JSON or CSV, each with its definition beside it."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy import ColumnElement, select
from sqlmodel import col

from api.days import bounds
from api.problems import BODY_LIMIT, Refusal, responses
from api.report_definitions import REPORTS
from api.report_queries import Scope
from api.scope import WHOLE, visible
from api.system import PrincipalDep, System, SystemDep
from api.tables import as_csv
from domain.values import Day, Opaque, Role, Slug
from infra.tables import CaseRow

router = APIRouter(tags=["reports"], max_body_size=BODY_LIMIT)
LONGEST_DAYS = 3660


class Definition(BaseModel):
    """What a report counts, and how."""

    name: str
    title: str
    definition: str


class Answer(Definition):
    """A report over a period. `people` of a row under the setting's number hides the row's other numbers."""

    first: Day
    last: Day
    zone: str = Field(description="Where the days begin and end: the programme's own zone, UTC where they differ")
    suppressed_below: int = Field(description="0: nothing is suppressed")
    rows: list[dict[str, JsonValue]]


class Asked(BaseModel):
    """The period by local days, and what to limit it to."""

    first: Day | None = Field(default=None, description="30 days ago unless given")
    last: Day | None = Field(default=None, description="Today unless given")
    program: Slug | None = None
    team: Slug | None = None
    owner: Opaque | None = Field(default=None, description="One case manager's cases")
    format: Literal["json", "csv"] = "json"


@router.get("/reports", responses=responses(401))
async def list_reports(who: PrincipalDep) -> list[Definition]:
    """Every report and what it counts."""
    return [Definition(name=name, title=r.title, definition=r.definition) for name, r in REPORTS.items()]


@router.get("/reports/{name}", responses=responses(401, 403, 404, 422), response_model=Answer)
async def read_report(name: str, parts: SystemDep, who: PrincipalDep, asked: Annotated[Asked, Query()]) -> Any:
    """One report over the cases one may see, for a case manager over her own.

    As CSV the definition is at the address in the `Link` header.
    """
    report = REPORTS.get(name)
    if report is None:
        raise Refusal(404, "UnknownReport", "choose one of `missing`", missing=list(REPORTS))
    zone = _zone(parts, asked)
    first, last = _period(asked, datetime.now(zone).date())
    conditions: list[ColumnElement[bool]] = [visible(parts, who, WHOLE)]
    if asked.program is not None:
        conditions.append(col(CaseRow.program) == asked.program)
    if asked.team is not None:
        conditions.append(col(CaseRow.team) == asked.team)
    owner = who.sub if who.role is Role.CASE_MANAGER else asked.owner
    if owner is not None:
        conditions.append(col(CaseRow.owner) == owner)
    start, end = bounds(first, last, zone)
    async with parts.connection() as connection:
        people = await connection.execute(select(col(CaseRow.id), col(CaseRow.person_id)).where(*conditions))
        person_of = {case_id: person for case_id, person in people.all()}
        scope = Scope(who.tenant, tuple(conditions), start, end, parts.rulebook, parts.keys, person_of)
        rows = await report.rows(connection, scope)
    below = parts.settings.suppress_below
    rows = [_hidden(row, below) for row in rows]
    if asked.format == "csv":
        return as_csv(name, report.columns, rows, f'</reports/{name}/definition>; rel="describedby"')
    named = {"name": name, "title": report.title, "definition": report.definition}
    return Answer(**named, first=first, last=last, zone=zone.key, suppressed_below=below, rows=rows)


def _zone(parts: System, asked: Asked) -> ZoneInfo:
    """Whose days are meant: those of the programme that was asked for, else of all where they agree."""
    programs = [p for p in parts.rulebook.programs if asked.program in (None, p.program)]
    zones = {p.zone.key for p in programs}
    return ZoneInfo(zones.pop()) if len(zones) == 1 else ZoneInfo("UTC")


def _period(asked: Asked, today: date) -> tuple[date, date]:
    last = asked.last or today
    first = asked.first or last - timedelta(days=30)
    if not timedelta(0) <= last - first <= timedelta(days=LONGEST_DAYS):
        raise Refusal(422, "Malformed", "give a first day not after the last, and at most ten years")
    return first, last


def _hidden(row: dict[str, Any], below: int) -> dict[str, Any]:
    """A row about too few people says only what it is about."""
    if not below or row["people"] >= below or row["people"] == 0:
        return row
    numbers = {key for key, value in row.items() if isinstance(value, int | float)}
    return {key: None if key in numbers else value for key, value in row.items()}


@router.get("/reports/{name}/definition", responses=responses(401, 404))
async def read_definition(name: str, who: PrincipalDep) -> Definition:
    """What a report counts, and how."""
    if name not in REPORTS:
        raise Refusal(404, "UnknownReport", "choose one of `missing`", missing=list(REPORTS))
    return Definition(name=name, title=REPORTS[name].title, definition=REPORTS[name].definition)
