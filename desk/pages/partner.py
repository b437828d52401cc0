"""What the recipient of a referral sees who has no system of her own, behind a link: nobody signs in here."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import partners
from api.problems import Refusal
from api.system import NOTE, System
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to
from domain.values import Role

router = APIRouter(max_body_size=FORM_LIMIT)
NEEDS_TEXT = {"decline-referral", "hold-referral", "fail-referral", "complete-referral"}


@router.get("/partner/{token}", name="partner-referral")
async def show(request: Request, token: str, done: bool = False) -> Response:
    """The referral and what may be answered."""
    parts: System = request.app.state.system
    try:
        said = await _opened(request, token)
        view = await partners.partner_referral(parts, said)
    except partners.LinkOver:
        return page(request, "partner_over.html", None, 200 if done else 404, done=done)
    return page(request, "partner.html", None, view=view, needs=NEEDS_TEXT, done=done, fault=None)


@router.post("/partner/{token}", name="answer-partner-referral")
async def answer(
    request: Request,
    token: str,
    kind: Annotated[partners.Answer, Form()],
    seq: Annotated[int, Form(ge=0)],
    text: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Tell the case what the recipient answers; what it does not take is said with the form."""
    parts: System = request.app.state.system
    try:
        said = await _opened(request, token)
    except partners.LinkOver:
        return page(request, "partner_over.html", None, 404, done=False)
    try:
        await partners.answer_partner_referral(parts, said, kind, text.strip(), seq)
    except partners.LinkOver:
        done = await partners.was_answered(parts, said, kind, seq)  # a second click on what ended the link
        return page(request, "partner_over.html", None, 200 if done else 404, done=done)
    except Refusal as refusal:
        view = await partners.partner_referral(parts, said)
        told = {"view": view, "needs": NEEDS_TEXT, "done": False, "fault": refusal.problem.code}
        return page(request, "partner.html", None, refusal.status, **told)
    return to(f"/desk/partner/{token}?done=true")


@router.post("/cases/{case_id}/referrals/{referral_id}/link", name="link-referral")
async def link(request: Request, guest: GuestDep, case_id: str, referral_id: str) -> Response:
    """Make a link for the recipient, to be sent to her by whoever made it."""
    parts: System = request.app.state.system
    made = await partners.link_referral(case_id, referral_id, partners.LinkWish(), parts, guest.who)
    return page(request, "partner_link.html", guest, link=made, case_id=case_id)


async def _opened(request: Request, token: str) -> partners.Sealed:
    """What the link says; that it was opened is audited, and how often is limited."""
    parts: System = request.app.state.system
    said = partners.sealed_of(parts, token)
    note: dict[str, Any] = request.scope.get(NOTE, {})
    action = request.scope["route"].name
    actor = f"{partners.PARTNER}-{said.referral_id}"
    note |= {"action": action, "actor": actor, "role": Role.INTEGRATOR.value}
    note |= {"tenant": said.tenant, "case_id": said.case_id}
    await parts.limits.check(said.tenant, f"{said.case_id}/{actor}", False)
    return said
