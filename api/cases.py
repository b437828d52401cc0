"""Cases: opening, reading and listing them, and their timelines."""

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import ColumnElement, bindparam, func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api import identity, reading, refused_referrals
from api.commands import REFUSALS, CaseId
from api.headers import WishDep
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.scope import WHOLE, visible
from api.submission import CommandResult, Wish, answer, command_id, open_case, recorded, same_request
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.case import Case, Patient, Referral
from domain.case.command import Envelope, Moment
from domain.case.staff import Directory
from domain.decide import decide
from domain.lines import CaseLine
from domain.persons.person import Person
from domain.programs.eligibility import Met, by_record
from domain.programs.policies import Tier
from domain.programs.program import Stage
from domain.programs.rulebook import ProgramMissing, UnknownProgram
from domain.steps.intake import Open
from domain.steps.minutes import MonthOfMinutes, by_month
from domain.values import Opaque, Role, Slug, YesNo
from infra.tables import CaseRow, StaffRow
from workflows.messages import Live

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)
OUTLINE = {
    **dict.fromkeys(("closure_reason", "tier", "offered_to", "next_due_at", "wakes_at")),
    **dict.fromkeys(("overdue", "escalated", "open_tasks", "quarantined"), 0),
    "in_crisis": False,
    "weight": 1.0,
}
SORTS = {"opened_at": col(CaseRow.opened_at), "next_due_at": col(CaseRow.next_due_at)}


REFERRAL: dict[str, Any] = {
    "program": "complex-care",
    "team": "north",
    "owner": "cm-anna",
    "referral": {
        "source": "primary-care",
        "reason": "Two admissions in six months",
        "patient": {
            "reference": "Patient/4711",
            "birth_date": "1950-05-05",
            "conditions": [
                {"code": "I50.9", "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": "Heart failure"}
            ],
        },
    },
}


TWIN = "this person has another open case of this programme: GET /persons/{id}/cases; merge the two, or close one"


class NewCase(BaseModel):
    """A referral to a programme. Left out, team and owner are the sender's own, where she has a team and cases."""

    model_config = ConfigDict(extra="forbid")

    program: Slug
    referral: Referral
    owner: Opaque | None = None
    team: Slug | None = None
    target_group: Slug | None = Field(default=None, description="Where the programme has target groups")
    person_id: Opaque | None = Field(default=None, description="Who she is, where she is on record already")
    person: Person | None = Field(default=None, description="Who she is: names, birth date, ways to reach her …")
    is_new: bool = Field(default=False, description="She is none of those whom a 409 `PersonMaybeKnown` has named")

    @property
    def described(self) -> Person:
        """Who the referral is about, with the reference that it names her by and the birth date that it has."""
        patient, person = self.referral.patient, self.person or Person()
        identifiers = dict.fromkeys((*person.identifiers, identity.referred(patient.reference)))
        return person.changed(identifiers=tuple(identifiers), birth_date=person.birth_date or patient.birth_date)

    def patient(self, person_id: str) -> Patient:
        """The patient as the case has her: by an opaque id."""
        birth_date = self.referral.patient.birth_date or (self.person.birth_date if self.person else None)
        return self.referral.patient.changed(reference=person_id, birth_date=birth_date)


class CaseView(BaseModel):
    """One case as the record has it; `as_of` is when that was last written.

    With `live=1` its workflow was asked as well: how far it knows the case, when it wakes, what waits there.
    """

    source: Literal["live", "record"] = "record"
    as_of: datetime
    live: Live | None = None
    whole: bool = Field(default=True, description="False where this is its outline: for tasks, offers, referrers")
    case: Case
    name: str | None = Field(default=None, description="By which the person is called")
    months: tuple[MonthOfMinutes, ...] = Field(default=(), description="Where the programme counts minutes")


