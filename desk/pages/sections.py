"""A section of the assessment to read: what was found, when and by whom, and what it was the time before."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import forms
from api.commands import CaseId
from api.forms import SectionTime
from api.reading import read_case
from api.system import System
from desk.names import name_of, titles_of
from desk.session import GuestDep
from desk.web import page
from desk.words import Words
from desk.words import of as words_of
from domain.programs.form import Question, in_language
from domain.values import Slug

router = APIRouter()


@router.get("/cases/{case_id}/sections/{section}", name="read-section-form")
async def show(
    request: Request,
    case_id: CaseId,
    section: Slug,
    guest: GuestDep,
    entry: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """The section as it was written last, or at the `entry` that is named, beside the time before."""
    parts: System = request.app.state.system
    found = await read_case(parts, guest.who, case_id, "read-section-form")
    times = await forms.section_times(parts, guest.who, case_id, section)
    shown = next((time for time in times if entry in (None, time.seq)), None)
    before = next((time for time in times if shown is not None and time.seq < shown.seq), None)
    said: dict[str, Any] = {"case": found.case, "zone": found.case.zone, "name": await name_of(parts, found.case)}
    said |= {
        "times": times,
        "shown": shown,
        "before": before,
        "title": titles_of(parts, found.case).get(section, section),
    }
    said["rows"] = _rows(parts, shown, before, words_of(guest.session.language)) if shown is not None else []
    return page(request, "section.html", guest, **said)


def _rows(parts: System, shown: SectionTime, before: SectionTime | None, spoken: Words) -> list[dict[str, Any]]:
    """Each question with its answer, or why it has none, in the reader's words; and the answer before."""
    form = next((form for form in parts.rulebook.forms if form.id == shown.form), None)
    questions = {question.link: question for question in form.questions} if form is not None else {}
    links = dict.fromkeys((*questions, *shown.answers, *shown.skipped))
    return [
        {
            "question": in_language(questions[link].text, spoken.language) if link in questions else link,
            "answer": _said(questions.get(link), shown, link, spoken),
            "before": _said(questions.get(link), before, link, spoken) if before is not None else "",
        }
        for link in links
        if link in shown.answers or link in shown.skipped
    ]


def _said(question: Question | None, time: SectionTime, link: str, spoken: Words) -> str:
    """An answer in words, or why there is none; nothing where it was not asked."""
    if link in time.skipped:
        return spoken(f"section.{time.skipped[link]}")
    if link not in time.answers:
        return ""
    answer = time.answers[link]
    given = answer if isinstance(answer, list) else [answer]
    said = ", ".join(_word(question, one, spoken) for one in given)
    return f"{said} {question.unit}" if question is not None and question.unit else said


def _word(question: Question | None, answer: Any, spoken: Words) -> str:
    if isinstance(answer, bool):
        return spoken("form.yes" if answer else "form.no")
    options = question.options if question is not None else {}
    return in_language(options[answer], spoken.language) if answer in options else str(answer)
