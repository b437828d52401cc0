"""The forms of the catalogue, a form as it begins for a case, and what has changed in it between two times."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, JsonValue
from sqlmodel import col

from api.commands import CaseId
from api.pages import MOST_SEQ, Paging
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import read_case
from api.scope import require_case
from api.system import Principal, PrincipalDep, System, SystemDep
from api.timeline import NEWEST_FIRST, TimelineItem, Withheld, entries_of, shown
from domain.case.command import Draft, Moment
from domain.case.staff import Directory
from domain.programs.condition import Answer
from domain.programs.filling import Asked, Filled
from domain.programs.form import Form, Language, Question, Skipped, in_language
from domain.programs.program import SectionPolicy
from domain.programs.rulebook import UnknownForm
from domain.steps.sections import asked_of, section_of
from domain.values import Slug
from infra.tables import TimelineRow

router = APIRouter(tags=["forms"], max_body_size=BODY_LIMIT)
APART = "answers-kept-apart"
KINDS = ("section-assessed", APART)
LOOKED_AT = 200  # entries; a section that was not written within them begins empty


class SectionTime(BaseModel):
    """A section as it was written once: its answers as far as this reader may see them, and who gave them."""

    seq: int
    command_id: str
    assessed_on: date | None = None
    recorded_at: datetime
    author: str
    complete: bool = True
    form: str | None = None
    findings: str | None = None
    answers: dict[str, JsonValue] = {}
    skipped: dict[str, str] = {}
    answered_by: str | None = None
    withheld: list[Withheld] = Field(default=[], description="Answers that are not for this reader, by label")


class SectionForm(BaseModel):
    """A section's form for one case: what it asks, what it begins with, and what it is not complete without."""

    section: str
    title: str
    form: Form | None = Field(description="None where the programme asks for findings in words alone")
    begun: SectionTime | None = Field(description="Work in progress, for whoever goes on with it")
    last: SectionTime | None = Field(description="The section as it was completed last")
    carried: dict[str, JsonValue] = Field(description="The answers that a new one begins with")
    goes_on_from: int | None = Field(
        default=None, description="The entry that this was read from; send it with the section, and it is not lost"
    )
    meant: list[str] = Field(description="The links of questions that are meant for this person, shown or not yet")
    asked: list[str] = Field(description="The links that these answers lead to, and that are asked of this person")
    missing: list[str] = Field(description="Those of them that the section is not complete without")


class Changed(BaseModel):
    """A question whose answer is otherwise than it was."""

    link: str
    text: str
    before: JsonValue = None
    after: JsonValue = None


class SectionChanges(BaseModel):
    """What differs between two times of a section: the last and the one before, where none are named."""

    before: SectionTime
    after: SectionTime
    changed: list[Changed]


@router.get("/forms", responses=responses(401))
async def list_forms(parts: SystemDep, who: PrincipalDep) -> list[Form]:
    """Every form in every version: questions, options, what is shown when, alerts and scores."""
    return list(parts.rulebook.forms)


@router.get("/forms/{form_id}", responses=responses(401, 404))
async def read_form(form_id: str, parts: SystemDep, who: PrincipalDep) -> Form:
    """One version of one form, by its name and version: `social-needs-1`."""
    return _form(parts, form_id)


def _form(parts: System, form_id: str) -> Form:
    try:
        return parts.rulebook.form(form_id)
    except UnknownForm as fault:
        raise Refusal(404, fault.code, fault.detail) from None


@router.get("/cases/{case_id}/forms/{section}", responses=responses(401, 404, 503))
async def read_section_form(case_id: CaseId, section: Slug, parts: SystemDep, who: PrincipalDep) -> SectionForm:
    """The form of a section as it begins now: with work in progress, else with what was found the last time."""
    case = (await read_case(parts, who, case_id, "read-section-form")).case
    nobody_known = Directory(known=False)
    draft = Draft(Moment(datetime.now(UTC), parts.rulebook, nobody_known), who.actor, "asked", case)
    policy = next((s for s in draft.program.sections if s.name == section), None)
    if policy is None:
        names = [s.name for s in draft.program.sections]
        raise Refusal(404, "UnknownSection", "choose one of `missing`", missing=names)
    times = await section_times(parts, who, case_id, section)
    begun = times[0] if times and not times[0].complete else None
    last = next((time for time in times if time.complete), None)
    written = section_of(case, section)
    found = _begins(parts, policy, begun, last, asked_of(draft))
    return found.model_copy(update={"goes_on_from": written.entry or None if written else None})


