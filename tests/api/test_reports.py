"""Reports count what the record says, for the cases one may see, with their definitions beside them."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from api.report_definitions import REPORTS
from tests.domain.steps.test_transitions import home
from tests.domain.test_programs import do_all_tasks, opened
from tests.office import Office
from tests.recorded import put_on_record
from tests.story import SAM, Story, referral

FIRST, LAST = "2026-03-01", "2027-06-01"


def followed(case_id: str = "case-1", person: str = "Patient/1") -> Story:
    """A person with a late contact, a readmission, a closed referral loop, a better score and avoidable days."""
    story = opened("complex-care", case_id=case_id, referral=referral(reference=person)).assess("high")
    story.do("agree-plan", **story.plan("education"))
    do_all_tasks(story)
    high = {f"q{n}": 2 for n in range(1, 10)}
    story.do("record-score", instrument="phq-9", version="2001", answers=high)
    story.do("record-transition", **home(story, "d1"))
    story.wait(hours=5)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="ok")
    drafted = story.do("draft-referral", type="specialist", recipient="Dr. Lim", reason="heart")
    story.do("send-referral", referral_id=drafted.outcome.created[0])
    story.do("accept-referral", referral_id=drafted.outcome.created[0])
    story.do("complete-referral", referral_id=drafted.outcome.created[0], note="seen")
    story.do("close-referral-loop", referral_id=drafted.outcome.created[0], report="read")
    story.wait(days=9)
    clock = next(c for c in story.known.running if c.kind == "contact" and c.missed_at)
    story.do("acknowledge-escalation", actor=SAM, escalation_id=clock.escalation_id)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="ok")
    story.do("record-transition", **home(story, "a2", event="admission"))
    low = {**high, **{f"q{n}": 0 for n in range(3, 10)}}
    story.do("record-score", instrument="phq-9", version="2001", answers=low)
    story.do("record-goal-progress", goal="g1", achievement="achieved")
    days = {"first": str(story.today - timedelta(days=1)), "last": str(story.today)}
    story.do("record-avoidable-days", **days, reason="payer-authorization", attributed_to="payer")
    story.do("log-contact", mode="telephone", party="patient", reached=False, outcome="nobody there")
    better = {"well_being": 9, "finances": 4, "appropriate_care": 8}
    story.do("evaluate-outcome", ratings=better, summary="Manages at home")
    story.do("record-satisfaction", score=4)
    return story


@pytest.fixture
async def filled(office: Office) -> Office:
    """An office whose record holds the story twice, as two people of two cases."""
    for number in (1, 2):
        story = followed(f"case{number}", f"Patient/{number}")
        put_on_record(office.parts.engine.url, office.parts.settings, f"case{number}", story.timeline)
    return office


async def rows(office: Office, name: str, **more: Any) -> list[dict[str, Any]]:
    answer = await office.get("sup-1", f"/reports/{name}", first=FIRST, last=LAST, **more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["rows"]
    assert all(list(row) == list(REPORTS[name].columns) for row in found)
    return found


async def test_every_report_answers_as_json_and_as_csv_with_its_definition(filled: Office) -> None:
    """The CSV has the same columns and points to its definition."""
    listed = (await filled.get("aud-1", "/reports")).json()
    assert {report["name"] for report in listed} == set(REPORTS)
    for name, report in REPORTS.items():
        found = await rows(filled, name)
        assert found or name in ("reassessment-on-time", "closures", "pathway-variance"), name
        assert all(row["people"] >= 0 for row in found), "few people in a row are hidden by it"
        if not found:
            continue
        answer = await filled.get("sup-1", f"/reports/{name}", first=FIRST, last=LAST, format="csv")
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(lines) == len(found)
        assert list(lines[0]) == list(report.columns)
        about = answer.headers["Link"].split(">")[0].strip("<")
        assert (await filled.get("sup-1", about)).json()["definition"] == report.definition
        assert (await rows(filled, name, program="ltac", team="north")) == [] or name in (
            "workload",
            "quality-measures",
        )


async def test_the_numbers_are_those_of_the_story(filled: Office) -> None:
    """Two people with the same course: every count is two, every share and median that of one."""
    [cadence] = await rows(filled, "contact-cadence")
    assert (cadence["people"], cadence["in_time"], cadence["late"], cadence["missed"]) == (2, 4, 2, 0)
    assert cadence["share_in_time"] == 0.6667
    [outreach] = await rows(filled, "outreach-48h")
    assert (outreach["in_time"], outreach["share_in_time"]) == (2, 1.0)
    [contact] = await rows(filled, "contact-2-business-days")
    assert contact["policy"] == "transitions.inpatient-discharge.clocks.contact-2bd"
    [visit] = await rows(filled, "visits-7-14-days")
    assert (visit["policy"], visit["missed"]) == ("transitions.inpatient-discharge.by_tier.high.visit", 2)
    [loop] = await rows(filled, "referral-loops")
    assert (loop["sent"], loop["closed"], loop["share_closed"]) == (2, 2, 1.0)
    [again] = await rows(filled, "readmission-30-days")
    assert (again["discharges"], again["readmitted"], again["planned"], again["share_readmitted"]) == (
        2,
        2,
        0,
        1.0,
    )
    [goals] = await rows(filled, "goals-met")
    assert (goals["goals"], goals["met"]) == (2, 2)
    [score] = await rows(filled, "score-change")
    assert (score["median_change"], score["response"], score["remission"]) == (-14, 2, 2)
    [days] = await rows(filled, "avoidable-days")
    assert (days["reason"], days["people"], days["days"]) == ("payer-authorization", 2, 4)
    stays = {row["stage"]: row["stays"] for row in await rows(filled, "time-in-stage")}
    assert stays == {"screening": 2, "assessment": 2, "planning": 2, "implementation": 2, "follow-up": 2}
    [taken] = await rows(filled, "intake")
    assert (taken["outcome"], taken["cases"], taken["share"]) == ("accepted", 2, 1.0)
    [liked] = await rows(filled, "satisfaction")
    assert (liked["answers"], liked["median_score"]) == (2, 4)
    [moved] = await rows(filled, "outcome-change")
    assert (moved["evaluated"], moved["median_change_well_being"], moved["median_change_finances"]) == (2, 6, 0)
    [tried] = await rows(filled, "unable-to-contact")
    assert (tried["attempts"], tried["letters"], tried["closed_for_it"]) == (2, 0, 0)
    [above] = await rows(filled, "supervisor-ratio")
    assert (above["supervisor"], above["case_managers"], above["open_cases"]) == ("sup-1", 3, 2)
    [work] = [row for row in await rows(filled, "workload") if row["case_manager"] == "cm-anna"]
    assert (work["people"], work["weighted_caseload"]) == (2, 2.0)
    ranks = {row["rank"]: row for row in await rows(filled, "escalations")}
    assert ranks["owner"]["people"] == 2
    assert sum(row["acknowledged_at_this_rank"] for row in ranks.values()) == 2


async def test_cells_of_too_few_people_can_be_hidden_and_nobody_sees_anothers_team(filled: Office) -> None:
    """By a setting; a supervisor of another team and another tenant see nothing."""
    assert (await filled.get("sup-2", "/reports/goals-met", first=FIRST, last=LAST)).json()["rows"] == []
    assert (await filled.get("dir-x", "/reports/goals-met", first=FIRST, last=LAST)).json()["rows"] == []
    filled.parts.settings.suppress_below = 11
    try:
        [hidden] = await rows(filled, "goals-met")
    finally:
        filled.parts.settings.suppress_below = 0
    assert hidden == {"program": "complex-care", "people": None, "goals": None, "met": None, "share_met": None}


async def test_a_case_manager_sees_her_own_numbers_and_a_lead_those_of_one_person(filled: Office) -> None:
    """Whatever she asks for: her cases, and not her team's."""
    period = {"first": FIRST, "last": LAST}
    [hers] = (await filled.get("cm-anna", "/reports/goals-met", **period)).json()["rows"]
    assert hers["people"] == 2
    for asked in ({}, {"owner": "cm-anna"}):
        assert (await filled.get("cm-ben", "/reports/goals-met", **period, **asked)).json()["rows"] == []
    assert [row["people"] for row in await rows(filled, "goals-met", owner="cm-anna")] == [2]
    assert await rows(filled, "goals-met", owner="cm-ben") == []


