"""A case from referral to closure, and the refusals on the way."""

from datetime import date, timedelta

import pytest

from domain.programs.program import Stage
from domain.values import Actor, Role
from tests.story import ANNA, BETTER, MONDAY, plain_story, referral

INTEGRATOR = Actor(subject="ehr-1", role=Role.INTEGRATOR)


@pytest.mark.parametrize("program", ["complex-care", "medicaid-tcm", "demo"])
def test_a_case_walks_from_referral_to_closure_in_every_programme(program: str) -> None:
    """Six stages in order; the plan's last task opens follow-up, the outcome opens closure."""
    story = plain_story(program).followed_up()
    assert story.known.stage is Stage.FOLLOW_UP
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="doing well")
    story.do("evaluate-outcome", ratings=BETTER, summary="Walks again")
    story.do("close", reason="goals-met")
    assert story.known.closed
    assert not story.known.running
    entered = [e.data["stage"] for e in story.timeline if e.kind == "stage-entered"]
    assert entered == ["assessment", "planning", "implementation", "follow-up", "closure"]
    assert [e.seq for e in story.timeline] == list(range(1, len(story.timeline) + 1))


def test_a_dead_patient_a_minor_and_an_unknown_programme_are_refused() -> None:
    """Nobody opens a case for them; the refusal says why."""
    body = {"case_id": "c", "tenant": "local", "team": "north", "program": "complex-care"}
    assert plain_story().refused("open", **body, referral=referral(deceased=True)) == "PatientDeceased"
    assert plain_story().refused("open", **body, referral=referral(birth_date="2015-03-03")) == "NotEligible"
    assert plain_story().refused("open", **body, referral=referral(birth_date="2027-03-03")) == "NotEligible"
    nowhere = {**body, "program": "no-such-program"}
    assert plain_story().refused("open", **nowhere, referral=referral()) == "UnknownProgram"


def test_a_birthday_decides_eligibility_on_its_very_day() -> None:
    """Eighteen on the day of the referral is eighteen."""
    body = {"case_id": "c", "tenant": "local", "team": "north", "program": "complex-care"}
    assert plain_story().refused("open", **body, referral=referral(birth_date="2008-03-03")) == "NotEligible"
    plain_story().do("open", **body, referral=referral(birth_date="2008-03-02"))


def test_screening_waits_for_consent_and_a_decline_needs_a_reason_of_the_programme() -> None:
    """Declined is closed, with the reason."""
    story = plain_story().open()
    assert story.refused("complete-screening", accepted=True) == "ConsentMissing"
    assert story.refused("complete-screening", accepted=False) == "UnknownReason"
    assert story.refused("complete-screening", accepted=False, reason="goals-met") == "UnknownReason"
    story.do("complete-screening", accepted=False, reason="not-interested")
    assert story.known.closure is not None
    assert story.known.closure.reason == "not-interested"


def test_commands_of_another_stage_are_refused() -> None:
    """Nobody plans before the assessment or screens twice."""
    story = plain_story().accepted()
    assert story.refused("complete-screening", accepted=True) == "WrongStage"
    assert story.refused("agree-plan", **story.plan("education")) == "WrongStage"
    assert story.refused("evaluate-outcome", ratings=BETTER, summary="x") == "WrongStage"


def test_the_tier_is_refused_until_the_assessment_is_complete_and_says_what_is_missing() -> None:
    """Risk evaluation is the exit condition of assessment; sections may come in several sittings."""
    story = plain_story().accepted()
    story.do(
        "record-assessment",
        sections=[{"name": "health-status", "assessed_on": "2026-03-01", "findings": "frail"}],
    )
    outcome = story.send("set-risk-tier", tier="high", reasons=["frail"]).outcome
    assert outcome.error == "AssessmentIncomplete"
    assert "section daily-living" in outcome.missing
    assert "section health-status" not in outcome.missing
    assert "section self-management" not in outcome.missing
    assert "baseline of the three outcome domains" in outcome.missing


def test_an_unknown_section_or_one_dated_tomorrow_is_refused() -> None:
    """Even when it is tomorrow already in UTC: the day is the programme's own."""
    story = plain_story().accepted()
    section = {"name": "health-status", "assessed_on": "2026-03-03", "findings": "x"}
    assert story.refused("record-assessment", sections=[section]) == "NotYetHappened"
    assert story.refused("record-assessment", sections=[{**section, "name": "mood"}]) == "UnknownSection"


