"""The parts of a plan keep their ids over all versions, name one another, and lead to work that goes on."""

from datetime import timedelta
from typing import Any

import pytest

from domain.case.case import Task
from domain.case.event import Event
from domain.case.plan_parts import Plan
from domain.promises.keeping import keeping
from tests.domain.test_programs import opened
from tests.story import SAM, Story


def agreed(**more: Any) -> Story:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **whole(story, **more))
    return story


def whole(story: Story, **more: Any) -> dict[str, Any]:
    """A plan with parts that name one another."""
    return {
        "problems": [{"id": "hf", "description": "Heart failure", "code": "I50.9"}],
        "goals": [{**story.plan()["goals"][0], "id": "walk", "problems": ["hf"]}],
        "interventions": [
            {"id": "teach", "task": "education", "goals": ["walk"]},
            {"task": "follow-up-call", "after": ["teach"]},
            {"id": "weigh", "kind": "self-care", "title": "Weighs herself", "frequency": "every morning"},
        ],
        "strengths": ["A daughter nearby"],
        **more,
    }


def plan_of(story: Story) -> Plan:
    assert story.known.plan is not None
    return story.known.plan


def tasks(story: Story) -> dict[str, Task]:
    return {t.intervention: t for t in story.known.open_tasks if t.intervention}


def as_it_stands(story: Story, *left_out: str) -> dict[str, Any]:
    """The plan as a sender reads it and sends it back, without some parts."""
    body = plan_of(story).model_dump(mode="json", exclude={"version", "numbered"}, exclude_none=True)
    return {
        name: [part for part in parts if isinstance(part, str) or part["id"] not in left_out]
        for name, parts in body.items()
    }


def test_parts_without_an_id_get_one_and_a_strength_may_be_a_line_alone() -> None:
    plan = plan_of(agreed())
    assert [i.id for i in plan.interventions] == ["teach", "i1", "weigh"]
    assert [(s.id, s.description) for s in plan.strengths] == [("s1", "A daughter nearby")]


def test_an_intervention_that_comes_after_another_waits_for_its_task() -> None:
    story = agreed()
    first, second = tasks(story)["teach"], tasks(story)["i1"]
    assert second.after == (first.id,)
    story.do("complete-task", task_id=first.id, result="she can say it back")
    assert plan_of(story).part("interventions", "teach").status == "achieved"


def test_what_a_new_version_takes_over_goes_on_with_the_task_and_the_progress_it_has() -> None:
    """Its clock runs on; what is left out is given up; what is new gets an id that no part ever had."""
    story = agreed()
    story.do("record-goal-progress", goal="walk", achievement="improving", note="to the corner")
    before = tasks(story)
    body = as_it_stands(story, "i1")
    body["interventions"].append({"task": "medication-review"})
    for goal in body["goals"]:
        del goal["achievement"]  # a sender who does not say how it goes does not make it begin anew
    story.do("revise-plan", **body, reason="she has new tablets")
    plan = plan_of(story)
    assert (plan.version, plan.goals[0].achievement) == (2, "improving")
    assert [i.id for i in plan.interventions] == ["teach", "weigh", "i2"]
    assert tasks(story)["teach"] == before["teach"]
    cancelled = [e.data for e in story.timeline if e.kind == "task-cancelled"]
    assert cancelled == [{"task_id": before["i1"].id, "reason": "no longer in the plan"}]
    story.do("revise-plan", **as_it_stands(story, "i2"), reason="done otherwise")
    body = as_it_stands(story)
    body["interventions"].append({"task": "medication-review"})
    story.do("revise-plan", **body, reason="again")
    assert [i.id for i in plan_of(story).interventions] == ["teach", "weigh", "i3"]


def test_a_task_that_waited_for_one_that_is_given_up_has_its_time_from_then_on() -> None:
    story = agreed()
    body = as_it_stands(story, "teach")
    body["interventions"][0]["after"] = []
    story.do("revise-plan", **body, reason="she has learnt it elsewhere")
    clock = story.known.clock(tasks(story)["i1"].clock_id)
    assert clock is not None
    assert (clock.pause, clock.next_at is not None) == (None, True)


def test_what_is_other_work_under_the_same_id_is_a_new_task_and_what_has_another_order_waits() -> None:
    """Title, person and order change the task that there is; its type, its day and its repetition make another."""
    story = agreed()
    before = tasks(story)
    day = str(story.today + timedelta(days=3))
    body = as_it_stands(story)
    body["interventions"][0] |= {"task": "medication-review", "due_on": day}
    body["interventions"][1] |= {"after": [], "title": "Call her", "responsible": SAM.subject}
    story.do("revise-plan", **body, reason="x")
    teach, call = tasks(story)["teach"], tasks(story)["i1"]
    assert (teach.type, teach.id != before["teach"].id) == ("medication-review", True)
    clock = story.known.clock(teach.clock_id)
    assert clock is not None
    assert str(clock.due_at.astimezone(clock.tz).date()) == day
    assert (call.id, call.title, call.assignee, call.after) == (before["i1"].id, "Call her", SAM.subject, ())
    assert plan_of(story).part("interventions", "teach").status == "planned"
    body["interventions"][1] |= {"after": ["teach"]}
    story.do("revise-plan", **body, reason="y")
    waiting = story.known.clock(call.clock_id)
    assert waiting is not None
    assert waiting.pause is not None


