"""The people around a case: care team, conferences, guided records, transfers, exclusions, those who leave."""

from datetime import timedelta
from typing import Any

from domain.case.staff import Directory, StaffMember
from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.story import SAM, STAFF, Story

BEN = Actor(subject="cm-ben", role=Role.CASE_MANAGER)


def at_work() -> Story:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    return story


def with_staff(**changes: StaffMember) -> Directory:
    """The usual people with some replaced."""
    return Directory(members=tuple(changes.get(m.subject.replace("-", "_"), m) for m in STAFF.members))


def test_a_caregiver_is_a_member_of_the_team_with_needs_of_her_own_and_a_period() -> None:
    story = at_work()
    joined = {"role": "caregiver", "reference": "RelatedPerson/1"}
    member = story.do("join-care-team", **joined, needs=["a free evening"]).outcome.created[0]
    story.do("record-caregiver-needs", member_id=member, needs=["a free evening", "somebody to talk to"])
    assert story.known.care_team[0].needs[1] == "somebody to talk to"
    future = str(story.today + timedelta(days=1))
    assert story.refused("join-care-team", **joined, since=future) == "NotYetHappened"
    assert story.refused("leave-care-team", member_id=member, until=future) == "NotYetHappened"
    story.do("leave-care-team", member_id=member)
    assert story.known.care_team == ()


def test_a_conference_brings_its_tasks() -> None:
    story = at_work()
    body = {"attendees": ["case manager", "primary care"], "decisions": ["home health"]}
    story.do("hold-conference", **body, tasks=[{"task": "arrange-appointment", "title": "Arrange home health"}])
    assert "Arrange home health" in {t.title for t in story.known.open_tasks}
    assert story.refused("hold-conference", **body, tasks=[{"task": "dance"}]) == "UnknownTaskType"
    assert story.refused("hold-conference", **{**body, "attendees": ["alone"]}) == "UnreadableCommand"


def test_a_guided_record_is_led_through_its_steps_in_order() -> None:
    """Concluded only when the needed ones are written, unless it is given up; reviewed by a deadline."""
    story = at_work()
    guided: dict[str, Any] = {
        "guided_id": story.do("open-guided-record", procedure="mediation", concern="x").outcome.created[0]
    }
    assert story.refused("write-guided-step", **guided, step="options", text="x") == "WrongStep"
    story.do("write-guided-step", **guided, step="neutral-ground", text="x")
    outcome = story.send("conclude-guided-record", **guided, conclusion="x").outcome
    assert (outcome.error, outcome.missing) == ("StepsMissing", ("interests", "options", "agreement"))
    for step in outcome.missing:
        story.do("write-guided-step", **guided, step=step, text="x")
    story.do("conclude-guided-record", **guided, conclusion="an agreement both can live with")
    assert not [c for c in story.known.running if c.about == "guided/mediation"]
    assert story.refused("open-guided-record", procedure="duel", concern="x") == "UnknownProcedure"
    other = story.do("open-guided-record", procedure="ethics-consult", concern="x").outcome.created[0]
    story.do("conclude-guided-record", guided_id=other, conclusion="withdrawn", given_up=True)


def test_an_offered_case_stays_ours_until_the_other_accepts() -> None:
    story = at_work()
    before = {c.id: c.due_at for c in story.known.running}
    story.do("offer-transfer", to="cm-ben", reason="lives there now")
    assert story.known.owner == "cm-anna"
    assert story.refused("offer-transfer", to="senior-1", reason="x") == "TransferOpen"
    assert story.refused("answer-transfer", accept=True) == "NotOfferedToYou"
    story.do("answer-transfer", actor=BEN, accept=False, note="full")
    assert (story.known.owner, story.known.transfer) == ("cm-anna", None)
    story.do("offer-transfer", to="cm-ben", reason="again")
    story.do("answer-transfer", actor=BEN, accept=True)
    assert story.known.owner == "cm-ben"
    assert {c.id: c.due_at for c in story.known.running} == before
    assert story.refused("answer-transfer", actor=BEN, accept=True) == "NoTransfer"


def test_a_wish_for_transfer_tells_those_above_and_is_answered_by_a_reassignment() -> None:
    story = at_work()
    story.do("request-transfer", reason="my caseload is over the limit")
    assert next(e for e in story.timeline if e.kind == "transfer-requested").data["told"] == ["sup-1"]
    assert [c.title for c in story.known.running if c.kind == "transfer"] == ["Find somebody to take the case"]
    story.do("reassign-case", actor=SAM, owner="cm-ben", reason="has room")
    assert not [c for c in story.known.running if c.kind == "transfer"]
    assert story.known.transfer is None


