"""Case finding: what a programme's factors say of people who have no case, by the rule of `stratify-risk`."""

from collections.abc import Mapping
from enum import StrEnum

from domain.case.case import Patient, Referral, Source
from domain.case.command import Draft, Moment
from domain.case.open_parts import TierFactor
from domain.persons.person import Person
from domain.programs.eligibility import Met
from domain.programs.policies import Measure, Tier
from domain.programs.program import Program
from domain.steps.intake import CaseOpened, Open
from domain.steps.stratification import evaluate, known_of, rules
from domain.values import SYSTEM, Line, Rejected, Slug, Value

NOBODY_YET = "nobody-yet"


class Result(StrEnum):
    """What a screening found of one person.

    `incomplete`: something that the tier must know is not known, and what is known does not reach the tier that
    is looked for, or gives the lowest of all. `left-out`: dead, enrolled, not one whom the programme takes, or
    decided on before.
    """

    PROPOSED = "proposed"
    INCOMPLETE = "incomplete"
    BELOW = "below"
    LEFT_OUT = "left-out"
    UNREADABLE = "unreadable"


class Screened(Value):
    """One person as the factors have her; `why` says why she is left out, or the first thing that is missing."""

    result: Result
    tier: Tier | None = None
    points: int = 0
    at_least: bool = False
    factors: tuple[TierFactor, ...] = ()
    missing: tuple[Line, ...] = ()
    why: Slug | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """What gave points, in words."""
        return tuple(
            f"{f.title}: {f.value:g} ({f.points})" for f in self.factors if f.points and f.value is not None
        )


class Finding(Value):
    """What is kept of somebody who is proposed, until a lead has decided."""

    patient: Patient
    person: Person
    screened: Screened


class Population:
    """Screens one person after the other for one programme, as of one moment.

    Raises `NotInProgram` where the programme has no factors.
    """

    def __init__(self, moment: Moment, program: Program, team: str, wanted: Tier) -> None:
        """`wanted` is the lowest tier whose people are proposed."""
        self._moment, self._program, self._team = moment, program, team
        rule = rules(self._draft(Patient(reference=NOBODY_YET)))
        self._factors, self._tiers = rule.factors, [one.tier for one in rule.tiers]
        self._proposed = self._tiers[: self._tiers.index(wanted) + 1]

    def screen(self, patient: Patient, given: Mapping[Measure, float], by_record: Mapping[str, Met]) -> Screened:
        """What the factors say of her; `given` are numbers of a file that names no codes and no encounters."""
        if patient.deceased:
            return Screened(result=Result.LEFT_OUT, why="deceased")
        draft = self._draft(patient)
        known = {f.name: known_of(draft, f) for f in self._factors}
        said = {f.name: given[f.measure] for f in self._factors if f.measure in given and known[f.name] is None}
        found, missing = evaluate(draft, known, said)
        reached = found.tier in self._proposed and not (missing and found.tier is self._tiers[-1])
        result = Result.PROPOSED if reached else Result.INCOMPLETE if missing else Result.BELOW
        why = self._refused(patient, by_record) if reached else None
        return Screened(
            result=Result.LEFT_OUT if why else result,
            tier=found.tier,
            points=found.points,
            at_least=found.at_least or bool(missing),
            factors=found.factors,
            missing=tuple(missing),
            why=why or next((f.name for f in self._factors if f.title in missing), None),
        )

    def _draft(self, patient: Patient) -> Draft:
        program, now = self._program, self._moment.now
        opened = CaseOpened(
            case_id=NOBODY_YET,
            tenant=NOBODY_YET,
            program=program.program,
            program_version=program.version,
            opened_by=SYSTEM.subject,
            zone=program.time_zone,
            team=self._team,
            referral=_referral(patient),
        )
        return Draft(self._moment, SYSTEM, NOBODY_YET, opened.begin(now))

    def _refused(self, patient: Patient, by_record: Mapping[str, Met]) -> str | None:
        """Whether the programme would not take her; what only has to be asked hinders nobody."""
        command = Open(
            case_id=NOBODY_YET,
            tenant=NOBODY_YET,
            program=self._program.program,
            referral=_referral(patient),
            team=self._team,
            by_record=dict(by_record),
        )
        try:
            command.decide(Draft(self._moment, SYSTEM, NOBODY_YET, None))
        except Rejected as refusal:
            return None if refusal.code in ASKED else "not-eligible"
        return None


ASKED = ("BirthDateNeeded", "TargetGroupMissing")  # whoever accepts the proposal says it


def _referral(patient: Patient) -> Referral:
    return Referral(source=Source.COMMUNITY, reason="Found by screening a population", patient=patient)