class CaseItem(CaseLine):
    """One case of a list: its line on record."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")

    tenant: str = Field(exclude=True)
    excluded: str = Field(exclude=True)
    name: str | None = Field(default=None, description="By which the person is called")


class CaseFilter(BaseModel):
    """Which cases are wanted, and in what order."""

    stage: Stage | None = None
    status: Literal["open", "closed"] | None = None
    owner: Opaque | None = None
    team: Slug | None = None
    program: Slug | None = None
    tier: Tier | None = None
    overdue: YesNo | None = Field(default=None, description="Only cases with a missed promise, or without")
    in_crisis: YesNo | None = None
    quarantined: YesNo | None = Field(default=None, description="Only cases where something could not be read")
    escalated: YesNo | None = Field(default=None, description="Only with one that nobody has acknowledged")
    sort: Literal["opened_at", "-opened_at", "next_due_at"] = Field(
        default="-opened_at", description="`next_due_at` lists only cases that have something due"
    )

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """What the rows must fulfil."""
        for name in ("stage", "status", "owner", "team", "program", "tier"):
            if (value := getattr(self, name)) is not None:
                yield col(getattr(CaseRow, name)) == str(value)
        if self.in_crisis is not None:
            yield col(CaseRow.in_crisis) == self.in_crisis
        flags = {"overdue": self.overdue, "escalated": self.escalated, "quarantined": self.quarantined}
        for name, flag in flags.items():
            column = col(getattr(CaseRow, name))
            if flag is not None:
                yield column > 0 if flag else column == 0
        if self.sort == "next_due_at":
            yield col(CaseRow.next_due_at).is_not(None)


@router.post("/cases", status_code=201, responses=REFUSALS)
async def open_new_case(
    new: Annotated[NewCase, Body(openapi_examples={"example": {"value": REFERRAL}})],
    parts: SystemDep,
    who: PrincipalDep,
    wish: WishDep,
    response: Response,
) -> CommandResult:
    """Refer a person and open the case. 201 with its id, or 202 when it is queued."""
    return await refer(parts, who, new, wish, response)


async def refer(parts: System, who: Principal, new: NewCase, wish: Wish, response: Response) -> CommandResult:
    """Open a case for a referral. What the rules refuse never reaches the engine. Raises `Refusal`."""
    case_id = parts.derived_id(f"{who.tenant}/{who.sub}/case/{wish.key}") if wish.key else uuid.uuid4()
    return await refer_as(parts, who, case_id, new, wish, response)


async def refer_as(
    parts: System, who: Principal, case_id: uuid.UUID, new: NewCase, wish: Wish, response: Response
) -> CommandResult:
    """Open a case under this id. Raises `Refusal`, also where there is a case of the id."""
    identity.require_born(new.described)
    meant = await identity.whose(parts, who, case_id.hex, new.person_id, new.described, new.is_new)
    body = opening(parts, who, new, case_id.hex, meant.person_id)
    envelope = Envelope(
        command_id=command_id(parts.index_key, who, case_id.hex, wish.key),
        kind=Open.kind,
        body=body,
        actor=who.actor,
    )
    response.headers["Location"] = f"/cases/{case_id.hex}"
    known = await recorded(parts, who.tenant, case_id.hex, envelope.command_id) if wish.key else None
    if known is None:
        await require_team(parts, who.tenant, str(body["team"]))
        if await identity.has_died(parts, who.tenant, meant.person_id):
            raise Refusal(409, "PatientDeceased", "the record says the person has died; check it with the sender")
    if known is not None:
        return answer(case_id.hex, same_request(known, envelope), response)
    try:
        _look_ahead(parts, envelope, case_id.hex)
    except Refusal as refusal:
        if refusal.problem.code in refused_referrals.KEPT:
            said = (new.program, new.referral.source, new.referral.patient.reference)
            lacking, team = list(refusal.problem.missing), str(body["team"])
            await refused_referrals.keep(parts, who, envelope.command_id, team, said, lacking)
        raise
    await identity.make(parts, who, meant)
    twin = await identity.open_in(parts, who.tenant, meant.person_id, new.program)
    result = await open_case(parts, who.tenant, case_id.hex, envelope, wish.later, response)
    return result.model_copy(update={"advice": TWIN}) if twin else result


def opening(parts: System, who: Principal, new: NewCase, case_id: str, person_id: str) -> dict[str, JsonValue]:
    """The command that opens the case. It knows the person by an opaque id, and what a programme asks of her."""
    team = new.team or (who.teams[0] if who.teams else None)
    if team is None:
        raise Refusal(422, "TeamMissing", "name the team that takes the case, so that somebody sees it")
    if who.role is not Role.INTEGRATOR and who.role is not Role.DIRECTOR and team not in who.teams:
        raise Refusal(403, "NotYourTeam", "open cases for your own team, or have the other one do it")
    own = who.sub if who.role in (Role.CASE_MANAGER, Role.SENIOR) else None
    command = Open(
        case_id=case_id,
        tenant=who.tenant,
        program=new.program,
        referral=new.referral.changed(patient=new.patient(person_id)),
        owner=new.owner or own,
        team=team,
        target_group=new.target_group,
        by_record=_by_record(parts, new),
    )
    said: dict[str, JsonValue] = command.model_dump(mode="json", exclude_none=True)
    return said


def _by_record(parts: System, new: NewCase) -> dict[str, Met]:
    """What coverage and residence say of the programme's criteria; no more of them enters a case."""
    try:
        criteria = parts.rulebook.latest(new.program, datetime.now(UTC)).eligibility.criteria
    except UnknownProgram:
        return {}
    person = new.described
    homes = [a.postal_code for a in person.addresses if a.postal_code and a.use in ("home", "temporary")]
    return by_record(criteria, [coverage.payer for coverage in person.coverage], homes)


