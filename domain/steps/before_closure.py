"""What comes before a case is closed: the notice, the survey, and whether the person manages without it."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft, NotInProgram
from domain.case.event import Event
from domain.values import Instant, Invalid, Slug, Text


class UnknownCriterion(Invalid):
    """The programme has no such criterion; the refusal lists those it has."""


class NoticeGiven(Event):
    """The person was told that the case will be closed, and when at the earliest."""

    kind: ClassVar[str] = "notice-given"

    channel: Slug
    until: Instant

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(notice_until=self.until)


class SatisfactionRecorded(Event):
    kind: ClassVar[str] = "satisfaction-recorded"

    score: int
    comment: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(satisfaction=self.score)


class GraduationReviewed(Event):
    """Which criteria the person meets, and what follows: graduate, step down a tier, or stay."""

    kind: ClassVar[str] = "graduation-reviewed"

    met: tuple[Slug, ...]
    missing: tuple[Slug, ...]
    advice: Literal["graduate", "step-down", "stay"]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(graduated=self.met)


class GiveNotice(Command):
    """Record that the person was told of the coming closure. The days the programme asks for begin."""

    kind: ClassVar[str] = "give-notice"
    says: ClassVar[str] = "Give notice of closure"
    example: ClassVar[dict[str, Any]] = {"channel": "letter"}

    channel: Slug

    def decide(self, draft: Draft) -> None:
        if draft.program.notice is None:
            draft.refuse(NotInProgram, "this programme asks for no notice")
        until = draft.deadline_of(draft.program.notice)
        draft.happen(NoticeGiven(channel=self.channel, until=until))


class RecordSatisfaction(Command):
    """Record how satisfied the person is, from 1 to 5."""

    kind: ClassVar[str] = "record-satisfaction"
    says: ClassVar[str] = "Record satisfaction"
    example: ClassVar[dict[str, Any]] = {"score": 5, "comment": "Would come again"}

    score: int = Field(ge=1, le=5)
    comment: Text | None = None

    def decide(self, draft: Draft) -> None:
        draft.happen(SatisfactionRecorded(score=self.score, comment=self.comment))


class ReviewGraduation(Command):
    """Look at whether the person manages with less, or without: the programme's criteria, one by one."""

    kind: ClassVar[str] = "review-graduation"
    says: ClassVar[str] = "Review graduation"
    example: ClassVar[dict[str, Any]] = {"met": ["skills", "stable"]}

    met: tuple[Slug, ...] = Field(max_length=40)

    def decide(self, draft: Draft) -> None:
        criteria = draft.program.graduation
        if not criteria:
            draft.refuse(NotInProgram, "this programme has no criteria of graduation")
        if unknown := sorted(set(self.met) - set(criteria)):
            draft.refuse(UnknownCriterion, f"choose from: {', '.join(criteria)}", unknown)
        missing = tuple(name for name in criteria if name not in self.met)
        half = len(missing) * 2 <= len(criteria)
        advice: Literal["graduate", "step-down", "stay"] = "step-down" if half else "stay"
        met = tuple(name for name in criteria if name in self.met)
        draft.happen(GraduationReviewed(met=met, missing=missing, advice=advice if missing else "graduate"))
