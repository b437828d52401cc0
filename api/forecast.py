"""What is coming: the promises of the next days by person and day, who will be over, what would change that."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import Row
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import WHOLE, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from api.work import zone_for
from domain.clocks.forecast import COMES_AGAIN, occurrences
from domain.programs.caseload import load
from domain.programs.program import Program
from domain.programs.rulebook import ProgramMissing
from domain.values import Opaque, Slug
from infra.tables import CaseRow, ClockRow, StaffRow

router = APIRouter(tags=["lists"], max_body_size=BODY_LIMIT)
MOST_DAYS = 92
MOST_SHOWN = 100


class Day(BaseModel):
    """What falls due on one day: promises that run now, and those that come again."""

    day: date
    due: int = 0
    again: int = 0


class AtRisk(BaseModel):
    """A promise that falls due while nobody is there to keep it, or is overdue already."""

    case_id: str
    clock_id: str
    kind: str
    due_at: datetime
    why: str = Field(description="`overdue`, or `away`: who answers for it is, and nobody covers")


class Ahead(BaseModel):
    """What is ahead of one person: how much on which day, against what she may carry."""

    owner: str | None = Field(description="null: nobody answers for it")
    overdue: int
    days: list[Day]
    total: int
    busiest: date | None
    cases: int
    weight: float
    within_standard: bool
    within_most: bool
    absent_until: datetime | None
    cover: str | None
    at_risk: list[AtRisk] = Field(description=f"At most {MOST_SHOWN}, the soonest first")


class Forecast(BaseModel):
    """The next days of those whom one may see. With `move` as it would be had they changed hands."""

    first: date
    last: date
    zone: str
    people: list[Ahead]
    moved: list[str] = Field(description="The cases that were given away for this answer alone")


class Asked(BaseModel):
    """How far ahead, of whom; and which cases would be given away for the sake of the answer."""

    days: int = Field(default=30, ge=1, le=MOST_DAYS)
    team: Slug | None = None
    program: Slug | None = None
    move: int = Field(default=0, ge=0, le=500, description="So many cases, the lightest first …")
    from_owner: Opaque | None = Field(default=None, description="… of this person …")
    to_owner: Opaque | None = Field(default=None, description="… would be this one's")


@router.get("/forecast", responses=responses(401, 403, 422, 503))
async def forecast(parts: SystemDep, who: PrincipalDep, asked: Annotated[Asked, Query()]) -> Forecast:
    """The promises of the next days by person and day; nothing is changed.

    A contact, a reassessment, an instrument or a review that comes again is counted again from the day on which it
    is due, as if it were kept on that day.
    """
    if asked.move and (asked.from_owner is None or asked.to_owner is None):
        raise Refusal(422, "Malformed", "to move cases say from whom and to whom: from_owner, to_owner")
    now, zone = datetime.now(UTC), zone_for(parts, who)
    first = now.astimezone(zone).date()
    until = datetime.combine(first + timedelta(days=asked.days), datetime.min.time(), zone).astimezone(UTC)
    cases, clocks, staff = await _read(parts, who, asked, until)
    moved = _moved(cases, asked)
    owner_of = {case_id: asked.to_owner if case_id in moved else row.owner for case_id, row in cases.items()}
    rows: dict[str | None, list[Any]] = defaultdict(list)
    for row in clocks:
        hers = row.owner == asked.from_owner and row.case_id in moved
        rows[asked.to_owner if hers else row.owner].append(row)
    mine: dict[str | None, list[Any]] = defaultdict(list)
    for case_id, owner in owner_of.items():
        mine[owner].append(cases[case_id])
    span = _Span(parts, now, until, zone)
    people = [
        _ahead(span, owner, rows[owner], mine[owner], staff.get(owner or ""))
        for owner in sorted({*rows, *mine}, key=lambda owner: owner or "")
    ]
    last = first + timedelta(days=asked.days - 1)
    return Forecast(first=first, last=last, zone=zone.key, people=people, moved=sorted(moved))


async def _read(
    parts: System, who: Principal, asked: Asked, until: datetime
) -> tuple[dict[str, Row[Any]], Sequence[Row[Any]], dict[str, Row[Any]]]:
    """The open cases within reach, their promises that can fall due by then, and the people."""
    names = ("id", "owner", "weight", "program", "program_version")
    cases = select_columns(*(col(getattr(CaseRow, name)) for name in names)).where(
        visible(parts, who, WHOLE), col(CaseRow.status) == "open"
    )
    if asked.team is not None:
        cases = cases.where(col(CaseRow.team) == asked.team)
    if asked.program is not None:
        cases = cases.where(col(CaseRow.program) == asked.program)
    wanted = ("case_id", "id", "kind", "owner", "policy", "due_at", "state")
    chosen = cases.with_only_columns(col(CaseRow.id))
    clocks = (
        select_columns(*(col(getattr(ClockRow, name)) for name in wanted))
        .where(col(ClockRow.case_id).in_(chosen), col(ClockRow.state).in_(("running", "missed")))
        .where(col(ClockRow.due_at) < until)
        .order_by(col(ClockRow.due_at))
    )
    staff = select_columns(StaffRow.__table__).where(col(StaffRow.tenant) == who.tenant)  # type: ignore[attr-defined]
    async with parts.connection() as connection:
        by_id = {row.id: row for row in (await connection.execute(cases)).all()}
        found = (await connection.execute(clocks)).all()
        people = {row.subject: row for row in (await connection.execute(staff)).all()}
    return by_id, found, people


def _moved(cases: dict[str, Row[Any]], asked: Asked) -> set[str]:
    """The cases that would be given away: the lightest, so that who gives keeps those whom she sees most."""
    hers = [row for row in cases.values() if asked.move and row.owner == asked.from_owner]
    return {row.id for row in sorted(hers, key=lambda row: (row.weight, row.id))[: asked.move]}


class _Span:
    """The days that are looked at, and how a promise of a case comes again in them."""

    def __init__(self, parts: System, now: datetime, until: datetime, zone: ZoneInfo) -> None:
        self.parts, self.now, self.until, self.zone = parts, now, until, zone

    def again(self, row: Any, case: Any) -> Iterator[datetime]:
        """When a promise falls due again; one that is overdue counts from today."""
        program = self._program(case)
        rule = program.policies.get(row.policy or "") if program is not None else None
        if program is None or rule is None or row.kind not in COMES_AGAIN:
            return
        working = self.parts.rulebook.calendar(program.calendar_of(rule))
        yield from occurrences(max(row.due_at, self.now), rule.within, self.until, working, program.zone)

    def _program(self, case: Any) -> Program | None:
        try:
            return self.parts.rulebook.program(case.program, case.program_version)
        except ProgramMissing:
            return None

    def day(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()


def _ahead(span: _Span, owner: str | None, rows: list[Any], cases: list[Any], staff: Any) -> Ahead:
    by_id = {case.id: case for case in cases}
    days: dict[date, Day] = {}
    for row in rows:
        if row.due_at >= span.now:
            days.setdefault(span.day(row.due_at), Day(day=span.day(row.due_at))).due += 1
        for following in span.again(row, by_id[row.case_id]) if row.case_id in by_id else ():
            days.setdefault(span.day(following), Day(day=span.day(following))).again += 1
    limits = span.parts.settings
    carried = load(sum(c.weight for c in cases), len(cases), limits.caseload_standard, limits.caseload_most)
    away = (
        staff.absent_until if staff is not None and staff.absent_until and staff.absent_until > span.now else None
    )
    listed = sorted(days.values(), key=lambda day: day.day)
    return Ahead(
        owner=owner,
        overdue=sum(row.due_at < span.now for row in rows),
        days=listed,
        total=sum(day.due + day.again for day in listed),
        busiest=max(listed, key=lambda day: (day.due + day.again, day.day)).day if listed else None,
        **carried.model_dump(),
        absent_until=away,
        cover=staff.cover if away else None,
        at_risk=list(_at_risk(span, rows, away, staff))[:MOST_SHOWN],
    )


def _at_risk(span: _Span, rows: list[Any], away: datetime | None, staff: Any) -> Iterator[AtRisk]:
    for row in rows:
        alone = away is not None and row.due_at < away and staff.cover is None
        why = "overdue" if row.due_at < span.now else "away" if alone else None
        if why is not None:
            said = {"case_id": row.case_id, "clock_id": row.id, "kind": row.kind, "due_at": row.due_at}
            yield AtRisk(**said, why=why)
