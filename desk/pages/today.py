"""Today: what somebody owes, the most urgent first; and what waits, climbed, or is nobody's."""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import work
from api.owed import Group, Owed
from api.pages import Paging
from api.system import System
from desk.paging import asked_page, next_page
from desk.session import GuestDep
from desk.web import page

router = APIRouter()
MAIN: tuple[Group, ...] = ("overdue", "today", "week")
MOST = 50


@router.get("/", name="work")
async def today(
    request: Request,
    guest: GuestDep,
    group: Annotated[str, Query()] = "",
    queue: Annotated[str, Query(pattern="^[a-z0-9-]{0,64}$")] = "",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """The first page of the day. With `group` that group alone, page by page; with `queue` what waits in it."""
    parts: System = request.app.state.system
    chosen = group if group in get_args(Group) else ""
    zone = work.zone_for(parts, guest.who).key
    sections: list[tuple[str, list[Owed], str | None]] = []
    first = await _work(request, guest, work.WorkFilter(group=chosen or "overdue"), cursor if chosen else None)
    counts = first.counts or (await work.me(parts, guest.who)).counts
    if queue:
        found = await _work(request, guest, work.WorkFilter(queue=queue), cursor)
        sections.append(("queue", found.items, next_page(request, found.next)))
    elif chosen:
        sections.append((chosen, first.items, next_page(request, first.next)))
    else:
        sections.append(
            ("overdue", first.items, f"/desk/?group=overdue&cursor={first.next}" if first.next else None)
        )
        for name in MAIN[1:]:
            found = await _work(request, guest, work.WorkFilter(group=name), None)
            following = f"/desk/?group={name}&cursor={found.next}" if found.next else None
            sections.append((name, found.items, following))
    said: dict[str, Any] = {"sections": sections, "counts": counts, "zone": zone, "group": chosen, "queue": queue}
    return page(request, "today.html", guest, queues=_queues(parts), **said)


async def _work(request: Request, guest: GuestDep, wanted: work.WorkFilter, cursor: str | None) -> work.Work:
    parts: System = request.app.state.system
    paging: Paging = await asked_page(cursor, MOST)
    found: work.Work = await work.work(parts, guest.who, paging, wanted, request)
    return found


def _queues(parts: System) -> list[str]:
    """The queues that the programmes have."""
    names = {task.queue for program in parts.rulebook.programs for task in program.tasks.values() if task.queue}
    return sorted(names)
