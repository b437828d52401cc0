"""Who is told of what: every kind of event has its entry, and whoever must act is found when it happens."""

from datetime import timedelta
from typing import Any

import pytest

from domain.addressees.kinds import ADDRESSED, UNTOLD
from domain.case.event import Event
from domain.case.staff import Directory, StaffMember
from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.story import MONDAY, SAM, STAFF, Story

FEED = Actor(subject="adt-feed", role=Role.INTEGRATOR)
BEN = Actor(subject="cm-ben", role=Role.CASE_MANAGER)
SENA = Actor(subject="senior-1", role=Role.SENIOR)
AWAY = MONDAY + timedelta(days=30)
MEMBERS = STAFF.members
BOTH, GONE = {"senior-1": "lead", "sup-1": "lead"}, {"active": False}


def told(story: Story, subject: str) -> dict[str, str | None]:
    """Who was told of something, and what she is to it."""
    found: dict[str, str | None] = {}
    case = None
    for entry in story.timeline:
        case = entry.apply(case)
        found |= {n.recipient: n.why for n in entry.event.notices(case) if n.subject == subject}
    return found


def staff(**changes: dict[str, Any]) -> Directory:
    """The directory with some people changed, by their ids with an underscore."""
    return Directory(members=tuple(m.changed(**changes.get(m.subject.replace("-", "_"), {})) for m in MEMBERS))


def away(cover: str) -> dict[str, Any]:
    return {"absent_until": AWAY, "cover": cover}


def discharge(story: Story, **more: Any) -> None:
    at = (story.now - timedelta(hours=2)).isoformat()
    said = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": at}
    story.do("record-transition", actor=FEED, **{**said, **more})


def test_every_kind_of_event_says_whom_it_tells_or_why_nobody() -> None:
    """A new kind without an entry fails here."""
    untold = [kind for kinds in UNTOLD.values() for kind in kinds]
    listed = [*ADDRESSED, *untold]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(Event.kinds)


def test_an_approver_is_told_has_it_on_the_list_and_hears_what_became_of_it() -> None:
    story = opened("complex-care")
    story.assess("high")
    asked = story.do("request-approval", subject="tier-override", tier="low").outcome.created[0]
    assert told(story, "approval-requested") == {"senior-1": "approver"}
    [approval] = [a for a in story.known.approvals if a.id == asked]
    clock = story.known.clock(approval.clock_id)
    assert clock is not None
    assert story.known.responsible_for(clock) == "senior-1"
    story.do("decide-approval", actor=SAM, approval_id=asked, approve=False, comment="no")
    assert "cm-anna" in told(story, "approval-rejected")


def test_nobody_is_asked_to_approve_what_she_asked_for_herself() -> None:
    """A senior's own wish goes to the supervisor."""
    story = opened("complex-care")
    story.assess("high")
    story.do("request-approval", actor=SENA, subject="tier-override", tier="low")
    assert told(story, "approval-requested") == {"sup-1": "approver"}


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        (STAFF, {"cm-anna": None}),
        (staff(cm_anna=away("cm-ben")), {"cm-ben": "cover"}),
        (staff(cm_anna=away("cm-ben"), cm_ben=away("senior-1")), {"senior-1": "cover"}),
        (staff(cm_anna=away("cm-ben"), cm_ben=away("cm-anna")), BOTH),
        (staff(cm_anna={"active": False}), BOTH),
        (staff(cm_anna=GONE, senior_1=GONE, sup_1=away("dir-1")), {"dir-1": "lead"}),
    ],
)
def test_who_is_away_is_stood_in_for_and_where_there_is_nobody_it_goes_up(
    directory: Directory, expected: dict[str, str | None]
) -> None:
    """Cover, the cover's cover without circles, the leads, the director: one of them hears of the discharge."""
    story = Story("complex-care").open()
    story.staff = directory
    discharge(story)
    heard = told(story, "transition")
    assert {p: w for p, w in heard.items() if w} == {p: w for p, w in expected.items() if w}
    assert expected.keys() <= heard.keys()


def test_where_nobody_at_all_is_found_it_is_on_record() -> None:
    story = Story("complex-care").open(owner=None)
    story.staff = Directory(members=(StaffMember(subject="cm-zoe", role=Role.CASE_MANAGER, team="south"),))
    discharge(story)
    said: list[Any] = [e.data for e in story.timeline if e.kind == "people-told"]
    assert (said[-1]["told"], "transition" in said[-1]["nobody"]) == ([], True)


def test_a_referral_that_nobody_has_is_told_to_the_leads_at_once() -> None:
    story = Story("complex-care").open(owner=None, actor=FEED)
    assert told(story, "case-assigned") == {"senior-1": "lead", "sup-1": "lead"}


def test_who_is_kept_from_the_case_is_told_nothing_of_it() -> None:
    story = opened("complex-care")
    story.do("exclude-assignee", actor=SAM, person="senior-1", reason="her aunt")
    story.do("raise-risk-tier", actor=BEN, tier="high", reason="found pills")
    assert told(story, "tier-raised") == {"cm-anna": "owner", "sup-1": "lead"}


@pytest.mark.parametrize(
    ("kind", "body", "subject", "who"),
    [
        ("raise-risk-tier", {"tier": "high", "reason": "pills"}, "tier-raised", {"cm-anna", "senior-1", "sup-1"}),
        ("report-significant-change", {"description": "second stroke"}, "significant-change", {"cm-anna"}),
        ("receive-message", {"channel": "portal", "text": "both pills?"}, "message", {"cm-anna"}),
        ("withdraw-consent", {"reason": "unsure"}, "consent-withdrawn", {"cm-anna"}),
        ("close", {"reason": "moved"}, "case-closed", {"cm-anna"}),
        ("add-task", {"task": "education", "assignee": "senior-1"}, "task-assigned", {"senior-1"}),
    ],
)
def test_what_a_colleague_does_the_case_manager_hears(kind: str, body: Any, subject: str, who: set[str]) -> None:
    story = opened("complex-care")
    story.assess("moderate" if kind == "raise-risk-tier" else "high")
    story.do(kind, actor=BEN, **body)
    assert set(told(story, subject)) == who
    herself = opened("complex-care")
    herself.assess("moderate" if kind == "raise-risk-tier" else "high")
    herself.do(kind, **body)
    assert "cm-anna" not in told(herself, subject)


def test_who_has_a_task_hears_that_somebody_else_has_given_it_up() -> None:
    story = opened("complex-care")
    story.assess("high")
    [task] = story.do("add-task", task="education", assignee="cm-ben").outcome.created
    story.do("cancel-task", task_id=task, reason="not needed")
    assert told(story, "task-cancelled") == {"cm-ben": "assignee"}


def test_who_offered_a_case_hears_the_answer_and_who_is_offered_it_has_it_on_her_list() -> None:
    story = opened("complex-care")
    story.do("offer-transfer", to="cm-ben", reason="closer to her")
    [clock] = [c for c in story.known.running if c.kind == "transfer"]
    assert story.known.responsible_for(clock) == "cm-ben"
    story.do("answer-transfer", actor=BEN, accept=False, note="full")
    assert told(story, "transfer-answered") == {"cm-anna": "requester"}
