"""Quality measures that a record of case management can answer honestly, and why it cannot answer others.

Each is counted as its publisher counts it, as far as what is asked for stands on record. `lacking` of a measure
says which exclusions nobody writes down here: its figure is then of more people than the publisher's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from domain.programs.instrument import Change
from domain.steps.scores import remission_at
from domain.steps.stages import ages_on

DIABETES, HYPERTENSION = ("E10", "E11", "E13"), ("I10",)
PREGNANT, KIDNEYS = ("O",), ("N186", "Z992", "Z940")
HIGH_RISK = (  # HEDIS FMC: two or more of these, by the beginnings of their codes
    ("J41", "J42", "J43", "J44", "J45"),
    ("F01", "F02", "F03", "G30", "G31"),
    ("N18",),
    ("F32", "F33"),
    ("I50",),
    ("I21", "I22", "I25"),
    ("I48",),
    ("I63", "G45", "I60", "I61"),
)


@dataclass(frozen=True)
class Period:
    """The days that are looked at, both included."""

    first: date
    last: date

    def has(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass
class Known:
    """What is on record of one person, by local days. `hospice`: she is in hospice care, or was in the period."""

    born: str | None = None
    codes: tuple[str, ...] = ()
    hospice: bool = False
    values: dict[str, list[tuple[date, float]]] = field(default_factory=dict)
    totals: dict[str, list[tuple[date, int]]] = field(default_factory=dict)
    discharges: list[date] = field(default_factory=list)
    emergency: list[date] = field(default_factory=list)
    contacts: list[date] = field(default_factory=list)
    reconciled: list[date] = field(default_factory=list)
    referred: list[tuple[date, date | None]] = field(default_factory=list)

    def has(self, beginnings: Iterable[str]) -> bool:
        """Whether one of her ICD-10 codes begins so."""
        plain = [code.replace(".", "").upper() for code in self.codes]
        return any(code.startswith(tuple(beginnings)) for code in plain)

    def aged(self, low: int, high: int, on: date) -> bool:
        """Whether she is of an age on a day for certain."""
        youngest, oldest = ages_on(self.born, on) if self.born else (0, 999)
        return low <= youngest and oldest <= high


@dataclass(frozen=True)
class Counted:
    """How one person, or her events, count: in the population, excluded, met."""

    population: int = 0
    excluded: int = 0
    met: int = 0


Counting = Callable[[Known, Period], Counted]


def _one(population: bool, excluded: bool, met: bool) -> Counted:
    if not population:
        return Counted()
    return Counted(1, 1) if excluded else Counted(1, 0, int(met))


def a1c_poor_control(known: Known, period: Period) -> Counted:
    """CMS122: diabetes, 18 to 75 years; the last A1c of the period above 9 per cent, or there is none."""
    values = [(day, value) for day, value in known.values.get("a1c", []) if period.has(day)]
    poor = not values or max(values)[1] > 9
    return _one(known.has(DIABETES) and known.aged(18, 75, period.last), known.hospice, poor)


def blood_pressure_control(known: Known, period: Period) -> Counted:
    """CMS165: hypertension, 18 to 85 years; on the latest day with both, the lowest of each below 140 and 90."""
    found: dict[date, dict[str, float]] = {}
    for name in ("systolic", "diastolic"):
        for day, value in known.values.get(name, []):
            if period.has(day):
                lowest = found.setdefault(day, {})
                lowest[name] = min(value, lowest.get(name, value))
    both = [day for day, values in found.items() if len(values) == 2]
    last = found[max(both)] if both else None
    met = last is not None and last["systolic"] < 140 and last["diastolic"] < 90
    excluded = known.hospice or known.has(PREGNANT) or known.has(KIDNEYS)
    return _one(known.has(HYPERTENSION) and known.aged(18, 85, period.last), excluded, met)


def remission(rule: Change) -> Counting:
    """CMS159, by the published rule of the PHQ-9: above 9 in the year that ended two months before the period."""

    def counted(known: Known, period: Period) -> Counted:
        begin = date(period.first.year - 1, 11, 1) - timedelta(days=365)
        ends = date(period.first.year - 1, 10, 31)
        totals = sorted(known.totals.get("phq-9", []))
        index = next(((day, total) for day, total in totals if begin <= day <= ends and total > 9), None)
        if index is None or not known.aged(12, 130, index[0]):
            return Counted()
        answers = [remission_at(rule, index[1], index[0], total, day) for day, total in totals]
        known_answers = [answer for answer in answers if answer is not None]
        excluded = known.hospice or known.has(("F31", "F20", "F25", "F60"))
        return _one(True, excluded, bool(known_answers) and known_answers[-1])

    return counted


def loop_closed(known: Known, period: Period) -> Counted:
    """CMS50: referrals sent until the end of October; the report is back within the period."""
    until = date(period.last.year, 10, 31)
    sent = [(day, back) for day, back in known.referred if period.first <= day <= min(until, period.last)]
    return Counted(len(sent), 0, sum(back is not None and period.has(back) for _, back in sent))


def engaged(known: Known, period: Period) -> Counted:
    """HEDIS TRC, patient engagement: reached within 30 days after the discharge, the day itself not counted."""
    return _after(known, period, known.contacts, first=1, last=30)


def reconciled(known: Known, period: Period) -> Counted:
    """HEDIS TRC, medication reconciliation: on the day of discharge or the 30 days after."""
    return _after(known, period, known.reconciled, first=0, last=30)


def _after(known: Known, period: Period, deeds: list[date], first: int, last: int) -> Counted:
    """Discharges of adults until 30 days before the period's end, followed by a deed within days."""
    closes = period.last - timedelta(days=30)
    counted = [d for d in known.discharges if period.first <= d <= closes and known.aged(18, 130, period.last)]
    excluded = len(counted) if known.hospice else 0
    met = sum(any(first <= (deed - d).days <= last for deed in deeds) for d in counted)
    return Counted(len(counted), excluded, 0 if excluded else met)


