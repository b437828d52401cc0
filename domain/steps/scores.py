"""Recording the result of an instrument: total, band, alerts, and the change since the first result."""

from datetime import date, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.case.case import Case, Task
from domain.case.command import Command, Draft
from domain.case.dates import happened_at, is_history
from domain.case.event import Event
from domain.case.open_parts import Score
from domain.clocks.budget import add_months
from domain.programs.condition import Answer
from domain.programs.instrument import Change, Instrument, Result
from domain.programs.program import NeedsConsent
from domain.programs.scoring import answers_of_codes, score
from domain.steps.alerts import raise_alert, repeat_measure
from domain.steps.task_completion import finish
from domain.steps.tasks import add_where_possible
from domain.values import Instant, Line, Sensitivity, Slug, Value

CANNOT_SCORE = "cannot-score"
INSTRUMENT = "instrument"  # what a task is about that asks to complete one
MOST_TITLE = 200


class ScoreChange(Value):
    """How a total stands against the baseline: points gained or lost, and what the instrument makes of it.

    `minimal`: better by as much as the instrument counts as a change; `worse`: worse by that much.
    """

    baseline: int
    points: int
    previous: int | None = None
    minimal: bool | None = None
    worse: bool | None = None
    response: bool | None = None
    remission: bool | None = None
    remission_at_window: bool | None = None


class InstrumentScored(Event):
    """An instrument was answered. Without a total it says what is missing; the alerts hold all the same."""

    kind: ClassVar[str] = "instrument-scored"

    result: Result
    answers: dict[Slug, Answer]
    scored_at: Instant
    change: ScoreChange | None = None
    sensitivity: Sensitivity
    legal_ground: Line | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        if self.result.total is None:
            return case
        key = (self.result.instrument, self.result.version)
        before = next((s for s in case.scores if (s.instrument, s.version) == key), None)
        others = tuple(s for s in case.scores if (s.instrument, s.version) != key)
        if before is not None and before.scored_at > self.scored_at:  # an older one came later: the latest stands
            return case.changed(scores=(*others, self._earlier(before)))
        score = Score(
            instrument=self.result.instrument,
            version=self.result.version,
            total=self.result.total,
            band=self.result.band,
            scored_at=self.scored_at,
            baseline=before.baseline if before else self.result.total,
            baseline_at=before.baseline_at if before else self.scored_at,
            previous=before.total if before else None,
            previous_at=before.scored_at if before else None,
            patterns=self.result.patterns,
        )
        return case.changed(scores=(*others, score))

    def _earlier(self, latest: Score) -> Score:
        """The latest result with an older one that was written down later in its place: first, or before it."""
        found = latest
        if self.scored_at < latest.baseline_at:
            found = found.changed(baseline=self.result.total, baseline_at=self.scored_at)
        if latest.previous_at is None or latest.previous_at < self.scored_at:
            found = found.changed(previous=self.result.total, previous_at=self.scored_at)
        return found


def remission_at(rule: Change, baseline: int, baseline_on: date, total: int, on: date) -> bool | None:
    """Whether the person is in remission at the time that is looked at; None outside it, or for a low baseline.

    CMS159: PHQ-9 above 9 at first, below 5 twelve months later, give or take sixty days.
    """
    window = rule.remission_at
    if window is None or rule.remission_below is None or baseline <= window.baseline_above:
        return None
    middle = add_months(baseline_on, window.months)
    return total < rule.remission_below if abs((on - middle).days) <= window.days else None


def change_since(
    instrument: Instrument, before: Score | None, total: int | None, at: datetime, zone: ZoneInfo
) -> ScoreChange | None:
    """The change since the baseline, by local days; None for one without a total, and for the earliest result."""
    if before is None or total is None or at < before.baseline_at:
        return None
    lost, rule = before.baseline - total, instrument.change
    gain = -lost if instrument.higher_is_better else lost
    minimal = gain >= rule.minimal if rule and rule.minimal is not None else None
    response = gain >= rule.response * before.baseline if rule and rule.response and before.baseline else None
    remission = total < rule.remission_below if rule and rule.remission_below is not None else None
    return ScoreChange(
        baseline=before.baseline,
        points=-lost,
        previous=before.total if at >= before.scored_at else None,
        minimal=minimal,
        worse=-gain >= rule.minimal if rule and rule.minimal is not None else None,
        response=response,
        remission=remission,
        remission_at_window=rule
        and remission_at(rule, before.baseline, _local(before.baseline_at, zone), total, _local(at, zone)),
    )