def test_an_id_that_a_sender_chose_is_not_given_to_another_part() -> None:
    story = opened("complex-care").assess("high")
    body = whole(story)
    body["interventions"] = [{"id": "i1", "task": "education"}, {"id": "i2", "task": "follow-up-call"}]
    story.do("agree-plan", **body)
    again = as_it_stands(story, "i2")
    again["interventions"].append({"task": "medication-review"})
    story.do("revise-plan", **again, reason="x")
    assert {name: task.type for name, task in tasks(story).items()} == {
        "i1": "education",
        "i3": "medication-review",
    }


def test_a_day_that_a_part_has_is_kept_when_it_is_looked_at_and_late_while_nobody_has() -> None:
    """A review of the plan keeps what is due; another change of the text makes nothing late begin anew."""
    story = opened("complex-care").assess("high")
    near, far = (str(story.today + timedelta(days=days)) for days in (10, 100))
    barriers = [
        {"id": "car", "description": "no car", "response": "rides", "review_on": near},
        {"id": "stairs", "description": "stairs", "response": "a rail", "review_on": far},
    ]
    story.do("agree-plan", **whole(story, barriers=barriers))
    story.do("review-plan", note="holds")

    def days() -> dict[str | None, bool]:
        known = story.known.running
        return {c.about: c.missed_at is not None for c in known if "barrier" in (c.about or "")}

    assert days() == {"plan/barrier/car": False, "plan/barrier/stairs": False}
    story.wait(days=12)
    late = {"plan/barrier/car": True, "plan/barrier/stairs": False}
    assert days() == late
    story.do("amend-plan", preferences=["Mornings"])
    assert days() == late
    story.do("revise-plan", **as_it_stands(story), reason="x")
    assert days() == late
    story.do("review-plan", note="she has rides")
    assert days() == {"plan/barrier/stairs": False}
    story.do("amend-plan", preferences=["Evenings"])
    assert days() == {"plan/barrier/stairs": False}


def test_what_came_of_an_intervention_that_was_done_stays_in_the_next_version() -> None:
    story = agreed()
    story.do("complete-task", task_id=tasks(story)["teach"].id)
    story.do("record-intervention", intervention="teach", status="partly", note="two of three signs")
    story.do("revise-plan", **as_it_stands(story), reason="x")
    assert plan_of(story).part("interventions", "teach").status == "partly"
    assert "teach" not in tasks(story), "what is over is not to be done again"


def test_what_a_person_does_herself_is_asked_about_on_its_day_and_has_an_outcome() -> None:
    story = opened("complex-care").assess("high")
    body = whole(story)
    body["interventions"][2]["due_on"] = str(story.today + timedelta(days=10))
    story.do("agree-plan", **body)
    [clock] = [c for c in story.known.running if c.about == "plan/intervention/weigh"]
    assert clock.due_at.astimezone(clock.tz).date() == story.today + timedelta(days=10)
    story.wait(days=2)
    asked = keeping(clock.kind, clock.about)
    assert asked is not None
    assert (asked.command, asked.body) == ("record-intervention", {"intervention": "weigh"})
    story.do("record-intervention", intervention="weigh", status="in-progress", note="on most days")
    assert any(c.id == clock.id for c in story.known.running)
    story.do("record-intervention", intervention="weigh", status="achieved")
    assert all(c.id != clock.id for c in story.known.running)
    assert story.refused("record-intervention", intervention="teach", status="achieved") == "DoneByItsTask"
    assert story.refused("record-intervention", intervention="nothing", status="achieved") == "UnknownIntervention"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"problems": []}, "BrokenLink"),
        ({"interventions": [{"task": "education", "goals": ["run"]}]}, "BrokenLink"),
        (
            {"interventions": [{"task": "education", "after": ["b"]}, {"id": "b", "task": "education"}]},
            "BrokenLink",
        ),
        ({"interventions": [{"id": "a", "task": "education"}, {"id": "a", "task": "education"}]}, "GivenTwice"),
        ({"interventions": [{"title": "Help"}]}, "InterventionIncomplete"),
        ({"interventions": [{"kind": "resource"}]}, "InterventionIncomplete"),
        ({"interventions": [{"task": "education", "due_on": "2026-03-01"}]}, "DayInThePast"),
        ({"barriers": [{"description": "x", "response": "y", "goals": ["fly"]}]}, "BrokenLink"),
    ],
)
def test_a_plan_whose_parts_do_not_fit_is_refused_by_name(changed: dict[str, Any], code: str) -> None:
    story = opened("complex-care").assess("high")
    assert story.refused("agree-plan", **whole(story, **changed)) == code


