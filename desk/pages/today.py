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
MOST = 100


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
    chosen = group if group in get_args(Group) else None
    wanted = work.WorkFilter(queue=queue or None, group=chosen)
    found = await _work(request, guest, wanted, cursor if chosen or queue else None)
    counts = found.counts or (await work.me(parts, guest.who)).counts
    named = "queue" if queue else chosen
    rest = next_page(request, found.next)
    sections = [(named, found.items, rest)] if named else _by_group(found.items, found.next is not None)
    said: dict[str, Any] = {"sections": sections, "counts": counts, "group": chosen or "", "queue": queue}
    zone = work.zone_for(parts, guest.who).key
    return page(request, "today.html", guest, queues=_queues(parts), zone=zone, **said)


def _by_group(items: list[Owed], more: bool) -> list[tuple[str, list[Owed], str | None]]:
    """What is due, a section a group. Where there is more than the page holds, each says where the rest is."""
    return [
        (name, mine, f"/desk/?group={name}" if more else None)
        for name in MAIN
        for mine in [[item for item in items if item.group == name]]
    ]


async def _work(request: Request, guest: GuestDep, wanted: work.WorkFilter, cursor: str | None) -> work.Work:
    parts: System = request.app.state.system
    paging: Paging = await asked_page(cursor, MOST)
    found: work.Work = await work.work(parts, guest.who, paging, wanted, request)
    return found


def _queues(parts: System) -> list[str]:
    """The queues that the programmes have."""
    names = {task.queue for program in parts.rulebook.programs for task in program.tasks.values() if task.queue}
    return sorted(names)
