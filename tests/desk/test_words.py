"""The words of the pages: each one that a page asks for is there, in every language, with the same values."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.absence import Absence
from api.reach import NewReach
from api.rosters import Wanted
from api.webhooks import NewEndpoint
from desk import words
from desk.forms import FormField, form_of, schema_of
from desk.pages.directory import NewStaff
from domain.commands import FROM_PEOPLE
from domain.persons.person import Person

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
}


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_has_a_word_for_every_field_of_what_belongs_to_no_case(language: str) -> None:
    spoken = words.of(language)
    for kind, model in OFFICE.items():
        assert spoken.get(f"office.{kind}", ""), kind
        assert _lacking(kind, model, spoken) == [], kind


def _lacking(kind: str, model: type[BaseModel], spoken: words.Words) -> list[str]:
    """The fields of a form, and of its rows and groups, that no word is there for."""
    fields: list[FormField] = form_of(kind, schema_of(model), spoken, {}, {}, {})
    inner = [part for one in fields for part in (one, *one.parts, *(p for row in one.rows for p in row))]
    return [one.name for one in inner if not spoken.get(f"field.{one.name.rpartition('.')[2]}", "")]
