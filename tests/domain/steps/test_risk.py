"""Instruments in a case, and the risk that explains itself."""

from datetime import date, timedelta
from typing import Any

import pytest

from domain.clocks.budget import Budget
from domain.programs.caseload import load, weight_of
from domain.programs.scoring import score
from domain.steps.scores import remission_at
from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.reference import rows
from tests.story import SAM, Story, in_force, plain_story, referral

LOW = {f"q{n}": 0 for n in range(1, 10)}


def scored(story: Story, answers: dict[str, Any]) -> dict[str, Any]:
    story.do("record-score", instrument="phq-9", version="2001", answers=answers)
    event = next(e for e in reversed(story.timeline) if e.kind == "instrument-scored")
    return dict(event.data)


def test_a_positive_item_9_opens_its_task_tells_people_and_asks_for_a_safety_plan_without_a_total() -> None:
    """The rest of the questionnaire may be missing."""
    story = opened("complex-care")
    found = scored(story, {"q9": 1})
    assert found["result"]["status"] == "cannot-score"
    assert {t.type for t in story.known.open_tasks} >= {"suicide-risk-assessment", "complete-instrument"}
    assert "safety-plan" in {c.kind for c in story.known.running}
    alert = next(e for e in story.timeline if e.kind == "alert-raised")
    assert alert.data["told"] == ["cm-anna", "sup-1"]
    assert all(n.urgent for n in alert.event.notices(story.known))
    assert story.known.scores == ()


def test_an_instrument_without_a_total_is_asked_for_once_by_name_until_it_has_one() -> None:
    """Half of it, a bit more, all of it: one task, done with the last answer, and no alarm for what is missing."""
    story = opened("complex-care")
    scored(story, {k: v for k, v in LOW.items() if k not in ("q8", "q9")})
    scored(story, {k: v for k, v in LOW.items() if k != "q9"})
    [task] = [t for t in story.known.open_tasks if t.type == "complete-instrument"]
    assert task.title == "Complete phq-9 2001: q8, q9"
    assert not [e for e in story.timeline if e.kind == "alert-raised"]
    scored(story, LOW)
    done = story.known.task(task.id)
    assert done is None or done.status == "completed"
    assert not [t for t in story.known.open_tasks if t.type == "complete-instrument"]


def test_the_result_before_stands_beside_the_latest_and_one_that_is_clearly_worse_is_called_so() -> None:
    """Also where an older one is written down last."""
    story = Story("behavioral-health").accepted()

    def answer(points: int, days_ago: int = 0) -> None:
        at = (story.now - timedelta(days=days_ago)).isoformat()
        answers = {f"q{n}": 1 if n <= points else 0 for n in range(1, 10)}
        story.do("record-score", instrument="phq-9", version="2001", answers=answers, occurred_at=at)

    answer(2, days_ago=20)
    answer(8)
    [latest] = story.known.scores
    assert (latest.total, latest.previous, latest.baseline) == (8, 2, 2)
    change = [e.data.get("change") for e in story.timeline if e.kind == "instrument-scored"][-1]
    assert isinstance(change, dict)
    assert (change["worse"], change["minimal"], change["previous"]) == (True, False, 2)
    answer(5, days_ago=10)
    [latest] = story.known.scores
    assert (latest.total, latest.previous) == (8, 5)


def test_a_change_is_held_against_the_first_result_and_an_older_one_does_not_replace_a_newer() -> None:
    """Response at half the baseline, remission below five, five points are a change."""
    story = opened("complex-care")
    scored(story, {**LOW, "q1": 3, "q2": 3, "q3": 3, "q4": 3})
    story.wait(days=30)
    assert scored(story, {**LOW, "q1": 3, "q2": 3})["change"] == {
        "baseline": 12,
        "points": -6,
        "previous": 12,
        "worse": False,
        "minimal": True,
        "response": True,
        "remission": False,
    }
    early = (story.now - timedelta(days=10)).isoformat()
    story.do("record-score", instrument="phq-9", version="2001", answers=LOW, occurred_at=early)
    (latest,) = story.known.scores
    assert (latest.total, latest.baseline) == (6, 12)


def test_an_instrument_is_repeated_by_its_clock() -> None:
    """Behavioral health asks for the PHQ-9 every month; a total keeps the promise and makes the next."""
    story = opened("behavioral-health")
    scored(story, LOW)
    (first,) = [c for c in story.known.running if c.kind == "instrument"]
    story.wait(days=20)
    scored(story, LOW)
    (second,) = [c for c in story.known.running if c.kind == "instrument"]
    assert first.id != second.id
    kept = next(e for e in story.timeline if e.kind == "clock-kept" and e.data["clock_id"] == first.id)
    assert kept.data["late_by"] == 0


