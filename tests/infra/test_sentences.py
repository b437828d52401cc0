"""Every kind of event has a sentence in every language, which says what people want to know and no code."""

import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import domain.addressees.telling
import domain.case.quarantine
import domain.commands  # noqa: F401 - so that every kind is known
from domain.case.event import Event
from infra.sentences import PART, PLACE, languages, sentence, sentences, subjects

NEW_YORK = ZoneInfo("America/New_York")
TITLES = {"clock", "task"}


@pytest.mark.parametrize("language", languages())
def test_every_kind_has_a_sentence_whose_places_are_fields_of_its_event(language: str) -> None:
    """A field that is renamed, or a kind that is new, shows here."""
    there = sentences(language).sentences
    assert set(there) == set(Event.kinds)
    for kind, template in there.items():
        assert template.count("[") == len(PART.findall(template)), kind
        conditions = re.findall(r"\[[?!]([a-z_.]+): ", template)
        for path in {*PLACE.findall(template), *conditions} - TITLES:
            assert path.split(".")[0] in Event.kinds[kind].model_fields or path.startswith("clock."), (kind, path)


def test_every_kind_is_about_one_subject() -> None:
    listed = [kind for kinds in subjects().values() for kind in kinds]
    assert sorted(listed) == sorted(Event.kinds)


CALL = {"reached": True, "party": "patient", "mode": "in-person", "outcome": "Sleeps better"}


@pytest.mark.parametrize(
    ("kind", "data", "english", "spanish"),
    [
        (
            "contact-logged",
            {"contact": CALL},
            "Reached the patient (in person): Sleeps better",
            "Contacto con paciente (en persona): Sleeps better",
        ),
        (
            "contact-logged",
            {"contact": {**CALL, "reached": False}},
            "Tried to reach the patient (in person): Sleeps better",
            "Intento de contacto con paciente (en persona): Sleeps better",
        ),
        (
            "clock-missed",
            {"clock": "Contact the person", "due_at": "2026-03-06T20:00:00Z"},
            "Contact the person: missed, it was due 2026-03-06 15:00",
            "Contact the person: incumplida, vencía 2026-03-06 15:00",
        ),
        (
            "clock-kept",
            {"clock": "Call", "late_by": 60},
            "Call: kept late",
            "Call: cumplida con retraso",
        ),
        ("clock-kept", {"clock": "Call", "late_by": 0}, "Call: kept", "Call: cumplida"),
        (
            "people-told",
            {"told": [{"recipient": "sup-1"}, {"recipient": "dir-1"}]},
            "Told: sup-1, dir-1",
            "Avisados: sup-1, dir-1",
        ),
        ("people-told", {}, "Nobody could be told", "No se pudo avisar a nadie"),
        ("task-completed", {}, "…: done", "…: hecha"),
    ],
)
def test_a_sentence_says_what_is_there_and_leaves_out_what_is_not(
    kind: str, data: dict[str, Any], english: str, spanish: str
) -> None:
    """Times in the programme's zone; codes in the language's words."""
    assert sentence("en", kind, data, NEW_YORK) == english
    assert sentence("es", kind, data, NEW_YORK) == spanish
    assert sentence("eo", kind, data, NEW_YORK) == english


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T10:00 called her, no answer",
        "2026-11-25T10:00:00Z",
        "uses {lorazepam} 1mg [at night]",
        "in-person",
        "{clock} [?x: y]",
    ],
)
def test_what_somebody_has_written_is_said_as_it_was_written(text: str) -> None:
    """It may look like a time, a place of the sentence, or a code."""
    assert sentence("en", "note-added", {"text": text}, NEW_YORK) == text
    answered = {"accepted": True, "by": "cm-ben", "note": text}
    assert (
        sentence("en", "transfer-answered", answered, NEW_YORK) == f"The offered case was taken by cm-ben. {text}"
    )


def test_a_kind_without_a_sentence_has_none() -> None:
    assert sentence("en", "moon-landed", {}, NEW_YORK) is None
