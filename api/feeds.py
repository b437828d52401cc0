"""What a feed of the tenant tells about a person: it reaches every open case of hers, whoever opened it.

The person is named in the body, never in an address or a log. A feed reads no case.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, insert
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from api.cases import NewCase, opening, refer_as
from api.headers import WishDep
from api.identity import cases_of_reference
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import require_case
from api.submission import Wish, enveloped, send
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.case import Case, Patient, Referral, Source
from domain.case.command import Envelope, Moment, UnreadableCommand, read
from domain.case.event import Timeline
from domain.case.staff import Directory
from domain.commands import FROM_PEOPLE
from domain.decide import decide
from domain.programs.program import Program
from domain.programs.rulebook import UnknownProgram
from domain.steps.intake import Open
from domain.values import Line, Opaque, Slug
from infra import row_places
from infra.notices import tell_leads
from infra.tables import CaseRow, ProposalRow

router = APIRouter(tags=["feeds"], max_body_size=BODY_LIMIT)
BY_KIND = {command.kind: command for command in FROM_PEOPLE if command.feed}
MOST_CASES = 20
EXAMPLE = {
    "patient": "Patient/4711",
    "command": {
        "event_id": "adt-20300301-17",
        "event": "discharge",
        "setting": "inpatient",
        "occurred_at": "2026-03-06T15:00:00-05:00",
    },
    "open_in": "transitions",
    "team": "north",
}


class FeedMessage(BaseModel):
    """What happened to a person: a command without a case."""

    model_config = ConfigDict(extra="forbid")

    patient: Line = Field(description="The person's reference, as the referral has it")
    command: dict[str, Any]
    open_in: Slug | None = Field(
        default=None, description="The programme for who has no case; one that finds no cases gets a proposal"
    )
    team: Slug | None = Field(default=None, description="Who takes a case that is opened, or hears the proposal")


class Told(BaseModel):
    """What became of it in one case: applied, queued, or refused for a reason."""

    case_id: str
    status: str
    code: str | None = None
    opened: bool = False


class FeedAnswer(BaseModel):
    cases: list[Told]
    proposal: str | None = Field(default=None, description="What waits for a lead, since there is no case")


@router.post("/feed/{kind}", responses=responses(401, 403, 404, 409, 422, 503))
async def tell(
    kind: str,
    message: Annotated[FeedMessage, Body(openapi_examples={"a discharge": {"value": EXAMPLE}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> FeedAnswer:
    """Tell every open case of a person what happened; where she has none, a programme that finds cases opens one.

    For a programme that does not, it waits as a proposal for the leads (202); without a programme nothing is kept.
    Each case decides by itself: what one refuses the others may take. Repeat it under its `Idempotency-Key`.
    """
    if not who.feeds:
        raise Refusal(403, "NotPermitted", "this is for an integrator whose token has the scope `feed`")
    _check(kind, message)
    cases = await open_cases(parts, who, message.patient)
    opened = None
    if not cases:
        program = _program(parts, message)
        if not program.case_finding:
            response.status_code = 202
            return FeedAnswer(cases=[], proposal=await _propose(parts, who, kind, message, program))
        opened = await _find(parts, who, kind, message, wish)
        cases = [opened]
    told = [await tell_one(parts, who, case_id, kind, message, wish) for case_id in cases]
    return FeedAnswer(cases=[one.model_copy(update={"opened": one.case_id == opened}) for one in told])


def _check(kind: str, message: FeedMessage) -> None:
    if kind not in BY_KIND:
        raise Refusal(404, "UnknownCommand", "a feed tells one of `missing`", missing=sorted(BY_KIND))
    try:
        read(BY_KIND[kind], message.command)
    except UnreadableCommand as fault:
        raise Refusal(422, fault.code, fault.detail, missing=list(fault.missing)) from None


async def open_cases(parts: System, who: Principal, patient: str) -> list[str]:
    """The open cases of one person, of all who opened them."""
    return await open_cases_of(parts, who.tenant, await cases_of_reference(parts, who.tenant, patient))


async def open_cases_of(parts: System, tenant: str, names: Iterable[str]) -> list[str]:
    """The open cases that are kept under any of these names of one person."""
    query = select(col(CaseRow.id)).where(
        CaseRow.tenant == tenant, col(CaseRow.person_id).in_(names), CaseRow.status == "open"
    )
    async with parts.session() as session:
        return list((await session.exec(query.order_by(col(CaseRow.id)).limit(MOST_CASES))).all())


def _program(parts: System, message: FeedMessage) -> Program:
    """The programme that the feed names for who has no case. Raises 404 where it names none that there is."""
    if message.open_in is None:
        raise Refusal(404, "NoOpenCase", "the person has no open case; name a programme in `open_in`")
    try:
        return parts.rulebook.latest(message.open_in, datetime.now(UTC))
    except UnknownProgram as fault:
        raise Refusal(404, "UnknownProgram", str(fault)) from None


async def _propose(parts: System, who: Principal, kind: str, message: FeedMessage, program: Program) -> str:
    """Leave the message for a lead; the same message is one proposal, however often it is sent."""
    said = message.model_dump_json()
    proposal_id = parts.derived_id(f"{who.tenant}/{who.sub}/proposal/{kind}/{said}").hex
    row = ProposalRow(
        id=proposal_id,
        tenant=who.tenant,
        person_key=person_key(parts, who.tenant, message.patient),
        kind=kind,
        program=program.program,
        team=message.team,
        feed=who.sub,
        at=datetime.now(UTC),
        message=parts.keys.encrypted(said.encode(), row_places.proposal(proposal_id)),
    )
    try:
        async with parts.engine.begin() as connection:
            await connection.execute(insert(ProposalRow).values(row.model_dump()))
            about = (row.tenant, row.team, proposal_id, "proposal", row.at)
            await connection.run_sync(tell_leads, parts.keys, *about)
    except IntegrityError:  # it waits already, or was settled
        pass
    return proposal_id


def person_key(parts: System, tenant: str, reference: str) -> str:
    """What tells the proposals about one person from others', without naming her."""
    return parts.derived_id(f"{tenant}/proposals-about/{reference}").hex