def test_a_plan_needs_smart_goals_and_known_interventions() -> None:
    """Measure, target and a due date after today."""
    story = plain_story().assessed()
    plan = story.plan("education")
    late = {**plan["goals"][0], "due_on": str(MONDAY.date())}
    vague = {k: v for k, v in plan["goals"][0].items() if k != "measure"}
    assert story.refused("agree-plan", **{**plan, "goals": [late]}) == "GoalNotSmart"
    assert story.refused("agree-plan", **{**plan, "goals": [vague]}) == "UnreadableCommand"
    assert story.refused("agree-plan", **story.plan("juggling")) == "UnknownTaskType"
    assert story.refused("revise-plan", **plan, reason="new need") == "NoPlanYet"


def test_a_revised_plan_goes_back_to_planning_and_keeps_its_versions() -> None:
    """From follow-up the case returns to planning and implements the new interventions."""
    story = plain_story().followed_up()
    assert story.refused("agree-plan", **story.plan("education")) == "WrongStage"
    story.do("revise-plan", **story.plan("benefits-help"), reason="lost coverage")
    assert story.known.stage is Stage.IMPLEMENTATION
    assert story.known.plan is not None
    assert story.known.plan.version == 2
    assert [t.type for t in story.known.open_tasks] == ["benefits-help"]


def test_closing_is_refused_with_a_list_of_what_is_open() -> None:
    """A person who died is never refused: what was open ends with the case."""
    story = plain_story().planned("education", "benefits-help")
    outcome = story.send("close", reason="goals-met").outcome
    tasks = tuple(f"task {t.id}" for t in story.known.open_tasks)
    assert (outcome.error, outcome.missing) == ("StillOpen", ("outcome evaluation", *tasks))
    assert story.refused("close", reason="bored") == "UnknownClosureReason"
    story.do("close", reason="died")
    assert not story.known.running
    assert not story.known.open_tasks


def test_a_closed_case_is_reopened_within_its_window_and_sealed_after() -> None:
    """Reopening is a command like any other; when the window is over the case is sealed."""
    story = plain_story().followed_up()
    story.do("close", reason="moved")
    assert story.refused("log-contact", mode="letter", party="patient", reached=False, outcome="x") == "CaseClosed"
    story.wait(days=29)
    story.do("reopen-case", reason="came back")
    assert story.known.stage is Stage.FOLLOW_UP
    assert sorted(c.kind for c in story.known.running) == ["contact", "reassessment"]
    assert story.refused("reopen-case", reason="again") == "NotClosed"
    story.do("close", reason="moved")
    story.wait(days=31)
    assert story.known.sealed
    assert story.refused("reopen-case", reason="too late") == "CaseSealed"
    assert story.refused("add-note", text="too late") == "CaseSealed"
    assert story.wake_at() is None


def test_closing_and_reopening_puts_no_contact_and_no_review_off() -> None:
    """The days that the case was closed do not count, those before do; however often it is done."""
    story = plain_story().followed_up("high")
    story.wait(days=4)
    due = {c.kind: c.due_at for c in story.known.running}
    for days in (2, 3):
        story.do("close", reason="moved")
        story.wait(days=days)
        story.do("reopen-case", reason="closed by mistake")
    assert {c.kind: c.due_at - due[c.kind] for c in story.known.running} == dict.fromkeys(due, timedelta(days=5))


def test_a_contact_missed_before_the_closure_is_promised_from_the_reopening() -> None:
    story = plain_story().followed_up("high")
    story.wait(days=9)
    [missed] = [c for c in story.known.running if c.missed_at]
    story.do("acknowledge-escalation", escalation_id=missed.escalation_id)
    story.do("close", reason="moved")
    story.do("reopen-case", reason="closed by mistake")
    [contact] = [c for c in story.known.running if c.kind == "contact"]
    assert contact.missed_at is None


def test_outcomes_are_held_against_the_baseline() -> None:
    """Points gained and lost, domain by domain."""
    story = plain_story().followed_up()
    story.do("evaluate-outcome", ratings=BETTER, summary="better")
    event = next(e for e in story.timeline if e.kind == "outcome-evaluated")
    assert event.data["change"] == {"well_being": 4, "finances": 0, "appropriate_care": 3}


