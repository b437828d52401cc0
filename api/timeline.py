"""The timeline of a case: all that happened, in sentences and as data, by subject, kind and time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import ColumnElement
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.commands import CaseId
from api.pages import MOST_SEQ, Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import Seen, require_case
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from domain.case.event import ENTERED_IN_ERROR, label_of
from domain.programs.rulebook import ProgramMissing
from domain.values import Instant, Sensitivity, Slug
from infra import row_places
from infra.sentences import sentence, subject_of, subjects
from infra.tables import CaseRow, ClockRow, TaskRow, TimelineRow
from infra.timeline import entry_of

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)
OLDEST_FIRST = Order([col(TimelineRow.seq)])
NEWEST_FIRST = Order([col(TimelineRow.seq)], descending=True)


class InError(BaseModel):
    """That an entry was entered in error: who said so, when and why, and in which entry."""

    by: str
    at: datetime
    reason: str
    entry: int
    replaced: bool = False


class Withheld(BaseModel):
    """That an entry is not for this reader: the label that keeps it, and whom to ask."""

    label: Sensitivity
    ask: str | None


class TimelineItem(BaseModel):
    """One event of a case. What was entered in error stays, marked; what is withheld is told without its data."""

    model_config = ConfigDict(from_attributes=True)

    seq: int
    at: datetime
    kind: str
    actor: str
    actor_role: str
    command_id: str
    data: dict[str, JsonValue]
    hash: str
    subject: str | None = Field(default=None, description="What it is about")
    said: str | None = Field(default=None, description="The event in a sentence, times in the programme's zone")
    entered_in_error: InError | None = None
    withheld: Withheld | None = None


class TimelineFilter(BaseModel):
    """Which of it: left out, all of it from the beginning."""

    kind: list[Slug] = Field(default=[], max_length=20, description="Kinds of events; given more than once, any")
    subject: Slug | None = Field(default=None, description="What it is about: contacts, scores, plan, promises …")
    after_seq: int | None = Field(default=None, ge=0, lt=MOST_SEQ, description="What came after an event")
    first: Instant | None = None
    last: Instant | None = None
    order: Literal["oldest", "newest"] = "oldest"
    language: Slug = Field(default="en", description="Of the sentences; English where there is none")
    format: Format = "json"

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Raises 422 for a subject that there is not."""
        if self.subject is not None:
            if self.subject not in subjects():
                raise Refusal(422, "UnknownSubject", "choose one of `missing`", missing=sorted(subjects()))
            yield col(TimelineRow.kind).in_(subjects()[self.subject])
        if self.kind:
            yield col(TimelineRow.kind).in_(self.kind)
        if self.after_seq is not None:
            yield col(TimelineRow.seq) > self.after_seq
        if self.first is not None:
            yield col(TimelineRow.at) >= self.first
        if self.last is not None:
            yield col(TimelineRow.at) <= self.last


@router.get(
    "/cases/{case_id}/timeline",
    responses=responses(401, 404, 422, 503),
    response_model=Page[TimelineItem],
)
async def read_timeline(
    case_id: CaseId,
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    wanted: Annotated[TimelineFilter, Query()],
    request: Request,
) -> Any:
    """Everything that happened to a case, in order, each in a sentence and as data."""
    seen = await require_case(parts, who, case_id, action="read-timeline")
    order = NEWEST_FIRST if wanted.order == "newest" else OLDEST_FIRST
    rows, marks = await entries_of(parts, who, case_id, order, page, *wanted.conditions())
    items = [shown(parts, who, seen, row, marks) for row in rows[: page.limit]]
    following = order.cursor(items[-1].seq) if len(rows) > page.limit else None
    told = await _told(parts, who, case_id, items, wanted.language)
    return page_as(wanted.format, "timeline", Page(items=told, next=following), TimelineItem, request)


async def entries_of(
    parts: System, who: Principal, case_id: str, order: Order, page: PagingDep, *where: ColumnElement[bool]
) -> tuple[Sequence[TimelineRow], dict[str, InError]]:
    """A page of entries and one more, and which commands of the case were entered in error."""
    mine = select(TimelineRow).where(TimelineRow.case_id == case_id, TimelineRow.tenant == who.tenant)
    async with parts.session() as session:
        rows = (await session.exec(order.slice(mine.where(*where), page))).all()
        corrections = (await session.exec(mine.where(TimelineRow.kind == ENTERED_IN_ERROR))).all()
    return rows, {str(row.facts["of_command"]): _mark(parts, row) for row in corrections}


def shown(parts: System, who: Principal, seen: Seen, row: TimelineRow, marks: dict[str, InError]) -> TimelineItem:
    """An entry, or that there is one where its label keeps it from this reader. Its author reads it always."""
    entry = entry_of(parts.keys, row)
    label = label_of(entry.data)
    more = {"data": entry.data, "subject": subject_of(row.kind), "entered_in_error": marks.get(row.command_id)}
    item = TimelineItem.model_validate({**row.model_dump(), **more})
    if row.actor == who.sub or parts.policy.reads(who.role, label, seen.reaches):
        return item
    return item.model_copy(update={"data": {}, "withheld": Withheld(label=label, ask=seen.owner)})


def _mark(parts: System, row: TimelineRow) -> InError:
    said = entry_of(parts.keys, row).data
    return InError(by=row.actor, at=row.at, entry=row.seq, **{n: said[n] for n in ("reason", "replaced")})


async def _told(
    parts: System, who: Principal, case_id: str, items: Sequence[TimelineItem], language: str
) -> list[TimelineItem]:
    """The same with their sentences; what is withheld says nothing."""
    titles = await _titles(parts, case_id, items)
    zone = await zone_of(parts, case_id)
    found = []
    for item in items:
        about = {name: titles.get(str(item.data.get(f"{name}_id"))) for name in ("clock", "task")}
        data = {**{name: title for name, title in about.items() if title}, **item.data}
        said = sentence(language, item.kind, data, zone) if item.withheld is None else None
        found.append(item.model_copy(update={"said": said}))
    return found


async def _titles(parts: System, case_id: str, items: Sequence[TimelineItem]) -> dict[str, str]:
    """The titles of the promises and tasks that some entries are about, by id."""
    asked = {str(item.data[name]) for item in items for name in ("clock_id", "task_id") if name in item.data}
    found: dict[str, str] = {}
    async with parts.connection() as connection:
        for model, place in ((ClockRow, row_places.clock), (TaskRow, row_places.task)):
            names: Any = select_columns(col(model.id), col(model.title)).where(
                col(model.case_id) == case_id, col(model.id).in_(asked)
            )
            for name, title in (await connection.execute(names)).all():
                found[name] = parts.keys.decrypted_text(title, place(case_id, name))
    return found


async def zone_of(parts: System, case_id: str) -> ZoneInfo:
    """The zone in which a case's days are counted; UTC where its programme's file is gone."""
    query = select_columns(col(CaseRow.program), col(CaseRow.program_version)).where(col(CaseRow.id) == case_id)
    async with parts.connection() as connection:
        program, version = (await connection.execute(query)).one()
    try:
        return parts.rulebook.program(program, version).zone
    except ProgramMissing:
        return ZoneInfo("UTC")
