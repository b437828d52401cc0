"""One page for every command of the catalogue: its form, what is wrong with it, and what became of it."""

import uuid
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from api import commands, forms
from api.commands import CaseId
from api.problems import Refusal
from api.scope import require_case, require_own_task
from api.submission import Wish, enveloped, send
from api.system import NOTE, System
from desk import questionnaire, section
from desk import typed as sent
from desk.drafts import Draft, as_it_stands, begun, look_at
from desk.forms import FormField, body_of, errors_of, form_of, schema_of, with_row
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page, to
from desk.words import of as words_of
from domain.case.case import Case

router = APIRouter(max_body_size=FORM_LIMIT)
REPLACES = {"agree-plan", "amend-plan", "revise-plan", "set-risk-tier", "override-risk-tier", "close"}
CHECKED_FIRST = {"close", "merge-case", "withdraw-consent", "report-death", "exclude-assignee"}
SCORE = "record-score"
DECIDED = (403, 404, 409, 412, 422)  # nothing was changed, and that is certain


@router.get("/cases/{case_id}/do/{kind}", name="read-next-steps")
async def show(request: Request, case_id: CaseId, kind: str, guest: GuestDep) -> Response:
    """The form of a command, with what the address says already filled in."""
    draft = await begun(request, guest, case_id, kind)
    asked = {name: request.query_params.getlist(name) for name in request.query_params}
    draft.body = body_of(schema_of(draft.command), asked, draft.zone, draft.choices)
    await look_at(request, guest, draft)
    if kind == section.RECORD and (named := section.chosen(draft.body)):
        draft.section = await forms.read_section_form(case_id, named, request.app.state.system, guest.who)
        draft.body = section.begins(draft.section, str(datetime.now(draft.zone).date()))
    elif not draft.body:
        draft.body = await as_it_stands(request, guest, draft)
    return _form(request, guest, draft)


@router.post("/cases/{case_id}/do/{kind}", name="read-next-steps")
async def take(request: Request, case_id: CaseId, kind: str, guest: GuestDep) -> Response:
    """Send a command, and say what became of it. What was typed is never lost."""
    draft = await begun(request, guest, case_id, kind)
    typed = await sent.read(request)
    seen = sent.one(typed, "_seen") or ""
    draft.key, draft.seen = sent.one(typed, "_key") or draft.key, int(seen) if seen.isdecimal() else draft.seen
    draft.body = await _body(request, guest, draft, typed)
    if (refusal := sent.of_another(typed, guest)) is not None:
        draft.refusal = refusal
        return _form(request, guest, draft, refusal.status)
    if (added := sent.one(typed, "_add")) or "_look" in typed:
        draft.body = with_row(draft.body, added) if added else draft.body
        return _form(request, guest, draft)
    try:
        said = draft.command.model_validate(draft.body).model_dump(mode="json", exclude_unset=True)
    except ValidationError as fault:
        draft.errors = errors_of(fault, words_of(guest.session.language))
        return _form(request, guest, draft, 422)
    if kind in CHECKED_FIRST and "_checked" not in typed:
        draft.check = True
        return _form(request, guest, draft)
    return await _sent(request, guest, draft, said)


async def _body(request: Request, guest: Guest, draft: Draft, typed: sent.Typed) -> dict[str, Any]:
    own = sent.own(typed)
    body = body_of(schema_of(draft.command), own, draft.zone, draft.choices)
    if draft.command.kind == section.RECORD and (named := section.chosen(body)):
        draft.section = await forms.read_section_form(draft.case_id, named, request.app.state.system, guest.who)
        return section.body_with(draft.section.form, body, own) if draft.section.form else body
    if draft.command.kind == SCORE and (tool := questionnaire.chosen(request.app.state.system, body)):
        body["answers"] = questionnaire.answers(tool, own)
    return body


async def _sent(request: Request, guest: Guest, draft: Draft, said: dict[str, Any]) -> Response:
    parts: System = request.app.state.system
    kind, who, answer = draft.command.kind, guest.who, Response()
    request.scope.get(NOTE, {})["action"] = kind
    wish = Wish(key=draft.key, expected_seq=draft.seen if kind in REPLACES else None)
    envelope = enveloped(parts, who, draft.case_id, kind, said, wish)
    try:
        seen = await require_case(parts, who, draft.case_id, envelope.command_id, kind)
        await require_own_task(parts, who, draft.case_id, kind, said, seen)
        result = await send(parts, who.tenant, draft.case_id, envelope, seen, wish, answer)
    except Refusal as refusal:
        draft.refusal = refusal
        if draft.section is not None:
            draft.errors |= section.errors_of(refusal.problem, words_of(guest.session.language))
            draft.body["sections"][0]["goes_on_from"] = draft.section.goes_on_from  # the page says what it is now
        if refusal.status in DECIDED:  # else it may have been taken: the same key asks again
            draft.key, draft.seen = uuid.uuid4().hex, draft.found.case.seq
        return _form(request, guest, draft, refusal.status)
    if result.status == "queued":
        return to(f"/desk/cases/{draft.case_id}/waiting/{result.command_id}?kind={kind}")
    return to(f"/desk/cases/{draft.case_id}?done={kind}&command={result.command_id}")


def _form(request: Request, guest: Guest, draft: Draft, status: int = 200) -> Response:
    parts: System = request.app.state.system
    spoken = words_of(guest.session.language)
    tool = questionnaire.chosen(parts, draft.body) if draft.command.kind == SCORE else None
    schema = schema_of(draft.command)
    fields = form_of(draft.command.kind, schema, spoken, draft.choices, draft.body, draft.errors)
    if draft.section is not None:
        fields = section.fields(draft.section, fields, draft.body, draft.errors, team_of(draft.found.case), spoken)
    said = {
        "draft": draft,
        "case": draft.found.case,
        "says": spoken.get(f"command.{draft.command.kind}", draft.command.says),
        "fields": _asked(fields, tool is not None),
        "tool": tool,
        "section": draft.section,
        "leading": section.leading(draft.section) if draft.section else (),
        "by_section": draft.command.kind == section.RECORD,
        "items": questionnaire.items(tool, draft.body.get("answers", {}), draft.errors) if tool else [],
        "zone": draft.found.case.zone,
        "titles": {},
        "wrong": sent.wrong(fields, draft.errors),
    }
    return page(request, "command.html", guest, status, **said)


def team_of(case: Case) -> list[tuple[str, str]]:
    """Who of the care team an answer may name."""
    return [(member.id, f"{member.role}: {member.reference}") for member in case.care_team]


def _asked(fields: list[FormField], with_items: bool) -> list[FormField]:
    return [one for one in fields if not (with_items and one.name == "answers")]


@router.get("/cases/{case_id}/waiting/{command_id}", name="read-command")
async def waiting(request: Request, case_id: CaseId, command_id: str, guest: GuestDep, kind: str = "") -> Response:
    """What became of a command that was kept to be decided later. The page asks again by itself."""
    parts: System = request.app.state.system
    answer = await commands.read_command(case_id, command_id, parts, guest.who, Response())
    return page(request, "waiting.html", guest, case_id=case_id, answer=answer, kind=kind)
