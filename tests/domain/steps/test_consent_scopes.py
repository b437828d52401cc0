"""Consent has a scope, an end, a form, and people who may be told; what it does not cover any more stops."""

from datetime import timedelta
from typing import Any

from domain.case.event import Event
from tests.domain.test_programs import opened
from tests.story import Story

ALL = ("assessment", "planning", "tasks", "contacts")


def agree(story: Story, **more: Any) -> list[str]:
    return list(story.do("record-consent", **{"form": "written", **more}).outcome.events)


def status(story: Story) -> set[str]:
    return {str(t.status) for t in story.known.open_tasks}


def contacts(story: Story) -> int:
    return sum(c.kind == "contact" for c in story.known.running)


def test_a_verbal_consent_becomes_written_and_nothing_is_interrupted() -> None:
    story = Story().planned("education")
    before = story.known.running
    assert agree(story, witness="Nurse Ortiz", document="scan 17", language="es") == ["consent-recorded"]
    assert story.known.consent is not None
    assert (story.known.consent.form, story.known.running) == ("written", before)
    assert story.refused("record-consent", form="written") == "AlreadyConsented"
    assert story.refused("record-consent", form="verbal") == "AlreadyConsented"


def test_what_the_person_does_not_agree_to_any_more_stops_and_the_rest_goes_on() -> None:
    story = Story().planned("education")
    assert contacts(story) == 1
    agree(story, scopes=["assessment", "planning", "tasks"])
    assert (contacts(story), status(story)) == (0, {"ready"})
    agree(story, scopes=["assessment", "planning", "contacts"])
    assert (contacts(story), status(story)) == (1, {"on-hold"})
    assert story.refused("add-task", task="education") == "ConsentMissing"
    story.do("record-assessment", sections=[{**begun(story), "findings": "still assessed"}])
    agree(story, scopes=list(ALL))
    assert (contacts(story), status(story)) == (1, {"ready"})
    assert story.refused("record-consent", form="written", scopes=["research"]) == "UnreadableCommand"


def begun(story: Story) -> dict[str, Any]:
    return {"name": "benefits", "assessed_on": str(story.today), "complete": False}


def test_a_consent_that_ends_is_renewed_early_or_lapses_by_itself_and_somebody_decides() -> None:
    """The case manager hears a month before; after the last day what needed it stops, as after a withdrawal."""
    story = Story().planned("education")
    last = story.today + timedelta(days=40)
    agree(story, until=str(last))
    [clock] = [c for c in story.known.running if c.kind == "consent"]
    assert clock.due_at.astimezone(clock.tz).date() == last
    story.wait(days=20)
    assert [c.tell for c in story.known.clock(clock.id).climbs] == ["owner"]  # type: ignore[union-attr]
    assert story.known.consent is not None
    assert story.known.consent.in_force
    story.wait(days=21)
    assert "consent-lapsed" in story.kinds
    assert not story.known.consent.in_force
    assert status(story) == {"on-hold"}
    assert {c.kind for c in story.known.running} >= {"consent-decision"}
    assert not any(e.kind == "clock-missed" and e.data["clock_id"] == clock.id for e in story.timeline)
    agree(story)
    assert status(story) == {"ready"}


def test_a_consent_that_is_renewed_in_time_does_not_lapse() -> None:
    story = Story().planned("education")
    agree(story, until=str(story.today + timedelta(days=40)))
    story.wait(days=35)
    agree(story, until=str(story.today + timedelta(days=365)))
    [clock] = [c for c in story.known.running if c.kind == "consent"]
    story.wait(days=30)
    assert "consent-lapsed" not in story.kinds
    assert story.refused("record-consent", form="written", until=str(story.today)) == "DayInThePast"
    story.do("withdraw-consent")
    assert all(c.id != clock.id for c in story.known.running), "there is nothing left to lapse"


def test_a_referral_that_nobody_has_taken_yet_is_taken_back_when_consent_ends() -> None:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    for name in ("Food bank", "Clinic"):
        story.do("draft-referral", type="community", recipient=name, reason="x")
    story.do("draft-referral", type="community", recipient="Club", reason="x")
    sent, taken, drafted = story.known.referrals
    for referral in (sent, taken):
        story.do("send-referral", referral_id=referral.id)
    story.do("accept-referral", referral_id=taken.id)
    story.do("withdraw-consent")
    assert [r.id for r in story.known.referrals] == [taken.id, drafted.id]
    waiting = story.known.clock(str(drafted.clock_id))
    assert waiting is not None
    assert waiting.pause is not None, "nobody can send it now"
    revoked = [e.data for e in story.timeline if e.kind == "referral-revoked"]
    assert [r["reason"] for r in revoked] == ["consent withdrawn"]


