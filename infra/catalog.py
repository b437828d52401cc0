"""Reads `catalog/` into the rulebook. A broken file is refused with its name, the line and the field."""

import sys
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import holidays
import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from domain.calendar import WorkingCalendar
from domain.instrument import Instrument
from domain.program import Program
from domain.rulebook import Rulebook
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
    programs = list(_read(folder / "programs", Program, faults))
    instruments = list(_read(folder / "instruments", Instrument, faults))
    known = {calendar.name for calendar in calendars}
    for program in programs:
        faults += [
            f"{program.program}-{program.version}.yaml: {path}: there is no calendar {name}"
            for path, name in _calendars_of(program)
            if name not in known
        ]
    if faults:
        raise CatalogError("\n".join(faults))
    return Rulebook(programs=tuple(programs), calendars=tuple(calendars), instruments=tuple(instruments))


def _calendars_of(program: Program) -> Iterator[tuple[str, str]]:
    yield "calendar", program.calendar
    for path, policy in program.policies().items():
        yield f"{path}.calendar", program.calendar_of(policy)


def _read(folder: Path, model: type[Model], faults: list[str]) -> Iterator[Model]:
    for path in sorted(folder.glob("*.yaml")):
        try:
            value = _parse(path, model)
        except CatalogError as fault:
            faults.append(str(fault))
            continue
        yield value


def _parse(path: Path, model: type[Model]) -> Model:
    text = path.read_text(encoding="utf-8")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=_NoDuplicates)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise CatalogError(f"{path.name}:{line}: {getattr(fault, 'problem', fault)}") from None
    try:
        value = TypeAdapter(model).validate_python(data)
    except ValidationError as fault:
        lines = [
            f"{path.name}:{_line(root, e['loc'])}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}"
            for e in fault.errors(include_url=False)
        ]
        raise CatalogError("\n".join(lines)) from None
    _check_name(path, value)
    return value


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


class _NoDuplicates(yaml.SafeLoader):
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
        open_numbers = sum(not policy.verified for policy in program.policies().values())
        sys.stdout.write(
            f"{program.program} version {program.version}: {len(program.policies())} clocks "
            f"({open_numbers} with an unverified number), {len(program.ladders)} ladders\n"
        )
    for instrument in rulebook.instruments:
        sys.stdout.write(f"instrument {instrument.name} {instrument.version}: {len(instrument.items)} items\n")
    for calendar in rulebook.calendars:
        sys.stdout.write(f"calendar {calendar.name}: {len(calendar.holidays)} days off listed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
