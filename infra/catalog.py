"""Reads `catalog/` into the rulebook. A broken file is refused with its name, the line and the field."""

import sys
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import holidays
import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from domain.calendar import WorkingCalendar
from domain.instrument import Instrument
from domain.program import Program
from domain.rulebook import CodeList, Rulebook
from domain.values import Slug, Value

Model = TypeVar("Model", bound=BaseModel)
CATALOG = Path(__file__).parent.parent / "catalog"
FIRST_YEAR, LAST_YEAR = 1990, 2060
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[str, ...] = Weekday.__args__  # type: ignore[attr-defined]


class CatalogError(Exception):
    """A file of the catalogue cannot be used; the message has a line for each fault."""


class NationalHolidays(Value):
    country: str = Field(pattern="^[A-Z]{2}$")
    subdivision: str | None = None


class ListedHolidays(Value):
    dates: tuple[date, ...]


class CalendarFile(Value):
    """A working calendar as its file has it: national holidays computed, or any dates listed."""

    name: Slug
    weekend: tuple[Weekday, ...]
    holidays: NationalHolidays | ListedHolidays
    opens: Annotated[time, Field(strict=False)]
    closes: Annotated[time, Field(strict=False)]

    def calendar(self) -> WorkingCalendar:
        """The calendar with its days off spelt out. Raises `NotImplementedError` for an unknown country."""
        if isinstance(self.holidays, ListedHolidays):
            days = frozenset(self.holidays.dates)
        else:
            years = range(FIRST_YEAR, LAST_YEAR + 1)
            found = holidays.country_holidays(
                self.holidays.country, subdiv=self.holidays.subdivision, years=years, language="en_US"
            )
            days = frozenset(found)
        weekend = frozenset(WEEKDAYS.index(day) + 1 for day in self.weekend)
        return WorkingCalendar(
            name=self.name, weekend=weekend, holidays=days, opens=self.opens, closes=self.closes
        )


def load(folder: Path = CATALOG) -> Rulebook:
    """Every programme and calendar of a catalogue folder. Raises `CatalogError` with all faults found."""
    faults: list[str] = []
    calendars = [f.calendar() for f in _read(folder / "calendars", CalendarFile, faults)]
    bases = {path.stem: path for path in (folder / "bases").glob("*.yaml")}
    programs = list(_read(folder / "programs", Program, faults, bases))
    instruments = list(_read(folder / "instruments", Instrument, faults))
    code_lists = list(_read(folder / "code-lists", CodeList, faults))
    rulebook = Rulebook(
        programs=tuple(programs),
        calendars=tuple(calendars),
        instruments=tuple(instruments),
        code_lists=tuple(code_lists),
    )
    for program in programs:
        name = f"{program.program}-{program.version}.yaml"
        faults += [f"{name}: {fault}" for fault in _lost(program, rulebook)]
    if faults:
        raise CatalogError("\n".join(faults))
    return rulebook


def with_file(path: Path, folder: Path = CATALOG) -> tuple[Rulebook, Program]:
    """The catalogue with one programme file more, or in another state, that is not published yet.

    Raises `CatalogError`.
    """
    rulebook = load(folder)
    bases = {base.stem: base for base in (folder / "bases").glob("*.yaml")}
    program = _parse(path, Program, bases)
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
    factors = program.stratification.factors if program.stratification else ()
    used = [(use.name, use.version) for use in program.instruments]
    for tool in [*used, *((f.instrument, f.version) for f in factors if f.instrument)]:
        if tool not in tools:
            yield f"there is no instrument {tool[0]} {tool[1]}"
    if program.avoidable_days is not None and program.avoidable_days not in lists:
        yield f"avoidable_days: there is no code list {program.avoidable_days}"


def _calendars_of(program: Program) -> Iterator[tuple[str, str]]:
    yield "calendar", program.calendar
    for path, policy in program.policies.items():
        yield f"{path}.calendar", program.calendar_of(policy)


