"""Danger: steps up are always possible, steps down need their grounds, and who may act is found at once."""

from datetime import timedelta
from typing import Any

import pytest

from domain.case.staff import Directory, StaffMember
from domain.values import Role
from tests.domain.test_programs import opened
from tests.story import SAM, STAFF, Story

LOW = {f"q{n}": 0 for n in range(1, 10)}
ASSESSMENT = "suicide-risk-assessment"


def positive(story: Story) -> None:
    story.do("record-score", instrument="phq-9", version="2001", answers={**LOW, "q9": 3})


def licensed(*more: StaffMember) -> Directory:
    return Directory(members=(*STAFF.members, *more))


def member(subject: str, team: str = "north", **more: Any) -> StaffMember:
    return StaffMember(subject=subject, role=Role.CASE_MANAGER, team=team, licences=("lcsw",), **more)


def test_a_second_alert_is_written_on_the_open_task_and_tells_again() -> None:
    """There is one task, and whoever has it hears of it too."""
    story = Story("behavioral-health", staff=licensed(member("cm-lena"))).assessed("high")
    positive(story)
    positive(story)
    [task] = [t for t in story.known.open_tasks if t.type == ASSESSMENT]
    assert len(task.alerts) == 1
    *_, second = [e for e in story.timeline if e.kind == "alert-raised"]
    told: Any = second.data["told"]
    assert {"cm-anna", "sup-1", "cm-lena"} <= set(told)


def test_a_task_that_needs_a_licence_goes_to_somebody_of_the_team_who_has_it() -> None:
    """Not to one of another team, nor to one who is away; the case manager keeps it if she has it."""
    away = member("cm-away", absent_until="2027-01-01T00:00:00Z")
    story = Story("behavioral-health", staff=licensed(away, member("cm-south", "south"), member("cm-lena")))
    story.assessed("high")
    positive(story)
    [task] = [t for t in story.known.open_tasks if t.type == ASSESSMENT]
    assert task.assignee == "cm-lena"
    [notice] = [n for e in story.timeline for n in e.event.notices(story.known) if n.subject == "task-routed"]
    assert (notice.recipient, notice.urgent) == ("cm-lena", True)
    own = STAFF.members[0].changed(licences=("lcsw",))
    mine = Story("behavioral-health", staff=Directory(members=(own, *STAFF.members[1:], member("cm-lena"))))
    mine.assessed("high")
    positive(mine)
    assert [t.assignee for t in mine.known.open_tasks if t.type == ASSESSMENT] == [None]


def test_where_nobody_has_the_licence_the_leads_are_told_at_once() -> None:
    story = Story("behavioral-health").assessed("high")
    positive(story)
    told = [n for e in story.timeline for n in e.event.notices(story.known) if n.subject == "licence-lacking"]
    assert {n.recipient for n in told} == {"senior-1", "sup-1"}
    assert all(n.urgent for n in told)


def test_a_positive_item_9_keeps_the_tier_from_low_without_an_approved_override() -> None:
    story = Story("behavioral-health").assessed("low")
    positive(story)
    assert story.known.risk is not None
    assert story.known.risk.tier == "moderate"
    down = {"tier": "low", "reasons": ["says it was a slip"]}
    assert story.refused("set-risk-tier", **down) == "ApprovalMissing"
    story.do("request-approval", subject="tier-override", tier="low")
    [approval] = story.known.approvals
    story.do("decide-approval", actor=SAM, approval_id=approval.id, approve=True, comment="seen together")
    story.do("set-risk-tier", **down)
    assert (story.known.risk.tier, story.known.floor) == ("low", None)


def test_the_factors_of_a_risk_do_not_bring_it_below_what_an_alert_asks_for() -> None:
    story = opened("complex-care").assess("low")
    positive(story)
    given = {"comorbidity": 0, "admissions": 0, "emergency-visits": 0, "medications": 0}
    story.do("stratify-risk", given=given, reason="the practice's chart")
    assert story.known.risk is not None
    assert (story.known.risk.tier, story.known.risk.computed) == ("moderate", "low")


@pytest.mark.parametrize("program", ["complex-care", "transitions"])
def test_the_tier_is_raised_at_any_time_and_holds(program: str) -> None:
    """Before consent too; an evaluation afterwards does not bring it down."""
    story = Story(program).open()
    story.do("raise-risk-tier", tier="high", reason="found alone and confused")
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    if program == "complex-care":
        story.assess("low")
        assert story.known.risk is not None
        assert story.known.risk.tier == "high"
    assert story.refused("raise-risk-tier", tier="moderate", reason="x") == "NotHigher"


def test_raising_the_tier_of_a_running_case_shortens_its_promises() -> None:
    story = Story().followed_up(tier="low")
    due = min(c.due_at for c in story.known.running if c.kind == "contact")
    story.do("raise-risk-tier", tier="high", reason="fell twice")
    assert story.known.stage == "follow-up"
    assert min(c.due_at for c in story.known.running if c.kind == "contact") < due


def approved(story: Story, tier: str) -> None:
    story.do("request-approval", subject="tier-override", tier=tier)
    story.do("decide-approval", actor=SAM, approval_id=story.known.approvals[0].id, approve=True, comment="y")


def test_an_override_that_ends_does_not_end_below_what_danger_asks_for() -> None:
    """And an approval that was given before the danger was known does not lift it."""
    story = opened("complex-care").assess("low")
    approved(story, "moderate")
    until = (story.now + timedelta(days=5)).isoformat()
    story.do("override-risk-tier", tier="moderate", reason="r", until=until)
    approved(story, "low")
    story.do("raise-risk-tier", tier="high", reason="fell twice")
    assert story.known.approvals == ()
    story.wait(days=6)
    assert story.known.risk is not None
    assert story.known.risk.tier == "high"


def test_a_floor_is_lifted_to_what_was_approved_and_another_wish_replaces_the_first() -> None:
    story = Story("behavioral-health").assessed("high")
    positive(story)
    assert story.known.floor == "moderate"
    approved(story, "moderate")
    assert story.refused("request-approval", subject="tier-override", tier="moderate") == "AlreadyRequested"
    approved(story, "low")
    story.do("set-risk-tier", tier="low", reasons=["seen together"])
    assert story.known.floor is None


def test_a_task_that_needs_a_licence_is_not_given_to_somebody_who_has_none() -> None:
    story = Story("behavioral-health", staff=licensed(member("cm-lena"))).assessed("high")
    positive(story)
    [task] = [t for t in story.known.open_tasks if t.type == ASSESSMENT]
    assert story.refused("assign-task", task_id=task.id, assignee="cm-ben") == "LicenceMissing"
    story.do("assign-task", task_id=task.id, assignee="cm-lena")