def _begins(
    parts: System, section: SectionPolicy, begun: SectionTime | None, last: SectionTime | None, asked: Asked
) -> SectionForm:
    if section.form is None:
        nothing: dict[str, Any] = {"form": None, "carried": {}, "meant": [], "asked": [], "missing": []}
        return SectionForm(section=section.name, title=section.title, begun=begun, last=last, **nothing)
    form = parts.rulebook.form(section.form)
    before = begun or last
    skipped = {link: Skipped(why) for link, why in (begun.skipped if begun else {}).items()}
    taken = {q.link: q for q in form.questions}  # what an earlier version of the form asked is left out
    answers = _as_answers(before.answers if before else {})
    answers = {link: a for link, a in answers.items() if link in taken and taken[link].takes(a)}
    stood = Filled(form, answers, {link: why for link, why in skipped.items() if link in taken})
    given = dict(stood.answers) if begun is not None else stood.carried
    return SectionForm(
        section=section.name,
        title=section.title,
        form=form,
        begun=begun,
        last=last,
        carried={link: list(a) if isinstance(a, tuple) else a for link, a in given.items()},
        meant=[q.link for q in form.questions if asked.of(q)],
        asked=[q.link for q in form.asked(given) if asked.of(q)],
        missing=Filled(form, given, stood.skipped).missing(asked, section.requires),
    )


def _as_answers(read: Mapping[str, Any]) -> dict[str, Answer]:
    return {link: tuple(answer) if isinstance(answer, list) else answer for link, answer in read.items()}


async def section_times(parts: System, who: Principal, case_id: str, section: str) -> list[SectionTime]:
    """A section at all its times that still stand, the last written first."""
    seen = await require_case(parts, who, case_id, action="read-sections")
    of_kinds, page = col(TimelineRow.kind).in_(KINDS), Paging(limit=LOOKED_AT, after=None)
    rows, marks = await entries_of(parts, who, case_id, NEWEST_FIRST, page, of_kinds)
    items = [shown(parts, who, seen, row, marks) for row in rows]
    return _times([item for item in items if item.entered_in_error is None], section)


def _times(items: Sequence[TimelineItem], section: str) -> list[SectionTime]:
    """Each time of a section, with the answers that stand under stricter labels where the reader may see them."""
    found: list[SectionTime] = []
    latest: SectionTime | None = None  # what is kept apart follows the section that it is of
    for item in reversed(items):
        if item.kind == APART:
            if latest is not None and item.command_id == latest.command_id:
                _add(latest, item)
            continue
        latest = None
        if item.withheld is not None or item.data.get("name") != section:
            continue
        said: Any = {name: item.data[name] for name in SectionTime.model_fields if name in item.data}
        latest = SectionTime(**{**said, "seq": item.seq, "recorded_at": item.at, "command_id": item.command_id})
        found.append(latest)
    return found[::-1]


def _add(time: SectionTime, item: TimelineItem) -> None:
    """Add answers that are kept apart, or that they are not for this reader."""
    if item.withheld is not None:
        time.withheld.append(item.withheld)
        return
    said: Any = item.data
    time.answers |= said["answers"]
    time.skipped |= said.get("skipped", {})


@router.get("/cases/{case_id}/sections/{section}/changes", responses=responses(401, 404, 409, 422, 503))
async def read_section_changes(
    case_id: CaseId,
    section: Slug,
    parts: SystemDep,
    who: PrincipalDep,
    before: Annotated[int | None, Query(ge=1, lt=MOST_SEQ, description="The entry of the earlier time")] = None,
    after: Annotated[int | None, Query(ge=1, lt=MOST_SEQ, description="The entry of the later time")] = None,
    language: Language = "en",
) -> SectionChanges:
    """What differs in a section between two times, question by question; left out: the last and the one before."""
    times = await section_times(parts, who, case_id, section)
    later = _time(times, after) if after is not None else (times[0] if times else None)
    earlier = _time(times, before) if before is not None else _before(times, later)
    if later is None or earlier is None:
        raise Refusal(409, "NothingToCompare", "the section was written less than twice, or not at these entries")
    return SectionChanges(before=earlier, after=later, changed=_changed(parts, earlier, later, language))


def _questions(parts: System, form_id: str | None) -> tuple[Question, ...]:
    """The questions of a form; none where the catalogue does not have it any more."""
    return next((form.questions for form in parts.rulebook.forms if form.id == form_id), ())


def _time(times: Sequence[SectionTime], seq: int) -> SectionTime | None:
    return next((time for time in times if time.seq == seq), None)


def _before(times: Sequence[SectionTime], later: SectionTime | None) -> SectionTime | None:
    return next((time for time in times if later is not None and time.seq < later.seq), None)


def _changed(parts: System, earlier: SectionTime, later: SectionTime, language: str) -> list[Changed]:
    """The questions with another answer, in the order of the later form; those it does not ask any more, last."""
    texts: dict[str, str] = {}
    for named in (later.form, earlier.form):
        for question in _questions(parts, named):
            texts.setdefault(question.link, in_language(question.text, language))
    for link in (*later.answers, *earlier.answers):
        texts.setdefault(link, link)
    return [
        Changed(link=link, text=text, before=earlier.answers.get(link), after=later.answers.get(link))
        for link, text in texts.items()
        if earlier.answers.get(link) != later.answers.get(link)
    ]
