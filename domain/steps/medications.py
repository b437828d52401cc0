"""Medication: the reconciled list, its burden, adherence, side effects, and the programmes that pay for it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.dates import happened_at, until_day, until_day_or_tomorrow
from domain.case.event import Event, Notice
from domain.case.open_parts import Assistance
from domain.clocks.clock import Clock, ClockKind, ClockPolicy
from domain.programs.policies import MedicationPolicy
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.promises.deeds import Deed
from domain.steps.contacts import keep_promised
from domain.steps.tasks import add_task, add_where_possible
from domain.values import Day, Instant, Invalid, Line, Opaque, Slug, Text, Value

FEWEST_FILLS = 2  # on different days (Pharmacy Quality Alliance): one fill says nothing of the next

LONGEST_SUPPLY = timedelta(days=366)  # as long as one fill can last


class PeriodWrong(Invalid):
    """A period begins before it ends, and a supply has days."""


class TooFewFills(Invalid):
    """One fill does not say whether the next one was fetched."""


class TherapyProblem(StrEnum):
    """The seven drug-therapy problems (Cipolle, Strand, Morley)."""

    UNNECESSARY = "unnecessary-therapy"
    NEEDS_ADDITIONAL = "needs-additional-therapy"
    INEFFECTIVE = "ineffective-drug"
    DOSE_TOO_LOW = "dose-too-low"
    ADVERSE_REACTION = "adverse-reaction"
    DOSE_TOO_HIGH = "dose-too-high"
    NONADHERENCE = "nonadherence"


class Medication(Value):
    name: Line
    dose: Line | None = None
    instructions: Line | None = None


class Discrepancy(Value):
    """A difference between two lists, and what is done about it."""

    medication: Line
    problem: TherapyProblem
    action: Text


class Fill(Value):
    """One supply of one drug."""

    drug: Line
    on: Day
    days: int = Field(ge=1, le=366)


class MedicationsReconciled(Event):
    """The list as it stands after it was held against the sources; `burden` from the programme's number on."""

    kind: ClassVar[str] = "medications-reconciled"

    medications: tuple[Medication, ...]
    sources: tuple[Line, ...]
    discrepancies: tuple[Discrepancy, ...]
    occurred_at: Instant
    burden: bool

    def apply(self, case: Case, at: datetime) -> Case:
        if case.medications_at is not None and case.medications_at > self.occurred_at:
            return case  # an older list came later: the latest stands
        return case.changed(medications=len(self.medications), medications_at=self.occurred_at)


class AdherenceMeasured(Event):
    """The share of days covered in a period, from 0 to 1."""

    kind: ClassVar[str] = "adherence-measured"

    drug_class: Slug
    covered_days: int
    period_days: int
    share: float
    adherent: bool


class SideEffectReported(Event):
    kind: ClassVar[str] = "side-effect-reported"

    medication: Line
    effect: Text
    severity: Literal["mild", "moderate", "severe"]
    told: tuple[Opaque, ...] = ()

    def notices(self, case: Case) -> tuple[Notice, ...]:
        key = f"severe-side-effect-{case.seq}"
        return tuple(
            Notice(key=key, recipient=who, subject="severe-side-effect", about="case", urgent=True)
            for who in self.told
        )


class AssistanceAdded(Event):
    kind: ClassVar[str] = "assistance-added"

    assistance: Assistance

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("assistance", self.assistance)


class AssistanceRenewed(Event):
    kind: ClassVar[str] = "assistance-renewed"

    assistance: Assistance

    def apply(self, case: Case, at: datetime) -> Case:
        return case.put("assistance", self.assistance)


class AssistanceEnded(Event):
    kind: ClassVar[str] = "assistance-ended"

    assistance_id: Slug
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("assistance", self.assistance_id)


def supplies(fills: Iterable[Fill]) -> Iterator[tuple[date, date]]:
    """From which day each fill supplies a drug, and the day after its last.

    An early refill of the same drug begins where the supply before it ends; a name in other letters is the same
    drug (Pharmacy Quality Alliance, proportion of days covered).
    """
    until: dict[str, date] = {}
    for fill in sorted(fills, key=lambda f: f.on):
        drug = " ".join(fill.drug.casefold().split())
        start = max(fill.on, until.get(drug, fill.on))
        until[drug] = start + timedelta(days=fill.days)
        yield start, until[drug]


def days_covered(fills: Iterable[Fill], first: date, last: date) -> int:
    """The days from `first` to `last`, both counted, on which at least one drug of the class was at hand.

    Different drugs are not moved, their days are united.
    """
    covered = {start + timedelta(days=n) for start, end in supplies(fills) for n in range((end - start).days)}
    return sum(first <= day <= last for day in covered)


