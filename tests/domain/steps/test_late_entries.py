"""What is typed in late counts by when it happened, not by when it was written."""

import itertools
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.domain.test_programs import opened
from tests.story import Story

CALL = {"mode": "telephone", "party": "patient", "outcome": "x"}


def at_work(program: str = "complex-care") -> Story:
    story = Story(program).followed_up()
    story.wait(days=6)
    return story


def call(story: Story, at: datetime, reached: bool, mode: str = "telephone") -> None:
    story.do("log-contact", **{**CALL, "mode": mode}, reached=reached, occurred_at=at.isoformat())


def test_attempts_before_the_last_contact_count_for_nothing() -> None:
    """Reached today, then three older attempts are typed in: nobody is unreachable."""
    story = at_work()
    call(story, story.now - timedelta(hours=1), reached=True)
    for days in (1, 2, 3):
        call(story, story.now - timedelta(days=days), reached=False)
    assert story.known.attempts_since_contact == 0
    assert story.known.unreached is None
    assert "send-letter" not in {task.type for task in story.known.open_tasks}


def test_who_was_reached_between_two_attempts_is_not_unreachable_however_late_that_is_told() -> None:
    story = at_work()
    for hours, mode in ((96, "telephone"), (48, "message"), (2, "telephone")):
        call(story, story.now - timedelta(hours=hours), reached=False, mode=mode)
    assert "send-letter" in {task.type for task in story.known.open_tasks}
    call(story, story.now - timedelta(hours=24), reached=True)
    assert story.known.unreached is not None
    assert (story.known.unreached.attempts, story.known.unreached.step) == (1, "trying")
    assert "send-letter" not in {task.type for task in story.known.open_tasks}
    assert not [clock for clock in story.known.running if clock.kind == "unreached"]


def test_who_writes_is_not_unreachable() -> None:
    story = at_work()
    for hours, mode in ((96, "telephone"), (48, "message"), (2, "telephone")):
        call(story, story.now - timedelta(hours=hours), reached=False, mode=mode)
    story.do("receive-message", channel="portal", text="I was away")
    assert story.known.unreached is None
    story.wait(days=20)
    assert story.send("close", reason="unreachable").outcome.status == "refused"


def test_any_order_of_typing_gives_the_same_counters() -> None:
    """A week of calls, typed in in twenty orders: attempts, last contact and protocol end the same."""
    told = [(130, False), (100, True), (75, False), (50, False), (49, True), (20, False), (3, False)]
    ends = set()
    for order in random.Random(7).sample(list(itertools.permutations(told)), 20):
        story = at_work()
        for hours, was_reached in order:
            call(story, story.now - timedelta(hours=hours), reached=was_reached)
        case = story.known
        assert case.unreached is not None
        ends.add((case.attempts_since_contact, case.last_contact_at, case.reached_at, case.unreached))
    assert len(ends) == 1


def test_a_call_made_before_the_case_was_typed_in_keeps_what_a_backdated_discharge_promised() -> None:
    """Discharged sixty hours ago, called forty hours ago, the case opened since: the call was in time."""
    story = Story("transitions").followed_up()
    home: dict[str, Any] = {"event_id": "e1", "event": "discharge", "setting": "inpatient"}
    story.do("record-transition", **home, occurred_at=(story.now - timedelta(hours=60)).isoformat())
    owed = [clock.id for clock in story.known.running if clock.kind == "transition" and clock.kept_by == "contact"]
    assert owed
    call(story, story.now - timedelta(hours=40), reached=True)
    kept = [entry.data for entry in story.timeline if entry.kind == "clock-kept"]
    assert {row["clock_id"] for row in kept} >= set(owed)
    assert all(row["late_by"] == 0 for row in kept if row["clock_id"] in owed)


