"""Forms: what a question takes, when it is asked, what is missing, and what a broken form file is told."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.programs.condition import When, hold
from domain.programs.filling import AnswerNotTaken, Asked, Filled, NotAsked, UnknownQuestion
from domain.programs.form import Form, Skipped
from domain.values import Sensitivity

CODES = {"reasons": frozenset({"a", "b"})}
ANYBODY = Asked(age=70, group=None, care_team=frozenset({"m1"}), codes=CODES)


def form(*questions: dict[str, Any], **more: Any) -> Form:
    asked = [{"text": q["link"], **q} for q in questions]
    return Form.model_validate(
        {"name": "f", "version": 1, "title": "F", "source": "ours", "questions": asked, **more}
    )


def filled(found: Form, skipped: dict[str, Skipped] | None = None, **answers: Any) -> Filled:
    return Filled(found, answers, skipped or {})


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ({"type": "line"}, ["x"], [1, True, "x" * 201, "a\nb", ("x",)]),
        ({"type": "text"}, ["x\ny"], [1, ("x",)]),
        ({"type": "yes-no"}, [True, False], ["yes", 1, 0]),
        ({"type": "number", "low": 0, "high": 10}, [0, 10, 2.5], [-1, 11, "2", True]),
        ({"type": "number", "whole": True}, [3, 3.0], [2.5]),
        ({"type": "date"}, ["2026-02-28"], ["2026-02-30", "28.2.2026", "1800-01-01", 20260228]),
        ({"type": "choice", "options": {"a": "A", "b": "B"}}, ["a"], ["c", ("a",), True, 1]),
        (
            {"type": "many", "none_of": "none", "options": {"a": "A", "b": "B", "none": "No"}},
            [("a", "b"), ("none",)],
            ["a", ("a", "none"), ("a", "a"), ("c",)],
        ),
        ({"type": "code"}, ["E11.9", "I50"], ["x", 5, "diabetes"]),
        ({"type": "code", "codes": "reasons"}, ["a"], ["c"]),
        ({"type": "care-team"}, ["m1"], ["m2", True]),
    ],
    ids=lambda value: str(value.get("type")) if isinstance(value, dict) else "",
)
def test_a_question_takes_answers_of_its_kind_and_no_others(
    question: dict[str, Any], right: list[Any], wrong: list[Any]
) -> None:
    one = form({"link": "q", **question})
    for answer in right:
        filled(one, q=answer).check(ANYBODY)
    for answer in wrong:
        with pytest.raises(AnswerNotTaken) as refusal:
            filled(one, q=answer).check(ANYBODY)
        assert refusal.value.missing[0].startswith("q: "), "a refusal names questions, never answers"


HOME = form(
    {"link": "home", "type": "choice", "required": True, "options": {"own": "Own", "none": "None"}},
    {"link": "rent", "type": "number", "required": True, "show_if": [{"item": "home", "values": ["own"]}]},
    {"link": "will", "type": "yes-no", "required": True, "minimum_age": 65},
    {"link": "school", "type": "yes-no", "required": True, "groups": ["children"]},
)


def test_what_is_missing_follows_the_answers_and_the_person() -> None:
    """A question that is not shown, or not meant for her, is not missing; an unknown age asks it."""
    young = Asked(age=20, group="children", care_team=frozenset(), codes={})
    unknown = Asked(age=None, group=None, care_team=frozenset(), codes={})
    assert filled(HOME).missing(ANYBODY) == ["home", "will"]
    assert filled(HOME, home="own").missing(ANYBODY) == ["rent", "will"]
    assert filled(HOME, home="none").missing(young) == ["school"]
    assert filled(HOME, home="none").missing(unknown) == ["will"]
    assert filled(HOME, {"will": Skipped.DECLINED}, home="none").missing(ANYBODY) == []
    assert filled(form({"link": "q", "type": "line"})).missing(ANYBODY, also=("q",)) == ["q"]


def test_an_answer_to_what_is_not_asked_is_refused_by_name() -> None:
    with pytest.raises(NotAsked) as refusal:
        filled(HOME, home="none", rent=300).check(ANYBODY)
    assert refusal.value.missing == ("rent",)
    with pytest.raises(UnknownQuestion):
        filled(HOME, color="red").check(ANYBODY)
    with pytest.raises(AnswerNotTaken):
        filled(HOME, {"home": Skipped.UNKNOWN}, home="own").check(ANYBODY)


def test_answers_stand_under_the_stricter_of_two_labels() -> None:
    found = form(
        {"link": "a", "type": "line"},
        {"link": "b", "type": "line", "sensitivity": "part2"},
        {"link": "c", "type": "line", "sensitivity": "general"},
    )
    given = filled(found, a="x", b="y", c="z")
    assert given.apart(Sensitivity.GENERAL, given.answers) == {
        Sensitivity.GENERAL: {"a": "x", "c": "z"},
        Sensitivity.PART2: {"b": "y"},
    }
    assert given.apart(Sensitivity.SUD_COUNSELLING, given.answers) == {
        Sensitivity.SUD_COUNSELLING: {"a": "x", "b": "y", "c": "z"}
    }


def test_conditions_hold_by_value_by_number_and_by_how_many_of_several_do() -> None:
    """What is not answered fulfils nothing."""

    def holds(answers: dict[str, Any], **when: Any) -> bool:
        return hold([When.model_validate(when)], answers)

    assert holds({"a": True}, item="a", values=["yes"])
    assert holds({"a": ("x", "y")}, item="a", values=["y"])
    assert holds({"a": 3}, item="a", at_least=3, at_most=3)
    assert holds({"a": 0}, item="a")
    two = [{"item": "a", "at_least": 2}, {"item": "b", "at_least": 2}, {"item": "c", "values": ["yes"]}]
    assert holds({"a": 2, "c": True}, any_of=two, at_least=2)
    assert holds({"a": 2}, any_of=two)
    for answers in ({}, {"a": 2}, {"a": 1, "b": 2}, {"a": "2", "b": "2"}):
        assert not holds(answers, any_of=two, at_least=2)
    assert not holds({"a": True}, item="a", at_least=0), "yes is no number"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"questions": [{"link": "a", "text": "A", "type": "choice"}]}, "options belong to choice"),
        ({"questions": [{"link": "a", "text": {"es": "A"}, "type": "line"}]}, "in English"),
        ({"questions": [{"link": "a", "text": "A", "type": "line", "low": 1}]}, "belong to a number"),
        ({"questions": [{"link": "a", "text": "A", "type": "line"}] * 2}, "given twice"),
        (
            {"questions": [{"link": "a", "text": "A", "type": "line", "show_if": [{"item": "b"}]}]},
            "shown by what no question before it asks: b",
        ),
        (
            {
                "questions": [{"link": "a", "text": "A", "type": "line"}],
                "alerts": [{"name": "x", "when": [{"item": "z"}]}],
            },
            "not there: z",
        ),
    ],
)
def test_a_broken_form_is_told_what_is_wrong_with_it(broken: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Form.model_validate({"name": "f", "version": 1, "title": "F", "source": "ours", **broken})