async def test_closures_are_counted_by_reason_with_the_days_that_the_case_was_open(office: Office) -> None:
    """Open for ten days, then moved away."""
    story = opened("complex-care")
    story.wait(days=10)
    story.do("close", reason="moved")
    put_on_record(office.parts.engine.url, office.parts.settings, "case-1", story.timeline)
    [row] = await rows(office, "closures")
    assert (row["reason"], row["closures"], row["median_days_open"]) == ("moved", 1, 10.0)


async def test_an_unknown_report_and_a_wrong_period_are_refused(office: Office) -> None:
    assert (await office.get("sup-1", "/reports/gossip")).status_code == 404
    wrong = await office.get("sup-1", "/reports/goals-met", first="2026-05-02", last="2026-05-01")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "Malformed")
    assert (await office.get("sup-1", "/reports/goals-met", first="1900-01-01")).status_code == 422


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_was_taken_back_or_corrected_is_counted_as_it_stands(office: Office) -> None:
    """A discharge taken back is none; a visit corrected to a discharge is one, and what followed it counts."""
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, "z1"))
    story.do("record-transition", **home(story, "z1", retracted=True))
    story.wait(hours=2)
    story.do("record-transition", **home(story, "z2", event="visit", setting="emergency"))
    story.do("record-transition", **home(story, "z2"))
    story.wait(days=3)
    story.do("record-transition", **home(story, "a1", event="admission"))
    put_on_record(office.parts.engine.url, office.parts.settings, "case-1", story.timeline)
    [row] = await rows(office, "readmission-30-days")
    assert (row["people"], row["discharges"], row["readmitted"]) == (1, 1, 1)