@pytest.mark.parametrize("ago", [60, 1], ids=["long ago", "before a newer one"])
def test_a_measurement_that_is_only_history_is_kept_and_alarms_nobody(ago: int) -> None:
    """A normal reading today, then a high one of before; or a high one of two months ago alone."""
    story = Story("chronic-care").followed_up()
    high = {"indicator": "systolic", "value": 188, "unit": "mmHg"}
    if ago == 1:
        story.do("record-observation", indicator="systolic", value=118, unit="mmHg")
    before = story.kinds.count("alert-raised")
    story.do("record-observation", **high, taken_at=(story.now - timedelta(days=ago)).isoformat())
    assert story.kinds.count("alert-raised") == before
    recorded = [entry for entry in story.timeline if entry.kind == "observation-recorded"]
    assert recorded[-1].data["value"] == 188
    story.do("record-observation", **high)
    assert story.kinds.count("alert-raised") == before + 1


def test_an_earlier_score_that_comes_later_becomes_the_baseline_and_alarms_nobody() -> None:
    story = at_work()
    story.wait(days=20)
    some = {f"q{n}": 1 for n in range(1, 9)} | {"q9": 0}
    story.do("record-score", instrument="phq-9", version="2001", answers=some)
    earlier = (story.now - timedelta(days=10)).isoformat()
    worse = {f"q{n}": 2 for n in range(1, 10)}
    before = story.kinds.count("alert-raised")
    story.do("record-score", instrument="phq-9", version="2001", answers=worse, occurred_at=earlier)
    [score] = [s for s in story.known.scores if s.instrument == "phq-9"]
    assert (score.total, score.baseline) == (8, 18)
    assert story.kinds.count("alert-raised") == before


def test_tasks_consent_and_signatures_carry_the_time_at_which_they_were_done() -> None:
    """Typed in two days later: the promise was kept in time, and what is dated is dated so."""
    story = Story().open()
    given = story.now - timedelta(days=1)
    story.do("record-consent", form="written", occurred_at=given.isoformat())
    assert story.known.consent is not None
    assert story.known.consent.given_at == given
    story.do("complete-screening", accepted=True)
    story.assess().do("agree-plan", **story.plan("education"))
    task = next(task for task in story.known.open_tasks if task.type == "education")
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    done = story.now + timedelta(hours=2)
    story.wait(days=30)
    assert any(c.missed_at for c in story.known.running if c.about == task.id)
    story.do("complete-task", task_id=task.id, occurred_at=done.isoformat())
    kept = {e.data["clock_id"]: e.data["late_by"] for e in story.timeline if e.kind == "clock-kept"}
    assert kept[task.clock_id] == 0
    future = (story.now + timedelta(hours=1)).isoformat()
    assert story.refused("withdraw-consent", occurred_at=future) == "NotYetHappened"


def test_an_older_section_and_an_older_list_leave_the_newer_ones() -> None:
    story = at_work()
    found = {"name": "benefits", "findings": "x", "complete": False}
    new, old = str(story.today), str(story.today - timedelta(days=60))
    for day in (new, old):
        story.do("record-assessment", sections=[{**found, "assessed_on": day}])
    assert [str(s.assessed_on) for s in story.known.sections if s.name == "benefits"] == [new]
    for days, drugs in ((0, 2), (3, 1)):
        body = {"medications": [{"name": f"d{n}"} for n in range(drugs)], "sources": ["x"]}
        at = (story.now - timedelta(days=days, hours=1)).isoformat()
        story.do("reconcile-medications", **body, occurred_at=at)
    assert story.known.medications == 2


def test_a_consent_form_from_before_the_withdrawal_brings_nothing_back() -> None:
    story = at_work()
    given = story.now.isoformat()
    story.wait(days=1)
    story.do("withdraw-consent")
    assert story.refused("record-consent", form="written", occurred_at=given) == "ConsentOutdated"
    story.do("record-consent", form="written")