def share_covered(fills: Sequence[Fill], last: date) -> tuple[int, int]:
    """Days covered and days of the period, which begins with the first fill and ends with `last`."""
    first = min(fill.on for fill in fills)
    return days_covered(fills, first, last), (last - first).days + 1


def rules(draft: Draft) -> MedicationPolicy:
    """Raises `NotInProgram`."""
    if draft.program.medication is None:
        draft.refuse(NotInProgram, "this programme follows no medication")
    return draft.program.medication


class ReconcileMedications(Command):
    """Hold the medication list against its sources and record it as it stands. Keeps a promised reconciliation."""

    kind: ClassVar[str] = "reconcile-medications"
    says: ClassVar[str] = "Reconcile the medication list"
    example: ClassVar[dict[str, Any]] = {
        "medications": [{"name": "Lisinopril", "dose": "10 mg"}, {"name": "Metformin", "dose": "500 mg"}],
        "sources": ["Discharge summary", "Pill bottles"],
        "discrepancies": [
            {"medication": "Lisinopril", "problem": "dose-too-low", "action": "Prescriber called, now 20 mg"}
        ],
    }

    medications: tuple[Medication, ...] = Field(max_length=100)
    sources: tuple[Line, ...] = Field(min_length=1, max_length=10)
    discrepancies: tuple[Discrepancy, ...] = Field(default=(), max_length=100)
    occurred_at: Instant | None = None

    def decide(self, draft: Draft) -> None:
        policy = rules(draft)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        happened_at(draft, self.occurred_at)
        at = min(self.occurred_at or draft.now, draft.now)
        draft.happen(
            MedicationsReconciled(
                medications=self.medications,
                sources=self.sources,
                discrepancies=self.discrepancies,
                occurred_at=at,
                burden=len(self.medications) >= policy.burden,
            )
        )
        keep_promised(draft, Deed(at=at))


class RecordAdherence(Command):
    """Measure adherence from the fills of one class of drugs: the share of days covered, to the period's end."""

    kind: ClassVar[str] = "record-adherence"
    says: ClassVar[str] = "Measure adherence from fills"
    feed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {
        "drug_class": "statin",
        "fills": [
            {"drug": "Atorvastatin", "on": "2026-01-05", "days": 30},
            {"drug": "Atorvastatin", "on": "2026-02-06", "days": 30},
        ],
        "until": "2026-03-01",
    }

    drug_class: Slug
    fills: tuple[Fill, ...] = Field(min_length=1, max_length=400)
    until: Day

    def decide(self, draft: Draft) -> None:
        policy = rules(draft)
        draft.require_consent(NeedsConsent.ASSESSMENT)
        days_filled = [f.on for f in self.fills]
        if len({*days_filled}) < FEWEST_FILLS:
            draft.refuse(TooFewFills, "adherence is measured from fills on two days or more")
        if not max(days_filled) <= self.until <= draft.today:
            draft.refuse(PeriodWrong, "end the period after its last fill and not after today")
        if min(days_filled).year < draft.today.year - 10:
            draft.refuse(PeriodWrong, "give the fills of the last ten years")
        covered, days = share_covered(self.fills, self.until)
        wanted = policy.adherent_for.get(self.drug_class, policy.adherent)
        adherent = covered / days >= wanted
        draft.happen(
            AdherenceMeasured(
                drug_class=self.drug_class,
                covered_days=covered,
                period_days=days,
                share=round(covered / days, 4),
                adherent=adherent,
            )
        )
        self._follow_up(draft, policy, adherent)

    def _follow_up(self, draft: Draft, policy: MedicationPolicy, adherent: bool) -> None:
        """What the supply asks for now; fills of an earlier time say nothing of it, a later supply is known."""
        supply_ends = max(end for _, end in supplies(self.fills)) - timedelta(days=1)
        promised = [c for c in draft.case.running if c.kind is ClockKind.REFILL and c.about == self.drug_class]
        if any(supply_ends < _runs_out(draft, clock) for clock in promised):
            return
        for clock in promised:
            keep_clock(draft, clock, draft.now)
        if policy.refill is not None and supply_ends >= draft.today:
            self._promise_refill(draft, policy.refill, supply_ends)
        if not adherent or supply_ends < draft.today:
            add_where_possible(draft, policy.non_adherence_task)

    def _promise_refill(self, draft: Draft, policy: ClockPolicy, last: date) -> None:
        """The supply lasts until a day: a refill before it keeps the promise, and makes the next one.

        However much was fetched at once, somebody looks after a year.
        """
        promise = Promise(kind=ClockKind.REFILL, title=f"Refill: {self.drug_class}", about=self.drug_class)
        day = min(last, draft.today + LONGEST_SUPPLY)
        start_clock(draft, promise, policy, draft.now, until_day_or_tomorrow(draft, day))


