"""Scenarios are played by the same decisions as running cases, in time that is only a number."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain.programs.program import Program
from domain.simulation.compare import compared, load
from domain.simulation.play import Played, alone, play
from domain.simulation.scenario import Scenario
from infra import catalog
from tests.story import in_force, whole_catalogue

IN_SECONDS = "demo"  # what is a day elsewhere is a second there: a month of it would be millions of promises
NAMES = sorted({found.program for found in whole_catalogue().programs} - {IN_SECONDS})
LATEST = [whole_catalogue().latest(name) for name in NAMES]


def scenario(*acts: dict[str, Any], **more: Any) -> Scenario:
    said = {"name": "s", "title": "S", "says": "x", "starts": "2026-03-02T10:00:00", "days": 20}
    return Scenario.model_validate({**said, "acts": acts, **more})


def played(program: str, *acts: dict[str, Any], **more: Any) -> Played:
    found = in_force().latest(program)
    return play(scenario(*acts, **more), found, alone(in_force(), found))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize("program", LATEST, ids=lambda program: program.program)
def test_the_scenarios_of_the_catalogue_take_the_course_that_they_say_in_every_programme(program: Program) -> None:
    """A step that a programme refuses, or that is not expected, is named."""
    rulebook = alone(whole_catalogue(), program)
    for one in catalog.scenarios(program.program):
        found = play(one, program, rulebook)
        assert (found.unexpected, found.cut_short) == ((), None), one.name
        assert found.happenings, one.name


def test_a_call_that_comes_too_late_is_missed_to_the_second_and_the_same_call_in_time_keeps_it() -> None:
    """Discharged on Friday evening: 48 hours end on Sunday evening, two business days on Tuesday night."""
    discharge = {"event_id": "o", "event": "discharge", "setting": "inpatient", "occurred_at": "{now}"}
    left = {"day": 4, "at": "18:30", "command": "record-transition", "by": "hospital", "body": discharge}
    call = {
        "command": "log-contact",
        "body": {"mode": "telephone", "party": "patient", "reached": True, "outcome": "x"},
    }
    late = played("transitions", {"walk": "accepted"}, left, {"day": 7, **call})
    missed = {h.title: h.at for h in late.happenings if h.what == "missed"}
    assert missed["Outreach within 48 hours"] == at("2026-03-08T19:30:01-04:00"), "the clocks go forward"
    early = played("transitions", {"walk": "accepted"}, left, {"day": 5, **call})
    assert "Outreach within 48 hours" not in {h.title for h in early.happenings if h.what == "missed"}


def test_who_is_away_is_not_told_and_her_cover_is() -> None:
    away = {"day": 1, "away": {"until_day": 15, "cover": "colleague"}}
    found = played("complex-care", {"walk": "followed-up"}, away)
    told = [person for h in found.happenings if h.what == "told" and 1 < h.day < 15 for person in h.whom]
    assert "colleague" in told
    assert "case-manager" not in told


def test_a_refusal_that_is_expected_is_no_fault_and_one_that_is_not_is_named() -> None:
    close = {"day": 2, "command": "close", "body": {"reason": "goals-met"}}
    expected = played("complex-care", {"walk": "followed-up"}, {**close, "refused": "StillOpen"})
    assert expected.unexpected == ()
    found = played("complex-care", {"walk": "followed-up"}, close)
    assert found.unexpected[0].startswith("close: StillOpen: ")
    taken = played(
        "complex-care", {"walk": "opened"}, {"command": "add-note", "body": {"text": "x"}, "refused": "X"}
    )
    assert taken.unexpected == ("add-note: taken: not refused",)


def test_places_in_a_body_stand_for_what_the_case_has_then() -> None:
    found = played(
        "complex-care",
        {"walk": "planned"},
        {
            "day": 1,
            "command": "complete-task",
            "body": {"task_id": "{task}", "result": "{date 3}"},
        },
        {"day": 2, "command": "record-goal-progress", "body": {"goal": "{goal}", "achievement": "improving"}},
        {"day": 12, "command": "acknowledge-escalation", "body": {"escalation_id": "{escalation contact}"}},
        {
            "day": 13,
            "command": "send-referral",
            "body": {"referral_id": "{referral}"},
            "refused": "UnknownReference",
        },
    )
    assert found.unexpected == ()


def test_two_versions_are_held_against_each_other_promise_by_promise() -> None:
    """An earlier and a later promise, one that is new, one that is gone; and who is told more often."""
    old = in_force().latest("transitions")
    clocks = old.transitions["inpatient-discharge"].clocks
    sooner = clocks["contact-2bd"].changed(within=clocks["contact-2bd"].within.changed(amount=1))
    kept = {name: clock for name, clock in clocks.items() if name != "reconciliation"} | {"contact-2bd": sooner}
    changed = {"inpatient-discharge": old.transitions["inpatient-discharge"].changed(clocks=kept)}
    new = old.model_copy(update={"version": 2, "transitions": {**old.transitions, **changed}})
    new = Program.model_validate({name: getattr(new, name) for name in Program.model_fields})
    discharge = {"event_id": "o", "event": "discharge", "setting": "inpatient", "occurred_at": "{now}"}
    acts = ({"walk": "accepted"}, {"day": 2, "command": "record-transition", "by": "hospital", "body": discharge})
    before, after = (play(scenario(*acts), p, alone(in_force(), p)) for p in (old, new))
    moved = {one.title: one.change for one in compared(before, after).moved}
    assert moved == {"Contact within two business days": "earlier", "Reconcile the medications": "gone"}
    assert {one.title: one.change for one in compared(after, before).moved} == {
        "Contact within two business days": "later",
        "Reconcile the medications": "new",
    }
    assert compared(before, before) == compared(after, after)
    assert sum(one.due for one in load(before, old.zone)) == len(before.promises)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"acts": [{"day": 2, "walk": "opened"}, {"day": 1, "command": "tick"}]}, "in the order"),
        ({"acts": [{"day": 30, "walk": "opened"}]}, "after the last day"),
        ({"acts": [{"walk": "opened", "command": "tick"}]}, "one of: walk, command, away"),
        ({"starts": "2026-03-02T10:00:00Z", "acts": [{"walk": "opened"}]}, "leave its zone out"),
    ],
)
def test_a_scenario_that_cannot_be_played_is_told_what_is_wrong_with_it(broken: dict[str, Any], says: str) -> None:
    said = {"name": "s", "title": "S", "says": "x", "starts": "2026-03-02T10:00:00", "days": 20, **broken}
    with pytest.raises(ValidationError, match=says):
        Scenario.model_validate(said)


def test_a_step_that_a_file_has_no_rules_for_is_named_and_the_rest_is_played() -> None:
    """A stratification without the tier that the scenario walks to is the author's to see, not a failure."""
    said = next(p for p in in_force().programs if p.stratification is not None).model_dump()
    said["stratification"]["tiers"] = [t for t in said["stratification"]["tiers"] if t["tier"] != "high"]
    program = Program.model_validate(said)
    walk = scenario({"walk": "planned"}, {"day": 2, "command": "add-note", "body": {"text": "x"}})
    found = play(walk, program, alone(in_force(), program))
    assert found.unexpected[0] == "day 0 at 10:00, walk planned: cannot be played, the file has no high"
    assert ("add-note", 2) in [(h.title, h.day) for h in found.happenings if h.what == "did"]
