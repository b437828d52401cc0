"""CDS Hooks: who opens a patient's chart sees who coordinates her care, where she lets that be told."""

import contextlib
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Path, Request
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import delete, insert
from sqlmodel import col, select

from api.fhir_read import GIVEN
from api.fhir_reading import what_shows
from api.identity import by_identifiers, names_of, with_persons
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import visible
from api.staff import entry_of
from api.system import NOTE, Principal, PrincipalDep, System, SystemDep
from domain.persons.person import REFERENCE, Identifier
from domain.programs.access import Reach
from domain.values import Instant, Line, Sensitivity
from exchange.cards import Standing, card, services
from exchange.fhir_readable import READ
from infra.cds_tables import CardFeedbackRow
from infra.persons import Persons
from infra.tables import CaseRow

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

    patientId: Line


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

    card: UUID
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
    person_id, found = await with_persons(parts, who.tenant, lambda store: _names(store, asked))
    query = select(CaseRow.id).where(
        visible(parts, who, READ), col(CaseRow.person_id).in_(found), col(CaseRow.status) == "open"
    )
    async with parts.session() as session:
        cases = list((await session.exec(query.order_by(col(CaseRow.opened_at)).limit(MOST_CASES))).all())
    made = [one for case_id in cases if (one := await _card(parts, who, service, asked, case_id)) is not None]
    if made:  # one line for the person: which labels her cases stand under, whichever of them were shown
        labels = sorted({label for _, label in made if label is not Sensitivity.GENERAL})
        request.scope.get(NOTE, {}).update(action=f"{GIVEN}{'.'.join(('cards', *labels))}", person_id=person_id)
    return {"cards": [card for card, _ in made]}


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
    said = {"card": one.card.hex, "outcome": one.outcome, "reason": code, "at": one.outcomeTimestamp}
    return {"tenant": who.tenant, "service": service, "by": who.sub, **said}


def _names(store: Persons, asked: Asked) -> tuple[str, list[str]]:
    """Who the patient is, and by what her cases are kept: by the numbers that came along, else the asker's own id.

    Two who have such a number: nothing is told of either.
    """
    own = {"system": REFERENCE, "value": f"Patient/{asked.context.patientId.removeprefix('Patient/')}"}
    came = _numbers((asked.prefetch or {}).get("patient"))
    rows = by_identifiers(store, came or _numbers({"identifier": [own]}))
    if len(rows) != 1:
        return "", []
    return next(iter(rows)), list(names_of(store, {id: store.open(row) for id, row in rows.items()}))


def _numbers(patient: Any) -> list[Identifier]:
    """The identifiers of a Patient that are any, whatever else it holds."""
    given = patient.get("identifier") if isinstance(patient, dict) else None
    found = []
    for one in given[:MOST_CASES] if isinstance(given, list) else []:
        with contextlib.suppress(ValidationError):
            said = one if isinstance(one, dict) else {}
            found.append(Identifier.model_validate({"system": said.get("system"), "value": said.get("value")}))
    return found


async def _card(
    parts: System, who: Principal, service: str, asked: Asked, case_id: str
) -> tuple[dict[str, Any], Sensitivity] | None:
    """The card of a case that may be read whole, and its label; a recipient who reads referrals alone has none."""
    ways, case, shown = await what_shows(parts, who, case_id)
    if Reach.REFERRED in ways:
        return None
    missed = (c for c in case.running if c.missed_at is not None and c.acknowledged is None and c.id in shown)
    owner = await entry_of(parts, who.tenant, case.owner) if case.owner else None
    program = parts.rulebook.program(case.program, case.program_version)
    here = parts.settings.public_url.rstrip("/")
    standing = Standing(
        card=str(parts.derived_id(f"{who.tenant}/card/{asked.hookInstance}/{case_id}")),
        programme=program.title,
        opened_on=program.day_of(case.opened_at),
        stage=case.stage,
        owner=owner.name if owner else case.owner,
        in_crisis=case.crisis is not None and case.crisis.id in shown,
        overdue=[clock.kind for clock in missed],
        address=f"{here}/desk/cases/{case_id}",
    )
    return card(service, standing, here), program.sensitivity