def test_reassessment_is_due_after_a_year_and_opens_thirty_days_before() -> None:
    """Both ways lead to the same step: the year, and a significant change."""
    story = plain_story().followed_up("low")
    clock = next(c for c in story.known.running if c.kind == "reassessment")
    assert clock.due_at.astimezone(clock.tz).date() == date(2027, 3, 2)
    story.wait(days=336)
    assert story.known.stage is Stage.ASSESSMENT
    assert "reassessment-opened" in story.kinds
    assert story.refused("set-risk-tier", tier="low", reasons=["as before"]) == "AssessmentIncomplete"
    story.assess("moderate")
    assert "stage-entered" in story.kinds[-3:]
    assert any(c.kind == "contact" for c in story.known.running)
    renewed = next(c for c in story.known.running if c.kind == "reassessment")
    assert renewed.due_at > clock.due_at


def test_a_significant_change_opens_the_reassessment_at_once_and_only_once() -> None:
    """An EHR feed may report it; the routine yearly clock gives way to the urgent one."""
    story = plain_story().followed_up()
    story.do("report-significant-change", actor=INTEGRATOR, description="stroke")
    assert story.known.stage is Stage.ASSESSMENT
    assert story.refused("report-significant-change", description="and a fall") == "ReassessmentOpen"
    clocks = [c for c in story.known.running if c.kind == "reassessment"]
    assert len(clocks) == 1
    assert (clocks[0].due_at - story.now).days == 14


def test_a_change_while_closing_takes_the_case_back_and_asks_for_a_new_outcome() -> None:
    """Nobody closes on an outcome from before the fall; the contact cadence is promised again."""
    story = plain_story().followed_up()
    story.do("evaluate-outcome", ratings=BETTER, summary="better")
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    assert not any(c.kind == "contact" for c in story.known.running)
    story.do("report-significant-change", description="fell")
    assert any(c.kind == "contact" for c in story.known.running)
    story.wait(days=1)
    story.assess("low").do("revise-plan", **story.plan("education"), reason="fell")
    story.do("complete-task", task_id=story.known.open_tasks[0].id)
    assert story.send("close", reason="goals-met").outcome.missing == ("outcome evaluation",)


def test_unknown_fields_kinds_and_naive_dates_are_refused_by_name() -> None:
    """The refusal names fields and faults, never what was sent."""
    story = plain_story().planned()
    outcome = story.send("complete-task", task_id="t9", colour="SECRET-VALUE").outcome
    assert outcome.error == "UnreadableCommand"
    assert outcome.invalid
    assert "SECRET" not in str(outcome)
    assert story.refused("juggle") == "UnknownCommand"
    naive = {"mode": "video", "party": "patient", "reached": True, "outcome": "x"}
    assert story.refused("log-contact", **naive, occurred_at="2026-03-02T10:00:00") == "UnreadableCommand"
    assert story.refused("log-contact", **naive, occurred_at="2031-03-02T10:00:00Z") == "NotYetHappened"


def test_a_case_that_moved_on_refuses_a_sender_who_saw_an_older_one() -> None:
    """If-Match, kept by the case itself."""
    from domain.case.command import Envelope, Moment
    from domain.decide import decide
    from tests.story import in_force

    story = plain_story().accepted()
    late = Envelope(
        command_id="x", kind="add-note", body={"text": "n"}, actor=ANNA, expected_seq=story.known.seq - 1
    )
    decision = decide(late, story.case, Moment(story.now, in_force(), story.staff))
    assert decision.outcome.error == "CaseChanged"


@pytest.mark.parametrize("text", ["a\x00b", "bell\x07", "\ud800", " ", "x" * 4001])
def test_text_that_a_database_or_a_terminal_cannot_hold_is_refused(text: str) -> None:
    """PostgreSQL stores no NUL: one such note would have kept a case off the record for ever."""
    assert plain_story().accepted().refused("add-note", text=text) == "UnreadableCommand"
    plain_story().accepted().do("add-note", text="two lines\nand a tab\t, Žofia 漢字 🙂")


def test_a_case_whose_programme_version_is_gone_is_a_fault_of_ours_not_a_refusal() -> None:
    """Its commands are set aside until the file is back; nobody is told that the request was wrong."""
    from domain.case.command import Envelope, Moment
    from domain.decide import decide
    from domain.programs.rulebook import ProgramMissing, Rulebook

    story = plain_story().accepted()
    empty = Rulebook(programs=(), calendars=(), policy=story.rulebook.policy)
    envelope = Envelope(
        command_id="x",
        kind="record-assessment",
        body={"sections": [{"name": "health-status", "assessed_on": "2026-03-01", "findings": "x"}]},
        actor=ANNA,
    )
    with pytest.raises(ProgramMissing):
        decide(envelope, story.case, Moment(story.now, empty, story.staff))
