"""Reads `catalog/` into the rulebook. A broken file is refused with its name, the line and the field."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Self, TypeVar

import holidays
from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from domain.clocks.calendar import WorkingCalendar
from domain.programs.access import AccessPolicy
from domain.programs.feed import Feed
from domain.programs.form import Form
from domain.programs.instrument import Instrument
from domain.programs.mapping import ColumnMapping
from domain.programs.places import Place
from domain.programs.plan_template import TemplateGoal, TemplateIntervention, TemplateProblem
from domain.programs.program import Program
from domain.programs.retention import RetentionRules
from domain.programs.rulebook import CodeList, Rulebook
from domain.simulation.scenario import Scenario
from domain.values import Slug, Value
from infra.catalog_files import CatalogError, differences, fault_in, layers, merged
from infra.catalog_forms import lost_in_forms, lost_in_sections

__all__ = ["CATALOG", "CatalogError", "load", "scenarios", "with_file", "with_text"]

Model = TypeVar("Model", bound=BaseModel)
TemplatePart = TemplateProblem | TemplateGoal | TemplateIntervention
CATALOG = Path(__file__).parent.parent / "catalog"
QUOTES = "put yes, no, on, off and texts with a comma or a colon in quotes"
FIRST_YEAR, LAST_YEAR = 1990, 2060
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[str, ...] = Weekday.__args__  # type: ignore[attr-defined]


class DaysOff(Value):
    """The holidays of a country, or of one part of it, computed; or any dates, listed."""

    country: str | None = Field(default=None, pattern="^[A-Z]{2}$")
    subdivision: str | None = None
    dates: tuple[date, ...] | None = None

    @field_validator("country")
    @classmethod
    def _known_country(cls, country: str | None) -> str | None:
        if country is not None and country not in holidays.list_supported_countries():
            raise ValueError(f"no holidays are known of {country}: list the dates instead")
        return country

    @field_validator("subdivision")
    @classmethod
    def _known_subdivision(cls, subdivision: str | None, info: ValidationInfo) -> str | None:
        known = holidays.list_supported_countries().get(info.data.get("country") or "", [])
        if subdivision is not None and "country" in info.data and subdivision not in known:
            raise ValueError(f"choose one of: {', '.join(known) or 'none'}")
        return subdivision

    @model_validator(mode="after")
    def _country_or_dates(self) -> Self:
        if (self.country is None) == (self.dates is None):
            raise ValueError("give either a country or dates")
        return self

    @property
    def days(self) -> frozenset[date]:
        if self.country is None:
            return frozenset(self.dates or ())
        return _holidays_of(self.country, self.subdivision)


@cache
def _holidays_of(country: str, subdivision: str | None) -> frozenset[date]:
    """Seventy years of a country are computed once: two calendars may stand on it, and each is looked at twice."""
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=years, language="en_US"))


class CalendarFile(Value):
    """A working calendar as its file has it."""

    name: Slug
    weekend: tuple[Weekday, ...]
    holidays: DaysOff
    opens: Annotated[time, Field(strict=False)]
    closes: Annotated[time, Field(strict=False)]
    hours: dict[Weekday, tuple[Annotated[time, Field(strict=False)], Annotated[time, Field(strict=False)]]] = {}
    closed: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _leaves_time_to_work(self) -> Self:
        try:
            self.calendar()
        except ValidationError as fault:
            raise ValueError("; ".join(str(e["ctx"]["error"]) for e in fault.errors())) from None
        return self

    def calendar(self) -> WorkingCalendar:
        """The calendar with its days off spelt out."""
        weekend = frozenset(WEEKDAYS.index(day) + 1 for day in self.weekend)
        return WorkingCalendar(
            name=self.name,
            weekend=weekend,
            holidays=self.holidays.days | {*self.closed},
            opens=self.opens,
            closes=self.closes,
            hours={WEEKDAYS.index(day) + 1: hours for day, hours in self.hours.items()},
        )


def load(folder: Path = CATALOG) -> Rulebook:
    """Every programme and calendar of a catalogue folder. Raises `CatalogError` with all faults found."""
    faults: list[str] = []
    programs = list(_read(folder / "programs", Program, faults, sources(folder)))
    rulebook = Rulebook(
        programs=tuple(programs),
        calendars=tuple(file.calendar() for file in _read(folder / "calendars", CalendarFile, faults)),
        instruments=tuple(_read(folder / "instruments", Instrument, faults)),
        forms=tuple(_read(folder / "forms", Form, faults)),
        code_lists=tuple(_read(folder / "code-lists", CodeList, faults)),
        mappings=tuple(_read(folder / "mappings", ColumnMapping, faults)),
        places=tuple(_read(folder / "places", Place, faults)),
        policy=_policy(folder / "policy.yaml", faults),
        retention=_retention(folder / "retention.yaml", faults),
    )
    senders = list(_read(folder / "feeds", Feed, faults))
    if not faults:  # a calendar that cannot be read would be missed by every clock of every programme
        for program in programs:
            name = f"{program.program}-{program.version}.yaml"
            faults += [f"{name}: {fault}" for fault in _lost(program, rulebook)]
        faults += _misplaced(rulebook)
        faults += _kept_for_nobody(rulebook)
        faults += lost_in_forms(rulebook)
        faults += _lost_in_feeds(senders, rulebook)
    list(_read(folder / "scenarios", Scenario, faults))
    if faults:
        raise CatalogError("\n".join(dict.fromkeys(faults)))  # what several programmes inherit is told once
    return rulebook


def _misplaced(rulebook: Rulebook) -> Iterator[str]:
    """What a place names and the catalogue does not have, and teams that two places claim."""
    calendars = {calendar.name for calendar in rulebook.calendars}
    paths = {path for program in rulebook.programs for path in program.policies}
    taken: set[str] = set()
    for place in rulebook.places:
        name = f"{place.name}.yaml"
        if place.calendar is not None and place.calendar not in calendars:
            yield f"{name}: there is no calendar {place.calendar}"
        yield from (f"{name}: no programme promises {n.policy}" for n in place.policies if n.policy not in paths)
        yield from (f"{name}: team {team} is of another place" for team in place.teams if team in taken)
        taken |= {*place.teams}


def sources(folder: Path = CATALOG) -> dict[str, Path]:
    """What a programme's file may extend, by name: the versions of programmes, and the bases."""
    paths = (*(folder / "programs").glob("*.yaml"), *(folder / "bases").glob("*.yaml"))
    return {path.stem: path for path in paths}


