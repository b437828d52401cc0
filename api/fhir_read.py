"""FHIR R4 out: read and search what the cases of a person say, and the questionnaires of the catalogue."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from operator import eq, ge, gt, le, lt
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import StringConstraints
from sqlmodel import col, select

from api.fhir_reading import of_case, of_person, patient_of, related_to
from api.pages import MOST, Order, paging
from api.problems import BODY_LIMIT, Refusal
from api.scope import visible
from api.smart import may
from api.system import NOTE, Principal, PrincipalDep, System, SystemDep, ids_of
from api.transport import note_also
from domain.programs.access import Reach
from domain.values import Opaque, Role
from exchange.fhir_answers import MEDIA_TYPE, capabilities, searchset
from exchange.fhir_catalog import of_form, of_instrument
from exchange.fhir_codes import LABELS, Resource
from exchange.fhir_out import Version
from exchange.fhir_readable import READ
from infra.tables import CaseRow

router = APIRouter(prefix="/fhir", tags=["FHIR"], max_body_size=BODY_LIMIT)
OF_CASES = (
    "EpisodeOfCare",
    "CarePlan",
    "Goal",
    "Condition",
    "Task",
    "ServiceRequest",
    "RiskAssessment",
    "Consent",
    "CareTeam",
    "Flag",
    "QuestionnaireResponse",
    "Observation",
    "Encounter",
    "Communication",
    "MedicationStatement",
)
INCLUDED, BY_WHOM = ("Task:focus",), "Provenance:target"
Moment = Annotated[str, StringConstraints(max_length=40)]
SERVED = {
    "Patient": ("_id",),
    **dict.fromkeys(OF_CASES, ("patient", "_id", "status", "category", "code", "_lastUpdated")),
    "RelatedPerson": ("patient", "_id"),
    "Questionnaire": ("_id", "name"),
}
GIVEN = "given-"  # before what a system outside was given, in the action of the audit
PAGED = Order([])
DATED = re.compile(
    r"(eq|ge|gt|le|lt)?(\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?)", re.ASCII
)
COMPARED: dict[str, Callable[[Any, Any], bool]] = {"eq": eq, "ge": ge, "gt": gt, "le": le, "lt": lt}
Kind = Annotated[str, Path(pattern=r"^[A-Za-z]{1,64}$")]
ResourceId = Annotated[str, Path(pattern=r"^[A-Za-z0-9.-]{1,64}$")]
Token = Annotated[str | None, Query(max_length=200)]


class Answer(JSONResponse):
    media_type = MEDIA_TYPE


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/fhir"


@router.get("/metadata", response_class=Answer)
async def read_capabilities(request: Request, parts: SystemDep, who: PrincipalDep) -> Any:
    """What this server can be asked for."""
    return Answer(capabilities(_base(request), request.app.version, datetime.now(UTC), SERVED))


@router.get("/Patient/{person_id}/$everything", response_class=Answer)
async def read_everything(
    person_id: Opaque,
    request: Request,
    parts: SystemDep,
    who: PrincipalDep,
    _type: Annotated[str | None, Query(alias="_type", max_length=400)] = None,
    _since: Annotated[str | None, Query(alias="_since", max_length=40)] = None,
) -> Any:
    """All that one may read of a person: who she is, and everything in her cases."""
    found = [await patient_of(parts, who, person_id), *await related_to(parts, who, person_id)]
    versions = await of_person(parts, who, person_id)
    if _since is not None:
        versions = _in_time(versions, f"ge{_since.removeprefix('ge')}")
    found += [version.resource for version in versions]
    found = [one for one in found if may(who, one["resourceType"], "r")]
    if _type is not None:
        wanted = {*_type.split(",")}
        if unknown := sorted(wanted - {*SERVED}):
            raise Refusal(400, "UnknownType", "there are no such resources here", missing=unknown)
        found = [one for one in found if one["resourceType"] in wanted]
    note_given(request, who, "everything", found)
    return Answer(searchset(_base(request), str(request.url), found, None))


@router.get("/{kind}", response_class=Answer)
async def search_resources(
    kind: Kind,
    request: Request,
    parts: SystemDep,
    who: PrincipalDep,
    patient: Annotated[str | None, Query(max_length=200, description="`Patient/{id}` or the id alone")] = None,
    _id: Annotated[str | None, Query(alias="_id", max_length=64)] = None,
    status: Token = None,
    category: Token = None,
    code: Token = None,
    name: Token = None,
    _lastUpdated: Annotated[list[Moment], Query(alias="_lastUpdated", max_length=4)] = [],  # noqa: B006
    _include: Annotated[list[Moment], Query(alias="_include", max_length=4)] = [],  # noqa: B006
    _revinclude: Annotated[list[Moment], Query(alias="_revinclude", max_length=4)] = [],  # noqa: B006
    _count: Annotated[int, Query(alias="_count", ge=1, le=MOST)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Any:
    """Resources of one type: of a person's cases, by status, category, code and when they changed last."""
    taken = _require_served(kind)
    given: dict[str, Any] = {"patient": patient, "_id": _id, "status": status, "category": category}
    given |= {"code": code, "name": name}
    given["_lastUpdated"] = _lastUpdated or None
    if lost := sorted(name for name, value in given.items() if value is not None and name not in taken):
        raise Refusal(400, "UnknownParameter", f"{kind} takes: {', '.join(taken)}", missing=lost)
    _require_includes(who, kind, _include, _revinclude)
    _note(request, kind, given)
    found, beside = await _searched(parts, who, kind, given)
    start = _start((await paging(_count, cursor)).after)
    shown = found[start : start + _count]
    following = _next(request, start + _count) if len(found) > start + _count else None
    with_it = list(_included(shown, beside, bool(_include), bool(_revinclude)))
    note_given(request, who, kind, [*shown, *with_it])
    if patient is None and _id is None and who.role is Role.INTEGRATOR:
        await _note_each_case(request, who, shown)
    return Answer(searchset(_base(request), str(request.url), shown, following, with_it))


