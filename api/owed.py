"""One thing that somebody owes, as lists say it: what, about whom, since when, who is told next, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, Select, and_, or_
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.identity import Known, known_as
from api.system import Principal, System
from domain.clocks.clock import ClockKind, ClockPolicy, Ladder, Rank
from domain.programs.rulebook import ProgramMissing
from domain.promises.keeping import Keeping, keeping
from domain.steps.stages import ages_on
from infra import row_places
from infra.tables import CaseRow, ClockRow, TaskRow

Group = Literal[
    "overdue", "today", "week", "later", "on-hold", "waiting", "escalated", "unowned", "covering", "on-duty"
]
DUE: tuple[Group, ...] = ("overdue", "today", "week", "later")


class Owed(BaseModel):
    """One thing that somebody owes, with what to do about it."""

    model_config = ConfigDict(from_attributes=True)

    group: Group
    case_id: str
    clock_id: str
    kind: str
    title: str
    name: str | None = Field(description="By which the person is called, where one may see the case")
    age: int | None
    program: str
    tier: str | None
    stage: str
    team: str
    owner: str | None = Field(description="Who answers for it")
    queue: str | None
    state: str
    since: datetime | None
    due_at: datetime
    overdue_seconds: int
    on_hold_until: datetime | None
    duty: bool = Field(description="Set by law, or a person's safety hangs on it")
    next_at: datetime | None = Field(description="When the ladder tells somebody next")
    next_told: str | None = Field(description="Whom it tells then")
    told: str | None = Field(description="The rank that was told last")
    acknowledged_by: str | None
    do: Keeping | None = Field(description="The command that keeps the promise, with its ids filled in")


@dataclass(frozen=True)
class Days:
    """The present moment, and where today and the next seven days end in somebody's zone."""

    now: datetime
    zone: ZoneInfo

    def end(self, days: int) -> datetime:
        """The end of today, or of a day so many days later."""
        day = self.now.astimezone(self.zone).date() + timedelta(days=days + 1)
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def conditions(self) -> dict[Group, ColumnElement[bool]]:
        """What is due in which group; each promise is in one of them."""
        due, late = col(ClockRow.due_at), or_(col(ClockRow.state) == "missed", col(ClockRow.due_at) < self.now)
        today, week = self.end(0), self.end(7)
        return {
            "overdue": late,
            "today": and_(~late, due < today),
            "week": and_(~late, due >= today, due < week),
            "later": and_(~late, due >= week),
        }

    def group_of(self, state: str, due_at: datetime) -> Group:
        if state == "paused":
            return "on-hold"
        if state == "missed" or due_at < self.now:
            return "overdue"
        return "today" if due_at < self.end(0) else "week" if due_at < self.end(7) else "later"


_TASK = and_(
    col(TaskRow.case_id) == col(ClockRow.case_id),
    col(TaskRow.id) == col(ClockRow.about),
    col(ClockRow.kind) == ClockKind.TASK,
)
OF_CLOCK = ("case_id", "id", "kind", "title", "about", "policy", "owner", "queue", "state", "since", "due_at")
MORE = ("paused_until", "next_at", "rung", "raised", "duty", "told", "acknowledged_by")
OF_CASE = ("program", "program_version", "tier", "stage", "team", "person_id")


AS_IT_IS = tuple(name for name in Owed.model_fields if name in {*OF_CLOCK, *MORE, *OF_CASE})


def owed(cases: Select[Any]) -> Select[Any]:
    """The promises of some cases, with what the lists say of the case and the task."""
    columns = [col(getattr(ClockRow, name)) for name in (*OF_CLOCK, *MORE)]
    columns += [col(getattr(CaseRow, name)) for name in OF_CASE]
    return (
        select_columns(*columns, col(TaskRow.status))
        .join_from(ClockRow, CaseRow, col(CaseRow.id) == col(ClockRow.case_id))
        .outerjoin(TaskRow, _TASK)
        .where(col(ClockRow.case_id).in_(cases))
    )


async def items_of(
    parts: System, who: Principal, rows: Sequence[Row[Any]], days: Days, group: Group | None
) -> list[Owed]:
    """What the lists say of some rows of `owed`."""
    known = await known_as(parts, who.tenant, (row.person_id for row in rows))
    return [_item(parts, row, known.get(row.person_id, Known()), days, group) for row in rows]


def _item(parts: System, row: Row[Any], person: Known, days: Days, group: Group | None) -> Owed:
    rule, ladder = _rule(parts, row)
    said = {name: getattr(row, name) for name in AS_IT_IS}
    return Owed(
        **{
            **said,
            "group": group or days.group_of(row.state, row.due_at),
            "clock_id": row.id,
            "title": parts.keys.decrypted_text(row.title, row_places.clock(row.case_id, row.id)),
            "name": person.name,
            "age": _age(person, days),
            "overdue_seconds": max(0, int((days.now - row.due_at).total_seconds())),
            "on_hold_until": row.paused_until,
            "next_told": _next_told(row, ladder) if ladder else None,
            "do": _to_do(row, rule, group, days.now),
        }
    )


def _to_do(row: Row[Any], rule: ClockPolicy | None, group: Group | None, now: datetime) -> Keeping | None:
    """What to send; nothing while it waits for consent, for another task, for a letter's time."""
    if group == "escalated":
        return Keeping(command="acknowledge-escalation", body={"escalation_id": f"{row.id}-missed"})
    rests = row.state == "paused" and row.paused_until is None
    too_early = row.kind == ClockKind.UNREACHED and row.since is not None and row.since > now
    if rests or too_early:
        return None
    unclaimed = row.queue is not None and row.status not in (None, "on-hold", "awaiting-cosign")
    status = "unclaimed" if unclaimed else row.status
    return keeping(row.kind, row.about, rule.kept_by if rule else None, row.stage, status)


def _rule(parts: System, row: Row[Any]) -> tuple[ClockPolicy | None, Ladder | None]:
    """The programme's rule of a promise and its ladder; nothing where its file is gone."""
    try:
        program = parts.rulebook.program(row.program, row.program_version)
    except ProgramMissing:
        return None, None
    rule = program.policies.get(row.policy or "")
    return rule, program.ladders.get(rule.ladder) if rule else None


def _next_told(row: Row[Any], ladder: Ladder) -> Rank | None:
    """The rank that hears of it next; None where nobody does any more, or while it rests."""
    if row.next_at is None:
        return None
    reminding = row.state != "missed" and row.next_at <= row.due_at
    return ladder.told_next(reminding, row.rung, row.raised)


def _age(person: Known, days: Days) -> int | None:
    if person.birth_date is None:
        return None
    youngest, oldest = ages_on(person.birth_date, days.now.astimezone(days.zone).date())
    return youngest if youngest == oldest else None
