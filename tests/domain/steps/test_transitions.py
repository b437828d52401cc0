"""Discharges promise contacts, visits, reconciliations; the sender's events come twice, late and in any order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.domain.test_programs import opened
from tests.reference import rows
from tests.story import Story

THANKSGIVING_FRIDAY = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)  # the Friday before the week of the holiday


def home(story: Story, event_id: str = "e1", **more: Any) -> dict[str, Any]:
    body = {
        "event_id": event_id,
        "event": "discharge",
        "setting": "inpatient",
        "occurred_at": story.now.isoformat(),
    }
    return {**body, **more}


def discharged(program: str = "transitions", tier: str = "high", now: datetime = THANKSGIVING_FRIDAY) -> Story:
    story = Story(program, now=now).open()
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    story.assess(tier)
    story.do("record-transition", **home(story))
    return story


def clocks(story: Story) -> dict[str, Any]:
    found = [c for c in story.known.running if c.kind == "transition"]
    return {(c.about or "").partition("/")[2]: c for c in found}


def test_48_hours_and_two_business_days_are_two_promises_over_a_holiday_weekend() -> None:
    """Friday, 4 in the afternoon: 48 hours end on Sunday; two business days on Tuesday night."""
    found = clocks(discharged())
    assert found["outreach-48h"].due_at == datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
    assert found["contact-2bd"].due_at == datetime(2026, 11, 25, 4, 59, 59, tzinfo=UTC)
    assert found["visit"].due_at == datetime(2026, 11, 28, 4, 59, 59, tzinfo=UTC)
    wednesday = clocks(discharged(now=datetime(2026, 11, 25, 21, 0, tzinfo=UTC)))
    assert wednesday["contact-2bd"].due_at == datetime(2026, 12, 1, 4, 59, 59, tzinfo=UTC)


def test_the_tier_decides_between_a_visit_in_seven_and_in_fourteen_days() -> None:
    assert str(clocks(discharged(tier="high"))["visit"].budget) == "7 calendar days"
    assert str(clocks(discharged(tier="low"))["visit"].budget) == "14 calendar days"


@pytest.mark.parametrize("row", rows("timeline-deadlines", "discharge_date", "weekday"))
def test_medicare_transition_rows(row: Any) -> None:
    """Contact, both visits and the thirty days, for discharges at noon in New York."""
    day = datetime.fromisoformat(row["inputs"]["discharge_date"]).replace(hour=17, tzinfo=UTC)
    high, moderate = clocks(discharged(tier="high", now=day)), clocks(discharged(tier="low", now=day))
    local = [c.due_at.astimezone(c.tz).date().isoformat() for c in (high["contact-2bd"], high["visit"])]
    assert local == [row["expected"]["contact_due"], row["expected"]["visit_due_99496_high"]]
    visit = moderate["visit"]
    assert visit.due_at.astimezone(visit.tz).date().isoformat() == row["expected"]["visit_due_99495_moderate"]


def test_each_promise_is_kept_by_its_own_deed() -> None:
    """A call keeps the contacts, a visit the visit, a reconciliation its own; a voicemail keeps nothing."""
    story = discharged()
    story.wait(hours=1)
    story.do("log-contact", mode="telephone", party="patient", reached=False, outcome="voicemail")
    assert set(clocks(story)) == {"outreach-48h", "contact-2bd", "visit", "reconciliation", "engagement"}
    story.do("log-contact", mode="telephone", party="caregiver", reached=True, outcome="her daughter")
    assert set(clocks(story)) == {"visit", "reconciliation", "engagement"}
    story.wait(days=2)
    story.do("log-contact", mode="in-person", party="patient", reached=True, outcome="seen")
    assert set(clocks(story)) == {"reconciliation"}
    story.do("reconcile-medications", medications=[{"name": "A"}], sources=["discharge summary"])
    assert clocks(story) == {}


def test_engagement_on_the_day_of_discharge_does_not_count() -> None:
    """Day zero is excluded there, and counts for the other promises."""
    story = discharged()
    story.wait(hours=1)
    story.do("log-contact", mode="in-person", party="patient", reached=True, outcome="at the door")
    assert set(clocks(story)) == {"engagement", "reconciliation"}


def test_the_same_event_twice_changes_nothing_and_a_correction_moves_what_still_runs() -> None:
    """By the sender's own id; kept promises stay kept."""
    story = discharged()
    before = story.known
    assert story.do("record-transition", **home(story)).entries == ()
    assert story.known == before
    story.wait(hours=1)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="ok")
    earlier = (THANKSGIVING_FRIDAY - timedelta(days=1)).isoformat()
    story.do("record-transition", **home(story, occurred_at=earlier))
    found = clocks(story)
    assert set(found) == {"visit", "reconciliation", "engagement"}
    assert found["visit"].due_at == datetime(2026, 11, 27, 4, 59, 59, tzinfo=UTC)
    story.do("record-transition", **home(story, retracted=True))
    assert clocks(story) == {}
    assert story.refused("record-transition", **home(story, retracted=True)) == "NothingToCorrect"


def test_a_readmission_is_noticed_once_in_whatever_order_the_events_come() -> None:
    """And ends what the first discharge promised: nobody is called at home while in hospital."""
    story = discharged()
    story.wait(days=10)
    again = (story.now - timedelta(hours=3)).isoformat()
    admission = {"event": "admission", "occurred_at": again}
    story.do("record-transition", **home(story, "e2", **admission))
    assert set(clocks(story)) == {"admission-noticed"}
    (noticed,) = [e for e in story.timeline if e.kind == "readmission-noticed"]
    assert (noticed.data["days"], noticed.data["told"]) == (9, "cm-anna")
    late = discharged("complex-care")
    late.wait(days=20)
    mid = (late.now - timedelta(days=5)).isoformat()
    late.do("record-transition", **home(late, "e4", event="admission", occurred_at=mid))
    assert late.kinds.count("readmission-noticed") == 1
    first = (late.now - timedelta(days=30)).isoformat()
    late.do("record-transition", **home(late, "e0", event="admission", occurred_at=first))
    late.do("record-transition", **home(late, "e4", event="admission", occurred_at=mid))
    assert late.kinds.count("readmission-noticed") == 1