@router.get("/{kind}/{resource_id}", response_class=Answer)
async def read_resource(
    kind: Kind, resource_id: ResourceId, request: Request, parts: SystemDep, who: PrincipalDep
) -> Any:
    """One resource; `ETag` is the number of the event that changed it last."""
    _require_served(kind)
    _note(request, kind, {"_id": resource_id})
    found = next(iter(await _found(parts, who, kind, {"_id": resource_id})), None)
    if found is None:
        raise Refusal(404, "NotFound", "there is no such resource, or it is not yours to see")
    note_given(request, who, kind, [found])
    etag = f'W/"{found["meta"]["versionId"]}"' if "meta" in found else None
    if etag is not None and request.headers.get("if-none-match") == etag:
        return Answer(None, 304, headers={"ETag": etag})
    return Answer(found, headers={"ETag": etag} if etag else None)


@router.get("/{kind}/{resource_id}/_history/{version}", response_class=Answer)
async def read_version(
    kind: Kind,
    resource_id: ResourceId,
    version: Annotated[int, Path(ge=1, le=10**6)],
    request: Request,
    parts: SystemDep,
    who: PrincipalDep,
) -> Any:
    """A resource as it was after an event; 404 for an event that did not change it."""
    _require_served(kind)
    _note(request, kind, {"_id": resource_id})
    if kind not in OF_CASES:
        raise Refusal(404, "NotFound", "earlier versions are kept of what cases say")
    versions = await of_case(parts, who, resource_id.partition("-")[0], version)
    for found in versions:
        if (found.kind, found.content["id"], found.seq) == (kind, resource_id, version):
            note_given(request, who, kind, [found.resource])
            return Answer(found.resource, headers={"ETag": f'W/"{version}"'})
    raise Refusal(404, "NotFound", "there is no such version, or it is not yours to see")


def _require_includes(who: Principal, kind: str, include: list[str], revinclude: list[str]) -> None:
    """Raises 400 for what cannot come along, 403 for what the token's scopes do not say; none is left out."""
    known = [name for name in INCLUDED if name.startswith(f"{kind}:")]
    by_whom = [BY_WHOM] if kind in OF_CASES else []
    if lost := sorted({*include} - {*known} | {*revinclude} - {*by_whom}):
        takes = f"_include takes: {', '.join(known) or 'nothing'}; _revinclude: {', '.join(by_whom) or 'nothing'}"
        raise Refusal(400, "UnknownParameter", takes, missing=lost)
    along = [*(["ServiceRequest"] if include else []), *(["Provenance"] if revinclude else [])]
    if shut := [one for one in along if not may(who, one, "r")]:
        raise Refusal(403, "ScopeMissing", f"this needs {', '.join(f'system/{one}.r' for one in shut)}")