async def _find(parts: System, who: Principal, kind: str, message: FeedMessage, wish: Wish) -> str:
    """Open a case for somebody who has none: one, also where several messages about her come at once."""
    new = found_by_feed(message, message.open_in or "", message.team)
    require_taken(parts, who, new, kind, message)
    before = await _cases_before(parts, who, message)
    name = f"{who.tenant}/found/{message.patient}/{new.program}/{before}"
    case_id = parts.derived_id(name)
    try:
        return (await refer_as(parts, who, case_id, new, replace(wish, key="found"), Response())).case_id
    except Refusal as refusal:
        if refusal.problem.code not in ("AlreadyOpen", "KeyReused"):
            raise
        return case_id.hex  # another message has just opened it


def require_taken(parts: System, who: Principal, new: NewCase, kind: str, message: FeedMessage) -> None:
    """Raises what a new case would refuse of the message: no case is opened for what it would not take."""
    moment = Moment(datetime.now(UTC), parts.rulebook, Directory(known=False))
    body = opening(parts, who, new, "looked-ahead", "nobody")
    opened = decide(Envelope(command_id="open", kind=Open.kind, body=body, actor=who.actor), None, moment)
    case: Case | None = None
    for entry in opened.entries:
        case = entry.apply(case)
    told = Envelope(command_id="tell", kind=kind, body=message.command, actor=who.actor)
    moment = replace(moment, timeline=Timeline(opened.entries), same_person=())
    for outcome in (opened.outcome, decide(told, case, moment).outcome):
        if outcome.status == "refused":
            raise Refusal(422 if outcome.invalid else 409, outcome.error or "", outcome.detail or "")


async def _cases_before(parts: System, who: Principal, message: FeedMessage) -> int:
    """How many cases of this programme the person has had."""
    names = await cases_of_reference(parts, who.tenant, message.patient)
    query = select_columns(func.count()).where(
        col(CaseRow.tenant) == who.tenant,
        col(CaseRow.person_id).in_(names),
        col(CaseRow.program) == message.open_in,
    )
    async with parts.connection() as connection:
        return int((await connection.execute(query)).scalar_one())


def found_by_feed(message: FeedMessage, program: Slug, team: Slug | None, owner: Opaque | None = None) -> NewCase:
    """The referral of somebody about whom a feed has told."""
    person = Patient(reference=message.patient)
    referral = Referral(source=Source.HOSPITAL, reason="Found by a feed", patient=person)
    return NewCase(program=program, referral=referral, team=team, owner=owner)


async def tell_one(
    parts: System, who: Principal, case_id: str, kind: str, message: FeedMessage, wish: Wish
) -> Told:
    """Tell one case what happened; what it refuses is named in the answer. Raises `Refusal` for what is away."""
    envelope = enveloped(parts, who, case_id, kind, message.command, wish)
    try:
        seen = await require_case(parts, who, case_id, envelope.command_id, kind, feed=True)
        result = await send(parts, who.tenant, case_id, envelope, seen, wish, Response())
    except Refusal as refusal:
        if refusal.status >= 500:
            raise
        return Told(case_id=case_id, status="refused", code=refusal.problem.code)
    return Told(case_id=case_id, status=result.status)
