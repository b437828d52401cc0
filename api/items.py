"""Lists of what is open, or was, in all cases: approvals, referrals, flags, crises, offers and the like."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Row, Select, and_
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.identity import called_in
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, responses
from api.scope import LIST, WHOLE, visible
from api.system import Principal, PrincipalDep, System, SystemDep
from api.tables import Format, page_as
from domain.values import Opaque, Slug
from infra import row_places
from infra.item_tables import ItemRow
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["lists"], max_body_size=BODY_LIMIT)
NEWEST_FIRST = Order([col(ItemRow.opened_at), col(ItemRow.case_id), col(ItemRow.id)], descending=True)
LISTS = {  # the path, the kind of its items, and what they are
    "approvals": ("approval", "Approvals that were asked for: yours to decide are those with `asked` you, those"
                  " you asked for with `by` you."),
    "referrals": ("referral", "Referrals to specialists, services and payers, until their loop is closed."),
    "appointments": ("appointment", "Appointments that are ahead, or wait for what became of them; `at` is when."),
    "flags": ("flag", "Cases that somebody has flagged, until that is resolved."),
    "crises": ("crisis", "Crises, until they are ended."),
    "offers": ("offer", "Cases that are offered to somebody (`asked`), or for which somebody else is sought."),
    "guided-records": ("guided-record", "Ethics consults, mediations and other guided records."),
    "corrective-actions": ("corrective-action", "What was to be put right after a review."),
    "assistance": ("assistance", "Programmes that pay for medication or help, until they end."),
    "emergency-looks": ("emergency-look", "Looks into cases in an emergency, until they are reviewed."),
    "unable-to-contact": ("unable-to-contact", "People who cannot be reached, and how far the protocol is."),
    "shares": ("share", "Accounts outside that read cases over FHIR by consent; `at` is when it ends."),
    "quality-reviews": ("quality-review", "Quality reviews; the title names the criteria that were not met."),
}  # fmt: skip


class ListedItem(BaseModel):
    """One of them, with the case that it belongs to."""

    id: str
    case_id: str
    name: str | None = Field(description="By which the person is called, where one may see the case")
    type: str | None = Field(description="What exactly: an approval's subject, a referral's type …")
    title: str | None
    status: str = Field(description="A settled one has the kind of event that settled it")
    by: str | None
    asked: str | None = Field(description="Who has to answer")
    at: datetime | None = Field(description="When it takes place")
    opened_at: datetime
    settled_at: datetime | None
    clock_id: str | None
    due_at: datetime | None
    overdue_seconds: int
    owner: str | None
    team: str
    program: str
    tier: str | None


class ItemFilter(BaseModel):
    """Which of them: left out, all that are open in the cases that one may see."""

    state: Literal["open", "settled", "all"] = "open"
    type: Slug | None = None
    asked: Opaque | None = None
    by: Opaque | None = None
    owner: Opaque | None = None
    team: Slug | None = None
    program: Slug | None = None
    tier: Slug | None = None
    opened_from: datetime | None = None
    opened_before: datetime | None = None
    format: Format = "json"


def _route(path: str, kind: str, says: str) -> Callable[..., Awaitable[Any]]:
    async def listed(
        parts: SystemDep,
        who: PrincipalDep,
        page: PagingDep,
        wanted: Annotated[ItemFilter, Query()],
        request: Request,
    ) -> Any:
        found = await page_of(parts, who, kind, wanted, page)
        return page_as(wanted.format, path, found, ListedItem, request)

    listed.__doc__ = says
    listed.__name__ = f"list_{path.replace('-', '_')}"
    return listed


for _path, (_kind, _says) in LISTS.items():
    router.add_api_route(
        f"/{_path}",
        _route(_path, _kind, _says),
        methods=["GET"],
        response_model=Page[ListedItem],
        responses=responses(401, 403, 422, 503),
    )


async def page_of(
    parts: System, who: Principal, kind: str, wanted: ItemFilter, page: PagingDep
) -> Page[ListedItem]:
    """A page of the items of a kind, the newest first."""
    mine = who.sub in (wanted.asked, wanted.by)
    within = select_columns(col(CaseRow.id)).where(visible(parts, who, LIST if mine else WHOLE))
    here = (col(ItemRow.tenant) == who.tenant, col(ItemRow.kind) == kind, col(ItemRow.case_id).in_(within))
    query: Any = _joined().where(*here, *_chosen(wanted))
    async with parts.connection() as connection:
        rows = (await connection.execute(NEWEST_FIRST.slice(query, page))).all()
    last = rows[page.limit - 1] if len(rows) > page.limit else None
    following = NEWEST_FIRST.cursor(last.opened_at, last.case_id, last.id) if last is not None else None
    return Page(items=await _items(parts, who, kind, rows[: page.limit]), next=following)


ITEM = ("id", "case_id", "type", "title", "status", "by", "asked", "at", "opened_at", "settled_at", "clock_id")
CASE = ("owner", "team", "program", "tier")


def _joined() -> Select[Any]:
    columns = [col(getattr(ItemRow, name)) for name in ITEM] + [col(getattr(CaseRow, name)) for name in CASE]
    clock = and_(col(ClockRow.case_id) == col(ItemRow.case_id), col(ClockRow.id) == col(ItemRow.clock_id))
    return (
        select_columns(*columns, col(ClockRow.due_at), col(ClockRow.state))
        .join_from(ItemRow, CaseRow, col(CaseRow.id) == col(ItemRow.case_id))
        .outerjoin(ClockRow, clock)
    )


def _chosen(wanted: ItemFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.state != "all":
        settled = col(ItemRow.settled_at)
        yield settled.is_(None) if wanted.state == "open" else settled.is_not(None)
    for model, names in ((ItemRow, ("type", "asked", "by")), (CaseRow, CASE)):
        for name in names:
            if (value := getattr(wanted, name)) is not None:
                yield col(getattr(model, name)) == value
    if wanted.opened_from is not None:
        yield col(ItemRow.opened_at) >= wanted.opened_from
    if wanted.opened_before is not None:
        yield col(ItemRow.opened_at) < wanted.opened_before


async def _items(parts: System, who: Principal, kind: str, rows: Sequence[Row[Any]]) -> list[ListedItem]:
    names, now = await called_in(parts, who, (row.case_id for row in rows)), datetime.now(UTC)
    found = []
    for row in rows:
        said = {name: getattr(row, name) for name in (*ITEM, *CASE, "due_at")}
        place = row_places.item(row.case_id, kind, row.id)
        said["title"] = parts.keys.decrypted_text(row.title, place) if row.title else None
        owed = row.settled_at is None and row.state in ("running", "missed")
        open_late = owed and row.due_at < now
        late = int((now - row.due_at).total_seconds()) if open_late else 0
        found.append(ListedItem(**said, name=names.get(row.case_id), overdue_seconds=late))
    return found
