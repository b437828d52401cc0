"""The words of the pages: each one that a page asks for is there, in every language, with the same values."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.absence import Absence
from api.erasures import NewErasure
from api.reach import NewReach
from api.retention import NewHold
from api.rosters import Wanted
from api.screened import AcceptFound, DeclineFound, SnoozeFound
from api.webhooks import NewEndpoint
from desk import needs, words
from desk.forms import FormField, form_of, schema_of
from desk.pages.directory import NewStaff
from domain.commands import FROM_PEOPLE
from domain.persons.person import Person
from domain.values import Invalid, Rejected

DESK = Path(words.__file__).parent
ENGLISH = words.of("en")
OTHERS = [language for language in words.languages() if language != "en"]
FILLED = re.compile(r"\{([a-z_]+)\}")


def test_every_word_that_a_page_asks_for_is_there() -> None:
    """By its whole name; names that are put together are tried when the pages are opened."""
    asked: set[str] = set()
    for path in (*DESK.glob("templates/*.html"), *DESK.rglob("*.py")):
        asked |= set(re.findall(r"\b(?:t|spoken)\(['\"]([a-z_]+\.[A-Za-z_-]+)['\"][,)]", path.read_text()))
    assert len(asked) > 150
    for name in asked:
        assert ENGLISH(name) is not None


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_has_every_word_with_the_same_values(language: str) -> None:
    spoken = words.of(language)
    assert spoken.missing == ()
    for name in (name for name in ENGLISH.names if FILLED.findall(ENGLISH(name))):
        assert sorted(FILLED.findall(spoken(name))) == sorted(FILLED.findall(ENGLISH(name))), name


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_has_a_word_for_every_command_and_field(language: str) -> None:
    """In English a command says itself what it does, and a field is called as it is."""
    spoken = words.of(language)
    for command in FROM_PEOPLE:
        assert spoken.get(f"command.{command.kind}", ""), command.kind
        assert _lacking(command.kind, command, spoken) == [], command.kind


OFFICE: dict[str, type[BaseModel]] = {
    "set-absence": Absence,
    "set-reach": NewReach,
    "add-staff": NewStaff,
    "put-roster": Wanted,
    "change-person": Person,
    "create-endpoint": NewEndpoint,
    "place-legal-hold": NewHold,
    "ask-erasure": NewErasure,
    "accept-screened": AcceptFound,
    "decline-screened": DeclineFound,
    "snooze-screened": SnoozeFound,
}


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_has_a_word_for_every_field_of_what_belongs_to_no_case(language: str) -> None:
    spoken = words.of(language)
    for kind, model in OFFICE.items():
        assert spoken.get(f"office.{kind}", ""), kind
        assert _lacking(kind, model, spoken) == [], kind


@pytest.mark.parametrize("language", OTHERS)
def test_what_a_form_explains_it_explains_in_the_other_language_too(language: str) -> None:
    """Word by word: no help is left in English, and none is about how a program is written."""
    for kind, model in [*((command.kind, command) for command in FROM_PEOPLE), *OFFICE.items()]:
        helped = {f.name: f.help for f in _fields(kind, model, ENGLISH) if f.help}
        other = {f.name: f.help for f in _fields(kind, model, words.of(language)) if f.help}
        assert other.keys() == helped.keys(), kind
        assert [name for name, help_ in helped.items() if "`" in help_ or help_ == other[name]] == [], kind


@pytest.mark.parametrize("language", words.languages())
def test_what_a_stage_lacks_is_said_in_words(language: str) -> None:
    """By titles where it has them; what has no words of ours stays as the case says it."""
    spoken, titles = words.of(language), {"medication-review": "Medicines", "phq-9": "PHQ-9"}
    said = {need: needs.said(need, spoken, titles) for need in LACKING}
    assert [need for need, text in said.items() if text in (need, "")] == []
    assert "Medicines" in said["section medication-review"]
    assert spoken("code.patient") in said["signature of the patient"]
    assert said["task t1: Call her: today"] == "Call her: today"
    assert needs.said("a wish of nobody", spoken, {}) == "a wish of nobody"


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_has_a_word_for_every_refusal_of_a_case(language: str) -> None:
    """In English a refusal says itself what is wrong; elsewhere its detail stands behind these words."""
    codes = {refusal.__name__ for refusal in _kinds_of(Rejected) if refusal is not Invalid}
    assert len(codes) > 100
    assert [code for code in sorted(codes) if not words.of(language).get(f"refused.{code}", "")] == []


def _kinds_of(refusal: type[Rejected]) -> Iterator[type[Rejected]]:
    for kind in refusal.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


LACKING = (
    "consent",
    "complete-screening",
    "section medication-review",
    "instrument phq-9",
    "baseline of the three outcome domains",
    "the risk tier",
    "a plan",
    "the approval of the plan",
    "task t1: Call her: today",
    "signature of the patient",
    "evaluate-outcome, when it is time",
    "close, for one of the reasons in `closing`",
)


def _lacking(kind: str, model: type[BaseModel], spoken: words.Words) -> list[str]:
    """The fields of a form, and of its rows and groups, that no word is there for."""
    every = _fields(kind, model, spoken)
    return [one.name for one in every if not spoken.get(f"field.{one.name.rpartition('.')[2]}", "")]


def _fields(kind: str, model: type[BaseModel], spoken: words.Words) -> list[FormField]:
    fields: list[FormField] = form_of(kind, schema_of(model), spoken, {}, {}, {})
    return [part for one in fields for part in (one, *one.parts, *(p for row in one.rows for p in row))]
