"""What somebody was told, the newest first, and what of it she has read."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from api import staff, work
from api.system import System
from desk.paging import asked_page, next_page
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to
from infra.notice_texts import words as notice_words

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/notices", name="list-notices")
async def show(
    request: Request, guest: GuestDep, cursor: Annotated[str | None, Query(max_length=500)] = None
) -> Response:
    """The notices that are not read yet."""
    parts: System = request.app.state.system
    found = await staff.list_notices(parts, guest.who, await asked_page(cursor, 50), True)
    said: dict[str, Any] = {"items": found.items, "zone": work.zone_for(parts, guest.who).key}
    subjects = notice_words(guest.session.language).subjects
    return page(
        request, "notices.html", guest, subjects=subjects, following=next_page(request, found.next), **said
    )


@router.post("/notices/read", name="read-notice")
async def read(
    request: Request,
    guest: GuestDep,
    case_id: Annotated[str, Form(max_length=64)],
    key: Annotated[str, Form(max_length=200)],
) -> Response:
    """Say that a notice is read."""
    await staff.read_notice(case_id, key, request.app.state.system, guest.who)
    return to("/desk/notices")
