"""Today: what somebody owes, the most urgent first; and what waits, climbed, or is nobody's."""

from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import work
from api.owed import Group, Owed
from api.system import System
from desk.paging import asked_page, next_page
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page

router = APIRouter(max_body_size=FORM_LIMIT)
MAIN: tuple[Group, ...] = ("overdue", "today", "week")
FRONT, MOST = 25, 50  # of each section on the first page, and of one that was chosen


@router.get("/", name="work")
async def today(
    request: Request,
    guest: GuestDep,
    group: Annotated[str, Query()] = "",
    queue: Annotated[str, Query(pattern="^[a-z0-9-]{0,64}$")] = "",
    owner: Annotated[str, Query(pattern="^[A-Za-z0-9_.-]{0,64}$")] = "",
    scope: Annotated[Literal["own", "all"], Query()] = "own",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """The first page of the day. With `group` that group alone, page by page; with `queue` what waits in it."""
    parts: System = request.app.state.system
    chosen: Group | None = next((one for one in get_args(Group) if one == group), None)
    sections: list[tuple[str, list[Owed], str | None]] = []
    counts = None
    for name in ["queue"] if queue else [chosen] if chosen else MAIN:
        asked = {"queue": queue or None, "group": None if queue else name, "scope": scope, "owner": owner or None}
        wanted = work.WorkFilter.model_validate(asked)
        place, most = (cursor, MOST) if chosen or queue else (None, FRONT)
        found = await _work(request, guest, wanted, place, most, counted=counts is None)
        counts = counts or found.counts
        rest = (
            next_page(request, found.next) if chosen or queue else f"/desk/?group={name}" if found.next else None
        )
        sections.append((name, found.items, rest))
    crises = [item for _, items, _ in sections for item in items if item.kind == "crisis"]
    if crises and not chosen and not queue:  # before what has waited longer
        sections = [(name, [i for i in items if i.kind != "crisis"], rest) for name, items, rest in sections]
        sections.insert(0, ("crisis", crises, None))
    said: dict[str, Any] = {"sections": sections, "group": chosen or "", "queue": queue, "owner": owner}
    said |= {"scope": scope, "leads": guest.who.role in work.LEADS}
    said["counts"] = counts or (await work.me(parts, guest.who)).counts
    zone = work.zone_for(parts, guest.who).key
    return page(request, "today.html", guest, queues=_queues(parts), zone=zone, **said)


async def _work(
    request: Request, guest: Guest, wanted: work.WorkFilter, cursor: str | None, most: int, counted: bool
) -> work.Work:
    parts: System = request.app.state.system
    return await work.page_of(parts, guest.who, await asked_page(cursor, most), wanted, counted)


def _queues(parts: System) -> list[str]:
    """The queues that the programmes have."""
    names = {task.queue for program in parts.rulebook.programs for task in program.tasks.values() if task.queue}
    return sorted(names)