async def test_somebody_with_two_cases_is_one_person_of_every_report(office: Office) -> None:
    """So that a row about one person is not taken for one about two, and shown."""
    for number in (1, 2):
        story = followed(f"case{number}")
        put_on_record(office.parts.engine.url, office.parts.settings, f"case{number}", story.timeline)
    for name in REPORTS:
        assert {row["people"] for row in await rows(office, name)} <= {0, 1}, name
    [score] = [row for row in await rows(office, "score-change") if row["instrument"] == "phq-9"]
    assert score["response"] == 1


async def test_quality_measures_are_counted_of_people_and_what_cannot_be_says_why(office: Office) -> None:
    """Two people with diabetes and hypertension: one measured well, one not at all."""
    coded = [{"code": code, "display": code} for code in ("E11.9", "I10")]
    well = (("a1c", 7.2, "%"), ("systolic", 128, "mmHg"), ("diastolic", 76, "mmHg"))
    for number, values in ((1, well), (2, ())):
        case_id = f"case{number}"
        who = referral(reference=f"Patient/{number}", conditions=coded, birth_date="1960-05-05")
        story = opened("chronic-care", case_id=case_id, referral=who)
        for name, value, unit in values:
            story.do("record-observation", indicator=name, value=value, unit=unit)
        put_on_record(office.parts.engine.url, office.parts.settings, case_id, story.timeline)
    found = {row["measure"]: row for row in await rows(office, "quality-measures")}
    poor = found["CMS122"]
    assert (poor["people"], poor["population"], poor["met"], poor["better"]) == (2, 2, 1, "less")
    controlled = found["CMS165"]
    assert (controlled["population"], controlled["met"], controlled["share"]) == (2, 1, 0.5)
    assert found["FUH"]["population"] is None
    assert "mental health provider" in found["FUH"]["cannot_be_computed_because"]
