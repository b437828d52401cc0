"""A referral as its recipient sees it who has no system of her own: behind a link that is signed and ends.

Whoever holds the link may answer this one referral, as long as it is with this recipient, and sees nothing else of
the case. Who the person is, and how she is reached, stands there when the referral is accepted.
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import col, select

from api.commands import REFUSALS, CaseId
from api.identity import survivor, with_persons
from api.problems import BODY_LIMIT, Refusal
from api.reading import read_case
from api.scope import Seen
from api.submission import CommandResult, Wish, command_id, enveloped, send
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.case import Case
from domain.case.event import Position
from domain.case.open_parts import ReferralStatus, SpecialistReferral
from domain.persons.person import Person
from domain.steps.referral_answers import (
    AcceptReferral,
    BeginReferralService,
    CompleteReferral,
    DeclineReferral,
    FailReferral,
    HoldReferral,
)
from domain.steps.referrals import ReferralDrafted
from domain.values import Instant, Line, Role, Slug
from infra.encryption import KeyMissing
from infra.tables import CaseRow, StateRow, TimelineRow
from infra.timeline import decrypted_state, timeline_of

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)
PLACE = "partner/link"  # what a link is sealed for: nothing else that we encrypt can stand in it
PARTNER = "partner"
OPEN = {
    ReferralStatus.SENT,
    ReferralStatus.ACCEPTED,
    ReferralStatus.IN_PROGRESS,
    ReferralStatus.ON_HOLD,
}
# What the recipient may answer, and in which state: her own steps, never those of who has sent the referral.
ANSWERS = (AcceptReferral, DeclineReferral, BeginReferralService, HoldReferral, CompleteReferral, FailReferral)
Answer = Literal[
    "accept-referral",
    "decline-referral",
    "begin-referral-service",
    "hold-referral",
    "complete-referral",
    "fail-referral",
]


class LinkWish(BaseModel):
    """For how long the link holds."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=14, ge=1, le=60)


class ReferralLink(BaseModel):
    """An address for the recipient; whoever has it may answer the referral until then."""

    url: str
    ends_at: Instant


class Sealed(BaseModel):
    """What a link holds. `routed` says which recipient it was made for: sent on, it is over."""

    tenant: Slug
    case_id: str
    referral_id: Slug
    routed: int
    ends_at: Instant


class PartnerView(BaseModel):
    """The referral, and what may be answered now; `seq` makes sending an answer twice one answer."""

    title: Line
    recipient: Line
    status: str
    reason: str
    answers: list[Answer]
    seq: int
    ends_at: Instant
    name: str | None = None
    language: str | None = None
    contacts: list[str] = []


class LinkOver(Refusal):
    """The link was changed, has ended, or is not for this recipient any more."""

    def __init__(self) -> None:
        super().__init__(404, "LinkOver", "this link does not hold any more; ask who sent it to you for a new one")


@router.post("/cases/{case_id}/referrals/{referral_id}/link", responses=REFUSALS)
async def link_referral(
    case_id: CaseId,
    referral_id: Annotated[Slug, Path()],
    wanted: Annotated[LinkWish, Body()],
    parts: SystemDep,
    who: PrincipalDep,
) -> ReferralLink:
    """Make a link by which the recipient of a referral answers it without signing in."""
    found = await read_case(parts, who, case_id, "link-referral")
    referral = next((r for r in found.case.referrals if r.id == referral_id), None)
    if referral is None:
        raise Refusal(404, "UnknownReference", "the case has no open referral of this id")
    if referral.status not in OPEN:
        raise Refusal(409, "WrongReferralState", f"the referral is {referral.status}; send it first")
    if not _agreed(parts, found.case):
        raise Refusal(409, "ConsentMissing", "send record-consent first: the person agrees to nothing now")
    ends_at = datetime.now(UTC) + timedelta(days=wanted.days)
    said = Sealed(
        tenant=who.tenant, case_id=case_id, referral_id=referral_id, routed=referral.routed, ends_at=ends_at
    )
    url = f"{parts.settings.public_url.rstrip('/')}/desk/partner/{token_of(parts, said)}"
    return ReferralLink(url=url, ends_at=ends_at)


def token_of(parts: System, said: Sealed) -> str:
    """What stands in the address: nobody without our keys can make or change one."""
    sealed = parts.keys.encrypted(said.model_dump_json().encode(), PLACE)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def sealed_of(parts: System, token: str) -> Sealed:
    """What a link says. Raises `LinkOver`."""
    try:
        kept = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        plain = parts.keys.decrypted(kept, PLACE)
        said = Sealed.model_validate_json(plain) if plain else None
    except (ValidationError, ValueError, binascii.Error, KeyMissing):
        said = None
    if said is None or said.ends_at <= datetime.now(UTC):
        raise LinkOver
    return said


