"""The agenda: appointments with their times and promises with their deadlines, of one person or of a team."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Row, or_
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.days import ahead
from api.identity import called_in
from api.pages import Page
from api.problems import BODY_LIMIT, responses
from api.scope import LIST, WHOLE, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from api.work import zone_for
from domain.values import Day, Opaque, Slug
from infra import row_places
from infra.item_tables import ItemRow
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["lists"], max_body_size=BODY_LIMIT)
SHOWN_DAYS, MOST = 7, 2000


class AgendaEntry(BaseModel):
    """Something that is to be at a time: an appointment, or a promise that is due."""

    kind: Literal["appointment", "promise"]
    at: datetime
    title: str
    case_id: str
    name: str | None = Field(description="By which the person is called, where one may see the case")
    id: str = Field(description="The appointment's, or the promise's")
    how: str | None = Field(description="Of an appointment how she is met; of a promise its kind")
    whose: str | None = Field(description="Who is to be there, or answers for it")


class Asked(BaseModel):
    """Which days, by one's own zone, and whose."""

    first: Day | None = Field(default=None, description="Today unless given")
    last: Day | None = Field(default=None, description="A week from the first unless given")
    owner: Opaque | None = Field(default=None, description="Somebody else's, within one's own scope")
    team: Slug | None = Field(default=None, description="A whole team's, within one's own scope")
    format: Format = "json"


@router.get("/agenda", responses=responses(401, 403, 422, 503), response_model=Page[AgendaEntry])
async def agenda(parts: SystemDep, who: PrincipalDep, asked: Annotated[Asked, Query()], request: Request) -> Any:
    """What is to be when: one's own appointments and promises of the next days, in order."""
    entries = await entries_for(parts, who, asked)
    return page_as(asked.format, "agenda", Page(items=entries), AgendaEntry, request)


async def entries_for(parts: System, who: Principal, asked: Asked) -> list[AgendaEntry]:
    """The same for whoever asks by another way. Raises 422 for days out of order."""
    start, end = ahead(asked.first, asked.last, SHOWN_DAYS, zone_for(parts, who))
    mine = asked.team is None and asked.owner in (None, who.sub)
    cases = select_columns(col(CaseRow.id)).where(visible(parts, who, LIST if mine else WHOLE))
    if asked.team is not None:
        cases = cases.where(col(CaseRow.team) == asked.team)
    of = None if asked.team is not None else asked.owner or who.sub
    booked = select_columns(ItemRow.__table__, col(CaseRow.owner)).join(  # type: ignore[attr-defined]
        CaseRow, col(CaseRow.id) == col(ItemRow.case_id)
    )
    booked = booked.where(
        col(ItemRow.tenant) == who.tenant,
        col(ItemRow.kind) == "appointment",
        col(ItemRow.at) >= start,
        col(ItemRow.at) < end,
        col(ItemRow.settled_at).is_(None),
        col(ItemRow.case_id).in_(cases),
    )
    due = select_columns(ClockRow.__table__).where(  # type: ignore[attr-defined]
        col(ClockRow.tenant) == who.tenant,
        col(ClockRow.due_at) >= start,
        col(ClockRow.due_at) < end,
        col(ClockRow.state).in_(("running", "missed")),
        col(ClockRow.case_id).in_(cases),
    )
    if of is not None:
        hers = or_(col(ItemRow.asked) == of, col(ItemRow.asked).is_(None) & (col(CaseRow.owner) == of))
        booked, due = booked.where(hers), due.where(col(ClockRow.owner) == of)
    async with parts.connection() as connection:
        appointments = (await connection.execute(booked.order_by(col(ItemRow.at)).limit(MOST))).all()
        promises = (await connection.execute(due.order_by(col(ClockRow.due_at)).limit(MOST))).all()
    return await _entries(parts, who, appointments, promises)


async def _entries(
    parts: System, who: Principal, appointments: Sequence[Row[Any]], promises: Sequence[Row[Any]]
) -> list[AgendaEntry]:
    names = await called_in(parts, who, {row.case_id for row in (*appointments, *promises)})
    found = []
    for row in appointments:
        place = row_places.item(row.case_id, row.kind, row.id)
        title = parts.keys.decrypted_text(row.title, place) if row.title else ""
        said = {"at": row.at, "case_id": row.case_id, "name": names.get(row.case_id), "id": row.id}
        whose = row.asked or row.owner
        found.append(AgendaEntry(kind="appointment", title=title, how=row.type, whose=whose, **said))
    for row in promises:
        title = parts.keys.decrypted_text(row.title, row_places.clock(row.case_id, row.id))
        said = {"at": row.due_at, "case_id": row.case_id, "name": names.get(row.case_id), "id": row.id}
        found.append(AgendaEntry(kind="promise", title=title, how=row.kind, whose=row.owner, **said))
    return sorted(found, key=lambda entry: (entry.at, entry.kind, entry.id))
