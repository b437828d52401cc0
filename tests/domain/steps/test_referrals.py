"""Referrals to somebody else go from draft to closed loop; an unanswered one is nudged, rerouted, escalated."""

from domain.values import Actor, Role
from tests.domain.test_programs import opened
from tests.story import Story

EHR = Actor(subject="ehr-1", role=Role.INTEGRATOR)


def at_work() -> Story:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    return story


def drafted(story: Story) -> str:
    body = {"type": "specialist", "recipient": "Cardiology", "reason": "heart failure"}
    return story.do("draft-referral", **body).outcome.created[0]


def waiting(story: Story) -> list[str]:
    return [c.title for c in story.known.running if c.kind == "referral"]


def test_a_referral_has_one_promise_at_each_step_until_its_loop_is_closed() -> None:
    story = at_work()
    referral = {"referral_id": drafted(story)}
    assert waiting(story) == ["Send the referral: Specialist"]
    assert story.refused("accept-referral", **referral) == "WrongReferralState"
    story.do("send-referral", **referral)
    assert waiting(story) == ["Answer to the referral: Specialist"]
    story.do("accept-referral", actor=EHR, **referral)
    assert waiting(story) == ["Service by referral: Specialist"]
    story.do("complete-referral", actor=EHR, **referral, note="seen")
    assert waiting(story) == ["Close the loop: Specialist"]
    assert story.refused("decline-referral", **referral, reason="x") == "WrongReferralState"
    story.do("close-referral-loop", **referral, report="gone through")
    assert waiting(story) == []
    assert story.known.referrals == ()
    assert story.refused("close-referral-loop", **referral, report="again") == "UnknownReference"


def test_nobody_answers_so_it_is_nudged_then_to_be_rerouted_then_escalated() -> None:
    """The reminder, the miss that says so once, and the ladder; the new recipient has a time of his own."""
    story = at_work()
    referral = {"referral_id": drafted(story)}
    story.do("send-referral", **referral)
    clock = next(c for c in story.known.running if c.kind == "referral")
    story.wait(days=9)
    climbed = [
        e.data["climb"] for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == clock.id
    ]
    assert [c["tell"] for c in climbed] == ["owner", "owner", "supervisor"]  # type: ignore[index,call-overload]
    assert story.kinds.count("referral-unanswered") == 1
    assert story.refused("send-referral", **referral) == "WrongReferralState"
    story.do("send-referral", **referral, recipient="Heart clinic, Dr. Ng")
    (open_one,) = story.known.referrals
    assert (open_one.recipient, open_one.routed) == ("Heart clinic, Dr. Ng", 2)
    assert clock.id not in {c.id for c in story.known.running}


def test_a_declined_one_is_rerouted_or_revoked_and_none_is_lost_at_closure() -> None:
    story = at_work()
    referral = {"referral_id": drafted(story)}
    story.do("send-referral", **referral)
    story.do("decline-referral", **referral, reason="takes no new patients")
    assert waiting(story) == ["Reroute the referral: Specialist"]
    assert f"referral {referral['referral_id']}" in story.send("close", reason="goals-met").outcome.missing
    story.do("revoke-referral", **referral, reason="moved")
    assert waiting(story) == []


def test_a_case_holds_a_stated_number_of_open_referrals() -> None:
    story = at_work()
    for _ in range(50):
        drafted(story)
    assert story.refused("draft-referral", type="specialist", recipient="x", reason="y") == "TooMany"
    assert story.refused("draft-referral", type="wizard", recipient="x", reason="y") == "TooMany"
    story.do("revoke-referral", referral_id=story.known.referrals[0].id, reason="x")
    assert story.refused("draft-referral", type="wizard", recipient="x", reason="y") == "UnknownReferralType"


def test_a_recipient_who_has_begun_or_waits_still_owes_the_service_by_its_day() -> None:
    """Waiting for something moves no deadline: the person still needs the service."""
    story = at_work()
    referral = {"referral_id": drafted(story)}
    story.do("send-referral", **referral)
    assert story.refused("hold-referral", **referral, reason="x") == "WrongReferralState"
    story.do("accept-referral", actor=EHR, **referral)
    [owed] = [c for c in story.known.running if c.kind == "referral"]
    for kind, more in (
        ("begin-referral-service", {}),
        ("hold-referral", {"reason": "waits for proof of income"}),
        ("begin-referral-service", {"note": "goes on"}),
    ):
        story.do(kind, actor=EHR, **referral, **more)
        assert [(c.id, c.due_at) for c in story.known.running if c.kind == "referral"] == [(owed.id, owed.due_at)]
    assert story.refused("begin-referral-service", **referral) == "WrongReferralState"
    story.do("complete-referral", actor=EHR, **referral, note="done")
    assert waiting(story) == ["Close the loop: Specialist"]


def test_a_referral_that_failed_is_to_be_rerouted_and_that_is_promised() -> None:
    story = at_work()
    referral = {"referral_id": drafted(story)}
    story.do("send-referral", **referral)
    story.do("accept-referral", actor=EHR, **referral)
    story.do("fail-referral", actor=EHR, **referral, reason="not reached at three visits")
    assert waiting(story) == ["Reroute the referral: Specialist"]
    assert story.refused("complete-referral", **referral, note="x") == "WrongReferralState"
    story.do("send-referral", **referral, recipient="Heart clinic, Dr. Ng")
    assert waiting(story) == ["Answer to the referral: Specialist"]
