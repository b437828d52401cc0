"""Forms: what a section of an assessment asks, as data: typed questions, when each is asked, and what follows.

A question's `link` is FHIR's linkId: it is stored with every answer and never changes its meaning. A new wording
is a new version of the form; a question that means something else gets another link.
"""

import re
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, model_validator

from domain.programs.condition import Answer, Answers, NumberAnswer, When, WholeAnswer, Words
from domain.values import Line, Sensitivity, Slug, Text, Value

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
ENGLISH = "en"
LONGEST = 4000


def _in_english(written: Any) -> Any:
    """Words without a language are English."""
    return {ENGLISH: written} if isinstance(written, str) else written


def _has_english(words: dict[str, str]) -> dict[str, str]:
    if ENGLISH not in words:
        raise ValueError("say it in English (en) at least; the desk shows that where a language is missing")
    return words


Spoken = Annotated[dict[Language, Text], Field(min_length=1), BeforeValidator(_in_english)]
GivenText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST)]
Given = StrictBool | WholeAnswer | NumberAnswer | GivenText | Words


def in_language(words: dict[str, str], language: str) -> str:
    """The words in a language, else in English."""
    return words.get(language) or words[ENGLISH]


class QuestionType(StrEnum):
    """What a question takes; beside each, FHIR's item type."""

    LINE = "line"  # string
    TEXT = "text"  # text
    YES_NO = "yes-no"  # boolean
    NUMBER = "number"  # decimal, or quantity with a unit
    DATE = "date"  # date
    CHOICE = "choice"  # choice
    MANY = "many"  # choice that repeats
    CODE = "code"  # open coding: an ICD-10 code, or one of a code list
    CARE_TEAM = "care-team"  # reference to somebody of the care team


class QuestionCode(Value):
    """The code under which others know a question, and where that was read."""

    system: Line
    code: Line
    source: Text


class Question(Value):
    """One question of a form.

    `show_if`: asked only where all of these hold. `required`: without its answer, or why it has none, the section
    is not complete; ages and `groups` ask it of these people only. `sensitivity` keeps the answer apart
    from the rest of the section, under its own label. `carried`: the form begins with the last answer to it.
    """

    link: Slug
    text: Spoken
    type: QuestionType
    help: Spoken | None = None
    options: dict[Slug, Spoken] = {}
    none_of: Slug | None = Field(default=None, description="Of many: the option that stands alone")
    unit: Line | None = None
    low: float | None = None
    high: float | None = None
    whole: bool = False
    codes: Slug | None = Field(default=None, description="The code list; left out: ICD-10")
    required: bool = False
    minimum_age: int = Field(default=0, ge=0, le=130)
    maximum_age: int = Field(default=130, ge=0, le=130)
    groups: tuple[Slug, ...] = ()
    show_if: tuple[When, ...] = ()
    sensitivity: Sensitivity | None = None
    carried: bool = True
    code: QuestionCode | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        choosing = self.type in (QuestionType.CHOICE, QuestionType.MANY)
        if choosing != bool(self.options):
            raise ValueError(f"options belong to choice and many, which need them: {self.link}")
        if self.none_of is not None and (self.type is not QuestionType.MANY or self.none_of not in self.options):
            raise ValueError(f"none_of is one of the options of a question of many: {self.link}")
        numbers = self.unit is not None or self.low is not None or self.high is not None or self.whole
        if numbers and self.type is not QuestionType.NUMBER:
            raise ValueError(f"unit, low, high and whole belong to a number: {self.link}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low lies above high: {self.link}")
        for words in (self.text, self.help, *self.options.values()):
            _has_english(words or {ENGLISH: ""})
        return self

    def takes(self, answer: Answer) -> bool:
        """Whether the answer is one of its type; of codes and people that it has their form."""
        if self.type is QuestionType.YES_NO:
            return isinstance(answer, bool)
        if self.type is QuestionType.NUMBER:
            return self._in_range(answer)
        if isinstance(answer, tuple):
            return self.type is QuestionType.MANY and self._chosen(answer)
        return isinstance(answer, str) and self._worded(answer)

    def _worded(self, answer: str) -> bool:
        if self.type is QuestionType.DATE:
            return _is_day(answer)
        if self.type is QuestionType.LINE:
            return len(answer) <= 200 and "\n" not in answer
        return answer in self.options if self.type is QuestionType.CHOICE else self.type is not QuestionType.MANY

    def _in_range(self, answer: Answer) -> bool:
        if isinstance(answer, bool | str | tuple) or (self.whole and answer != int(answer)):
            return False
        return (self.low is None or answer >= self.low) and (self.high is None or answer <= self.high)

    def _chosen(self, answer: tuple[str, ...]) -> bool:
        alone = self.none_of not in answer or len(answer) == 1
        return alone and len({*answer}) == len(answer) and {*answer} <= {*self.options}

    def answers_to(self, when: When) -> str | None:
        """What is wrong with a condition on this question; None where some answer could fulfil it."""
        words = {*when.values, *when.other_than}
        if (when.at_least, when.at_most) != (None, None) and self.type is not QuestionType.NUMBER:
            return f"at_least and at_most are for numbers, and {self.link} is a {self.type}"
        if self.options and (lost := sorted(words - {*self.options})):
            return f"{self.link} has no option {', '.join(lost)}"
        if self.type is QuestionType.YES_NO and not words <= {"yes", "no"}:
            return f'{self.link} is a yes-no: write "yes" or "no", in quotes'
        return None

    @property
    def wants(self) -> str:
        """What an answer may be, in words."""
        if self.options:
            named = " or ".join(self.options)
            return f"a list of {named}" if self.type is QuestionType.MANY else named
        bounds = [f"{says} {at:g}" for says, at in (("from", self.low), ("to", self.high)) if at is not None]
        number = " ".join(("a whole number" if self.whole else "a number", *bounds))
        return {
            QuestionType.YES_NO: "true or false",
            QuestionType.NUMBER: f"{number}{f' in {self.unit}' if self.unit else ''}",
            QuestionType.DATE: "a day as 2026-03-06",
            QuestionType.LINE: "a line of at most 200 characters",
            QuestionType.CODE: f"a code of the list {self.codes}" if self.codes else "an ICD-10 code",
            QuestionType.CARE_TEAM: "the id of somebody of the care team",
        }.get(self.type, "a text")


