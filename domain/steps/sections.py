"""Sections of the assessment: what is found, as answers to a form and in words, and what the answers ask for."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from domain.case.case import Case, OutcomeRatings, Section
from domain.case.command import Command, Draft
from domain.case.dates import TooLongAgo, check_day
from domain.case.event import Event
from domain.programs.condition import Answer
from domain.programs.filling import Asked, Filled, QuestionsMissing, UnknownQuestion
from domain.programs.form import AnsweredBy, Given, Skipped
from domain.programs.program import NeedsConsent, SectionPolicy
from domain.steps.alerts import raise_alert
from domain.steps.scores import record_score
from domain.steps.stages import ACTIVE, age_on
from domain.values import Day, Instant, Invalid, Line, Opaque, Rejected, Sensitivity, Slug, Text, Value


class UnknownSection(Invalid):
    """The programme's assessment has no section of this name; the refusal lists those it has."""


class SectionBegun(Rejected):
    """A colleague has begun this section: read its form, and send `goes_on_from` with what is there."""


class SectionChanged(Rejected):
    """Somebody has written this section since it was read: read it again, and put both together."""


class SectionFinding(Value):
    """What was found in one section, on its own date: answers to its form, and words beside them."""

    name: Slug
    assessed_on: Day
    findings: Text | None = Field(default=None, description="In words, beside the answers or in their place")
    answers: dict[Slug, Given] = Field(
        default={},
        max_length=100,
        description="By the link of each question of the section's form",
    )
    skipped: dict[Slug, Skipped] = Field(default={}, max_length=100, description="Why a question has no answer")
    answered_by: AnsweredBy | None = Field(default=None, description="Who gave the answers")
    sensitivity: Sensitivity | None = None
    goes_on_from: int | None = Field(
        default=None,
        ge=1,
        description="The entry this was read from, as the section's form says it. Refused when it is not the last",
    )
    complete: bool = Field(default=True, description="No keeps work in progress, for anybody to go on with")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.findings is None and not self.answers and not self.skipped:
            raise ValueError("say what was found: answers, findings, or both")
        return self


class SectionAssessed(Event):
    kind: ClassVar[str] = "section-assessed"

    name: Slug
    assessed_on: Day
    author: Opaque
    findings: Text | None = None
    form: Slug | None = None
    answers: dict[Slug, Given] = {}
    skipped: dict[Slug, Skipped] = {}
    answered_by: AnsweredBy | None = None
    sensitivity: Sensitivity
    complete: bool = True
    recorded_at: Instant | None = None
    legal_ground: Line | None = None
    alerts: tuple[Slug, ...] = ()
    entry: int = 0

    def apply(self, case: Case, at: datetime) -> Case:
        section = Section(**{name: getattr(self, name) for name in Section.model_fields})
        if any(s.name == self.name and s.assessed_on > self.assessed_on for s in case.sections):
            return case  # an older one came later: the latest stands
        others = tuple(s for s in case.sections if s.name != self.name)
        return case.changed(sections=(*others, section))


class AnswersKeptApart(Event):
    """Answers of a section that stand under a stricter label than the rest of it, and the alerts they raised."""

    kind: ClassVar[str] = "answers-kept-apart"

    name: Slug
    assessed_on: Day
    form: Slug
    answers: dict[Slug, Given]
    skipped: dict[Slug, Skipped] = {}
    sensitivity: Sensitivity
    alerts: tuple[Slug, ...] = ()
    complete: bool = True

    def apply(self, case: Case, at: datetime) -> Case:
        sections = (s.changed(alerts=(*s.alerts, *self.alerts)) if self._is_of(s) else s for s in case.sections)
        return case.changed(sections=tuple(sections)) if self.alerts else case

    def _is_of(self, section: Section) -> bool:
        return (section.name, section.assessed_on) == (self.name, self.assessed_on)


class BaselineRated(Event):
    """Where the person stands in the three outcome domains before anything is done."""

    kind: ClassVar[str] = "baseline-rated"

    ratings: OutcomeRatings

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(baseline=self.ratings)


class BaselineKnown(Rejected):
    """The case has its baseline, and another one would move what its outcome is measured by."""


