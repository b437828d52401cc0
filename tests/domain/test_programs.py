"""Every programme of the catalogue walks a person from referral to closure, and asks for what its model wants."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.programs.program import Program, Stage
from domain.programs.rulebook import Rulebook, UnknownProgram
from domain.simulation import moves
from tests.story import FORMS, MONDAY, SAM, TOOLS, Story, in_force, referral, whole_catalogue

NAMES = sorted({p.program for p in whole_catalogue().programs})


def opened(program: str, rules: Rulebook | None = None, **more: Any) -> Story:
    story = Story(program, rulebook=rules)
    story.open(**{**somebody(story.rulebook.latest(program)), **more})
    story.do("record-consent", form="verbal")
    story.do("complete-screening", **moves.screen(story.rules))
    return story


def somebody(program: Program) -> dict[str, Any]:
    """A person whom the programme takes, and the target group."""
    rules, groups = program.eligibility, program.target_groups
    for age in (75, 40, 10, 3):
        fitting = [name for name, group in groups.items() if group.minimum_age <= age <= group.maximum_age]
        eligible = (rules.minimum_age or 0) <= age <= (rules.maximum_age or 130)
        if eligible and (fitting or not groups):
            group = {"target_group": fitting[0]} if fitting else {}
            return {"referral": referral(birth_date=f"{MONDAY.year - 1 - age}-05-05"), **group}
    raise AssertionError(f"nobody is taken by {program.program}")


def do_all_tasks(story: Story) -> None:
    """Complete the tasks of the plan; who has no licence for one has it cancelled with a reason."""
    while any(task.repeat is None for task in story.known.open_tasks):
        task = next(t for t in story.known.open_tasks if t.repeat is None)
        if story.send("complete-task", task_id=task.id).outcome.status != "applied":
            story.do("cancel-task", task_id=task.id, reason="done by a clinician outside")
    for task in story.known.open_tasks:
        story.do("cancel-task", task_id=task.id, reason="no longer needed")


@pytest.mark.parametrize("program", NAMES)
@pytest.mark.parametrize("tier", ["high", "moderate", "low"])
def test_every_programme_walks_a_person_from_referral_to_closure(program: str, tier: str) -> None:
    """Six stages in order, with everything that its closure for reached goals asks for."""
    story = opened(program, whole_catalogue()).assess(tier)
    assert story.known.risk is not None
    assert story.known.risk.tier == tier or story.rules["stratification"] is None
    story.do("agree-plan", **story.plan())
    for approval in story.known.approvals:
        story.do("decide-approval", actor=SAM, approval_id=approval.id, approve=True, comment="fits")
    do_all_tasks(story)
    assert story.known.stage is Stage.FOLLOW_UP
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="well", minutes=20)
    story.ready_to_close()
    story.do("close", reason="goals-met", note="Goals reached; primary care goes on")
    assert story.known.closed
    assert not story.known.running
    entered = [e.data["stage"] for e in story.timeline if e.kind == "stage-entered"]
    assert entered == ["assessment", "planning", "implementation", "follow-up", "closure"]


@pytest.mark.parametrize("name", [f"{p.program}-{p.version}" for p in whole_catalogue().programs])
def test_every_clock_of_a_programme_says_where_its_number_comes_from(name: str) -> None:
    """A source for each, and a ladder that tells somebody after the deadline."""
    program = next(p for p in whole_catalogue().programs if f"{p.program}-{p.version}" == name)
    assert all(policy.source for policy in program.policies.values())
    assert {policy.ladder for policy in program.policies.values()} <= set(program.ladders)


def test_a_clinical_programme_wants_a_visit_before_the_plan() -> None:
    """Brokerage wants a referral, and strengths-based strengths."""
    story = opened("complex-care")
    for kind, body in moves.assess(story.rules, TOOLS, FORMS, story.today, "high", ["r"]):
        if kind != "log-contact":
            story.do(kind, **body)
    assert story.refused("agree-plan", **story.plan()) == "VisitMissing"
    story.do("log-contact", mode="video", party="caregiver", reached=True, outcome="her daughter")
    assert story.refused("agree-plan", **story.plan()) == "VisitMissing"
    story.do("log-contact", mode="video", party="patient", reached=True, outcome="seen")
    story.do("agree-plan", **story.plan())
    broker = opened("medicaid-tcm").assess()
    only = {**broker.plan("arrange-transport"), "interventions": [{"task": "arrange-transport"}]}
    assert broker.refused("agree-plan", **only) == "ReferralMissing"
    strong = opened("reintegration").assess()
    assert strong.refused("agree-plan", **{**strong.plan(), "strengths": []}) == "StrengthsMissing"


def test_target_groups_are_chosen_by_age_or_named() -> None:
    """A child and an older adult have one group; an adult has two and names one; a wrong one is refused."""
    body = {"case_id": "c", "tenant": "local", "team": "north", "program": "medicaid-tcm"}
    child = Story()
    child.do("open", **body, referral=referral(birth_date="2015-03-03"))
    assert child.known.target_group == "children-and-adolescents"
    adult = {**body, "referral": referral(birth_date="1990-01-01")}
    assert Story().refused("open", **adult) == "TargetGroupMissing"
    assert Story().refused("open", **adult, target_group="older-adults") == "NotEligible"
    Story().do("open", **adult, target_group="disabilities")


def test_sections_are_asked_by_age_and_group() -> None:
    """Five domains for older adults, the twelve elements for everybody in complex care."""
    young = opened("complex-care", referral=referral(birth_date="1990-01-01"))
    outcome = young.send("stratify-risk").outcome
    assert sum(line.startswith("section") for line in outcome.missing) == 12
    old = opened("complex-care")
    assert sum(line.startswith("section") for line in old.send("stratify-risk").outcome.missing) == 14
    elder = opened("medicaid-tcm")
    missing = elder.send("set-risk-tier", tier="low", reasons=["r"]).outcome.missing
    sections = {line.removeprefix("section ") for line in missing if line.startswith("section")}
    assert {"medical", "environmental", "financial", "legal", "social"} <= sections
    assert "educational" not in sections


def test_work_in_progress_is_kept_and_does_not_count_as_complete() -> None:
    """A section that is begun is on record with its author, and still missing."""
    story = opened("complex-care")
    begun = {"name": "legal", "assessed_on": str(story.today), "findings": "asked her son", "complete": False}
    story.do("record-assessment", sections=[begun])
    assert "section legal" in story.send("stratify-risk").outcome.missing
    assert story.known.sections[0].author == "cm-anna"


def test_the_days_of_notice_are_waited_for_and_a_summary_is_asked_for() -> None:
    """Closing says everything that is open, in one list."""
    story = opened("complex-care").assess("low")
    story.do("agree-plan", **story.plan("education"))
    do_all_tasks(story)
    missing = story.send("close", reason="goals-met").outcome.missing
    assert set(missing) >= {
        "outcome evaluation",
        "signature of the patient",
        "notice to the person, and its days",
        "satisfaction survey",
        "approval of the closure",
    }
    story.ready_to_close()
    assert story.refused("close", reason="goals-met") == "SummaryMissing"
    story.do("close", reason="goals-met", note="done")


def test_a_version_is_in_force_from_its_local_day_on_and_cases_before_it_open_under_the_one_before() -> None:
    """The first of January begins in New York, and not in London."""
    old = in_force().latest("transitions")
    kept = {name: getattr(old, name) for name in Program.model_fields}
    new = Program.model_validate({**kept, "version": 2, "effective_from": "2027-01-01"})
    book = in_force().changed(programs=(*in_force().programs, new))
    before, after = datetime(2027, 1, 1, 4, 59, tzinfo=UTC), datetime(2027, 1, 1, 5, 0, tzinfo=UTC)
    assert (book.latest("transitions", before).version, book.latest("transitions", after).version) == (1, 2)
    assert book.latest("transitions").version == 2
    assert Story("transitions", now=before, rulebook=book).open().known.program_version == 1
    assert Story("transitions", now=after, rulebook=book).open().known.program_version == 2
    alone = book.changed(programs=(new,))
    with pytest.raises(UnknownProgram, match="in force from 2027-01-01 on"):
        alone.latest("transitions", before)
