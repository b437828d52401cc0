"""Discharges promise contacts, visits, reconciliations; the sender's events come twice, late and in any order."""

import itertools
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
    assert set(found) == {
        "visit",
        "reconciliation",
    }  # the call was on the day after the discharge then: engagement
    assert found["visit"].due_at == datetime(2026, 11, 27, 4, 59, 59, tzinfo=UTC)
    story.do("record-transition", **home(story, retracted=True))
    assert clocks(story) == {}
    assert story.do("record-transition", **home(story, retracted=True)).entries == ()


def test_a_readmission_is_noticed_once_in_whatever_order_the_events_come() -> None:
    """And ends what the first discharge promised: nobody is called at home while in hospital."""
    story = discharged()
    story.wait(days=10)
    again = (story.now - timedelta(hours=3)).isoformat()
    admission = {"event": "admission", "occurred_at": again}
    story.do("record-transition", **home(story, "e2", **admission))
    assert set(clocks(story)) == {"admission-noticed"}
    (noticed,) = [e for e in story.timeline if e.kind == "readmission-noticed"]
    assert (noticed.data["days"], noticed.data["told"]) == (10, "cm-anna")
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
    again = home(story, "a2", event="admission", occurred_at=(story.now - timedelta(days=1)).isoformat())
    story.do("record-transition", **again)
    story.do("record-transition", **{**again, "occurred_at": early})
    assert set(clocks(story)) == owed


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
    before = clocks(story)
    story.do("record-transition", **home(story, "m2", **body))
    assert clocks(story) == before
    assert [t.also for t in story.known.transitions] == [("m2",)]
    assert story.do("record-transition", **home(story, "m3", encounter="enc-2")).entries != ()


def noticed(story: Story) -> list[tuple[Any, ...]]:
    found = [e.data for e in story.timeline if e.kind == "readmission-noticed"]
    return [(e["discharge_id"], e["admission_id"], e["days"]) for e in found]


def later(story: Story, days: float, event_id: str, event: str, setting: str = "inpatient", **more: Any) -> None:
    at = (THANKSGIVING_FRIDAY + timedelta(days=days)).isoformat()
    story.do("record-transition", **home(story, event_id, event=event, setting=setting, occurred_at=at, **more))


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ([(0.1, "s1", "admission", "snf"), (9, "s2", "discharge", "snf")], 19),
        ([(6, "v1", "visit", "emergency")], 19),
        ([(5, "p1", "admission", "irf"), (9, "p2", "discharge", "irf")], 19),
    ],
)
def test_a_readmission_is_judged_between_stays_in_hospital_past_what_lies_between(
    between: list[Any], expected: int
) -> None:
    """A nursing facility, an emergency visit, rehabilitation take nothing from the hospital's stay."""
    story = discharged()
    story.wait(days=19)
    for days, *message in between:
        later(story, days, *message)
    story.do("record-transition", **home(story, "a9", event="admission"))
    assert ("e1", "a9", expected) in noticed(story)


def test_the_thirtieth_day_counts_to_its_end_and_a_move_on_the_same_day_is_none() -> None:
    """Out at four in the afternoon: in on day 30 at nine in the evening is one, on day 31 is none."""
    for days, found in ((30.2, 1), (31, 0), (0.1, 0)):
        story = discharged()
        story.wait(days=32)
        later(story, days, "a9", "admission")
        assert len(noticed(story)) == found


def test_what_was_taken_back_stays_taken_back_in_whatever_order_it_comes() -> None:
    """The cancellation first, a replay afterwards, and a cancellation under an id of its own."""
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, "d1", retracted=True))
    assert story.do("record-transition", **home(story, "d1")).entries == ()
    story.wait(hours=1)
    story.do("record-transition", **home(story, "d2", encounter="enc-2"))
    assert clocks(story)
    story.do("record-transition", **home(story, "m9", encounter="enc-2", retracted=True))
    assert clocks(story) == {}
    for event_id in ("d2", "m9"):
        assert story.do("record-transition", **home(story, event_id, encounter="enc-2")).entries == ()
    assert story.known.transitions == ()