def _local(instant: datetime, zone: ZoneInfo) -> date:
    return instant.astimezone(zone).date()


def _by_codes(draft: Draft, tool: Instrument) -> dict[str, Answer]:
    """What the referral's ICD-10 codes answer. Where a condition has none, they say yes and never no."""
    patient = draft.case.referral.patient
    found = answers_of_codes(tool, patient.icd_10_codes) if patient.icd_10_codes else {}
    return {key: answer for key, answer in found.items() if answer or not patient.unread}


def _ask_to_complete(draft: Draft, tool: Instrument, result: Result, label: Sensitivity) -> None:
    """Ask once, by name, that an instrument without a total be completed, if the programme has a task for it.

    Tasks have no label: under one, which instrument it is stands in the entry alone.
    """
    policy = draft.program.alerts.get(CANNOT_SCORE)
    if policy is None or policy.task is None or _asked_to_complete(draft, tool):
        return
    named = f"Complete {tool.name} {tool.version}: {', '.join(result.missing)}"[:MOST_TITLE]
    title = named if label is Sensitivity.GENERAL else None
    add_where_possible(draft, policy.task, title, about=_about(tool))


def _is_complete(draft: Draft, tool: Instrument, at: datetime) -> None:
    """The instrument has a total: whoever was asked to complete it need not do so any more."""
    for task in _asked_to_complete(draft, tool):
        finish(draft, task, None, at)


def _asked_to_complete(draft: Draft, tool: Instrument) -> list[Task]:
    return [task for task in draft.case.open_tasks if task.about == _about(tool)]


def _about(tool: Instrument) -> str:
    return f"{INSTRUMENT}-{tool.name}-{tool.version}"[:64]


class RecordScore(Command):
    """Record the answers to an instrument; ICD-10 codes of the referral answer the items that list such codes."""

    kind: ClassVar[str] = "record-score"
    says: ClassVar[str] = "Record the answers to an instrument"
    feed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {
        "instrument": "phq-9",
        "version": "2001",
        "answers": {"q1": 2, "q2": 2, "q3": 1, "q4": 1, "q5": 0, "q6": 1, "q7": 1, "q8": 0, "q9": 0},
    }

    instrument: Slug
    version: Slug
    answers: dict[Slug, Answer] = Field(max_length=200)
    occurred_at: Instant | None = None
    sensitivity: Sensitivity | None = None
    legal_ground: Line | None = Field(
        default=None, description="Why it may be recorded without the person's consent, as a duty of law"
    )

    def decide(self, draft: Draft) -> None:
        draft.require_consent(NeedsConsent.ASSESSMENT, self.legal_ground)
        at = happened_at(draft, self.occurred_at)
        tool = draft.moment.rulebook.instrument(self.instrument, self.version)
        answers = {**_by_codes(draft, tool), **self.answers}
        sensitivity = self.sensitivity or draft.program.sensitivity
        record_score(draft, tool, answers, at, sensitivity, self.legal_ground)


def record_score(
    draft: Draft,
    tool: Instrument,
    answers: dict[str, Answer],
    at: datetime,
    label: Sensitivity,
    legal_ground: str | None = None,
) -> None:
    """Write the result of an instrument down, and do what it asks for. Raises what `score` raises."""
    result = score(tool, answers)
    before = next((s for s in draft.case.scores if (s.instrument, s.version) == (tool.name, tool.version)), None)
    change = change_since(tool, before, result.total, at, draft.program.zone)
    draft.happen(
        InstrumentScored(
            result=result,
            answers=answers,
            scored_at=at,
            change=change,
            sensitivity=label,
            legal_ground=legal_ground,
        )
    )
    if is_history(draft, at, before.scored_at if before else None):
        return
    for alert in result.alerts:
        raise_alert(draft, alert, f"{tool.name} {tool.version}")
    if result.total is None:
        _ask_to_complete(draft, tool, result, label)
        return
    _is_complete(draft, tool, at)
    use = next((u for u in draft.program.instruments if u.name == tool.name), None)
    repeat_measure(draft, tool.name, f"Repeat {tool.name}", use.every if use else None, at)