def scenarios(program: str, name: str | None = None, folder: Path = CATALOG) -> list[Scenario]:
    """The scenarios that are played for a programme, or the one of a name. Raises `CatalogError`."""
    faults: list[str] = []
    found = list(_read(folder / "scenarios", Scenario, faults))
    if faults:
        raise CatalogError("\n".join(faults))
    return [one for one in found if name in (None, one.name) and program in (one.programs or (program,))]


def feeds(folder: Path = CATALOG) -> dict[str, Feed]:
    """The feeds of HL7 v2 messages, by name. Raises `CatalogError`."""
    faults: list[str] = []
    found = {feed.name: feed for feed in _read(folder / "feeds", Feed, faults)}
    if faults:
        raise CatalogError("\n".join(faults))
    return found


def _lost_in_feeds(found: Iterable[Feed], rulebook: Rulebook) -> list[str]:
    """What a feed names and no programme has."""
    programs = {program.program for program in rulebook.programs}
    settings = {name.rpartition("-")[0] for program in rulebook.programs for name in program.transitions}
    faults = []
    for feed in found:
        named = {*feed.classes.values(), feed.emergency} - {None}
        faults += [f"{feed.name}.yaml: classes: no programme has the setting {s}" for s in named - settings]
        if feed.open_in is not None and feed.open_in not in programs:
            faults.append(f"{feed.name}.yaml: open_in: there is no programme {feed.open_in}")
    return faults


def with_text(text: str, folder: Path = CATALOG) -> tuple[Rulebook, Program]:
    """The same for a file that somebody has written and not laid anywhere. Raises `CatalogError`."""
    with TemporaryDirectory() as place:
        path = Path(place) / "program.yaml"
        path.write_text(text, encoding="utf-8")
        return with_file(path, folder)


def with_file(path: Path, folder: Path = CATALOG) -> tuple[Rulebook, Program]:
    """The catalogue with one programme file more, or in another state, that is not published yet.

    Raises `CatalogError`.
    """
    rulebook = load(folder)
    program = _parse(path, Program, sources(folder))
    faults = [f"{path.name}: {fault}" for fault in _lost(program, rulebook)]
    if faults:
        raise CatalogError("\n".join(faults))
    named = (program.program, program.version)
    others = tuple(p for p in rulebook.programs if (p.program, p.version) != named)
    return rulebook.changed(programs=(*others, program)), program


def _lost(program: Program, rulebook: Rulebook) -> Iterator[str]:
    """What a programme names and the catalogue does not have."""
    calendars = {calendar.name for calendar in rulebook.calendars}
    tools = {(tool.name, tool.version) for tool in rulebook.instruments}
    lists = {codes.name for codes in rulebook.code_lists}
    for path, name in _calendars_of(program):
        if name not in calendars:
            yield f"{path}: there is no calendar {name}"
    yield from lost_in_sections(program, rulebook)
    yield from _ids_of_two_parts(program)
    factors = program.stratification.factors if program.stratification else ()
    used = [(use.name, use.version) for use in program.instruments]
    for tool in [*used, *((f.instrument, f.version) for f in factors if f.instrument)]:
        if tool not in tools:
            yield f"there is no instrument {tool[0]} {tool[1]}"
    if program.avoidable_days is not None and program.avoidable_days not in lists:
        yield f"avoidable_days: there is no code list {program.avoidable_days}"


def _ids_of_two_parts(program: Program) -> Iterator[str]:
    """Ids that two plan templates give to different parts: a plan with both would keep the first part alone.

    A part that two templates have word for word is one part, and fits.
    """
    seen: dict[str, tuple[str, TemplatePart]] = {}
    for name, template in program.plan_templates.items():
        parts: tuple[TemplatePart, ...] = (*template.problems, *template.goals, *template.interventions)
        for part in parts:
            first, same = seen.setdefault(part.id, (name, part))
            if part != same:
                yield f"plan_templates.{name}: {part.id} is the id of another part in {first}; give it its own"


