"""Tasks that wait for others, come back, are claimed, and need a licence or a second signature."""

from datetime import timedelta

from domain.case.staff import Directory, StaffMember
from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.story import ANNA, STAFF, Story

BEN = Actor(subject="cm-ben", role=Role.CASE_MANAGER)
LICENSED = StaffMember(subject="cm-ben", role=Role.CASE_MANAGER, team="north", licences=("lcsw",))
WITH_LICENCE = Directory(members=(*(m for m in STAFF.members if m.subject != "cm-ben"), LICENSED))


def at_work(program: str = "complex-care") -> Story:
    story = opened(program).assess("high")
    story.do("agree-plan", **story.plan())
    return story


def add(story: Story, task: str, **more: object) -> str:
    return story.do("add-task", task=task, **more).outcome.created[0]


def test_a_task_waits_for_another_and_its_clock_with_it() -> None:
    """Neither started nor completed before; its time begins when the other is settled."""
    story = at_work()
    first = add(story, "arrange-appointment")
    second = add(story, "education", after=[first])
    assert story.refused("start-task", task_id=second) == "WaitsForTask"
    assert story.refused("complete-task", task_id=second) == "WaitsForTask"
    waiting = next(c for c in story.known.running if c.about == second)
    assert waiting.pause is not None
    story.wait(days=4)
    story.do("complete-task", task_id=first)
    clock = next(c for c in story.known.running if c.about == second)
    assert clock.pause is None
    assert clock.due_at - waiting.due_at == timedelta(days=4)
    story.do("complete-task", task_id=second)
    assert story.refused("add-task", task="education", after=["t999"]) == "UnknownTask"


def test_a_waiting_task_is_freed_by_a_cancellation_too_and_in_a_crisis_not_before_its_end() -> None:
    story = at_work()
    first = add(story, "arrange-appointment")
    second = add(story, "education", after=[first])
    story.do("raise-crisis", description="x")
    story.do("cancel-task", task_id=first, reason="not needed")
    clock = next(c for c in story.known.running if c.about == second)
    assert clock.pause is not None
    assert clock.pause.waits_for == "crisis"


def test_a_repeated_task_comes_again_when_it_is_done() -> None:
    story = at_work()
    first = add(story, "home-visit", repeat="7 calendar days")
    story.do("complete-task", task_id=first)
    (again,) = [t for t in story.known.open_tasks if t.type == "home-visit"]
    clock = story.known.clock(again.clock_id)
    assert clock is not None
    assert str(clock.budget) == "7 calendar days"
    story.do("cancel-task", task_id=again.id, reason="no longer needed")
    assert not [t for t in story.known.open_tasks if t.type == "home-visit"]
    assert story.refused("add-task", task="education", repeat="0 calendar days") == "DueInThePast"


def test_the_first_to_claim_a_task_has_it() -> None:
    story = at_work("behavioral-health")
    queued = next(t for t in story.known.open_tasks if t.queue == "peer-support")
    story.do("claim-task", actor=BEN, task_id=queued.id)
    assert story.refused("claim-task", task_id=queued.id) == "AlreadyClaimed"
    assert story.refused("release-task", task_id=queued.id, reason="x") == "NotYours"
    story.do("release-task", actor=BEN, task_id=queued.id, reason="away")
    story.do("claim-task", task_id=queued.id)


def test_a_licence_is_asked_for_and_an_outage_licenses_nobody() -> None:
    story = at_work("behavioral-health")
    task = add(story, "suicide-risk-assessment")
    assert story.refused("complete-task", task_id=task) == "LicenceMissing"
    assert story.refused("claim-task", task_id=task) == "LicenceMissing"
    story.staff = Directory(known=False)
    assert story.refused("complete-task", actor=BEN, task_id=task) == "StaffUnknown"
    story.staff = WITH_LICENCE
    story.do("complete-task", actor=BEN, task_id=task)


def test_who_has_no_licence_is_cosigned_by_somebody_who_has() -> None:
    """Until then the promise is not kept, and nobody co-signs his own."""
    story = at_work("behavioral-health")
    story.staff = WITH_LICENCE
    task = add(story, "psychosocial-note")
    story.do("complete-task", task_id=task, result="written")
    open_task = story.known.task(task)
    assert open_task is not None
    assert open_task.status == "awaiting-cosign"
    assert story.refused("cosign-task", actor=ANNA, task_id=task) == "OwnWork"
    senior = Actor(subject="senior-1", role=Role.SENIOR)
    assert story.refused("cosign-task", actor=senior, task_id=task) == "LicenceMissing"
    story.do("cosign-task", actor=BEN, task_id=task)
    assert "task-completed" in story.kinds
    direct = add(story, "psychosocial-note")
    story.do("complete-task", actor=BEN, task_id=direct)
    assert story.refused("cosign-task", actor=ANNA, task_id=direct) == "UnknownTask"
