"""CDS Hooks: who opens a patient's chart sees who coordinates her care, where she lets that be told."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Request
from pydantic import BaseModel, Field
from sqlalchemy import delete, insert
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.fhir_read import GIVEN
from api.fhir_reading import READ
from api.identity import by_identifiers, names_of, with_persons
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.scope import visible
from api.staff import entry_of
from api.system import NOTE, Principal, PrincipalDep, System, SystemDep
from domain.persons.person import REFERENCE, Identifier
from domain.programs.access import Reach
from domain.values import Instant
from exchange.cards import Standing, card, services
from infra.cds_tables import CardFeedbackRow
from infra.persons import Persons
from infra.tables import CaseRow, ClockRow

router = APIRouter(tags=["CDS Hooks"], max_body_size=BODY_LIMIT)
public = APIRouter(tags=["CDS Hooks"])
Service = Annotated[Literal["patient-view", "encounter-discharge"], Path()]
MOST_CASES = 20
EXAMPLE = {
    "hook": "patient-view",
    "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    "context": {"userId": "Practitioner/example", "patientId": "1288992"},
    "prefetch": {"patient": {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "4711"}]}},
}


class Context(BaseModel):
    """Whose chart is open; `patientId` is the id that the asking system has for her."""

    patientId: str = Field(min_length=1, max_length=200)


class Asked(BaseModel):
    """A call of a hook, as far as it is looked at here."""

    hook: str
    hookInstance: str = Field(max_length=100)
    context: Context
    prefetch: dict[str, Any] | None = None


class OverrideReason(BaseModel):
    reason: dict[str, Any] = {}


class CardFeedback(BaseModel):
    """What a clinician has done with a card."""

    card: str = Field(pattern=r"^[0-9a-f]{32}$")
    outcome: Literal["accepted", "overridden"]
    outcomeTimestamp: Instant
    overrideReason: OverrideReason | None = None


class Feedback(BaseModel):
    feedback: list[CardFeedback] = Field(min_length=1, max_length=100)


@public.get("/cds-services")
async def list_cds_services() -> dict[str, Any]:
    """What a client can ask for; nothing of anybody."""
    return services()


@router.post("/cds-services/{service}", responses=responses(401, 403, 404, 422, 503))
async def call_cds_service(
    service: Service,
    asked: Annotated[Asked, Body(openapi_examples={"example": {"value": EXAMPLE}})],
    request: Request,
    parts: SystemDep,
    who: PrincipalDep,
) -> dict[str, Any]:
    """A card for each open case that the patient lets this system read; none where there is nothing to say."""
    if asked.hook != service:
        raise Refusal(422, "WrongHook", f"this service is for {service}")
    found = await with_persons(parts, who.tenant, lambda store: _names(store, asked))
    query = select(CaseRow.id).where(
        visible(parts, who, READ), col(CaseRow.person_id).in_(found), col(CaseRow.status) == "open"
    )
    async with parts.session() as session:
        cases = list((await session.exec(query.order_by(col(CaseRow.opened_at)).limit(MOST_CASES))).all())
    cards = [made for case_id in cases if (made := await _card(parts, who, service, asked, case_id)) is not None]
    if cards:
        request.scope.get(NOTE, {}).update(action=f"{GIVEN}cards", case_id=cases[0])
    return {"cards": cards}


@router.post("/cds-services/{service}/feedback", responses=responses(401, 403, 404, 422, 503))
async def tell_cds_feedback(
    service: Service, said: Feedback, parts: SystemDep, who: PrincipalDep
) -> dict[str, Any]:
    """Keep what was done with cards; told twice it is kept once, as it was said last."""
    rows = [_answered(who, service, one) for one in {one.card: one for one in said.feedback}.values()]
    mine = (
        col(CardFeedbackRow.tenant) == who.tenant,
        col(CardFeedbackRow.card).in_([row["card"] for row in rows]),
    )
    async with parts.engine.begin() as connection:
        await connection.execute(delete(CardFeedbackRow).where(*mine, col(CardFeedbackRow.by) == who.sub))
        await connection.execute(insert(CardFeedbackRow), rows)
    return {}


def _answered(who: Principal, service: str, one: CardFeedback) -> dict[str, Any]:
    reason = one.overrideReason.reason.get("code") if one.overrideReason else None
    code = reason if isinstance(reason, str) and len(reason) <= 64 and reason.isascii() else None
    said = {"card": one.card, "outcome": one.outcome, "reason": code, "at": one.outcomeTimestamp}
    return {"tenant": who.tenant, "service": service, "by": who.sub, **said}


def _names(store: Persons, asked: Asked) -> list[str]:
    """By what the cases of the patient are kept: found by the asker's own id, or a number that came along."""
    known = [Identifier(system=REFERENCE, value=f"Patient/{asked.context.patientId.removeprefix('Patient/')}")]
    came = (asked.prefetch or {}).get("patient")
    for one in came.get("identifier", []) if isinstance(came, dict) else []:
        if isinstance(one, dict) and isinstance(one.get("system"), str) and isinstance(one.get("value"), str):
            known.append(Identifier.model_construct(system=one["system"][:200], value=one["value"][:200]))
    rows = by_identifiers(store, known[:20])
    if len(rows) != 1:  # two who have such a number: nothing is told of either
        return []
    return list(names_of(store, {id: store.open(row) for id, row in rows.items()}))


async def _card(parts: System, who: Principal, service: str, asked: Asked, case_id: str) -> dict[str, Any] | None:
    """The card of a case that may be read whole; a recipient who reads referrals alone has none."""
    found = await read_case(parts, who, case_id, READ)
    if Reach.REFERRED in found.ways:
        return None
    row = select_columns(CaseRow).where(col(CaseRow.id) == case_id)
    missed = select(ClockRow.kind).where(
        col(ClockRow.case_id) == case_id, col(ClockRow.state) == "missed", col(ClockRow.acknowledged_by).is_(None)
    )
    async with parts.connection() as connection:
        case = (await connection.execute(row)).one()
        overdue = list((await connection.execute(missed)).scalars())
    owner = await entry_of(parts, who.tenant, case.owner) if case.owner else None
    program, here = (
        parts.rulebook.program(case.program, case.program_version),
        parts.settings.public_url.rstrip("/"),
    )
    standing = Standing(
        card=parts.derived_id(f"{who.tenant}/card/{asked.hookInstance}/{case_id}").hex,
        programme=program.title,
        opened_on=program.day_of(case.opened_at),
        stage=case.stage,
        owner=owner.name if owner else case.owner,
        in_crisis=case.in_crisis,
        overdue=overdue,
        address=f"{here}/desk/cases/{case_id}",
    )
    return card(service, standing, here)