def _calendars_of(program: Program) -> Iterator[tuple[str, str]]:
    yield "calendar", program.calendar
    for path, policy in program.policies.items():
        yield f"{path}.calendar", program.calendar_of(policy)


def _read(
    folder: Path, model: type[Model], faults: list[str], extendable: Mapping[str, Path] | None = None
) -> Iterator[Model]:
    for path in sorted(folder.glob("*.yaml")):
        try:
            value = _parse(path, model, extendable or {})
            _check_name(path, value)
        except CatalogError as fault:
            faults += str(fault).split("\n")
            continue
        yield value


def _policy(path: Path, faults: list[str]) -> AccessPolicy:
    """Who may do what. Without its file nobody could do anything, so it is a fault that there is none."""
    try:
        if not path.is_file():
            raise CatalogError(f"{path.name}: the file is not there, and nobody may do anything without it")
        return _parse(path, AccessPolicy, {})
    except CatalogError as fault:
        faults += str(fault).split("\n")
        return AccessPolicy(groups={}, grants=())


def _retention(path: Path, faults: list[str]) -> RetentionRules | None:
    """How long records are kept. Without its file none is ever past its time."""
    try:
        return _parse(path, RetentionRules, {}) if path.is_file() else None
    except CatalogError as fault:
        faults += str(fault).split("\n")
        return None


def _kept_for_nobody(rulebook: Rulebook) -> Iterator[str]:
    known = {program.program for program in rulebook.programs}
    named = rulebook.retention.programs if rulebook.retention else {}
    yield from (f"retention.yaml: there is no programme {name}" for name in sorted(set(named) - known))


def _parse(path: Path, model: type[Model], extendable: Mapping[str, Path]) -> Model:
    files = layers(path, extendable)
    try:
        value = TypeAdapter(model).validate_python(merged(files))
    except ValidationError as fault:
        found = fault.errors(include_url=False)
        told = [e for e in found if not _follows(e, found)]
        raise CatalogError("\n".join(fault_in(files, e["loc"], _plainly(e)) for e in told)) from None
    return value


def _follows(fault: Any, found: list[Any]) -> bool:
    """Whether a list is only too short because what was to be in it has a fault of its own."""
    place = fault["loc"]
    inside = (e["loc"] for e in found if e is not fault)
    return fault["type"] == "too_short" and any(loc[: len(place)] == place for loc in inside)


def _plainly(fault: Any) -> str:
    """What is wrong, and what an author of YAML most often did to bring it about."""
    if "[key]" in fault["loc"] or (fault["type"] == "string_type" and isinstance(fault["input"], bool)):
        return f"{fault['msg']}; {QUOTES}"
    return str(fault["msg"])


def _check_name(path: Path, value: BaseModel) -> None:
    name = getattr(value, "program", None) or getattr(value, "name", "")
    version = getattr(value, "version", None)
    stem = name if version is None else f"{name}-{version}"
    if path.stem != stem:
        raise CatalogError(f"{path.name}:1: file: name the file {stem}.yaml after what it holds")


def changes(program: Program, folder: Path = CATALOG) -> Iterator[str]:
    """Where a version of a programme differs from the one that its file extends, a line each."""
    path = folder / "programs" / f"{program.program}-{program.version}.yaml"
    files = layers(path, sources(folder))
    if len(files) == 1 or files[1].path.parent != path.parent:
        return
    yield f"extends {files[1].path.stem} and differs in"
    for field, old, new in differences(merged(files[1:]), merged(files)):
        if field not in ("program", "version"):
            yield f"  {field}: {old} → {new}"


def main() -> int:
    """Validate the catalogue and say what is in it; exit 1 with the faults when it is broken."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CATALOG
    try:
        rulebook = load(folder)
    except CatalogError as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    for program in rulebook.programs:
        open_numbers = sum(not policy.verified for policy in program.policies.values())
        begins = f", in force from {program.effective_from}" if program.effective_from else ""
        sys.stdout.write(
            f"{program.program} version {program.version}{begins}: {len(program.policies)} clocks "
            f"({open_numbers} with an unverified number), {len(program.ladders)} ladders\n"
        )
        sys.stdout.writelines(f"  {line}\n" for line in changes(program, folder))
    for form in rulebook.forms:
        used = sorted({p.program for p in rulebook.programs for s in p.sections if s.form == form.id})
        by = f"asked in {', '.join(used)}" if used else "asked in no programme"
        sys.stdout.write(f"form {form.id}: {len(form.questions)} questions, {len(form.alerts)} alerts, {by}\n")
    for instrument in rulebook.instruments:
        sys.stdout.write(f"instrument {instrument.name} {instrument.version}: {len(instrument.items)} items\n")
    for calendar in rulebook.calendars:
        sys.stdout.write(f"calendar {calendar.name}: {len(calendar.holidays)} days off listed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