def test_a_contact_that_is_typed_in_late_makes_the_next_one_count_from_it() -> None:
    """Weekly, made on day 5, typed in on day 8: the next is due on day 12, as if typed in at once."""
    due = []
    for typed in (5, 8):
        story = Story("complex-care").followed_up()
        made = story.now + timedelta(days=5)
        story.wait(days=typed)
        call(story, min(made, story.now), reached=True)
        due.append(next(c.due_at for c in story.known.running if c.kind == "contact"))
    assert due[0] == due[1]


def test_what_has_lapsed_since_a_contact_that_is_typed_in_late_is_one_escalation() -> None:
    """Made on day 12, typed in on day 27: two are over since then, one is missed and has lapsed once."""
    story = Story("complex-care").followed_up()
    made = story.now + timedelta(days=12)
    story.wait(days=27)
    call(story, made, reached=True)
    missed, following = sorted((c for c in story.known.running if c.kind == "contact"), key=lambda c: c.due_at)
    assert (missed.missed_at, missed.lapses) == (story.now, 1)
    assert following.due_at > story.now


def test_the_answer_to_a_referral_is_judged_by_when_it_was_given() -> None:
    """Accepted on day 3, typed in on day 12: in time, and the service counts from then."""
    story = at_work()
    asked = story.do("draft-referral", type="specialist", recipient="Dr. Lim", reason="x").outcome.created[0]
    story.do("send-referral", referral_id=asked)
    answered = story.now + timedelta(days=3)
    story.wait(days=12)
    story.do("accept-referral", referral_id=asked, occurred_at=answered.isoformat())
    kept = [e for e in story.timeline if e.kind == "clock-kept"][-1]
    assert kept.data["late_by"] == 0
    [service] = [c for c in story.known.running if c.kind == "referral"]
    assert service.anchor == answered


def test_a_message_and_a_death_have_the_time_at_which_they_were() -> None:
    story = at_work()
    written = story.now - timedelta(hours=30)
    story.do("receive-message", channel="portal", text="x", occurred_at=written.isoformat())
    [reply] = [c for c in story.known.running if c.kind == "reply"]
    assert reply.anchor == story.known.reached_at == written
    died = story.now - timedelta(days=2)
    story.do("close", reason="died", occurred_at=died.isoformat())
    [ended] = [e for e in story.timeline if e.kind == "case-ended"]
    assert datetime.fromisoformat(str(ended.data["occurred_at"])) == died


def test_signatures_are_renewed_before_the_first_of_them_ends_whenever_they_were_typed_in() -> None:
    story = opened("complex-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    signed = story.now
    story.wait(days=9)
    for signer in story.rules["plan"]["signatures"]:
        story.do("sign-plan", signer=signer, occurred_at=signed.isoformat())
    [clock] = [c for c in story.known.running if c.kind == "signature"]
    assert {clock.due_at} == {s.expires_at for s in story.known.signatures}


def test_a_change_today_is_not_answered_by_what_was_written_down_before_it() -> None:
    """The assessment of this morning is no answer to the stroke of this afternoon."""
    story = opened("behavioral-health").assess("high")
    story.wait(hours=2)
    story.do("report-significant-change", description="second stroke")
    assert story.refused("set-risk-tier", tier="high", reasons=["x"]) == "AssessmentIncomplete"
    story.assess("high")
    assert story.known.reassessing_since is None


def test_the_letter_s_time_counts_from_the_letter_however_it_is_said_to_be_out() -> None:
    """By its task as by a contact: 14 days later somebody decides, not 14 days after the last attempt."""
    story = opened("complex-care").assess("high")
    for mode in ("telephone", "message", "telephone"):
        story.do("log-contact", mode=mode, party="patient", reached=False, outcome="nobody there")
        story.wait(days=1)
    [letter] = [t for t in story.known.open_tasks if t.type == "send-letter"]
    story.wait(days=3)
    story.do("complete-task", task_id=letter.id)
    [clock] = [c for c in story.known.running if c.kind == "unreached"]
    assert story.known.unreached is not None
    assert story.known.unreached.step == "waiting"
    assert (clock.anchor - story.now).days in (13, 14)
