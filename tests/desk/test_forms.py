"""Forms make themselves: whatever a command's example says can be typed, and is the same when it is sent."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from desk import words
from desk.forms import FormField, body_of, errors_of, form_of, schema_of, with_row
from domain.case.command import Command
from domain.commands import FROM_PEOPLE

NEW_YORK = ZoneInfo("America/New_York")
ENGLISH = words.of("en")
BY_ITEMS = {"record-score"}  # its answers are typed in a questionnaire


def typed(fields: list[FormField]) -> Iterator[tuple[str, str]]:
    """What a browser sends for a form as it stands."""
    for one in fields:
        for row in one.rows:
            yield from typed(row)
        yield from typed(one.parts)
        if one.kind in ("group", "rows") or one.value in (None, "", [], ()):
            continue
        if one.kind == "yes-no":
            yield one.name, "yes" if one.value is True else "no"
        elif one.kind == "many":
            yield from ((one.name, str(value)) for value in one.value)
        elif isinstance(one.value, Mapping):
            yield one.name, "\n".join(f"{k}: {_said(v)}" for k, v in one.value.items())
        elif one.kind == "lines":
            yield one.name, "\r\n".join(one.value)
        elif one.kind == "moment":
            instant = datetime.fromisoformat(str(one.value))
            yield one.name, f"{instant.astimezone(NEW_YORK):%Y-%m-%dT%H:%M}"
        else:
            yield one.name, str(one.value)


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def sent(fields: list[FormField]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in typed(fields):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("command", FROM_PEOPLE, ids=lambda command: command.kind)
def test_what_a_form_shows_of_an_example_is_what_it_sends(command: type[Command]) -> None:
    """The command that comes out of the form is the one that went in."""
    schema, example = schema_of(command), dict(command.example)
    fields = form_of(command.kind, schema, ENGLISH, {}, example, {})
    assert all(one.label for one in fields)
    body = body_of(schema, sent(fields), NEW_YORK, {})
    if command.kind in BY_ITEMS:
        body["answers"] = example["answers"]
    assert command.model_validate(body) == command.model_validate(example)


@pytest.mark.parametrize("command", FROM_PEOPLE, ids=lambda command: command.kind)
def test_an_empty_form_says_at_each_field_what_is_missing(command: type[Command]) -> None:
    """In words for people, and never with a fault of ours."""
    schema = schema_of(command)
    fields = form_of(command.kind, schema, ENGLISH, {}, {}, {})
    body = body_of(schema, sent(fields), NEW_YORK, {})
    try:
        command.model_validate(body)
    except ValidationError as fault:
        errors = errors_of(fault, ENGLISH)
        assert set(errors.values()) == {"Fill this in"}, errors
        shown = form_of(command.kind, schema, ENGLISH, {}, body, errors)
        assert {one.name for one in shown if one.error} == set(errors)


def moment(text: str) -> Any:
    command = next(command for command in FROM_PEOPLE if command.kind == "pause-clock")
    typed_in = {"clock_id": ["c9"], "reason": ["x"], "until": [text]}
    return body_of(schema_of(command), typed_in, NEW_YORK, {})["until"]


def test_a_time_is_by_the_clocks_of_the_case_and_one_that_they_skip_is_no_time() -> None:
    """Half past two on the night of 8 March 2026 there is none in New York."""
    assert moment("2026-03-07T14:30") == "2026-03-07T14:30:00-05:00"
    assert moment("2026-03-08T14:30") == "2026-03-08T14:30:00-04:00"
    assert moment("2026-03-08T02:30").endswith("does not exist")
    assert moment("soon") == "soon"


def test_a_row_in_which_only_a_choice_was_changed_is_a_row_and_one_as_it_was_is_none() -> None:
    """So that nothing that somebody meant is dropped, and an empty row is no error."""
    command = next(command for command in FROM_PEOPLE if command.kind == "agree-plan")
    schema = schema_of(command)
    as_it_was = {"goals.0.term": ["short"], "goals.0.achievement": ["in-progress"]}
    assert "goals" not in body_of(schema, as_it_was, NEW_YORK, {})
    changed = body_of(schema, {**as_it_was, "goals.0.term": ["long"]}, NEW_YORK, {})
    assert changed["goals"] == [{"term": "long", "achievement": "in-progress"}]


def test_add_another_gives_one_row_more_and_changes_nothing_else() -> None:
    """Also within a row; a place that has no rows is left as it is."""
    body = {"goals": [{"measure": "walks", "steps": [{"a": 1}]}], "note": "x"}
    assert with_row(body, "goals") == {**body, "goals": [body["goals"][0], {}]}
    assert with_row(body, "goals.0.steps")["goals"][0] == {"measure": "walks", "steps": [{"a": 1}, {}]}
    assert with_row({}, "goals") == {"goals": [{}, {}]}
    for nowhere in ("note", "goals.7.steps", "goals.x.steps", "goals.0", "other.0.steps"):
        assert with_row(body, nowhere) == body