def test_a_late_discharge_does_not_promise_calls_to_somebody_who_is_in_hospital_again() -> None:
    """The admission came first, the discharge before it afterwards; the readmission is noticed all the same."""
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, "a2", event="admission"))
    earlier = (story.now - timedelta(days=8)).isoformat()
    story.do("record-transition", **home(story, "d1", occurred_at=earlier))
    assert set(clocks(story)) == {"admission-noticed"}
    assert story.kinds.count("readmission-noticed") == 1


def test_a_planned_admission_and_rehabilitation_are_no_readmissions() -> None:
    story = discharged()
    story.wait(days=5)
    story.do("record-transition", **home(story, "p1", event="admission", planned=True))
    story.do("record-transition", **home(story, "p2", event="admission", setting="irf"))
    assert "readmission-noticed" not in story.kinds


def test_future_far_past_and_unknown_transitions_are_refused() -> None:
    story = discharged()
    future = (story.now + timedelta(hours=1)).isoformat()
    past = (story.now - timedelta(days=400)).isoformat()
    assert story.refused("record-transition", **home(story, "x", occurred_at=future)) == "NotYetHappened"
    assert story.refused("record-transition", **home(story, "x", occurred_at=past)) == "TooLongAgo"
    assert story.refused("record-transition", **home(story, "x", setting="spa")) == "UnknownSetting"


def test_a_discharge_is_called_safe_only_when_nothing_is_missing() -> None:
    story = discharged()
    plan: dict[str, Any] = {"event_id": "e1", "needs": ["walker"], "barriers": [{"description": "stairs"}]}
    outcome = story.send("plan-discharge", **plan, safe=True).outcome
    assert outcome.error == "NotSafeYet"
    assert len(outcome.missing) == 4
    story.do("plan-discharge", **plan)
    done = {
        "appointments": [{"title": "Cardiology", "at": "2026-11-27T15:00:00Z"}],
        "medications_reconciled": True,
        "shared_with": ["primary care"],
        "barriers": [{"description": "stairs", "resolution": "bed downstairs"}],
    }
    story.do("plan-discharge", **{**plan, **done}, safe=True)
    assert story.refused("plan-discharge", **{**plan, "event_id": "e9"}) == "UnknownEncounter"


def test_avoidable_days_have_a_reason_of_the_list_and_an_attribution() -> None:
    story = discharged()
    body = {"first": "2026-11-18", "last": "2026-11-19", "reason": "payer-authorization", "attributed_to": "payer"}
    story.do("record-avoidable-days", **body)
    assert story.timeline[-1].data["days"] == 2
    assert story.refused("record-avoidable-days", **{**body, "reason": "bad-weather"}) == "UnknownDayReason"
    assert story.refused("record-avoidable-days", **{**body, "first": "2026-11-20"}) == "PeriodWrong"
    assert story.refused("record-avoidable-days", **{**body, "last": "2026-12-20"}) == "PeriodWrong"


def test_an_admission_that_is_taken_back_or_corrected_gives_the_promises_back() -> None:
    """And withdraws the readmission; what was kept before is not owed again."""
    story = discharged()
    story.wait(hours=1)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="ok")
    owed = set(clocks(story))
    story.wait(days=3)
    admission = home(story, "a1", event="admission")
    story.do("record-transition", **admission)
    assert set(clocks(story)) == {"admission-noticed"}
    story.do("record-transition", **{**admission, "retracted": True})
    assert set(clocks(story)) == owed
    assert story.kinds.count("readmission-withdrawn") == 1
    assert story.known.readmissions == ()
    early = (THANKSGIVING_FRIDAY - timedelta(days=4)).isoformat()
    story.do("record-transition", **admission)
    story.do("record-transition", **{**admission, "occurred_at": early})
    assert set(clocks(story)) == owed | {"admission-noticed"}


def test_an_event_that_turns_out_to_be_another_promises_what_that_one_does() -> None:
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, "z", event="admission"))
    story.do("record-transition", **home(story, "z"))
    assert set(clocks(story)) == {"outreach-48h", "contact-2bd", "visit", "reconciliation", "engagement"}
    other = opened("transitions").assess("high")
    other.do("record-transition", **home(other, "z", event="visit", setting="emergency"))
    other.do("record-transition", **home(other, "z"))
    assert "contact-2bd" in clocks(other)


def test_neither_a_letter_nor_a_talk_before_the_discharge_keeps_what_it_promises() -> None:
    story = opened("transitions").assess("high")
    story.wait(hours=6)
    before = (story.now - timedelta(hours=5)).isoformat()
    story.do("record-transition", **home(story))
    owed = set(clocks(story))
    body = {"party": "patient", "reached": True, "outcome": "x"}
    story.do("log-contact", mode="in-person", occurred_at=before, **body)
    story.do("log-contact", mode="letter", **body)
    assert set(clocks(story)) == owed


def test_one_discharge_sent_under_two_ids_happened_once() -> None:
    """By its encounter and its time; another encounter is another discharge."""
    story = opened("transitions").assess("high")
    body = {"encounter": "enc-1"}
    story.do("record-transition", **home(story, "m1", **body))
    assert story.do("record-transition", **home(story, "m2", **body)).entries == ()
    assert story.do("record-transition", **home(story, "m3", encounter="enc-2")).entries != ()
