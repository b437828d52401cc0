"""After a plan is agreed: goals move, it is signed, locked, reviewed, amended and made anew."""

from datetime import timedelta

from tests.domain.test_programs import opened
from tests.story import SAM, Story


def agreed(program: str = "complex-care") -> Story:
    story = opened(program).assess("high")
    story.do("agree-plan", **story.plan("education"))
    return story


def kinds(story: Story) -> list[str]:
    return [c.kind for c in story.known.running]


def test_a_plan_is_amended_until_somebody_signs_and_then_a_change_is_a_new_version() -> None:
    story = agreed()
    barrier = {"description": "stairs", "response": "bed downstairs", "options": ["ramp", "bed downstairs"]}
    story.do("amend-plan", barriers=[{**barrier, "review_on": str(story.today + timedelta(days=30))}])
    assert story.known.plan is not None
    assert (story.known.plan.version, story.known.plan.barriers[0].options) == (1, ("ramp", "bed downstairs"))
    story.do("sign-plan", signer="patient")
    assert story.refused("amend-plan", strengths=["x"]) == "PlanLocked"
    assert story.refused("sign-plan", signer="patient") == "AlreadySigned"
    assert story.refused("sign-plan", signer="provider") == "SignatureNotAsked"
    story.do("revise-plan", **story.plan("education"), reason="changed")
    assert story.known.plan is not None
    assert (story.known.plan.version, story.known.signatures) == (2, ())
    story.do("amend-plan", strengths=["a daughter nearby"])


def test_signatures_have_a_deadline_and_expire() -> None:
    """With the last one the promise is kept, and the next one asks for them again in a year."""
    story = agreed()
    assert kinds(story).count("signature") == 1
    story.do("sign-plan", signer="patient")
    story.do("sign-plan", signer="case-manager")
    (again,) = [c for c in story.known.running if c.kind == "signature"]
    assert str(again.budget) == "12 months"
    story.wait(days=340)
    story.do("sign-plan", signer="patient")
    story.do("sign-plan", signer="case-manager")
    kept = next(e for e in story.timeline if e.kind == "clock-kept" and e.data["clock_id"] == again.id)
    assert kept.data["late_by"] == 0
    story.wait(days=367)
    assert any(c.kind == "signature" and c.missed_at for c in story.known.running)


def test_a_goal_that_is_reached_brings_the_review_forward() -> None:
    story = agreed()
    story.do("record-goal-progress", goal="g1", achievement="improving")
    story.do("record-goal-progress", goal="g1", achievement="achieved", note="three months at home")
    (review,) = [c for c in story.known.running if c.kind == "plan-review"]
    assert str(review.budget) == "10 business days"
    assert story.refused("record-goal-progress", goal="g2", achievement="achieved") == "UnknownGoal"
    story.do("review-plan", note="one goal reached, no new needs")
    (review,) = [c for c in story.known.running if c.kind == "plan-review"]
    assert str(review.budget) == "90 calendar days"


def test_a_barrier_is_looked_at_again_on_its_day() -> None:
    story = opened("complex-care").assess("high")
    day = story.today + timedelta(days=30)
    barriers = [{"description": "no car", "response": "rides", "review_on": str(day)}]
    story.do("agree-plan", **{**story.plan("education"), "barriers": barriers})
    (clock,) = [c for c in story.known.running if c.kind == "review"]
    assert clock.due_at.astimezone(clock.tz).date() == day
    late = [{"description": "no car", "response": "rides", "review_on": str(story.today)}]
    assert (
        story.refused("revise-plan", **{**story.plan("education"), "barriers": late}, reason="r") == "DayInThePast"
    )


def test_a_plan_that_needs_an_approval_is_not_in_force_before() -> None:
    """No task, no signature, no review, no cadence until then; the case waits in planning."""
    story = agreed("behavioral-health")
    assert (story.known.stage, story.known.plan) == ("planning", None)
    assert not {"contact", "signature", "plan-review"} & set(kinds(story))
    assert not [t for t in story.known.open_tasks if t.from_plan]
    (approval,) = story.known.approvals
    story.do("decide-approval", actor=SAM, approval_id=approval.id, approve=True, comment="fits")
    assert (story.known.stage, story.known.proposed) == ("implementation", None)
    assert [t.type for t in story.known.open_tasks if t.from_plan] == ["education"]
    assert "plan-review" in kinds(story)


def test_until_a_revision_is_approved_the_plan_before_goes_on() -> None:
    """Rejected, it is as if it had never been proposed; proposed anew, the first proposal is gone."""
    story = agreed("behavioral-health")
    story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="x")
    before = story.known.plan
    for text in ("first", "second"):
        story.do("revise-plan", **story.plan("therapy-referral"), reason=text)
    assert (story.known.stage, story.known.plan) == ("implementation", before)
    (approval,) = story.known.approvals
    story.do("decide-approval", actor=SAM, approval_id=approval.id, approve=False, comment="x")
    assert (story.known.plan, story.known.proposed) == (before, None)
    story.do("revise-plan", **story.plan("therapy-referral"), reason="third")
    story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="x")
    assert story.known.plan is not None
    assert story.known.plan.version == 2