def _read(
    folder: Path, model: type[Model], faults: list[str], bases: Mapping[str, Path] | None = None
) -> Iterator[Model]:
    for path in sorted(folder.glob("*.yaml")):
        try:
            value = _parse(path, model, bases or {})
        except CatalogError as fault:
            faults.append(str(fault))
            continue
        yield value


def _parse(path: Path, model: type[Model], bases: Mapping[str, Path]) -> Model:
    root, data = _load(path)
    extends = data.pop("extends", None) if isinstance(data, dict) else None
    base_path = bases.get(str(extends))
    if extends is not None and base_path is None:
        raise CatalogError(f"{path.name}:{_line(root, ('extends',))}: extends: there is no base {extends}")
    base_root, base = _load(base_path) if base_path else (None, {})
    try:
        value = TypeAdapter(model).validate_python(_over(base, data))
    except ValidationError as fault:
        found = fault.errors(include_url=False)
        raise CatalogError("\n".join(_fault(path, root, base_path, base_root, e) for e in found)) from None
    _check_name(path, value)
    return value


def _load(path: Path) -> tuple[yaml.Node | None, Any]:
    loader = _NoDuplicates(path.read_text(encoding="utf-8"))
    try:
        root = loader.get_single_node()
        return root, loader.construct_document(root) if root is not None else None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise CatalogError(f"{path.name}:{line}: {getattr(fault, 'problem', fault)}") from None


def _over(base: Any, own: Any) -> Any:
    """What a programme says, over what its base says: maps are merged, all else is replaced."""
    if isinstance(base, dict) and isinstance(own, dict):
        return {**base, **{key: _over(base.get(key), value) for key, value in own.items()}}
    return own


def _fault(path: Path, root: yaml.Node | None, base: Path | None, base_root: yaml.Node | None, e: Any) -> str:
    """One fault with the file, line and field it stands in: the programme's own file, else its base."""
    inherited = base is not None and e["loc"] and not _has(root, e["loc"]) and _has(base_root, e["loc"])
    where, node = (base, base_root) if inherited and base is not None else (path, root)
    return f"{where.name}:{_line(node, e['loc'])}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}"


def _has(node: yaml.Node | None, loc: tuple[int | str, ...]) -> bool:
    """Whether the file has the first two parts of a field's path."""
    for part in loc[:2]:
        if isinstance(node, yaml.MappingNode):
            found = next((v for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return False
            node = found
    return True


def _check_name(path: Path, value: BaseModel) -> None:
    name = getattr(value, "program", None) or getattr(value, "name", "")
    version = getattr(value, "version", None)
    stem = name if version is None else f"{name}-{version}"
    if path.stem != stem:
        raise CatalogError(f"{path.name}:1: file: name the file {stem}.yaml after what it holds")


def _line(node: yaml.Node | None, loc: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `loc` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                continue
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


class _NoDuplicates(yaml.CSafeLoader):
    """YAML that refuses the same key twice; plain YAML would keep the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        for n, key in enumerate(keys):
            if key in keys[:n]:
                raise yaml.MarkedYAMLError(
                    problem=f"{key} is given twice", problem_mark=node.value[n][0].start_mark
                )
        return super().construct_mapping(node, deep)


def main() -> int:
    """Validate the catalogue and say what is in it; exit 1 with the faults when it is broken."""
    try:
        rulebook = load(Path(sys.argv[1]) if len(sys.argv) > 1 else CATALOG)
    except CatalogError as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    for program in rulebook.programs:
        open_numbers = sum(not policy.verified for policy in program.policies.values())
        sys.stdout.write(
            f"{program.program} version {program.version}: {len(program.policies)} clocks "
            f"({open_numbers} with an unverified number), {len(program.ladders)} ladders\n"
        )
    for instrument in rulebook.instruments:
        sys.stdout.write(f"instrument {instrument.name} {instrument.version}: {len(instrument.items)} items\n")
    for calendar in rulebook.calendars:
        sys.stdout.write(f"calendar {calendar.name}: {len(calendar.holidays)} days off listed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