def test_a_referral_is_sent_only_to_whom_the_person_lets_us_tell_where_the_programme_asks() -> None:
    story = opened("behavioral-health").assess("high")
    story.do("draft-referral", type="community", recipient="Clubhouse", reason="company")
    [referral] = story.known.referrals
    assert story.refused("send-referral", referral_id=referral.id) == "ShareMissing"
    share = {"with_whom": "clubhouse", "what": ["name", "needs"], "purpose": "to be taken in"}
    agree(story, shares=[{**share, "until": str(story.today - timedelta(days=1))}])
    assert story.refused("send-referral", referral_id=referral.id) == "ShareMissing"
    agree(story, shares=[share])
    story.do("send-referral", referral_id=referral.id)
    agree(story, shares=[])
    assert story.known.referrals == (), "what nobody has taken yet is taken back with the share"
    assert story.timeline[-1].kind in ("referral-revoked", "clock-cancelled")


def test_consent_can_be_recorded_while_a_referral_is_out_that_the_programme_does_not_have_any_more() -> None:
    story = opened("complex-care").assess("high")
    story.do("draft-referral", type="community", recipient="Club", reason="company")
    story.do("send-referral", referral_id=story.known.referrals[0].id)
    program = story.rulebook.latest("complex-care")
    without = program.model_copy(update={"referrals": {}})
    others = tuple(p for p in story.rulebook.programs if p is not program)
    story.rulebook = story.rulebook.changed(programs=(*others, without))
    agree(story, form="written")
    assert [r.status for r in story.known.referrals] == ["sent"]


def test_a_consent_of_before_scopes_is_one_to_everything() -> None:
    story = Story().planned("education")
    old = Event.kinds["consent-recorded"].model_validate({"form": "verbal"}).apply(story.known, story.now)
    assert old.consent is not None
    assert (old.consent.scopes, old.consent.until) == (None, None)


def decisions(story: Story) -> list[str]:
    return [c.id for c in story.known.running if c.kind == "consent-decision"]


def test_a_consent_to_less_than_the_programme_asks_for_leaves_a_decision_owed() -> None:
    """In follow-up with consent to tasks alone the case wakes by itself, and all given again ends the decision."""
    story = Story().followed_up()
    agree(story, scopes=["tasks"])
    assert story.wake_at() is not None
    [decision] = decisions(story)
    agree(story, scopes=["tasks", "contacts"])
    assert decisions(story) == [decision], "the same promise goes on"
    agree(story)
    assert decisions(story) == []
    assert any(e.kind == "clock-kept" and e.data["clock_id"] == decision for e in story.timeline)


def test_somebody_decides_that_a_case_goes_on_with_the_consent_that_there_is() -> None:
    story = Story().planned("education")
    assert story.refused("accept-limited-consent", reason="x") == "NothingToDecide"
    agree(story, scopes=["planning", "contacts"])
    story.do("accept-limited-consent", reason="calls and no visits")
    agree(story, scopes=["planning", "contacts"], document="box 7")
    assert (decisions(story), status(story)) == ([], {"on-hold"}), "its proof opens nothing again"
    said = [e.data["lacking"] for e in story.timeline if e.kind == "limited-consent-accepted"]
    assert said == [["assessment", "tasks"]]
    story.do("withdraw-consent")
    assert len(decisions(story)) == 1
    assert story.refused("accept-limited-consent", reason="x") == "NothingToDecide"


def test_a_narrow_consent_after_a_withdrawal_does_not_keep_the_decision() -> None:
    """Tasks stay on hold, so what becomes of them is still to be decided, once."""
    story = Story().planned("education")
    story.do("withdraw-consent")
    [decision] = decisions(story)
    agree(story, scopes=["assessment", "planning", "contacts"])
    assert (decisions(story), status(story)) == ([decision], {"on-hold"})
    story.do("withdraw-consent")
    assert decisions(story) == [decision]


def test_a_case_reopened_with_a_narrow_consent_is_as_narrow_as_before() -> None:
    """The promises that reopening makes wait for consent as they did, and the decision is owed again."""
    story = Story().planned("education")
    agree(story, scopes=["planning", "contacts"])
    story.do("close", reason="moved")
    story.do("reopen-case", reason="moved back")
    assert len(decisions(story)) == 1
    [again] = [c for c in story.known.running if c.kind == "reassessment"]
    assert again.pause is not None
    assert status(story) == {"on-hold"}