def test_who_is_excluded_is_given_neither_case_nor_task() -> None:
    story = at_work()
    assert story.refused("exclude-assignee", person="cm-ben", reason="x") == "NotPermitted"
    story.do("exclude-assignee", actor=SAM, person="cm-ben", reason="related to the family")
    assert story.refused("reassign-case", owner="cm-ben", reason="x") == "ExcludedFromCase"
    task = story.known.open_tasks[0].id
    assert story.refused("assign-task", task_id=task, assignee="cm-ben") == "ExcludedFromCase"
    story.do("allow-assignee", actor=SAM, person="cm-ben", reason="a mistake")
    story.do("assign-task", task_id=task, assignee="cm-ben")


def test_the_work_of_somebody_who_has_left_goes_to_those_above_at_once() -> None:
    """Case and tasks; asked again it changes nothing; without anybody above it says so."""
    story = at_work()
    task = story.known.open_tasks[0].id
    story.do("assign-task", task_id=task, assignee="cm-anna")
    assert story.refused("hand-over", actor=SAM, person="cm-anna", reason="has left") == "NotGone"
    gone = STAFF.members[0].changed(active=False)
    story.staff = with_staff(cm_anna=gone)
    story.do("hand-over", actor=SAM, person="cm-anna", reason="has left")
    found = story.known.task(task)
    assert found is not None
    assert (story.known.owner, found.assignee) == ("sup-1", "sup-1")
    assert story.do("hand-over", actor=SAM, person="cm-anna", reason="has left").entries == ()
    alone = at_work()
    alone.staff = Directory(members=(gone.changed(supervisor=None),))
    assert alone.refused("hand-over", actor=SAM, person="cm-anna", reason="has left") == "NobodyAbove"


def test_while_somebody_is_away_her_cover_is_told() -> None:
    story = at_work()
    away = story.now + timedelta(days=30)
    story.staff = with_staff(cm_anna=STAFF.members[0].changed(absent_until=away, cover="cm-ben"))
    story.wait(days=8)
    told = [e.data["climb"]["told"] for e in story.timeline if e.kind == "rung-climbed"]  # type: ignore[index,call-overload]
    assert ["cm-ben"] in told
    assert ["cm-anna"] not in told


def test_flags_and_corrective_actions_have_deadlines_and_are_settled_by_name() -> None:
    story = at_work()
    flag = story.do("raise-flag", actor=SAM, message="no contact for six weeks").outcome.created[0]
    story.do("resolve-flag", flag_id=flag, resolution="conference on Monday")
    assert story.refused("resolve-flag", flag_id=flag, resolution="again") == "UnknownReference"
    due = str(story.today + timedelta(days=10))
    body = {"finding": "goals without measure", "what": "Rewrite the goals", "due_on": due}
    assert story.refused("open-corrective-action", **body) == "NotPermitted"
    action = story.do("open-corrective-action", actor=SAM, **body).outcome.created[0]
    clock = next(c for c in story.known.running if c.kind == "corrective-action")
    assert str(clock.due_at.astimezone(clock.tz).date()) == due
    story.do("complete-corrective-action", action_id=action, result="rewritten")
    story.do("record-quality-review", actor=SAM, criteria={"signed": True})
    assert story.refused("record-quality-review", criteria={"signed": True}) == "NotPermitted"


def test_a_flag_and_a_mediation_do_not_wait_for_the_persons_consent() -> None:
    """What stops is what needs it: the reviews and signatures of the plan."""
    story = at_work()
    flag = story.do("raise-flag", message="x").outcome.created[0]
    story.do("open-guided-record", procedure="mediation", concern="x")
    story.do("withdraw-consent")
    stopped = {c.kind for c in story.known.running if c.pause}
    assert stopped >= {"plan-review", "signature", "reassessment"}
    assert [c.pause for c in story.known.running if c.kind == "review"] == [None, None]
    story.do("resolve-flag", flag_id=flag, resolution="x")


def test_in_an_outage_of_the_directory_a_crisis_is_told_to_the_case_manager_at_least() -> None:
    story = at_work()
    story.staff = Directory(known=False)
    story.do("raise-crisis", actor=SAM, description="x")
    assert next(e for e in story.timeline if e.kind == "crisis-raised").data["told"] == ["cm-anna"]
