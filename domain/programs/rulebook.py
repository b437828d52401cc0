"""The rules in force: programmes in all their versions, and calendars. Read from `catalog/` by infra."""

from datetime import date, datetime
from typing import Any

from pydantic import Field, PrivateAttr

from domain.clocks.calendar import WorkingCalendar
from domain.clocks.clock import Clock, Ladder, Terms
from domain.programs.access import AccessPolicy
from domain.programs.form import Form
from domain.programs.instrument import Instrument
from domain.programs.mapping import ColumnMapping
from domain.programs.places import Narrowed, Place, narrowed
from domain.programs.program import Program
from domain.programs.retention import RetentionRules
from domain.values import Invalid, Line, Slug, Text, Value

MOST_NARROWED = 500


class UnknownProgram(Invalid):
    """The catalogue has no programme of this name."""


class UnknownMapping(Invalid):
    """The catalogue has no mapping of this name."""


class UnknownInstrument(Invalid):
    """The catalogue has no instrument of this name and version."""


class UnknownForm(Invalid):
    """The catalogue has no form of this name and version."""


class ProgramMissing(Exception):
    """A case runs under a version that the catalogue does not have any more: a fault of ours, not a refusal."""


def ladder_of(promise: Clock | Terms, program: Program) -> Ladder:
    """The ladder of a promise. Where somebody has taken its name out of the programme's file: the one that its
    policy names now, else the first there is.

    A promise that tells the wrong person is better than one that tells nobody.
    """
    policy = program.policies.get(promise.policy or "")
    names = (promise.ladder, policy.ladder if policy else "", next(iter(program.ladders)))
    return next(program.ladders[name] for name in names if name in program.ladders)


class Code(Value):
    """One code of a list, and the factor that it belongs to."""

    code: Slug
    meaning: Line
    factor: Line


class CodeList(Value):
    """A list of codes, as its file in `catalog/code-lists/` has it."""

    name: Slug
    title: Line
    source: Text
    codes: tuple[Code, ...] = Field(min_length=1)


class Rulebook(Value):
    programs: tuple[Program, ...]
    calendars: tuple[WorkingCalendar, ...]
    instruments: tuple[Instrument, ...] = ()
    forms: tuple[Form, ...] = ()
    code_lists: tuple[CodeList, ...] = ()
    mappings: tuple[ColumnMapping, ...] = ()
    places: tuple[Place, ...] = ()
    policy: AccessPolicy = AccessPolicy(groups={}, grants=())
    retention: RetentionRules | None = Field(default=None, description="Without it records are kept for ever")
    _narrowed: dict[Any, Program] = PrivateAttr(default_factory=dict)

    def at(self, name: str, version: int, team: str, day: date, personal: tuple[Narrowed, ...] = ()) -> Program:
        """The version of a programme as it holds for a team's people, and for one of them, on a day.

        Raises `ProgramMissing`.
        """
        program, place = self.program(name, version), self.place_of(team)
        if place is None and not personal:
            return program
        numbers = (*(place.policies if place else ()), *personal)
        holds = tuple(number.holds_on(day) for number in numbers)
        key = (name, version, team, holds, tuple((n.policy, str(n.within)) for n in personal))
        if key not in self._narrowed:
            if len(self._narrowed) >= MOST_NARROWED:
                self._narrowed.clear()
            self._narrowed[key] = narrowed(program, place, day, personal)
        return self._narrowed[key]

    def mapping(self, name: str) -> ColumnMapping:
        """What the columns of a source's file mean. Raises `UnknownMapping`, naming those there are."""
        found = next((mapping for mapping in self.mappings if mapping.name == name), None)
        if found is None:
            raise UnknownMapping(f"choose one of: {', '.join(sorted(m.name for m in self.mappings)) or 'none'}")
        return found

    def place_of(self, team: str) -> Place | None:
        return next((place for place in self.places if team in place.teams), None)

    def program(self, name: str, version: int) -> Program:
        """The version that a case runs under. Raises `ProgramMissing`."""
        for program in self.programs:
            if program.program == name and program.version == version:
                return program
        raise ProgramMissing(f"{name}-{version}")

    def latest(self, name: str, now: datetime | None = None) -> Program:
        """The newest version that is in force now, under which new cases open; without a time, the newest of all.

        Raises `UnknownProgram`, naming those there are, or the day from which one is in force.
        """
        versions = [p for p in self.programs if p.program == name]
        if not versions:
            names = ", ".join(sorted({p.program for p in self.programs}))
            raise UnknownProgram(f"choose one of: {names}")
        in_force = [p for p in versions if now is None or p.in_force_on(p.day_of(now))]
        if not in_force:
            first = min(p.effective_from for p in versions if p.effective_from is not None)
            raise UnknownProgram(f"{name} is in force from {first} on")
        return max(in_force, key=lambda p: p.version)

    def calendar(self, name: str) -> WorkingCalendar:
        """A calendar by name. The catalogue was refused on load if a programme names one that is not there."""
        return next(calendar for calendar in self.calendars if calendar.name == name)

    def calendar_of(self, promise: Clock | Terms, program: Program) -> WorkingCalendar:
        """The calendar of a promise; where its file is gone, the programme's own."""
        found = next((calendar for calendar in self.calendars if calendar.name == promise.calendar), None)
        return found or self.calendar(program.calendar)

    def instrument(self, name: str, version: str) -> Instrument:
        """One version of an instrument. Raises `UnknownInstrument`, naming those there are."""
        for instrument in self.instruments:
            if (instrument.name, instrument.version) == (name, version):
                return instrument
        raise UnknownInstrument(f"choose one of: {', '.join(f'{i.name} {i.version}' for i in self.instruments)}")

    def form(self, form_id: str) -> Form:
        """A form by its name and version. Raises `UnknownForm`, naming those there are."""
        for form in self.forms:
            if form.id == form_id:
                return form
        raise UnknownForm(f"choose one of: {', '.join(form.id for form in self.forms) or 'none'}")

    def codes(self, name: str) -> frozenset[str]:
        """The codes of a list. The catalogue was refused on load if a programme names one that is not there."""
        found = next(codes for codes in self.code_lists if codes.name == name)
        return frozenset(code.code for code in found.codes)