def test_unknown_instruments_items_and_answers_are_refused_and_change_nothing() -> None:
    story = opened("complex-care")
    body = {"instrument": "phq-9", "version": "2001"}
    assert story.refused("record-score", **{**body, "version": "1900"}, answers={}) == "UnknownInstrument"
    assert story.refused("record-score", **body, answers={"q99": 1}) == "UnknownItem"
    assert story.refused("record-score", **body, answers={"q1": 9}) == "AnswerOutOfRange"
    future = (story.now + timedelta(days=1)).isoformat()
    assert story.refused("record-score", **body, answers=LOW, occurred_at=future) == "NotYetHappened"


def ready(**patient: Any) -> Story:
    """A case whose assessment is complete but for the risk."""
    from domain.simulation import moves
    from tests.story import FORMS, TOOLS

    story = opened("complex-care", referral=referral(**patient))
    for kind, body in moves.assess(story.rules, TOOLS, FORMS, story.today, "low", ["r"]):
        if kind != "stratify-risk":
            story.do(kind, **body)
    return story


def test_the_risk_is_refused_while_a_factor_is_not_known_and_snomed_codes_are_not_taken_for_health() -> None:
    """No ICD-10 code at all is not a comorbidity of zero."""
    snomed = {"code": "44054006", "system": "http://snomed.info/sct", "display": "Diabetes"}
    outcome = ready(conditions=[snomed]).send("stratify-risk").outcome
    assert outcome.error == "CannotStratify"
    assert outcome.missing == (
        "Charlson comorbidity (Quan 2011)",
        "Admissions in twelve months",
        "Emergency visits in six months",
        "Number of medications",
    )
    assert ready().refused("stratify-risk", given={"wealth": 3}) == "UnknownFactor"


def test_the_risk_explains_itself_factor_by_factor() -> None:
    """Codes, stays, visits and medications of the referral are counted; what nobody knows is said."""
    days = ("2026-01-05", "2025-07-01", "2024-01-01")
    stays = [{"setting": "inpatient", "started_on": day} for day in days]
    story = ready(
        conditions=[{"code": "I50.9", "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": "Heart failure"}],
        medications=[{"display": f"drug {n}"} for n in range(6)],
        encounters=[*stays, {"setting": "emergency", "started_on": "2026-02-01"}],
    )
    story.do("stratify-risk")
    result: Any = next(e for e in story.timeline if e.kind == "risk-stratified").data["result"]
    factors = {f["name"]: (f.get("value"), f["points"], f["known"]) for f in result["factors"]}
    assert factors["comorbidity"] == (2, 1, True)
    assert factors["admissions"] == (2, 4, True)
    assert factors["emergency-visits"] == (1, 0, True)
    assert factors["medications"] == (6, 1, True)
    assert factors["depression"] == (None, 0, False)
    assert (result["points"], result["tier"]) == (6, "high")
    assert story.known.risk is not None
    assert story.known.risk.weight == 1


def test_an_override_needs_an_approval_a_reason_and_an_end_and_then_the_factors_hold_again() -> None:
    """Cadence follows at once, both ways; the end is no missed promise."""
    story = opened("complex-care").assess("low")
    story.do("agree-plan", **story.plan("education"))
    until = (story.now + timedelta(days=10)).isoformat()
    body = {"tier": "high", "reason": "lives alone now", "until": until}
    assert story.refused("override-risk-tier", **body) == "ApprovalMissing"
    story.do("request-approval", subject="tier-override", tier="high")
    (approval,) = story.known.approvals
    decided = {"approval_id": approval.id, "approve": True, "comment": "yes"}
    assert story.refused("decide-approval", **decided) == "NotAnApprover"
    story.do("decide-approval", actor=SAM, **decided)
    far = (story.now + timedelta(days=400)).isoformat()
    assert story.refused("override-risk-tier", **{**body, "until": far}) == "OverrideTooLong"
    story.do("override-risk-tier", **body)
    cadence = {str(c.budget) for c in story.known.running if c.kind == "contact"}
    assert cadence == {"7 calendar days"}
    story.wait(days=11)
    assert story.known.risk is not None
    assert (story.known.risk.tier, story.known.risk.overridden) == ("low", False)
    assert "override-ended" in story.kinds
    started: list[Any] = [e.data["clock"] for e in story.timeline if e.kind == "clock-started"]
    overrides = {clock["id"] for clock in started if clock["kind"] == "override"}
    missed = {e.data["clock_id"] for e in story.timeline if e.kind == "clock-missed"}
    assert not overrides & missed