def _runs_out(draft: Draft, clock: Clock) -> date:
    """The day on which the supply ends that a promised refill stands on.

    A supply that ended on the very day it was told is promised for the day after.
    """
    told, days = draft.program.day_of(clock.anchor), clock.budget.amount
    return told if days == 1 else told + timedelta(days=days)


class ReportSideEffect(Command):
    """Report a side effect: a task tells the prescriber. A severe one is urgent, and people are told at once."""

    kind: ClassVar[str] = "report-side-effect"
    says: ClassVar[str] = "Report a side effect"
    example: ClassVar[dict[str, Any]] = {"medication": "Lisinopril", "effect": "Dry cough", "severity": "mild"}

    medication: Line
    effect: Text
    severity: Literal["mild", "moderate", "severe"]

    def decide(self, draft: Draft) -> None:
        policy, severe = rules(draft), self.severity == "severe"
        if not severe:
            draft.require_consent(NeedsConsent.TASKS)
        told = draft.people(policy.severe_tell) if severe else ()
        draft.happen(
            SideEffectReported(medication=self.medication, effect=self.effect, severity=self.severity, told=told)
        )
        add_task(draft, policy.severe_task if severe else policy.side_effect_task)


class AddAssistance(Command):
    """Record a programme that pays, and when it is to be renewed; the ladder's reminders give the lead time."""

    kind: ClassVar[str] = "add-assistance"
    says: ClassVar[str] = "Add an assistance programme"
    example: ClassVar[dict[str, Any]] = {"title": "Manufacturer's assistance", "renew_by": "2030-06-30"}

    title: Line
    renew_by: Day

    def decide(self, draft: Draft) -> None:
        draft.require_room("assistance")
        item_id = draft.id_behind_clock("s")
        clock_id = promise_renewal(draft, item_id, self.title, self.renew_by)
        item = Assistance(id=item_id, title=self.title, renew_by=self.renew_by, clock_id=clock_id)
        draft.happen(AssistanceAdded(assistance=item))
        draft.created.append(item.id)


def promise_renewal(draft: Draft, item_id: str, title: str, renew_by: date) -> str:
    """Start the clock of a renewal, due at the end of a day. Raises `DayInThePast`."""
    promise = Promise(kind=ClockKind.RENEWAL, title=f"Renew {title}"[:200], about=f"assistance/{item_id}")
    return start_clock(draft, promise, rules(draft).renewal, draft.now, until_day(draft, renew_by))


def promise_renewal_again(draft: Draft, item: Assistance) -> None:
    """After the case was reopened: the renewal is owed again, by tomorrow where its day has passed."""
    tomorrow = draft.today + timedelta(days=1)
    clock_id = promise_renewal(draft, item.id, item.title, max(item.renew_by, tomorrow))
    draft.happen(AssistanceRenewed(assistance=item.changed(clock_id=clock_id)))


class RenewAssistance(Command):
    """Record that an assistance programme was renewed, and until when."""

    kind: ClassVar[str] = "renew-assistance"
    says: ClassVar[str] = "Renew an assistance programme"
    example: ClassVar[dict[str, Any]] = {"assistance_id": "s9", "renew_by": "2031-06-30"}

    assistance_id: Slug
    renew_by: Day

    def decide(self, draft: Draft) -> None:
        item: Assistance = draft.find("assistance", self.assistance_id)
        keep_clock(draft, draft.open_clock(item.clock_id), draft.now)
        clock_id = promise_renewal(draft, item.id, item.title, self.renew_by)
        draft.happen(AssistanceRenewed(assistance=item.changed(renew_by=self.renew_by, clock_id=clock_id)))


class EndAssistance(Command):
    """Record that an assistance programme is no longer needed or given."""

    kind: ClassVar[str] = "end-assistance"
    says: ClassVar[str] = "End an assistance programme"
    example: ClassVar[dict[str, Any]] = {"assistance_id": "s9", "reason": "Covered by Medicaid now"}

    assistance_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        item: Assistance = draft.find("assistance", self.assistance_id)
        cancel_clock(draft, draft.open_clock(item.clock_id), "assistance ended")
        draft.happen(AssistanceEnded(assistance_id=item.id, reason=self.reason))
