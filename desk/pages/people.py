"""Finding a person, and referring one: looked for first, and never made twice in silence."""

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from api import cases, persons
from api.pages import Paging
from api.problems import Refusal
from api.submission import Wish
from api.system import System
from desk.commands import DECIDED
from desk.forms import errors_of
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page, to
from desk.words import of as words_of
from domain.case.case import Source
from domain.persons.person import Person

router = APIRouter(max_body_size=FORM_LIMIT)
SHORTEST, LONGEST = 2, 200
FEWEST_DIGITS = 5  # of a number that somebody can be called at


@router.get("/people", name="find-persons")
async def find(request: Request, guest: GuestDep, q: str = "") -> Response:
    """Find people by name, birth date, number or identifier; else refer somebody new."""
    parts: System = request.app.state.system
    q = q[:LONGEST]
    found = await persons.find_persons(parts, guest.who, q) if len(q.strip()) >= SHORTEST else None
    return page(request, "people.html", guest, q=q, found=found)


@router.get("/people/{person_id}", name="read-person")
async def person(request: Request, guest: GuestDep, person_id: str) -> Response:
    """A person and her cases."""
    parts: System = request.app.state.system
    view = await persons.read_person(person_id, parts, guest.who, Response())
    theirs = await persons.list_person_cases(person_id, parts, guest.who, Paging(limit=50, after=None))
    return page(request, "person.html", guest, view=view, cases=theirs.items)


@router.get("/refer", name="open-new-case")
async def refer(request: Request, guest: GuestDep, q: str = "", person_id: str = "") -> Response:
    """The form of a referral; what was searched for is carried over."""
    names = [word for word in q.split() if word.isalpha()]
    typed = {"given": " ".join(names[:-1]), "family": names[-1] if names else "", "person_id": person_id}
    return await _form(request, guest, typed)


async def _form(
    request: Request, guest: GuestDep, typed: dict[str, str], status: int = 200, **more: Any
) -> Response:
    """The form of a referral, with whoever it is about where she is on record. Raises 404 for nobody."""
    parts: System = request.app.state.system
    known, theirs = None, list[cases.CaseItem]()
    if person_id := typed.get("person_id"):
        known = await persons.read_person(person_id, parts, guest.who, Response())
        some = Paging(limit=50, after=None)
        theirs = (await persons.list_person_cases(person_id, parts, guest.who, some)).items
    programs = {p.program: p for p in parts.rulebook.programs}  # the newest version of each comes last
    said: dict[str, Any] = {"errors": {}, "problem": None, "candidates": [], "known": known, **more}
    said["twin"] = next((c for c in theirs if c.program == typed.get("program") and c.status == "open"), None)
    said |= {"typed": typed, "programs": sorted(programs.values(), key=lambda p: p.title), "sources": list(Source)}
    return page(request, "refer.html", guest, status, key=typed.get("_key") or uuid.uuid4().hex, **said)


@router.post("/refer", name="open-new-case")
async def take(request: Request, guest: GuestDep) -> Response:
    """Refer a person to a programme. Somebody near is shown before a second person is made."""
    parts: System = request.app.state.system
    form = await request.form(max_fields=60)
    typed = {name: str(value).strip() for name, value in form.items()}
    spoken = words_of(guest.session.language)
    try:
        new = cases.NewCase.model_validate(_referral(typed))
    except ValidationError as fault:
        return await _form(request, guest, typed, 422, errors=errors_of(fault, spoken))
    if typed.get("phone") and sum(one.isdigit() for one in typed["phone"]) < FEWEST_DIGITS:
        return await _form(request, guest, typed, 422, errors={"phone": spoken("error.phone")})
    if new.person_id and typed.get("twin") != "yes" and await _has_one(request, guest, new):
        return await _form(request, guest, typed, 409)
    answer = Response()
    try:
        made = await cases.open_new_case(new, parts, guest.who, Wish(key=typed.get("_key")), answer)
    except Refusal as refusal:
        typed["_key"] = uuid.uuid4().hex if refusal.status in DECIDED else typed.get("_key", "")
        said = {"problem": refusal.problem, "candidates": refusal.problem.candidates}
        return await _form(request, guest, typed, refusal.status, **said)
    return to(f"/desk/cases/{made.case_id}")


async def _has_one(request: Request, guest: GuestDep, new: cases.NewCase) -> bool:
    """Whether the person has an open case of this programme already."""
    parts: System = request.app.state.system
    some = Paging(limit=50, after=None)
    found = await persons.list_person_cases(str(new.person_id), parts, guest.who, some)
    return any(one.program == new.program and one.status == "open" for one in found.items)


def _referral(typed: dict[str, str]) -> dict[str, Any]:
    """The body of a referral as it was typed."""
    birth_date = typed.get("birth_date") or None
    patient = {"reference": f"Desk/{typed.get('_key', 'new')}", "birth_date": birth_date}
    referral = {"source": typed.get("source"), "reason": typed.get("reason"), "patient": patient}
    found: dict[str, Any] = {"program": typed.get("program"), "referral": referral}
    if typed.get("target_group"):
        found["target_group"] = typed["target_group"]
    if typed.get("owner"):
        found["owner"] = typed["owner"]
    if typed.get("person_id"):
        return {**found, "person_id": typed["person_id"]}
    name = {"given": typed.get("given", "").split(), "family": typed.get("family") or None}
    person: dict[str, Any] = {"names": [name], "birth_date": birth_date}
    if typed.get("phone"):
        person["contacts"] = [{"kind": "phone", "value": typed["phone"]}]
    if typed.get("language"):
        person["language"] = typed["language"]
    found["person"] = Person.model_validate(person).model_dump(mode="json", exclude_defaults=True)
    return {**found, "is_new": typed.get("is_new") == "yes"}
