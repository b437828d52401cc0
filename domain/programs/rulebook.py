"""The rules in force: programmes in all their versions, and calendars. Read from `catalog/` by infra."""

from pydantic import Field

from domain.clocks.calendar import WorkingCalendar
from domain.clocks.clock import Clock, Ladder, Terms
from domain.programs.instrument import Instrument
from domain.programs.program import Program
from domain.values import Invalid, Line, Slug, Text, Value


class UnknownProgram(Invalid):
    """The catalogue has no programme of this name."""


class UnknownInstrument(Invalid):
    """The catalogue has no instrument of this name and version."""


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
    code_lists: tuple[CodeList, ...] = ()

    def program(self, name: str, version: int) -> Program:
        """The version that a case runs under. Raises `ProgramMissing`."""
        for program in self.programs:
            if program.program == name and program.version == version:
                return program
        raise ProgramMissing(f"{name}-{version}")

    def latest(self, name: str) -> Program:
        """The version that new cases open under. Raises `UnknownProgram`, naming those there are."""
        versions = [p for p in self.programs if p.program == name]
        if not versions:
            names = ", ".join(sorted({p.program for p in self.programs}))
            raise UnknownProgram(f"choose one of: {names}")
        return max(versions, key=lambda p: p.version)

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

    def codes(self, name: str) -> frozenset[str]:
        """The codes of a list. The catalogue was refused on load if a programme names one that is not there."""
        found = next(codes for codes in self.code_lists if codes.name == name)
        return frozenset(code.code for code in found.codes)
