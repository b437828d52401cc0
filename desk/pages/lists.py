"""Lists across cases: escalations as they appear, and approvals, referrals, flags and the like."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from api import batch, items, work
from api.problems import Refusal
from api.submission import Wish
from api.system import NOTE, System, not_permitted
from desk.paging import asked_page, next_page
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to

router = APIRouter(max_body_size=FORM_LIMIT)
MOST = 50
TO_DO = {  # what is done with an item, and the field of the command that names it
    "approvals": ("decide-approval", "approval_id"),
    "flags": ("resolve-flag", "flag_id"),
    "appointments": ("keep-appointment", "appointment_id"),
    "corrective-actions": ("complete-corrective-action", "action_id"),
    "emergency-looks": ("review-access", "access_id"),
    "offers": ("answer-transfer", ""),
    "assistance": ("renew-assistance", "assistance_id"),
    "unable-to-contact": ("keep-trying", ""),
}
OF_REFERRAL = {
    "draft": "send-referral",
    "sent": "accept-referral",
    "accepted": "complete-referral",
    "in-progress": "complete-referral",
    "on-hold": "begin-referral-service",
    "declined": "send-referral",
    "failed": "send-referral",
    "done": "close-referral-loop",
}


@router.get("/escalations", name="escalations")
async def escalations(
    request: Request, guest: GuestDep, cursor: Annotated[str | None, Query(max_length=500)] = None
) -> Response:
    """What was missed and climbed, and what nobody answers for; for who leads nobody, her own that is overdue."""
    parts: System = request.app.state.system
    leads = guest.who.role in work.LEADS
    group: Literal["escalated", "overdue"] = "escalated" if leads else "overdue"
    found = await work.work(
        parts, guest.who, await asked_page(cursor, MOST), work.WorkFilter(group=group), request
    )
    said: dict[str, Any] = {"zone": work.zone_for(parts, guest.who).key, "group": group, "key": uuid.uuid4().hex}
    return page(
        request, "escalations.html", guest, items=found.items, following=next_page(request, found.next), **said
    )


@router.post("/escalations/acknowledge", name="send-batch")
async def acknowledge(
    request: Request,
    guest: GuestDep,
    item: Annotated[list[str], Form(max_length=batch.MOST)] = [],  # noqa: B006
    note: Annotated[str, Form(max_length=500)] = "",
    key: Annotated[str, Form(alias="_key", max_length=64)] = "",
) -> Response:
    """Take up what was chosen, with one note; say what became of each where one was refused."""
    said = {"note": note.strip()} if note.strip() else {}
    chosen = [one.partition("/") for one in item]
    items_ = [
        {"case_id": case_id, "command": "acknowledge-escalation", "body": {"escalation_id": name, **said}}
        for case_id, _, name in chosen
    ]
    if not items_:
        return to("/desk/escalations")
    wanted = batch.Batch.model_validate({"items": items_})
    done = await batch.send_batch(wanted, request.app.state.system, guest.who, Wish(key=key or None), request)
    if all(one.status == "applied" for one in done):
        return to("/desk/escalations?saved=yes")
    return page(request, "batch.html", guest, done=done)


@router.get("/lists", name="list-approvals")
async def which(request: Request, guest: GuestDep) -> Response:
    """The lists that there are."""
    return page(request, "which-list.html", guest, names=list(items.LISTS))


@router.get("/lists/{name}", name="list-approvals")
async def listed(
    request: Request,
    guest: GuestDep,
    name: str,
    state: Annotated[Literal["open", "settled", "all"], Query()] = "open",
    mine: Annotated[str, Query(pattern="^(asked|by|)$")] = "",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """One of the lists, the newest first."""
    parts: System = request.app.state.system
    if name not in items.LISTS:
        raise Refusal(404, "NotFound", "there is no such list")
    action = f"list-{name}"
    request.scope.get(NOTE, {})["action"] = action
    if not parts.policy.reach_of(guest.who.role, action):
        raise not_permitted(parts.policy, action)
    wanted = items.ItemFilter.model_validate({"state": state, **({mine: guest.who.sub} if mine else {})})
    found = await items.page_of(parts, guest.who, items.LISTS[name][0], wanted, await asked_page(cursor, MOST))
    said: dict[str, Any] = {"name": name, "items": found.items, "state": state, "mine": mine}
    said |= {"zone": work.zone_for(parts, guest.who).key, "to_do": lambda item: _to_do(name, item)}
    return page(request, "list.html", guest, following=next_page(request, found.next), **said)


def _to_do(name: str, item: items.ListedItem) -> tuple[str, str] | None:
    """What is done with an item next, and the field that names it; None for one that is settled."""
    if item.settled_at is not None:
        return None
    if name == "referrals":
        return OF_REFERRAL[item.status], "referral_id"
    if name == "crises":
        return ("end-crisis" if item.type else "record-disposition"), ""
    if name == "appointments" and item.at is not None and item.at > datetime.now(UTC):
        return "move-appointment", "appointment_id"
    return TO_DO.get(name)