def _included(
    shown: list[Resource], beside: dict[str, Version], include: bool, revinclude: bool
) -> Iterator[Resource]:
    """What comes along with a page: what its tasks are about, and who changed each resource last."""
    if include:
        wanted = dict.fromkeys(one["focus"]["reference"] for one in shown if "focus" in one)
        yield from (beside[name].resource for name in wanted if name in beside)
    if revinclude:
        known = (beside.get(f"{one['resourceType']}/{one['id']}") for one in shown)
        yield from (version.provenance for version in known if version is not None)


def _require_served(kind: str) -> Sequence[str]:
    if kind not in SERVED:
        raise Refusal(404, "UnknownType", f"there are: {', '.join(SERVED)}")
    return SERVED[kind]


def _start(after: list[str] | None) -> int:
    """Where a page begins. Raises 422 for a cursor that is not one of ours."""
    if after is None:
        return 0
    if len(after) != 2 or after[0] != PAGED.mark or not after[1].isdecimal():
        raise Refusal(422, "Malformed", "pass the cursor as an earlier page gave it")
    return int(after[1])


def _note(request: Request, kind: str, given: dict[str, Any]) -> None:
    """Whose resources were asked for, for the audit: the person, or the case that an id begins with.

    What can be no id of ours is not noted: somebody may have typed a name there.
    """
    note: dict[str, Any] = request.scope.get(NOTE, {})
    if kind == "Patient" or given.get("patient") is not None:
        named = given.get("patient") or given.get("_id") or ""
        note |= ids_of({"person_id": str(named).removeprefix("Patient/")})
    elif kind != "Questionnaire" and given.get("_id") is not None:
        note |= ids_of({"case_id": str(given["_id"]).partition("-")[0]})


def note_given(request: Request, who: Principal, what: str, found: Sequence[Resource]) -> None:
    """What a system outside is given, and under which labels it stands, for the accounting of disclosures."""
    if who.role is not Role.INTEGRATOR or what == "Questionnaire" or not found:
        return
    codes = {coding["code"] for one in found for coding in one.get("meta", {}).get("security", ())}
    labels = [label.value for label, code in LABELS.items() if code in codes]
    request.scope.get(NOTE, {})["action"] = f"{GIVEN}{'.'.join((what, *labels))}"


async def _note_each_case(request: Request, who: Principal, shown: Sequence[Resource]) -> None:
    """A page over several cases was given of each of them."""
    note: dict[str, Any] = request.scope.get(NOTE, {})
    first, *others = dict.fromkeys(one["id"].partition("-")[0] for one in shown) or [""]
    note |= ids_of({"case_id": first})
    for case_id in others:
        await note_also(request.scope, who, note["action"], case_id, 200)


def _next(request: Request, start: int) -> str:
    return str(request.url.include_query_params(cursor=PAGED.cursor(start)))


Beside = dict[str, Version]  # all that the same cases say, by type and id


async def _searched(
    parts: System, who: Principal, kind: str, given: dict[str, Any]
) -> tuple[list[Resource], Beside]:
    """What is found; nothing where there is no such person or case, or none that this reader may know of."""
    try:
        if kind not in OF_CASES:
            return await _found(parts, who, kind, given), {}
        versions = await _versions(parts, who, given)
    except Refusal as refusal:
        if refusal.status != 404:
            raise
        return [], {}
    beside = {f"{version.kind}/{version.content['id']}": version for version in versions}
    return _chosen(versions, kind, given), beside


async def _found(parts: System, who: Principal, kind: str, given: dict[str, Any]) -> list[Resource]:
    if kind == "Questionnaire":
        return [one for one in _questionnaires(parts) if _is_asked(one, given)]
    if kind == "Patient":
        if given.get("_id") is None:
            raise Refusal(400, "ParameterMissing", "say which patient: `_id`", missing=["_id"])
        return [await patient_of(parts, who, given["_id"])]
    if kind == "RelatedPerson":
        whose = (given.get("patient") or given.get("_id") or "").removeprefix("Patient/").partition("-")[0]
        return [one for one in await related_to(parts, who, whose) if given.get("_id") in (None, one["id"])]
    return _chosen(await _versions(parts, who, given), kind, given)


