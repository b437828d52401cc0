"""A section of the assessment as its form: the questions that the answers lead to, each as a field."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.forms import SectionForm
from desk.forms import FormField, Kind, scalar
from desk.words import Words
from domain.programs.form import Form, Question, QuestionType, Skipped, in_language

RECORD = "record-assessment"
ROW = "sections.0."
Choices = Sequence[tuple[str, str]]
ASKED_BY_FORM = ("name", "answers", "skipped", "goes_on_from")
KINDS: dict[QuestionType, Kind] = {
    QuestionType.LINE: "line",
    QuestionType.CODE: "line",
    QuestionType.TEXT: "text",
    QuestionType.YES_NO: "yes-no",
    QuestionType.NUMBER: "number",
    QuestionType.DATE: "day",
    QuestionType.CHOICE: "choice",
    QuestionType.MANY: "many",
    QuestionType.CARE_TEAM: "choice",
}


def chosen(body: Mapping[str, Any]) -> str | None:
    """The section that a form is about."""
    rows = body.get("sections")
    return rows[0].get("name") if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


def answers(form: Form, typed: Mapping[str, list[str]]) -> dict[str, Any]:
    """The answers that were given to the questions that they lead to; what was left out is left out."""
    found: dict[str, Any] = {}
    for question in form.questions:
        given = [one.strip() for one in typed.get(f"{ROW}answers.{question.link}", []) if one.strip()]
        if given and all(when.holds(found) for when in question.show_if):
            found[question.link] = _answer(question, given)
    return found


def _answer(question: Question, given: Sequence[str]) -> Any:
    text = given[-1]
    if question.type is QuestionType.MANY:
        return tuple(given)
    if question.type is QuestionType.YES_NO:
        return {"yes": True, "no": False}.get(text, text)
    return scalar(text) if question.type is QuestionType.NUMBER else text


def skipped(form: Form, typed: Mapping[str, list[str]], given: Mapping[str, Any]) -> dict[str, str]:
    """Why questions have no answer; an answer that was given after all goes before."""
    reasons = {q.link: (typed.get(f"{ROW}skipped.{q.link}") or [""])[-1] for q in form.questions}
    return {link: why for link, why in reasons.items() if why and link not in given}


def body_with(form: Form, body: dict[str, Any], typed: Mapping[str, list[str]]) -> dict[str, Any]:
    """The body of the command with the answers to the form."""
    given = answers(form, typed)
    rows = [{**body["sections"][0], "answers": given, "skipped": skipped(form, typed, given)}]
    return {**body, "sections": [{name: value for name, value in row.items() if value != {}} for row in rows]}


def begins(found: SectionForm, today: str) -> dict[str, Any]:
    """What the form begins with: today, what was carried forward, and the words of work in progress."""
    row: dict[str, Any] = {"name": found.section, "assessed_on": today, "answers": found.carried}
    if found.goes_on_from is not None:
        row["goes_on_from"] = found.goes_on_from
    if found.begun is not None:
        given = {"findings": found.begun.findings, "answered_by": found.begun.answered_by}
        row |= {name: value for name, value in given.items() if value}
        row["skipped"] = found.begun.skipped
    return {"sections": [row]}


def questions(
    found: SectionForm,
    row: Mapping[str, Any],
    errors: Mapping[str, str],
    team: Choices,
    spoken: Words,
) -> list[FormField]:
    """The questions that these answers lead to, in the reader's language; beside what is required, why not."""
    if found.form is None:
        return []
    given = dict(row.get("answers") or {})
    needed, asked = {*found.missing}, []
    for question in found.form.asked({k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}):
        if question.link not in found.meant:
            continue
        required = question.required or question.link in needed
        asked.append(_field(question, given.get(question.link), errors, team, spoken, required))
        if required and question.link not in given:
            asked.append(_why_not(question, (row.get("skipped") or {}).get(question.link), spoken))
    return asked


def leading(found: SectionForm) -> frozenset[str]:
    """The fields whose answers decide which other questions are asked."""
    asked = found.form.questions if found.form else ()
    return frozenset(f"{ROW}answers.{item}" for q in asked for when in q.show_if for item in when.items)


def _field(
    question: Question,
    value: Any,
    errors: Mapping[str, str],
    team: Choices,
    spoken: Words,
    required: bool,
) -> FormField:
    name = f"{ROW}answers.{question.link}"
    options = [(key, in_language(words, spoken.language)) for key, words in question.options.items()]
    text = in_language(question.text, spoken.language)
    return FormField(
        name=name,
        label=f"{text} ({question.unit})" if question.unit else text,
        kind=KINDS[question.type],
        required=required,
        help=in_language(question.help, spoken.language) if question.help else "",
        choices=list(team) if question.type is QuestionType.CARE_TEAM else options,
        value=value,
        error=next((says for path, says in errors.items() if path == name or path.startswith(f"{name}.")), ""),
        whole=question.whole,
    )


def _why_not(question: Question, value: Any, spoken: Words) -> FormField:
    reasons = [(s.value, spoken(f"section.{s.value}")) for s in Skipped]
    label = spoken("section.why_not", question=in_language(question.text, spoken.language))
    return FormField(
        name=f"{ROW}skipped.{question.link}",
        label=label,
        kind="choice",
        required=False,
        choices=[("", spoken("section.will_be_answered")), *reasons],
        value=value or "",
    )


def fields(
    found: SectionForm,
    made: Sequence[FormField],
    body: Mapping[str, Any],
    errors: Mapping[str, str],
    team: Choices,
    spoken: Words,
) -> list[FormField]:
    """The form of one section: when, its questions, words beside them, and how far it is; then the rest."""
    [rows] = [field for field in made if field.name == "sections"]
    own = [field for field in rows.rows[0] if field.name.removeprefix(ROW) not in ASKED_BY_FORM]
    first, rest = own[:1], own[1:]
    others = [field for field in made if field.name != "sections"]
    return [*first, *questions(found, body["sections"][0], errors, team, spoken), *rest, *others]


def errors_of(problem: Any, spoken: Words) -> dict[str, str]:
    """At which questions a refusal points."""
    named = (one.partition(": ") for one in problem.missing or ())
    links = {left if problem.code != "QuestionsMissing" else right: right for left, _, right in named}
    says = {"QuestionsMissing": spoken("section.missing"), "AnswerNotTaken": spoken("section.not_taken")}
    return {f"{ROW}answers.{link}": says[problem.code] for link in links} if problem.code in says else {}