class RecordAssessment(Command):
    """Record sections of the assessment, each with its own date. It may be done in several sittings."""

    kind: ClassVar[str] = "record-assessment"
    says: ClassVar[str] = "Record assessment sections"
    example: ClassVar[dict[str, Any]] = {
        "sections": [
            {
                "name": "health-status",
                "assessed_on": "2026-03-02",
                "findings": "Short of breath on stairs",
                "complete": False,
            }
        ],
        "baseline": {"well_being": 3, "finances": 4, "appropriate_care": 5},
    }

    sections: tuple[SectionFinding, ...] = Field(max_length=40)
    baseline: OutcomeRatings | None = Field(
        default=None, description="How the person is at the beginning, once for the case; also without sections"
    )
    legal_ground: Line | None = Field(
        default=None, description="Why it may be recorded without the person's consent, as a duty of law"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.sections and self.baseline is None:
            raise ValueError("give a section, or the baseline")
        return self

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*ACTIVE)
        draft.require_consent(NeedsConsent.ASSESSMENT, self.legal_ground)
        if self.baseline is not None and draft.case.baseline not in (None, self.baseline):
            draft.refuse(BaselineKnown, "a case begins once; correct a wrong rating with correct-entry")
        known = {s.name: s for s in draft.program.sections}
        if unknown := sorted({found.name for found in self.sections} - set(known)):
            draft.refuse(UnknownSection, f"choose from: {', '.join(sorted(known))}", unknown)
        for found in self.sections:
            check_day(draft, found.assessed_on, f"section {found.name}")
            if found.assessed_on < draft.today - timedelta(days=draft.program.look_back_days):
                draft.refuse(TooLongAgo, f"section {found.name} is older than a year; assess it anew")
            whole = _gone_on(draft, found, known[found.name])
            self._record(draft, whole, filled(draft, whole, known[found.name]))
        if self.baseline is not None and draft.case.baseline is None:
            draft.happen(BaselineRated(ratings=self.baseline))

    def _record(self, draft: Draft, found: SectionFinding, form: Filled | None) -> None:
        """Write a section down, its stricter answers apart, and do what its answers ask for."""
        label = found.sensitivity or draft.program.sensitivity
        before = section_of(draft.case, found.name)
        draft.happen(_assessed(draft, found, form, label, self.legal_ground))
        if form is None:
            return
        answers, skipped = form.apart(label, found.answers), form.apart(label, found.skipped)
        alerts = form.alerts(label)
        for stricter in [one for one in Sensitivity if one != label and one in {*answers, *skipped}]:
            said = {"name": found.name, "assessed_on": found.assessed_on, "form": form.form.id}
            draft.happen(
                AnswersKeptApart(
                    **said,
                    answers=answers.get(stricter, {}),
                    skipped=skipped.get(stricter, {}),
                    sensitivity=stricter,
                    complete=found.complete,
                    alerts=tuple(name for name, its in alerts.items() if its is stricter),
                )
            )
        act_on(draft, found, form, before, label)


def section_of(case: Case, name: str) -> Section | None:
    """The section as it was written last; None while nobody has."""
    return next((s for s in case.sections if s.name == name), None)


def _gone_on(draft: Draft, found: SectionFinding, policy: SectionPolicy) -> SectionFinding:
    """The finding with what it takes over from work in progress: its label, and answers the sender cannot see.

    Raises `SectionBegun`, `SectionChanged`: nobody's answers are replaced by somebody who has not read them.
    """
    before = section_of(draft.case, found.name)
    if draft.correcting:
        return found
    if found.goes_on_from is not None and (before is None or before.entry != found.goes_on_from):
        draft.refuse(SectionChanged, f"section {found.name} was written since: read its form again")
    if before is None or before.complete:
        return found
    label = found.sensitivity or before.sensitivity
    if before.author == draft.actor.subject:
        return found.changed(sensitivity=label)
    if found.goes_on_from is None and before.entry:  # in 0.4 a section did not know its entry
        draft.refuse(SectionBegun, f"a colleague has begun section {found.name}: read its form and go on from it")
    return found.changed(sensitivity=label, answers={**_kept_apart(draft, found, before, policy), **found.answers})