def test_a_task_that_a_discharge_opened_goes_with_it() -> None:
    """Taken back or admitted again: nobody sends the summary; an admission that was none gives it back."""
    story = discharged()
    assert "send-summary" in {t.type for t in story.known.open_tasks}
    story.wait(hours=5)
    story.do("record-transition", **home(story, "a1", event="admission"))
    assert "send-summary" not in {t.type for t in story.known.open_tasks}
    story.do("record-transition", **home(story, "a1", event="admission", retracted=True))
    assert "send-summary" in {t.type for t in story.known.open_tasks}
    story.do("record-transition", **home(story, retracted=True))
    assert "send-summary" not in {t.type for t in story.known.open_tasks}


@pytest.mark.parametrize("disposition", ["facility", "hospice", "died"])
def test_who_did_not_go_home_is_not_called_there(disposition: str) -> None:
    """A correction that says that she did promises it all."""
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, disposition=disposition))
    assert clocks(story) == {}
    story.do("record-transition", **home(story, disposition="home"))
    assert set(clocks(story)) == {"outreach-48h", "contact-2bd", "visit", "reconciliation", "engagement"}
    story.do("record-transition", **home(story, disposition=disposition))
    assert clocks(story) == {}


def test_a_discharge_is_taken_before_consent_and_before_screening_and_what_needs_consent_waits() -> None:
    """The calls are promised at once; the summary and the reconciliation are there and wait."""
    story = Story("transitions", now=THANKSGIVING_FRIDAY).open()
    story.do("record-transition", **home(story))
    found = clocks(story)
    assert found["outreach-48h"].pause is None
    assert found["reconciliation"].pause is not None
    [task] = [t for t in story.known.open_tasks if t.type == "send-summary"]
    assert task.status == "on-hold"
    story.do("record-consent", form="verbal")
    assert clocks(story)["reconciliation"].pause is None
    assert story.known.task(task.id) is not None
    assert [t.status for t in story.known.open_tasks if t.id == task.id] == ["ready"]


def test_an_admission_stops_a_closing() -> None:
    """Outcome and notice are asked for again; the case is followed up."""
    story = Story("complex-care", now=THANKSGIVING_FRIDAY).followed_up()
    story.do("evaluate-outcome", ratings={"well_being": 5, "finances": 5, "appropriate_care": 5}, summary="x")
    assert story.known.stage == "closure"
    story.do("record-transition", **home(story, "a1", event="admission"))
    assert (story.known.stage, story.known.outcome) == ("follow-up", None)
    assert "contact" in {c.kind for c in story.known.running}


def test_a_discharge_whose_time_is_over_climbs_nowhere_and_one_person_is_told_once() -> None:
    """The misses count; nobody above the case manager hears of what nobody could know."""
    story = opened("transitions").assess("high")
    before = story.known.running
    old = (story.now - timedelta(days=200)).isoformat()
    story.do("record-transition", **home(story, occurred_at=old))
    assert story.known.running == before
    told = [n for e in story.timeline for n in e.event.notices(story.known) if n.subject == "transition-long-past"]
    assert [n.recipient for n in told] == ["cm-anna"]
    assert story.kinds.count("clock-missed") == 5


def test_a_call_that_was_typed_in_before_the_discharge_was_known_keeps_what_it_promised() -> None:
    """The message of the hospital comes two days late; the case manager had called already."""
    story = opened("transitions").assess("high")
    left = story.now
    story.wait(days=1)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="home since yesterday")
    story.wait(days=1)
    story.do("record-transition", **home(story, occurred_at=left.isoformat()))
    assert set(clocks(story)) == {"visit", "reconciliation"}


def test_a_tier_that_rises_shortens_what_the_discharge_promised_and_one_that_falls_does_not_stretch_it() -> None:
    """Set to high after the discharge: the visit is due seven days after it."""
    story = discharged(tier="low")
    due = clocks(story)["visit"].due_at
    story.do("set-risk-tier", tier="high", reasons=["lives alone"])
    assert clocks(story)["visit"].due_at == due - timedelta(days=7)
    story.do("set-risk-tier", tier="low", reasons=["her son moved in"])
    assert clocks(story)["visit"].due_at == due - timedelta(days=7)


def test_a_new_discharge_after_one_that_was_taken_back_is_new() -> None:
    """She stayed until the afternoon after all; without an encounter's number it is told apart by its time."""
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, "d1"))
    story.do("record-transition", **home(story, "d1", retracted=True))
    story.wait(hours=4)
    story.do("record-transition", **home(story, "d2"))
    assert set(clocks(story)) == {"outreach-48h", "contact-2bd", "visit", "reconciliation", "engagement"}