def _chosen(versions: list[Version], kind: str, given: dict[str, Any]) -> list[Resource]:
    wanted = given.get("_id")
    found = [v for v in versions if v.kind == kind and wanted in (None, v.content["id"])]
    for when in given.get("_lastUpdated") or ():
        found = _in_time(found, when)
    return [version.resource for version in found if _fits(version.content, given)]


async def _versions(parts: System, who: Principal, given: dict[str, Any]) -> list[Version]:
    """The resources of a person's cases, or of the one case that an id is of."""
    if given.get("patient") is not None:
        found = await of_person(parts, who, given["patient"].removeprefix("Patient/"))
    elif given.get("_id") is not None:
        found = await of_case(parts, who, given["_id"].partition("-")[0])
    elif Reach.SHARED in parts.policy.reach_of(who.role, READ):
        query = select(CaseRow.id).where(visible(parts, who, READ)).order_by(col(CaseRow.id)).limit(MOST)
        async with parts.session() as session:
            cases = list((await session.exec(query)).all())
        found = [version for case_id in cases for version in await of_case(parts, who, case_id)]
    else:
        raise Refusal(400, "ParameterMissing", "say whose: `patient`, or which: `_id`", missing=["patient"])
    return found


def _questionnaires(parts: System) -> Iterable[Resource]:
    yield from (of_instrument(tool) for tool in parts.rulebook.instruments)
    yield from (of_form(form) for form in parts.rulebook.forms)


def _is_asked(one: Resource, given: dict[str, Any]) -> bool:
    named = one["url"].rpartition("/")[2]
    return given.get("_id") in (None, one["id"]) and given.get("name") in (None, named)


def _fits(content: Resource, given: dict[str, Any]) -> bool:
    """Whether a resource has the status, the category and the code that are asked for."""
    status = content.get("status") or content.get("lifecycleStatus") or _first(content.get("clinicalStatus"))
    if given.get("status") is not None and status not in given["status"].split(","):
        return False
    for name in ("category", "code"):
        if given.get(name) is not None and given[name].rpartition("|")[2] not in _codes(content.get(name)):
            return False
    return True


def _codes(concepts: Any) -> set[str]:
    some = concepts if isinstance(concepts, list) else [concepts] if concepts else []
    return {coding["code"] for concept in some for coding in concept.get("coding", ())}


def _first(concept: Any) -> str | None:
    return next(iter(_codes(concept)), None)


def _in_time(versions: list[Version], asked: str) -> list[Version]:
    """What was changed last when it is asked for. Raises 400 for what is no date of FHIR's, or never was a day."""
    match = DATED.fullmatch(asked)
    try:
        when = _parsed(match[2]) if match else None
    except ValueError:
        when = None
    if match is None or when is None:
        raise Refusal(400, "Malformed", "write a time as ge2026-03-01 or gt2026-03-01T10:00:00Z")
    fits = COMPARED[match[1] or "eq"]
    if not isinstance(when, datetime):
        return [version for version in versions if fits(version.changed_at.date(), when)]
    exact = "milliseconds" if "." in match[2] else "seconds" if match[2].count(":") > 1 else "minutes"
    return [v for v in versions if fits(_as_exact(v.changed_at, exact), _as_exact(when, exact))]


def _as_exact(instant: datetime, unit: str) -> datetime:
    """An instant as exactly as it was asked for: a time in whole seconds means the whole second."""
    return datetime.fromisoformat(instant.astimezone(UTC).isoformat(timespec=unit))


def _parsed(text: str) -> datetime | date:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


async def task_of(parts: System, who: Principal, resource_id: str) -> Resource:
    """A Task as it is now. Raises 404 for one that this reader may not see."""
    found = next(iter(await _found(parts, who, "Task", {"_id": resource_id})), None)
    if found is None:
        raise Refusal(404, "NotFound", "there is no such resource, or it is not yours to see")
    return found
