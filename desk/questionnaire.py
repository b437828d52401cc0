"""An instrument as a questionnaire: an item at a time on one page, with its answers in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.system import System
from domain.programs.instrument import Instrument, Item
from domain.programs.rulebook import UnknownInstrument

NONE = ""


@dataclass
class Question:
    """One item: its number, what may be answered, what was, and what was wrong with that."""

    item: Item
    number: int
    choices: list[tuple[str, str]]
    value: Any
    error: str
    alarming: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"answers.{self.item.key}"


def chosen(parts: System, body: Mapping[str, Any]) -> Instrument | None:
    """The instrument that a form has chosen; its newest version where it names none."""
    name, version = body.get("instrument"), body.get("version")
    tools = [tool for tool in parts.rulebook.instruments if tool.name == name]
    if not tools:
        return None
    try:
        return parts.rulebook.instrument(str(name), str(version)) if version else tools[-1]
    except UnknownInstrument:
        return tools[-1]


def items(tool: Instrument, answers: Mapping[str, Any], errors: Mapping[str, str]) -> list[Question]:
    """The questions of an instrument, with what was answered."""
    alarming = {t.item: a.title for a in tool.alerts for t in a.any_of if t.item and t.of == "item"}
    return [
        Question(
            item=item,
            number=number,
            choices=_choices(item, tool.scale),
            value=answers.get(item.key),
            error=errors.get(f"answers.{item.key}", ""),
            alarming=(alarming[item.key],) if item.key in alarming else (),
        )
        for number, item in enumerate((*tool.attributes, *tool.items), 1)
    ]


def _choices(item: Item, scale: Mapping[int, str]) -> list[tuple[str, str]]:
    """What may be chosen; none where a number is to be typed."""
    if item.answers:
        return [(answer, answer) for answer in item.answers]
    few = item.whole and item.low is not None and item.high is not None and item.high - item.low <= 10
    if not few:
        return []
    points = range(int(item.low or 0), int(item.high or 0) + 1)
    said = scale if set(points) <= set(scale) and item.scored else {}
    return [(str(n), f"{n}: {said[n]}" if n in said else str(n)) for n in points]


def answers(tool: Instrument, typed: Mapping[str, list[str]]) -> dict[str, Any]:
    """The answers that were given; what was left out is left out, and never taken for the least."""
    found: dict[str, Any] = {}
    for item in (*tool.attributes, *tool.items):
        given = [one.strip() for one in typed.get(f"answers.{item.key}", []) if one.strip()]
        if given:
            found[item.key] = tuple(given) if item.many else _answer(item, given[-1])
    return found


def _answer(item: Item, text: str) -> Any:
    if item.answers:
        return text
    try:
        return int(text) if item.whole else float(text)
    except ValueError:
        return text