def attempt(story: Story, **more: Any) -> None:
    story.do("log-contact", mode="telephone", party="patient", reached=False, outcome="voicemail", **more)


def ended(story: Story, name: str) -> list[tuple[str, Any]]:
    """How the promise of this name ended or was missed, and how many attempts there were."""
    ids = {
        e.data["clock"]["id"]  # type: ignore[index,call-overload]
        for e in story.timeline
        if e.kind == "clock-started" and str(e.data["clock"].get("about", "")).endswith(name)  # type: ignore[union-attr]
    }
    found = [e for e in story.timeline if e.kind in ("clock-kept", "clock-missed")]
    return [(e.kind, e.data.get("attempts")) for e in found if e.data["clock_id"] in ids]


def test_two_timely_attempts_count_where_the_rule_counts_them_and_a_miss_says_how_many_there_were() -> None:
    """Two within two business days keep that promise; the 48 hours know no attempts, and are missed with two."""
    story = discharged()
    for _ in range(2):
        story.wait(hours=3)
        attempt(story)
    story.wait(days=6)
    assert ended(story, "contact-2bd") == [("clock-kept", 2)]
    assert ended(story, "outreach-48h") == [("clock-missed", 2)]
    once = discharged()
    once.wait(hours=3)
    attempt(once)
    once.wait(days=6)
    assert ended(once, "contact-2bd") == [("clock-missed", 1)]


def test_an_attempt_that_is_typed_in_late_counts_by_when_it_was_made() -> None:
    story = discharged()
    made = [(story.now + timedelta(hours=hours)).isoformat() for hours in (3, 20)]
    story.wait(days=6)
    for at in made:
        attempt(story, occurred_at=at)
    assert ended(story, "contact-2bd") == [("clock-missed", 0), ("clock-kept", 2)]


def test_the_thirty_days_and_the_summary_count_from_the_discharge() -> None:
    """Discharged on Friday the 20th: the summary by Sunday, the service until 19 December, whenever it began."""
    story = discharged()
    [task] = [t for t in story.known.open_tasks if t.type == "send-summary"]
    clock = story.known.clock(task.clock_id)
    assert clock is not None
    assert clock.due_at.astimezone(clock.tz).date().isoformat() == "2026-11-22"
    story.wait(days=5)
    story.do("agree-plan", **story.plan("equipment"))
    [stage] = [c for c in story.known.running if c.kind == "stage"]
    assert stage.due_at.astimezone(stage.tz).date().isoformat() == "2026-12-19"


def test_the_thirty_days_count_anew_after_a_readmission_and_as_before_where_that_is_taken_back() -> None:
    """Home again on 4 December: the service ends on 2 January. Without that discharge it ends on 19 December."""
    story = discharged()
    story.wait(days=7)
    story.do("agree-plan", **story.plan("equipment"))

    def ends() -> str:
        [stage] = [c for c in story.known.running if c.kind == "stage"]
        return stage.due_at.astimezone(stage.tz).date().isoformat()

    later(story, 3, "a2", "admission")
    assert ends() == "2026-12-19"
    later(story, 6, "d2", "discharge")
    second = next(t for t in story.known.transitions if t.id == "d2")
    assert ends() == (second.occurred_at + timedelta(days=29)).date().isoformat()
    story.do("record-transition", **{**home(story, "d2"), "retracted": True})
    assert ends() == "2026-12-19"


def test_a_promise_of_a_discharge_is_called_as_people_call_it() -> None:
    """As the programme's file has it."""
    titles = {clock.title for clock in clocks(discharged()).values()}
    assert {"Outreach within 48 hours", "Contact within two business days", "Visit after the discharge"} <= titles


def test_sixty_days_count_from_eligibility_and_not_from_acceptance() -> None:
    """Referred on 2 March, accepted on 17 March: the assessment is due on 1 May."""
    story = Story("complex-care").open()
    story.do("record-consent", form="verbal")
    story.wait(days=15)
    story.do("complete-screening", accepted=True)
    [stage] = [c for c in story.known.running if c.kind == "stage"]
    assert stage.due_at.astimezone(stage.tz).date().isoformat() == "2026-05-01"