async def require_team(parts: System, tenant: str, team: str) -> None:
    """Raises 422 for a team to which nobody of the directory belongs: only a director would ever see the case."""
    row = await parts.look_up(_TEAM, {"tenant": tenant, "team": team})
    if row.known is None and row.anybody is not None:
        raise Refusal(422, "UnknownTeam", "nobody of the directory is in this team: nobody would see the case")


_STAFF = select_columns(func.min(StaffRow.subject)).where(col(StaffRow.tenant) == bindparam("tenant"))
_TEAM = select_columns(
    _STAFF.where(col(StaffRow.team) == bindparam("team"), col(StaffRow.active)).scalar_subquery().label("known"),
    _STAFF.where(col(StaffRow.team).is_not(None)).scalar_subquery().label("anybody"),
)


def _look_ahead(parts: System, envelope: Envelope, case_id: str) -> None:
    """Refuse here what the rules would refuse: there is no case yet that could know better."""
    nobody_known = Directory(known=False)
    outcome = decide(envelope, None, Moment(datetime.now(UTC), parts.rulebook, nobody_known)).outcome
    if outcome.status == "refused":
        answer(case_id, outcome, Response())


@router.get("/cases", responses=responses(401, 422))
async def list_cases(
    parts: SystemDep, who: PrincipalDep, page: PagingDep, wanted: Annotated[CaseFilter, Query()]
) -> Page[CaseItem]:
    """The cases one may see, filtered and sorted."""
    name = wanted.sort.removeprefix("-")
    order = Order([SORTS[name], col(CaseRow.id)], descending=wanted.sort.startswith("-"))
    query = order.slice(select(CaseRow).where(visible(parts, who), *wanted.conditions()), page)
    async with parts.session() as session:
        rows = list((await session.exec(query)).all())
    more = rows[page.limit - 1] if len(rows) > page.limit else None
    items = await named(parts, who, rows[: page.limit])
    return Page(items=items, next=order.cursor(getattr(more, name), more.id) if more else None)


@router.get("/cases/{case_id}", responses=responses(401, 404, 503), response_model=CaseView)
async def read_case(
    case_id: CaseId,
    parts: SystemDep,
    who: PrincipalDep,
    live: Annotated[YesNo, Query(description="Ask the case's workflow too; 503 when it does not answer")] = False,
) -> Response:
    """One case, from the record, which is never behind its workflow. `ETag` is the number of its last event."""
    found = await reading.read_case(parts, who, case_id)
    told = await reading.live(parts, who.tenant, case_id) if live else None
    source: Literal["live", "record"] = "live" if told else "record"
    months = _months(parts, found.case)
    name = await identity.called_beside(parts, who.tenant, found.case.referral.patient.reference, found.person)
    said = {"source": source, "as_of": found.as_of, "live": told, "whole": found.whole}
    view = CaseView(**said, case=found.case, months=months, name=name)
    etag = {"ETag": f'"{found.case.seq}"'}
    return Response(view.model_dump_json(), media_type="application/json", headers=etag)


async def named(parts: System, who: Principal, rows: Iterable[CaseRow]) -> list[CaseItem]:
    """Lines of cases that somebody may see, with the names of their people.

    Of a case that is hers by a task, an offer or her referral alone, the line says no more than its outline does.
    """
    items = [CaseItem.model_validate(row) for row in rows]
    wanted = (visible(parts, who, WHOLE), col(CaseRow.id).in_([item.id for item in items]))
    async with parts.connection() as connection:
        whole = set((await connection.execute(select_columns(col(CaseRow.id)).where(*wanted))).scalars())
    items = [item if item.id in whole else item.model_copy(update=OUTLINE) for item in items]
    names = await identity.called(parts, who.tenant, [item.person_id for item in items])
    return [item.model_copy(update={"name": names.get(item.person_id)}) for item in items]


def _months(parts: System, case: Case) -> tuple[MonthOfMinutes, ...]:
    """What the months' minutes come to; nothing where the programme counts none, or its file is gone."""
    try:
        policy = parts.rulebook.program(case.program, case.program_version).minutes
    except ProgramMissing:
        return ()
    return by_month(case, policy) if policy else ()