def test_a_reassessment_that_changes_nothing_leaves_version_and_signatures_as_they_are() -> None:
    story = agreed()
    story.do("sign-plan", signer="patient")
    story.do("sign-plan", signer="case-manager")
    for task in story.known.open_tasks:
        story.do("complete-task", task_id=task.id)
    story.do("report-significant-change", description="A fall")
    story.do("review-plan", note="still fits while we look")
    story.assess("high")
    assert story.known.stage == "planning"
    signed = story.known.signatures
    story.do("review-plan", note="nothing has changed for the plan")
    assert (story.known.stage, plan_of(story).version, story.known.signatures) == ("follow-up", 1, signed)


def test_a_plan_that_was_written_before_parts_had_ids_is_read_and_revised() -> None:
    """So it stands in timelines of 0.4: problems and strengths as lines, goals by their place."""
    old = {
        "version": 1,
        "goals": [{"description": "Walk", "measure": "days", "target": "3", "due_on": "2026-06-30"}],
        "interventions": [{"task": "education"}],
        "strengths": ["Patient"],
        "problems": ["Heart failure"],
    }
    story = agreed()
    case = Event.kinds["plan-agreed"].model_validate({"plan": old}).apply(story.known, story.now)
    progress = Event.kinds["goal-progressed"].model_validate({"goal": 1, "achievement": "improving"})
    case = progress.apply(case, story.now)
    assert case.plan is not None
    assert (case.plan.goals[0].achievement, case.plan.problems[0].description) == ("improving", "Heart failure")
    assert type(case).model_validate_json(case.model_dump_json()) == case
    story.case = case
    story.do("record-goal-progress", goal="g1", achievement="achieved", note="reads by its place")
    again = {"goals": [{**old["goals"][0]}], "interventions": [{"task": "education"}]}  # type: ignore[index]
    story.do("revise-plan", **again, reason="x")
    assert [g.id for g in plan_of(story).goals] == ["g2"], "what has no id is new"


def test_a_template_makes_a_plan_in_one_command_with_days_that_count_from_today() -> None:
    story = opened("chronic-care").assess("high")
    story.do("apply-plan-template", template="heart-failure", strengths=["Never misses a day"])
    plan = plan_of(story)
    assert [g.id for g in plan.goals] == ["steady-weight", "no-admission"]
    assert plan.goals[0].due_on == story.today + timedelta(days=90)
    assert tasks(story)["teach-warning-signs"].title == "Teach the warning signs, with teach-back"
    assert tasks(story)["call-after-teaching"].after == (tasks(story)["teach-warning-signs"].id,)
    assert {c.about for c in story.known.running} >= {"plan/intervention/weigh-daily", "plan/intervention/scale"}


def test_what_is_chosen_of_a_template_is_added_to_the_plan_that_is_there_and_never_twice() -> None:
    story = opened("chronic-care").assess("high")
    story.do("apply-plan-template", template="heart-failure", choose=["steady-weight", "weigh-daily"])
    assert [i.id for i in plan_of(story).interventions] == ["weigh-daily"]
    before = plan_of(story).interventions[0]
    story.do("apply-plan-template", template="heart-failure", choose=["steady-weight", "weigh-daily", "scale"])
    plan = plan_of(story)
    assert (plan.version, [i.id for i in plan.interventions]) == (2, ["weigh-daily", "scale"])
    assert plan.interventions[0] == before
    assert [p.id for p in plan.problems] == ["heart-failure"]
    again = {
        "template": "heart-failure",
        "choose": ["steady-weight", "weigh-daily"],
        "strengths": ["Never misses"],
    }
    assert story.refused("apply-plan-template", **again) == "NothingToAdd"


def test_a_template_that_does_not_fit_into_the_plan_is_refused_by_name() -> None:
    story = opened("chronic-care").assess("high")
    body = whole(story, goals=[{**story.plan()["goals"][0], "id": f"own{n}"} for n in range(49)])
    body["interventions"] = [{"task": "education"}]
    story.do("agree-plan", **{**body, "problems": []})
    assert story.refused("apply-plan-template", template="heart-failure") == "PlanFull"


def test_a_template_or_a_part_that_there_is_not_is_refused_with_those_there_are() -> None:
    story = opened("chronic-care").assess("high")
    outcome = story.send("apply-plan-template", template="gout").outcome
    assert (outcome.error, outcome.detail) == ("UnknownPlanTemplate", "choose from: heart-failure, diabetes")
    assert story.refused("apply-plan-template", template="diabetes", choose=["fly"]) == "UnknownPlanTemplate"
    little = {"template": "diabetes", "choose": ["eye-examination"]}
    assert story.refused("apply-plan-template", **little) == "TooLittleChosen"