def test_an_override_that_holds_survives_a_new_evaluation() -> None:
    """The factors are computed and kept beside the tier that a person set."""
    story = opened("complex-care").assess("low")
    story.do("request-approval", subject="tier-override", tier="moderate")
    story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="y")
    until = (story.now + timedelta(days=10)).isoformat()
    story.do("override-risk-tier", tier="moderate", reason="r", until=until)
    given = {"comorbidity": 9, "admissions": 3, "emergency-visits": 9, "medications": 12}
    story.do("stratify-risk", given=given, reason="the practice's chart")
    risk = story.known.risk
    assert risk is not None
    assert (risk.tier, risk.computed, risk.overridden) == ("moderate", "high", True)


def test_an_integrator_records_scores_and_does_not_set_the_risk() -> None:
    story = opened("complex-care")
    ehr = Actor(subject="ehr-1", role=Role.INTEGRATOR)
    assert (
        story.send("record-score", actor=ehr, instrument="phq-9", version="2001", answers=LOW).outcome.error
        is None
    )
    assert story.refused("stratify-risk", actor=ehr) == "NotPermitted"


@pytest.mark.parametrize("row", rows("phq2-phq9", "index_date"))
def test_remission_at_twelve_months_rows(row: Any) -> None:
    """Give or take sixty days; outside nobody says."""
    rule, given = in_force().instrument("phq-9", "2001").change, row["inputs"]
    assert rule is not None
    days = [date.fromisoformat(given[name]) for name in ("index_date", "followup_date")]
    found = remission_at(rule, given["index_total"], days[0], given["followup_total"], days[1])
    assert bool(found) == row["expected"]["remission_at_12_months"]


CADENCE = {
    "weekly_or_more": "7 calendar days",
    "biweekly": "14 calendar days",
    "monthly": "1 month",
    "quarterly": "3 months",
}


@pytest.mark.parametrize("row", rows("caseload", "clients_by_contact_frequency"))
def test_caseload_rows(row: Any) -> None:
    """A case weighs by how often its person is seen; both limits are looked at."""
    clients = row["inputs"]["clients_by_contact_frequency"]
    weight = sum(weight_of(Budget.model_validate(CADENCE[name])) * count for name, count in clients.items())
    found, wanted = load(weight, sum(clients.values()), 20, 40), row["expected"]
    assert found.weight == wanted["weighted_caseload"]
    assert found.within_standard == wanted["within_standard_20"]
    assert found.within_most == wanted["within_absolute_1_to_40"]


def test_an_override_and_its_end_complete_no_reassessment() -> None:
    """Only an evaluation does; what was owed before is owed after."""
    story = opened("complex-care").assess("low")
    story.do("agree-plan", **story.plan("education"))
    story.do("request-approval", subject="tier-override", tier="high")
    story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="y")
    until = (story.now + timedelta(days=5)).isoformat()
    story.do("override-risk-tier", tier="high", reason="r", until=until)
    story.do("report-significant-change", description="stroke")
    story.wait(days=6)
    assert "override-ended" in story.kinds
    assert story.known.stage == "assessment"
    assert story.known.reassessing_since is not None


def test_an_alert_that_a_programme_does_not_know_is_told_all_the_same_and_one_task_is_opened_once() -> None:
    plain_one = plain_story().accepted()
    plain_one.do("record-score", instrument="phq-9", version="2001", answers={"q9": 3})
    alert = next(e for e in plain_one.timeline if e.kind == "alert-raised")
    assert alert.data["told"] == ["cm-anna", "sup-1"]
    story = opened("complex-care")
    answers = {"q1": True, "q2": True, "q3": True, "q4": True, "q5": False, "q6": "never"}
    story.do("record-score", instrument="c-ssrs-screener", version="2008", answers=answers)
    assert [t.type for t in story.known.open_tasks].count("suicide-risk-assessment") == 1


def test_an_alert_on_the_total_does_not_wait_for_items_that_could_only_raise_it() -> None:
    """Seventeen points with the pulse missing are an emergency already; no total is made up."""
    tool = in_force().instrument("news2", "2017")
    found = score(tool, {"respiration": 30, "spo2": 80, "oxygen": True, "systolic": 80, "temperature": 34})
    assert (found.status, found.total) == ("cannot-score", None)
    assert {"urgent-review", "emergency-response"} <= set(found.alerts)