def test_an_approval_is_for_what_was_named_and_ends_when_that_changes() -> None:
    """Asked for one reason, the case is not closed for another; with a new outcome it is asked for again."""
    story = Story("complex-care").followed_up().ready_to_close()
    for clock in story.known.running:
        if clock.missed_at is not None and clock.acknowledged is None:
            story.do("acknowledge-escalation", escalation_id=clock.escalation_id)
    assert story.known.approvals[0].granted_by == "sup-1"
    outcome = story.send("close", reason="transferred", note="x").outcome
    assert outcome.status == "refused"
    story.do("evaluate-outcome", ratings={"well_being": 1, "finances": 1, "appropriate_care": 1}, summary="worse")
    assert story.known.approvals == ()
    assert story.refused("request-approval", subject="closure") == "NotNamed"


def test_a_plan_that_is_not_approved_goes_back_to_planning() -> None:
    """Nobody approves his own; a rejection has a comment and sends the plan back."""
    story = agreed("behavioral-health")
    (approval,) = story.known.approvals
    body = {"approval_id": approval.id, "approve": False, "comment": "the goal is not measurable"}
    assert story.refused("decide-approval", **body) == "NotAnApprover"
    story.do("decide-approval", actor=SAM, **body)
    assert story.known.stage == "planning"
    story.do("agree-plan", **story.plan("therapy-referral"))
    assert len(story.known.approvals) == 1


def test_goals_of_the_library_are_named_and_unknown_ones_refused() -> None:
    story = opened("complex-care").assess("high")
    plan = story.plan("education")
    goal = {**plan["goals"][0], "template": "stay-at-home", "term": "long"}
    story.do("agree-plan", **{**plan, "goals": [goal]})
    wrong = {**goal, "template": "win-the-lottery"}
    assert story.refused("revise-plan", **{**plan, "goals": [wrong]}, reason="r") == "UnknownGoalTemplate"


def test_who_is_responsible_for_an_intervention_has_its_task() -> None:
    story = opened("complex-care").assess("high")
    plan = {**story.plan(), "interventions": [{"task": "education", "responsible": "cm-ben"}]}
    story.do("agree-plan", **plan)
    assert [t.assignee for t in story.known.open_tasks if t.type == "education"] == ["cm-ben"]
    nobody = {**plan, "interventions": [{"task": "education", "responsible": "cm-nobody"}]}
    assert story.refused("revise-plan", **nobody, reason="r") == "UnknownStaff"


def test_a_reached_goal_never_puts_a_review_off_and_reopening_owes_the_plan_again() -> None:
    story = agreed()
    story.wait(days=80)
    before = next(c for c in story.known.running if c.kind == "plan-review")
    story.do("record-goal-progress", goal="g1", achievement="achieved")
    assert next(c for c in story.known.running if c.kind == "plan-review") == before
    for clock in story.known.running:
        if clock.missed_at and not clock.acknowledged:
            story.do("acknowledge-escalation", escalation_id=clock.escalation_id)
    for task in story.known.open_tasks:
        story.do("cancel-task", task_id=task.id, reason="x")
    for clock in story.known.running:
        if clock.missed_at and not clock.acknowledged:
            story.do("acknowledge-escalation", escalation_id=clock.escalation_id)
    story.do("close", reason="moved")
    story.do("reopen-case", reason="moved back")
    assert {"plan-review", "signature", "contact", "reassessment"} <= set(kinds(story))


def test_dates_that_no_plan_and_no_assessment_has_are_refused() -> None:
    story = opened("complex-care")
    old = {"name": "legal", "assessed_on": "1950-01-01", "findings": "x"}
    assert story.refused("record-assessment", sections=[old]) == "TooLongAgo"
    story.assess("high")
    plan = story.plan("education")
    far = {**plan["goals"][0], "due_on": "2190-01-01"}
    assert story.refused("agree-plan", **{**plan, "goals": [far]}) == "GoalNotSmart"


def test_a_plan_is_not_put_in_force_over_what_has_changed_since_it_was_proposed() -> None:
    """Consent withdrawn, the case in closing: it is proposed anew."""
    for kind, body in (
        ("withdraw-consent", {}),
        ("evaluate-outcome", {"ratings": {"well_being": 5, "finances": 5, "appropriate_care": 5}, "summary": "x"}),
    ):
        story = agreed("behavioral-health")
        story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="x")
        story.do("revise-plan", **story.plan("therapy-referral"), reason="r")
        story.do(kind, **body)
        [approval] = [a for a in story.known.approvals if a.subject == "plan"]
        decided = {"approval_id": approval.id, "comment": "x"}
        refused = story.refused("decide-approval", actor=SAM, **decided, approve=True)
        assert refused in ("ProposalOutdated", "ConsentMissing")
        story.do("decide-approval", actor=SAM, **decided, approve=False)


def test_ordinary_work_goes_on_while_a_revision_waits_and_is_not_asked_for_again_by_it() -> None:
    story = agreed("behavioral-health")
    story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="x")
    plan = story.known.plan
    assert plan is not None
    body = plan.model_dump(mode="json", exclude={"version", "numbered"}, exclude_none=True)
    story.do("revise-plan", **body, reason="r")
    story.do("record-goal-progress", goal="g1", achievement="improving")
    done = next(t for t in story.known.open_tasks if t.intervention is not None)
    story.do("complete-task", task_id=done.id)
    [approval] = [a for a in story.known.approvals if a.subject == "plan"]
    story.do("decide-approval", actor=SAM, approval_id=approval.id, approve=True, comment="x")
    plan = story.known.plan
    assert plan is not None
    assert (plan.version, plan.goals[0].achievement) == (2, "improving")
    assert plan.part("interventions", done.intervention).status == "achieved"
    assert all(t.intervention != done.intervention for t in story.known.open_tasks)