def test_a_discharge_typed_with_the_wrong_month_is_owed_when_that_is_corrected() -> None:
    """Told as of sixty days ago all was over; it was five hours ago."""
    story = opened("transitions").assess("high")
    story.do("record-transition", **home(story, occurred_at=(story.now - timedelta(days=60)).isoformat()))
    assert clocks(story) == {}
    story.do("record-transition", **home(story, occurred_at=(story.now - timedelta(hours=5)).isoformat()))
    assert set(clocks(story)) == {"outreach-48h", "contact-2bd", "visit", "reconciliation", "engagement"}


def test_an_update_that_says_nothing_of_time_or_place_leaves_what_climbs_as_it_is() -> None:
    """Also when all is missed; and an admission that was none gives the missed promises back, not silence."""
    story = discharged("complex-care")
    story.wait(days=33)
    before = clocks(story)
    assert before
    story.do("record-transition", **home(story, occurred_at=THANKSGIVING_FRIDAY.isoformat(), encounter="enc-1"))
    assert clocks(story) == before
    story.do("record-transition", **home(story, "a1", event="admission"))
    story.do("record-transition", **home(story, "a1", event="admission", retracted=True))
    assert set(clocks(story)) == set(before)


def test_silence_about_planned_leaves_it_planned() -> None:
    story = discharged()
    story.wait(days=5)
    story.do("record-transition", **home(story, "a1", event="admission", planned=True))
    story.do("record-transition", **home(story, "a1", event="admission", encounter="enc-9"))
    assert noticed(story) == []
    story.do("record-transition", **home(story, "a1", event="admission", planned=False))
    assert len(noticed(story)) == 1


def test_history_stops_no_closing() -> None:
    story = Story("complex-care", now=THANKSGIVING_FRIDAY).followed_up()
    story.do("evaluate-outcome", ratings={"well_being": 5, "finances": 5, "appropriate_care": 5}, summary="x")
    long_ago = (story.now - timedelta(days=200)).isoformat()
    story.do("record-transition", **home(story, "a1", event="admission", occurred_at=long_ago))
    assert story.known.stage == "closure"


def test_a_day_alone_ends_the_stay_that_began_on_it() -> None:
    """In at seven in the morning, out on the same day, told in either order: she is at home and is called."""
    for order in ((0, 1), (1, 0)):
        story = Story("transitions", now=THANKSGIVING_FRIDAY).accepted().assess("high")
        day = story.today
        admission = home(story, "a1", event="admission", occurred_at=f"{day}T07:00:00-05:00")
        told = [admission, home(story, "d1", occurred_at=str(day))]
        for n in order:
            story.do("record-transition", **told[n])
        assert "outreach-48h" in clocks(story)


def test_a_move_on_one_day_is_told_apart_by_its_times_in_any_order() -> None:
    """Out at two and in elsewhere, out from there at eight in the evening: she is at home, and is called."""
    day = THANKSGIVING_FRIDAY.replace(hour=19)
    told = [
        ("a0", "admission", day - timedelta(days=3)),
        ("d0", "discharge", day),
        ("a1", "admission", day),
        ("d1", "discharge", day + timedelta(hours=6)),
    ]
    for order in itertools.permutations(told):
        story = Story("transitions", now=THANKSGIVING_FRIDAY + timedelta(hours=8)).accepted().assess("high")
        for event_id, event, at in order:
            body = {"event_id": event_id, "event": event, "setting": "inpatient", "occurred_at": at.isoformat()}
            story.do("record-transition", **body)
        assert {"outreach-48h", "contact-2bd"} <= set(clocks(story)), order
        owed = {c.about.partition("/")[0] for c in story.known.running if c.kind == "transition" and c.about}
        assert "d0" not in owed


def test_a_message_that_is_taken_back_leaves_what_another_one_says() -> None:
    """An admission of that day without a time was the same; taken back by its id it takes nothing along."""
    story = discharged()
    story.wait(days=5)
    day, at = str(story.today), (story.now - timedelta(hours=3)).isoformat()
    told = {"event": "admission", "encounter": "E2"}
    story.do("record-transition", **home(story, "a2", occurred_at=at, **told))
    story.do("record-transition", **home(story, "a3", event="admission", occurred_at=day))
    assert [t.id for t in story.known.transitions if t.event == "admission"] == ["a2"]
    story.do("record-transition", **home(story, "a3", event="admission", occurred_at=day, retracted=True))
    assert [t.id for t in story.known.transitions if t.event == "admission"] == ["a2"]
    assert len(noticed(story)) == 1
    assert "readmission-withdrawn" not in story.kinds