def test_a_value_that_is_given_is_kept_as_given_with_its_reason_and_bounded() -> None:
    story = ready()
    given = {"comorbidity": 1, "admissions": 0, "emergency-visits": 0, "medications": 3}
    assert story.refused("stratify-risk", given=given) == "ReasonMissing"
    for wrong in (-4, 1e308):
        assert (
            story.refused("stratify-risk", given={**given, "admissions": wrong}, reason="x") == "UnreadableCommand"
        )
    story.do("stratify-risk", given=given, reason="her practice, on the telephone")
    event: Any = next(e for e in story.timeline if e.kind == "risk-stratified").data
    assert event["reason"] == "her practice, on the telephone"
    assert [f["name"] for f in event["result"]["factors"] if f["given"]] == list(given)


def test_what_the_record_knows_is_not_replaced_without_the_approval_that_an_override_needs() -> None:
    """Metastasis and twelve drugs, and somebody gives zeros."""
    story = ready(
        conditions=[{"code": "C78.0", "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": "Metastasis"}],
        medications=[{"display": f"drug {n}"} for n in range(12)],
        encounters=[{"setting": "inpatient", "started_on": "2026-02-01"}],
    )
    nothing = {"comorbidity": 0, "medications": 0}
    assert story.refused("stratify-risk", given=nothing, reason="x") == "ApprovalMissing"
    story.do("stratify-risk", given={"emergency-visits": 0}, reason="the record says the same")
    assert story.known.risk is not None
    assert story.known.risk.tier == "high"


def test_what_is_not_known_makes_the_tier_a_least_one() -> None:
    """One condition can be read, another one is of another system: at least, never low for certain."""
    icd = {"code": "Z23", "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": "Vaccination"}
    snomed = {"code": "84114007", "system": "http://snomed.info/sct", "display": "Heart failure"}
    visits = [{"setting": "ambulatory", "started_on": "2026-02-01"}]
    story = ready(conditions=[icd, snomed], medications=[{"display": "a"}], encounters=visits)
    story.do("stratify-risk")
    assert story.known.risk is not None
    assert (story.known.risk.tier, story.known.risk.at_least) == ("low", True)
    story.do("record-score", instrument="charlson", version="2011", answers={})
    assert story.kinds[-1] != "alert-raised"
    scored_event: Any = next(e for e in reversed(story.timeline) if e.kind == "instrument-scored").data
    assert scored_event["result"].get("total") is None


def test_a_condition_is_read_by_all_of_its_codings() -> None:
    also = [{"code": "I50.9", "system": "http://hl7.org/fhir/sid/icd-10-cm"}]
    both = {"code": "84114007", "system": "http://snomed.info/sct", "display": "Heart failure", "also": also}
    visits = [{"setting": "ambulatory", "started_on": "2026-02-01"}]
    story = ready(conditions=[both], medications=[{"display": "a"}], encounters=visits)
    story.do("stratify-risk")
    result: Any = next(e for e in story.timeline if e.kind == "risk-stratified").data["result"]
    comorbidity = next(f for f in result["factors"] if f["name"] == "comorbidity")
    assert (comorbidity["value"], comorbidity["partly"]) == (2, False)


def test_stays_are_counted_and_not_messages() -> None:
    """One visit sent as visit and discharge, one stay of the referral and of the feed, one known by its end."""
    story = ready(
        conditions=[{"code": "Z23", "display": "Vaccination"}],
        medications=[{"display": "a"}],
        encounters=[{"setting": "inpatient", "started_on": "2026-02-20", "ended_on": "2026-02-22"}],
    )
    at = {"visit": "2026-02-10T10:00:00-05:00", "discharge": "2026-02-10T16:00:00-05:00"}
    for event, when in at.items():
        body = {"event_id": f"ed-{event}", "event": event, "setting": "emergency", "occurred_at": when}
        story.do("record-transition", **body)
    again = {"event_id": "a1", "event": "admission", "setting": "inpatient"}
    story.do("record-transition", **again, occurred_at="2026-02-20T09:00:00-05:00")
    other = {"event_id": "d7", "event": "discharge", "setting": "inpatient"}
    story.do("record-transition", **other, occurred_at="2026-01-15T09:00:00-05:00")
    story.do("stratify-risk")
    result: Any = next(e for e in story.timeline if e.kind == "risk-stratified").data["result"]
    factors = {f["name"]: f["value"] for f in result["factors"] if "value" in f}
    assert (factors["admissions"], factors["emergency-visits"]) == (2, 1)