async def partner_referral(parts: System, said: Sealed) -> PartnerView:
    """The referral of a link. Raises `LinkOver`."""
    case, referral = await _of_link(parts, said)
    policy = parts.rulebook.program(case.program, case.program_version).referrals.get(referral.type)
    async with parts.connection() as connection:
        timeline = await connection.run_sync(lambda plain: timeline_of(plain, parts.keys, case.id))
    drafted = (entry.event for entry in timeline.entries if isinstance(entry.event, ReferralDrafted))
    reason = next((event.reason for event in drafted if event.referral.id == referral.id), "")
    view = PartnerView(
        title=policy.title if policy else referral.type,
        recipient=referral.recipient,
        status=referral.status,
        reason=reason,
        answers=[c.kind for c in ANSWERS if referral.status in c.needs],
        seq=case.seq,
        ends_at=said.ends_at,
    )
    if referral.status is ReferralStatus.SENT or not _agreed(parts, case):
        return view  # what the recipient has taken goes on; who the person is, it has been told before
    person = await _person(parts, said.tenant, case)
    contacts = [f"{contact.kind}: {contact.value}" for contact in person.contacts]
    return view.model_copy(update={"name": person.called, "language": person.language, "contacts": contacts})


async def answer_partner_referral(parts: System, said: Sealed, kind: Answer, text: str, seq: int) -> CommandResult:
    """Send the recipient's answer to the case, under the name of the link. Raises what the case refuses."""
    case, referral = await _of_link(parts, said)
    command = next(c for c in ANSWERS if c.kind == kind)
    field = "reason" if "reason" in command.model_fields else "note"
    body: dict[str, Any] = {"referral_id": referral.id, **({field: text} if text else {})}
    who, wish = _sender(said), _wish(said, kind, seq)
    query = select(col(CaseRow.seq), col(CaseRow.head), col(CaseRow.sealed)).where(
        col(CaseRow.tenant) == said.tenant, col(CaseRow.id) == case.id
    )
    async with parts.session() as session:
        row = (await session.exec(query)).one()
    envelope = enveloped(parts, who, case.id, kind, body, wish)
    seen = Seen(Position(seq=row[0], head=row[1]), row[2], frozenset())
    return await send(parts, said.tenant, case.id, envelope, seen, wish, Response())


async def was_answered(parts: System, said: Sealed, kind: Answer, seq: int) -> bool:
    """Whether this very answer is on record already."""
    sent_as = command_id(parts.index_key, _sender(said), said.case_id, _wish(said, kind, seq).key)
    query = select(TimelineRow.seq).where(TimelineRow.case_id == said.case_id, TimelineRow.command_id == sent_as)
    async with parts.session() as session:
        return (await session.exec(query.limit(1))).first() is not None


def _sender(said: Sealed) -> Principal:
    return Principal(sub=f"{PARTNER}-{said.referral_id}", role=Role.INTEGRATOR, tenant=said.tenant)


def _wish(said: Sealed, kind: Answer, seq: int) -> Wish:
    return Wish(key=f"partner/{said.referral_id}/{said.routed}/{kind}/{seq}")


def _agreed(parts: System, case: Case) -> bool:
    """Whether the person still agrees, where the programme asks for that."""
    wanted = parts.rulebook.program(case.program, case.program_version).consent.required
    return not wanted or (case.consent is not None and case.consent.in_force)


async def _of_link(parts: System, said: Sealed) -> tuple[Case, SpecialistReferral]:
    """Raises `LinkOver` for a case that is closed, and for a referral that is over or with somebody else now."""
    query = select(StateRow.state).join(CaseRow, col(CaseRow.id) == col(StateRow.case_id))
    query = query.where(CaseRow.tenant == said.tenant, CaseRow.id == said.case_id, CaseRow.status == "open")
    async with parts.session() as session:
        kept = (await session.exec(query)).first()
    case = decrypted_state(parts.keys, kept, said.case_id) if kept else None
    referral = next((r for r in case.referrals if r.id == said.referral_id), None) if case else None
    if case is None or referral is None or referral.routed != said.routed or referral.status not in OPEN:
        raise LinkOver
    return case, referral


async def _person(parts: System, tenant: str, case: Case) -> Person:
    person_id = case.referral.patient.reference
    row = await with_persons(parts, tenant, lambda store: survivor(store, person_id))
    return await with_persons(parts, tenant, lambda store: store.open(row)) if row else Person()