class FormAlert(Value):
    """What an answer finds that must not wait; `name` is what the programme's `alerts` answers to."""

    name: Slug
    when: tuple[When, ...] = Field(min_length=1)


class FormScore(Value):
    """An instrument that the answers score: which item takes the answer to which question."""

    instrument: Slug
    version: Slug
    items: dict[Slug, Slug] = Field(min_length=1)


class Form(Value):
    """One version of one form, as its file in `catalog/forms/` has it."""

    name: Slug
    version: int = Field(ge=1)
    title: Spoken
    source: Text
    questions: tuple[Question, ...] = Field(min_length=1, max_length=100)
    alerts: tuple[FormAlert, ...] = ()
    scores: tuple[FormScore, ...] = ()

    @property
    def id(self) -> str:
        """By what a section names it: its file's name."""
        return f"{self.name}-{self.version}"

    def question(self, link: str) -> Question | None:
        return next((q for q in self.questions if q.link == link), None)

    def asked(self, answers: Answers) -> Iterator[Question]:
        """The questions that these answers lead to, in order."""
        return (q for q in self.questions if all(when.holds(answers) for when in q.show_if))

    @model_validator(mode="after")
    def _links_fit(self) -> Self:
        before: set[str] = set()
        for question in self.questions:
            if question.link in before:
                raise ValueError(f"the link {question.link} is given twice")
            if later := sorted({i for when in question.show_if for i in when.items} - before):
                raise ValueError(
                    f"{question.link} is shown by what no question before it asks: {', '.join(later)}"
                )
            before.add(question.link)
            self._could_hold(question.show_if)
        named = {i for alert in self.alerts for when in alert.when for i in when.items}
        named |= {link for score in self.scores for link in score.items.values()}
        if lost := sorted(named - before):
            raise ValueError(f"alerts or scores look at questions that are not there: {', '.join(lost)}")
        for alert in self.alerts:
            self._could_hold(alert.when)
        names = [alert.name for alert in self.alerts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"say once, with any_of, when these alerts are raised: {', '.join(twice)}")
        return self

    def _could_hold(self, conditions: tuple[When, ...]) -> None:
        for when in (one for condition in conditions for one in condition.single):
            question = self.question(when.item or "")
            if question is not None and (fault := question.answers_to(when)):
                raise ValueError(fault)


class Skipped(StrEnum):
    """Why a question has no answer (after HL7's data-absent-reason)."""

    DECLINED = "declined"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not-applicable"


AnsweredBy = Literal["self", "proxy", "read-aloud", "observed"]


def _is_day(written: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", written, re.ASCII):
        return False
    try:
        return 1900 <= date.fromisoformat(written).year < 2200
    except ValueError:
        return False
