"""Instruments and forms as FHIR's Questionnaire: the same links under which answers come and go."""

from collections.abc import Iterator
from typing import Any

from domain.programs.condition import When
from domain.programs.form import Form, Question, QuestionType, in_language
from domain.programs.instrument import Instrument, Item
from exchange.fhir_codes import OURS, Resource

TYPES = {
    QuestionType.LINE: "string",
    QuestionType.TEXT: "text",
    QuestionType.YES_NO: "boolean",
    QuestionType.NUMBER: "decimal",
    QuestionType.DATE: "date",
    QuestionType.CHOICE: "choice",
    QuestionType.MANY: "choice",
    QuestionType.CODE: "string",
    QuestionType.CARE_TEAM: "string",
}


def of_instrument(tool: Instrument) -> Resource:
    """An instrument; its wording only where its licence lets it be shipped."""
    items = [_item(item) for item in (*tool.attributes, *tool.items)]
    return _questionnaire(tool.name, str(tool.version), tool.title, tool.licence, items)


def of_form(form: Form, language: str = "en") -> Resource:
    """A form, in one language."""
    items = [_question(question, language) for question in form.questions]
    return _questionnaire(form.name, str(form.version), in_language(form.title, language), form.source, items)


def _questionnaire(name: str, version: str, title: str, about: str, items: list[dict[str, Any]]) -> Resource:
    return {
        "resourceType": "Questionnaire",
        "id": f"{name}-{version}".lower(),
        "url": f"{OURS}/Questionnaire/{name}",
        "version": version,
        "title": title,
        "status": "active",
        "subjectType": ["Patient"],
        "copyright": about,
        "item": items,
    }


def _item(item: Item) -> dict[str, Any]:
    found: dict[str, Any] = {"linkId": item.key, "text": item.text or item.title, "type": _type(item)}
    found["required"] = not item.optional
    if item.answers:
        found["answerOption"] = [{"valueString": answer} for answer in item.answers]
    return found | ({"repeats": True} if item.many else {})


def _type(item: Item) -> str:
    if item.answers:
        return "choice"
    return "integer" if item.whole else "decimal"


def _question(question: Question, language: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "linkId": question.link,
        "text": in_language(question.text, language),
        "type": TYPES[question.type],
        "required": question.required,
    }
    if question.code is not None:
        found["code"] = [{"system": question.code.system, "code": question.code.code}]
    if question.options:
        options = question.options.items()
        found["answerOption"] = [
            {"valueCoding": {"code": code, "display": in_language(words, language)}} for code, words in options
        ]
    if question.type is QuestionType.MANY:
        found["repeats"] = True
    if when := list(_enabled(question.show_if)):
        found |= {"enableWhen": when, "enableBehavior": "any" if len(when) > 1 else "all"}
    return found


def _enabled(conditions: tuple[When, ...]) -> Iterator[dict[str, Any]]:
    """What FHIR can say of when a question is asked: one condition on one question, by its values.

    Where a form says more, all questions are shown there, and the form's own rule holds when answers come back.
    """
    if len(conditions) != 1 or not conditions[0].values or conditions[0].item is None:
        return
    for value in conditions[0].values:
        answer = {"answerBoolean": value == "yes"} if value in ("yes", "no") else {"answerCoding": {"code": value}}
        yield {"question": conditions[0].item, "operator": "=", **answer}