def emergency_follow_up(known: Known, period: Period) -> Counted:
    """HEDIS FMC: adults with two or more high-risk conditions, reached within 7 days of an emergency visit."""
    if sum(known.has(group) for group in HIGH_RISK) < 2:
        return Counted()
    closes = period.last - timedelta(days=7)
    visits = sorted(d for d in {*known.emergency} if period.first <= d <= closes and known.aged(18, 130, d))
    apart: list[date] = []
    for visit in visits:  # of several within eight days the first counts
        if not apart or (visit - apart[-1]).days > 7:
            apart.append(visit)
    excluded = len(apart) if known.hospice else 0
    met = sum(any(0 <= (day - visit).days <= 7 for day in known.contacts) for visit in apart)
    return Counted(len(apart), excluded, 0 if excluded else met)


@dataclass(frozen=True)
class Measure:
    """A measure: its name and publisher, whether more is better, how it is counted, or why it cannot be."""

    name: str
    title: str
    source: str
    higher_is_better: bool = True
    counted: Counting | None = None
    lacking: str | None = None
    because: str | None = None


FRAIL = "frailty, advanced illness and long-term nursing stays are not on record as such"


def measures(phq_9: Change) -> tuple[Measure, ...]:
    """Every measure there is, with the PHQ-9's own rule of remission."""
    return (
        Measure("CMS122", "A1c above 9 per cent, or not measured", "CMS122", False, a1c_poor_control, FRAIL),
        Measure("CMS165", "Blood pressure controlled", "CMS165", True, blood_pressure_control, FRAIL),
        Measure(
            "CMS159",
            "Depression in remission at twelve months",
            "CMS159",
            True,
            remission(phq_9),
            "diagnoses of depression are taken from the index score; permanent nursing homes are not known",
        ),
        Measure(
            "CMS50",
            "Referral loop closed",
            "CMS50",
            True,
            loop_closed,
            "every referral counts; the publisher takes a clinician's first of the year",
        ),
        Measure("TRC-engagement", "Reached within 30 days of discharge", "HEDIS TRC", True, engaged),
        Measure("TRC-reconciliation", "Medications reconciled within 30 days", "HEDIS TRC", True, reconciled),
        Measure("FMC", "Followed up within 7 days of an emergency visit", "HEDIS FMC", True, emergency_follow_up),
        Measure(
            "TRC-notification",
            "Notice of admission, receipt of discharge information",
            "HEDIS TRC",
            because="what the primary care clinician received, and when, is not on record here",
        ),
        Measure(
            "FUH",
            "Follow-up after a mental health stay",
            "HEDIS FUH",
            because="who saw the person, and whether that is a mental health provider, is not on record here",
        ),
        Measure(
            "FUM",
            "Follow-up after an emergency visit for mental illness",
            "HEDIS FUM",
            because="the diagnosis of an emergency visit is not on record here",
        ),
        Measure(
            "CMS2",
            "Depression screen and follow-up plan",
            "CMS2",
            because="encounters of clinicians, and the plan that follows one, are not on record here",
        ),
        Measure("CMS22", "Blood pressure screen and follow-up", "CMS22", because="as CMS2"),
        Measure(
            "CMS68",
            "Current medications documented",
            "CMS68",
            because="encounters of clinicians are not on record here",
        ),
    )