def _kept_apart(draft: Draft, found: SectionFinding, before: Section, policy: SectionPolicy) -> dict[str, Answer]:
    """What a colleague answered under a stricter label, where it is still asked and not answered anew."""
    if policy.form is None:
        return {}
    begun = next((e for e in draft.timeline.entries if e.seq == before.entry), None)
    kept: dict[str, Answer] = {}
    for entry in draft.timeline.standing(AnswersKeptApart.kind):
        if begun is not None and entry.command_id == begun.command_id and entry.data["name"] == found.name:
            event: Any = entry.event
            kept |= event.answers
    asked = draft.moment.rulebook.form(policy.form).asked({**kept, **found.answers})
    there = [q for q in asked if q.link in kept and q.link not in found.skipped]
    return {q.link: kept[q.link] for q in there if q.takes(kept[q.link])}


def filled(draft: Draft, found: SectionFinding, section: SectionPolicy) -> Filled | None:
    """The section's form with its answers; None where it has none.

    Raises `UnknownQuestion`, `AnswerNotTaken`, `NotAsked`, and `QuestionsMissing` for one that is called complete.
    """
    if section.form is None:
        if found.answers or found.skipped:
            draft.refuse(UnknownQuestion, f"section {section.name} has no form in this programme: write findings")
        return None
    form = Filled(draft.moment.rulebook.form(section.form), found.answers, found.skipped)
    asked = asked_of(draft)
    form.check(asked)
    missing = form.missing(asked, section.requires) if found.complete and not draft.correcting else []
    if missing:
        says = f"section {section.name} lacks answers; give them, say why not in skipped, or send complete: false"
        draft.refuse(QuestionsMissing, says, [f"{section.name}: {link}" for link in missing])
    return form


def asked_of(draft: Draft) -> Asked:
    """Of whom a form is asked now."""
    case = draft.case
    return Asked(
        age=age_on(draft, draft.now),
        group=case.target_group,
        care_team=frozenset(member.id for member in case.care_team),
        codes={codes.name: draft.moment.rulebook.codes(codes.name) for codes in draft.moment.rulebook.code_lists},
    )


def act_on(draft: Draft, found: SectionFinding, form: Filled, before: Section | None, label: Sensitivity) -> None:
    """Raise the alerts of the answers, also of work in progress, and score what a complete section fills.

    What was raised in the sitting before is not raised again when the rest is answered.
    """
    raised = before.alerts if before is not None and not before.complete else ()
    is_history = before is not None and before.complete and before.assessed_on > found.assessed_on
    for alert, stands_under in form.alerts(label).items() if not is_history else ():
        if alert not in raised:
            by = f"section {found.name}" if stands_under == label else "an answer that is kept apart"
            raise_alert(draft, alert, by, stands_under if stands_under != label else None)
    noon = datetime.combine(found.assessed_on, time(12), draft.program.zone)
    at = noon if found.assessed_on < draft.today else draft.now
    for score, answers, stands_under in form.scored(label) if found.complete else ():
        tool = draft.moment.rulebook.instrument(score.instrument, score.version)
        record_score(draft, tool, answers, at, stands_under)


def _assessed(
    draft: Draft, found: SectionFinding, form: Filled | None, label: Sensitivity, legal_ground: str | None
) -> SectionAssessed:
    """What of the section stands under its own label."""
    own = form.alerts(label).items() if form is not None else ()
    return SectionAssessed(
        name=found.name,
        assessed_on=found.assessed_on,
        author=draft.actor.subject,
        findings=found.findings,
        form=form.form.id if form is not None and (found.answers or found.skipped) else None,
        answers=form.apart(label, found.answers)[label] if form is not None else {},
        skipped=form.apart(label, found.skipped)[label] if form is not None else {},
        alerts=tuple(name for name, stands_under in own if stands_under == label),
        answered_by=found.answered_by,
        sensitivity=label,
        complete=found.complete,
        recorded_at=draft.now,
        entry=draft.case.seq + 1,
        legal_ground=legal_ground,
    )


def act_again(draft: Draft, assessed: SectionAssessed, apart: Iterable[AnswersKeptApart]) -> None:
    """Do what the answers of a section ask for that stands, when it was written down with one that was wrong."""
    if assessed.form is None:
        return
    answers, skipped = dict(assessed.answers), dict(assessed.skipped)
    for one in apart:
        answers |= one.answers
        skipped |= one.skipped
    said = {"name": assessed.name, "assessed_on": assessed.assessed_on, "complete": assessed.complete}
    found = SectionFinding(**said, answers=answers, skipped=skipped)
    form = Filled(draft.moment.rulebook.form(assessed.form), answers, skipped)
    act_on(draft, found, form, None, assessed.sensitivity)
