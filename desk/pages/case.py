"""A case: who she is, what is open, what may be done, its promises, plan, scores, stays and what happened."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import case_history, next_steps, persons, timeline
from api.commands import CaseId
from api.problems import Refusal
from api.reading import read_case
from api.submission import recorded
from api.system import System
from desk import needs
from desk.charts import Band, Line, line
from desk.names import name_of, titles_of
from desk.paging import asked_page, next_page
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page
from desk.words import of as words_of
from domain.case.case import Case
from domain.clocks.clock import Clock
from domain.commands import FROM_PEOPLE
from domain.programs.program import Stage
from domain.programs.rulebook import UnknownInstrument
from domain.promises.keeping import Keeping, keeping
from infra.sentences import subjects

router = APIRouter(max_body_size=FORM_LIMIT)
SHOWN, LOOKED_AT = 15, 40
BY_TASK = ("complete-task", "hold-task", "resume-task", "cosign-task", "answer-transfer")
SAYS = {command.kind: command.says for command in FROM_PEOPLE}
OF_STAGE = {  # what leads on from each stage
    Stage.SCREENING: ("record-consent", "complete-screening"),
    Stage.ASSESSMENT: ("record-assessment", "record-score", "stratify-risk", "set-risk-tier"),
    Stage.PLANNING: ("agree-plan",),
    Stage.IMPLEMENTATION: ("complete-task", "sign-plan"),
    Stage.FOLLOW_UP: ("sign-plan", "review-plan", "record-goal-progress", "evaluate-outcome"),
    Stage.CLOSURE: ("give-notice", "close"),
}
COMMON = (
    "log-contact",
    "make-appointment",
    "add-note",
    "add-task",
    "record-score",
    "acknowledge-escalation",
    "raise-crisis",
)
SAID_ANYWAY = ("people-told", "rung-climbed")  # the case's page shows promises and their ladders themselves


@router.get("/cases/{case_id}", name="read-case")
async def show(
    request: Request,
    case_id: CaseId,
    guest: GuestDep,
    done: Annotated[str, Query(pattern="^[a-z0-9-]{0,64}$")] = "",
    command: Annotated[str, Query(pattern="^[A-Za-z0-9]{0,64}$")] = "",
) -> Response:
    """All of a case on one page; of one that is hers by a task alone, its outline."""
    parts: System = request.app.state.system
    found = await read_case(parts, guest.who, case_id)
    person_id = found.case.referral.patient.reference
    said: dict[str, Any] = {"case": found.case, "whole": found.whole, "zone": found.case.zone}
    said["done"] = done if await _was_done(parts, guest, case_id, done, command) else ""
    said["done_says"] = SAYS.get(done, done)
    said["person"] = await _person(parts, guest, person_id)
    said["name"] = await name_of(parts, found.case)
    said |= {"steps": None, "happened": [], "charts": [], "stays": [], "safety": None, "stages": list(Stage)}
    if found.whole:
        said["steps"] = await next_steps.read_next_steps(case_id, parts, guest.who)
        said["happened"] = await _happened(request, guest, case_id)
        said["charts"] = await _charts(request, guest, case_id)
        said["stays"] = await case_history.read_stays(case_id, parts, guest.who, request)
        said["safety"] = await _safety_plan(request, guest, case_id)
    said["common"] = _common(found.case, said["steps"])
    said["titles"] = titles = titles_of(parts, found.case)
    said["settles"] = lambda need: needs.settles(said["steps"], case_id, need)
    said["lacks"] = lambda need: needs.said(need, words_of(guest.session.language), titles)
    possible = {one.command for one in said["steps"].possible} if said["steps"] is not None else set()
    said["can"] = lambda kind: kind in possible or (not found.whole and kind in BY_TASK)
    said["urgent"] = [task for task in found.case.open_tasks if task.urgent]
    said["keeps"] = lambda clock: _keeping(found.case, clock)
    return page(request, "case.html", guest, **said)


def _keeping(case: Case, clock: Clock) -> Keeping | None:
    """What keeps a promise of the case, as Today offers it."""
    task = case.task(clock.about) if clock.about else None
    status = str(task.status) if task is not None else None
    unclaimed = task is not None and task.queue is not None and task.assignee is None and status == "ready"
    return keeping(clock.kind, clock.about, clock.kept_by, case.stage, "unclaimed" if unclaimed else status)


async def _was_done(parts: System, guest: Guest, case_id: str, kind: str, command: str) -> bool:
    """Whether the record has it: an address that somebody has made up says nothing."""
    if not command:
        return False
    outcome = await recorded(parts, guest.who.tenant, case_id, command)
    return outcome is not None and outcome.kind == kind and outcome.status == "applied"


async def _person(parts: System, guest: Guest, person_id: str) -> Any:
    """Who she is; None where this reader may not know it, or nobody does."""
    try:
        return (await persons.read_person(person_id, parts, guest.who, Response())).person
    except Refusal as refusal:
        if refusal.status in (403, 404):
            return None
        raise


async def _safety_plan(request: Request, guest: Guest, case_id: str) -> Any:
    """The safety plan as it was written last; None where there is none, or it is not for this reader."""
    parts: System = request.app.state.system
    found = await case_history.read_list("safety-plans", case_id, parts, guest.who, await asked_page(None, 1))
    return found.items[0] if found.items and found.items[0].withheld is None else None


async def _happened(request: Request, guest: Guest, case_id: str) -> Sequence[timeline.TimelineItem]:
    parts: System = request.app.state.system
    wanted = timeline.TimelineFilter(order="newest", language=guest.session.language)
    found = await timeline.read_timeline(
        case_id, parts, guest.who, await asked_page(None, LOOKED_AT), wanted, request
    )
    return [item for item in found.items if item.kind not in SAID_ANYWAY][:SHOWN]


async def _charts(request: Request, guest: Guest, case_id: str) -> list[Line]:
    """The course of each instrument and each measured value that has one."""
    parts: System = request.app.state.system
    spoken, most = words_of(guest.session.language), await asked_page(None, 200)
    scores = await case_history.read_list("scores", case_id, parts, guest.who, most)
    values = await case_history.read_list("values", case_id, parts, guest.who, most)
    courses: dict[tuple[str, str], list[Any]] = {}
    for one in scores.items:
        if one.total is not None and one.entered_in_error is None:
            courses.setdefault((one.instrument, one.version), []).append((one.scored_at, float(one.total)))
    for one in values.items:
        if one.value is not None and one.entered_in_error is None:
            courses.setdefault((f"{one.indicator} ({one.unit})", ""), []).append((one.taken_at, one.value))
    made = []
    for (name, version), course in courses.items():
        ordered = sorted(course)
        says = spoken("chart.course", number=len(ordered), first=f"{ordered[0][1]:g}", last=f"{ordered[-1][1]:g}")
        made.append(line(f"{name} {version}".strip(), says, ordered, _bands(parts, name, version)))
    return [chart for chart in made if chart is not None]


def _bands(parts: System, name: str, version: str) -> list[Band]:
    try:
        tool = parts.rulebook.instrument(name, version)
    except UnknownInstrument:
        return []
    return [Band(band.name, band.low, band.high) for band in tool.bands if not band.when]


def _common(case: Case, steps: Any) -> tuple[list[Any], list[Any]]:
    """What leads on from the stage and what is done most, and the rest by its words."""
    possible = {one.command: one for one in steps.possible} if steps is not None else {}
    wanted = dict.fromkeys((*OF_STAGE[case.stage], *COMMON))
    first = [possible.pop(kind) for kind in wanted if kind in possible]
    return first, sorted(possible.values(), key=lambda one: one.says)


@router.get("/cases/{case_id}/timeline", name="read-timeline")
async def whole_timeline(
    request: Request,
    case_id: CaseId,
    guest: GuestDep,
    subject: Annotated[str, Query(pattern="^[a-z-]{0,32}$")] = "",
    order: Annotated[str, Query(pattern="^(newest|oldest)$")] = "newest",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Everything that happened, in sentences, by subject."""
    parts: System = request.app.state.system
    found = await read_case(parts, guest.who, case_id, "read-timeline")
    asked = {"order": order, "language": guest.session.language, "subject": subject or None}
    wanted = timeline.TimelineFilter.model_validate(asked)
    items = await timeline.read_timeline(case_id, parts, guest.who, await asked_page(cursor, 50), wanted, request)
    name = await name_of(parts, found.case)
    said: dict[str, Any] = {"case": found.case, "zone": found.case.zone, "name": name}
    said["subjects"] = sorted(subjects())
    may = parts.policy.may(guest.who.role, "correct-entry", found.ways)
    said["can"] = lambda kind: may and kind == "correct-entry"
    following = next_page(request, items.next)
    return page(request, "timeline.html", guest, items=items.items, subject=subject, following=following, **said)


