"""Filling in a form: what of a set of answers it takes, what it still asks for, and what follows from it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from domain.programs.condition import Answer, hold
from domain.programs.form import Form, FormScore, Question, QuestionType, Skipped
from domain.programs.scoring import ICD_10
from domain.values import Invalid, Sensitivity

T = TypeVar("T")
ORDER = list(Sensitivity).index  # from what all may read to what the fewest may


class UnknownQuestion(Invalid):
    """The form has no question of this link; the refusal lists those it has."""


class AnswerNotTaken(Invalid):
    """An answer of another kind than the question takes; the refusal says which, and what they take."""


class NotAsked(Invalid):
    """A question was answered that the other answers do not lead to; leave it out, or answer what leads there."""


class QuestionsMissing(Invalid):
    """The section is not complete without these answers, or why there is none (`skipped`)."""


@dataclass(frozen=True)
class Asked:
    """Of whom a form is asked: her age where it is known, her group, the care team, and the code lists."""

    age: int | None
    group: str | None
    care_team: frozenset[str]
    codes: Mapping[str, frozenset[str]]

    def of(self, question: Question) -> bool:
        """Whether a question is meant for her. An age that nobody knows asks it: missing is not young, nor old."""
        of_age = self.age is None or question.minimum_age <= self.age <= question.maximum_age
        return of_age and (not question.groups or self.group in question.groups)


@dataclass(frozen=True)
class Filled:
    """A form with its answers, and what was left out for a reason."""

    form: Form
    answers: Mapping[str, Answer]
    skipped: Mapping[str, Skipped]

    def check(self, asked: Asked) -> None:
        """Raises `UnknownQuestion`, `AnswerNotTaken`, `NotAsked`. Refusals name questions, never answers."""
        links = {q.link for q in self.form.questions}
        if unknown := sorted({*self.answers, *self.skipped} - links):
            raise UnknownQuestion(f"{self.form.id} asks: {', '.join(sorted(links))}", tuple(unknown))
        if twice := sorted({*self.answers} & {*self.skipped}):
            raise AnswerNotTaken("answered and skipped at once", tuple(twice))
        given = [q for q in self.form.questions if q.link in self.answers]
        wrong = [q for q in given if not _taken(q, self.answers[q.link], asked)]
        if wrong:
            raise AnswerNotTaken(
                f"an answer that {self.form.id} does not take", tuple(f"{q.link}: {q.wants}" for q in wrong)
            )
        shown = {q.link for q in self.form.asked(self.answers)}
        if hidden := [q.link for q in given if q.link not in shown]:
            raise NotAsked("the other answers do not lead to these questions", tuple(hidden))

    def missing(self, asked: Asked, also: Collection[str] = ()) -> list[str]:
        """The links of required questions, and of those that the programme requires `also`, without an answer or
        a reason for having none.
        """
        there = {*self.answers, *self.skipped}
        shown = self.form.asked(self.answers)
        wanted = (q for q in shown if (q.required or q.link in also) and asked.of(q))
        return [q.link for q in wanted if q.link not in there]

    def alerts(self, own: Sensitivity) -> dict[str, Sensitivity]:
        """The alerts that the answers raise, each with the strictest label of the answers that it looks at."""
        found = [alert for alert in self.form.alerts if hold(alert.when, self.answers)]
        links = {alert.name: {link for when in alert.when for link in when.items} for alert in found}
        return {
            name: max((self._label(q, own) for q in self.form.questions if q.link in seen), key=ORDER, default=own)
            for name, seen in links.items()
        }

    def scored(self, own: Sensitivity) -> Iterator[tuple[FormScore, dict[str, Answer], Sensitivity]]:
        """What the answers score: the answers to its items, and the strictest label of their questions."""
        for score in self.form.scores:
            asked = {item: self.form.question(link) for item, link in score.items.items() if link in self.answers}
            questions = {item: question for item, question in asked.items() if question is not None}
            found = {item: _of_item(self.answers[question.link]) for item, question in questions.items()}
            if found:
                yield score, found, max((own, *(self._label(q, own) for q in questions.values())), key=ORDER)

    @property
    def carried(self) -> dict[str, Answer]:
        """The answers that a new time begins with: those that are carried, and that the others still lead to."""
        found: dict[str, Answer] = {}
        for question in self.form.questions:
            if question.link in self.answers and question.carried and hold(question.show_if, found):
                found[question.link] = self.answers[question.link]
        return found

    def apart(self, own: Sensitivity, given: Mapping[str, T]) -> dict[Sensitivity, dict[str, T]]:
        """What is `given` by question, by the label it stands under: the section's, or the question's stricter."""
        found: dict[Sensitivity, dict[str, T]] = {own: {}}
        for question in self.form.questions:
            if question.link in given:
                found.setdefault(self._label(question, own), {})[question.link] = given[question.link]
        return found

    def _label(self, question: Question, own: Sensitivity) -> Sensitivity:
        return max(own, question.sensitivity or own, key=ORDER)


def _of_item(answer: Answer) -> Answer:
    """An answer as an instrument takes it: of a choice whose options are numbers, the number."""
    return int(answer) if isinstance(answer, str) and answer.isdecimal() else answer


def _taken(question: Question, answer: Answer, asked: Asked) -> bool:
    if not question.takes(answer):
        return False
    if question.type is QuestionType.CARE_TEAM:
        return answer in asked.care_team
    if question.type is not QuestionType.CODE:
        return True
    return answer in asked.codes[question.codes] if question.codes else bool(ICD_10.fullmatch(str(answer)))
