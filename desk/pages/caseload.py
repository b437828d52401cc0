"""Who carries what: cases against the limits, and giving the cases of somebody away."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import assignment, bulk_actions, lists, staff
from api.pages import Paging
from api.submission import Wish
from api.system import System
from desk.charts import bars
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to
from desk.words import of as words_of

router = APIRouter(max_body_size=FORM_LIMIT)


@router.get("/caseload", name="caseload")
async def show(request: Request, guest: GuestDep) -> Response:
    """Weight against the standard, cases against the most, what is overdue; by case manager."""
    parts: System = request.app.state.system
    rows = await lists.caseload(parts, guest.who)
    people = await staff.list_staff(parts, guest.who, Paging(limit=200, after=None))
    named = {person.subject: person for person in people.items}
    nobody = words_of(guest.session.language)("case.nobody")
    weighed = [(named[r.owner].name if r.owner in named else r.owner or nobody, r.weight) for r in rows]
    weights = bars(weighed, parts.settings.caseload_standard)
    said: dict[str, Any] = {"rows": rows, "named": named, "weights": weights}
    return page(request, "caseload.html", guest, standard=parts.settings.caseload_standard, **said)


@router.post("/caseload/give", name="reassign-all")
async def give(
    request: Request,
    guest: GuestDep,
    owner: Annotated[str, Form(max_length=64)],
    reason: Annotated[str, Form(min_length=1, max_length=4000)],
    to_whom: Annotated[str, Form(max_length=64)] = "",
    sure: Annotated[str, Form()] = "",
) -> Response:
    """Give all open cases of somebody away: to one colleague, or each to whoever carries least."""
    parts: System = request.app.state.system
    if sure != "yes":
        people = await staff.list_staff(parts, guest.who, Paging(limit=200, after=None))
        named = {person.subject: person.name for person in people.items}
        held = [row for row in await lists.caseload(parts, guest.who) if row.owner == owner]
        said: dict[str, Any] = {"owner": owner, "to_whom": to_whom, "reason": reason, "named": named}
        return page(request, "give.html", guest, cases=held[0].cases if held else 0, **said)
    wanted = assignment.Reassign.model_validate({"owner": owner, "to": to_whom or None, "reason": reason})
    begun = await assignment.reassign_all(wanted, parts, guest.who, Wish(), Response())
    return to(f"/desk/bulk/{begun.id}")


@router.get("/bulk/{action_id}", name="read-bulk-action")
async def progress(request: Request, guest: GuestDep, action_id: str) -> Response:
    """How far it is, and what refused, case by case."""
    parts: System = request.app.state.system
    view = await bulk_actions.read_bulk_action(action_id, parts, guest.who)
    refused = await bulk_actions.read_bulk_items(
        action_id, parts, guest.who, Paging(limit=100, after=None), "refused"
    )
    return page(request, "bulk.html", guest, view=view, refused=refused.items)