@router.get("/cases/{case_id}/why/{clock_id}", name="explain-promise")
async def why(request: Request, case_id: CaseId, clock_id: str, guest: GuestDep) -> Response:
    """Why a promise is there and why then, what keeps it, and who hears of it."""
    parts: System = request.app.state.system
    said = await next_steps.explain_promise(case_id, clock_id, parts, guest.who)
    return page(request, "why.html", guest, why=said, case_id=case_id, zone=said.clock.zone)


@router.get("/cases/{case_id}/print/{what}", name="read-whole-case")
async def printed(request: Request, case_id: CaseId, what: str, guest: GuestDep) -> Response:
    """The plan, the safety plan or a summary as a sheet of paper."""
    parts: System = request.app.state.system
    if what not in ("plan", "safety-plan", "summary"):
        raise Refusal(404, "NotFound", "there is no such page")
    found = await read_case(parts, guest.who, case_id, "read-whole-case")
    person_id = found.case.referral.patient.reference
    said = {
        "case": found.case,
        "zone": found.case.zone,
        "what": what,
        "person": await _person(parts, guest, person_id),
        "safety": await _safety_plan(request, guest, case_id),
        "titles": titles_of(parts, found.case),
        "name": await name_of(parts, found.case),
    }
    return page(request, "print.html", guest, **said)
