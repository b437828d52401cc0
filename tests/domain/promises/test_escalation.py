"""A missed promise is noticed, climbs, rests when acknowledged, and never keeps the next from being made."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.case.staff import Directory, StaffMember
from domain.clocks.clock import Clock
from domain.values import SYSTEM, Role
from tests.invariants import the_lists_name_whom_the_ladder_tells_next
from tests.story import MONDAY, SAM, STAFF, Story, plain_story


def contact(story: Story) -> Clock:
    return next(c for c in story.known.running if c.kind == "contact")


def missed(story: Story) -> Clock:
    return next(c for c in story.known.running if c.missed_at)


def climbs(story: Story, clock_id: str) -> list[tuple[str, tuple[str, ...]]]:
    data: list[Any] = [e.data for e in story.timeline if e.kind == "rung-climbed"]
    return [(d["climb"]["tell"], tuple(d["climb"]["told"])) for d in data if d["clock_id"] == clock_id]


def test_an_untouched_follow_up_climbs_from_owner_to_director_each_rung_once() -> None:
    """Reminder, miss, senior after four working hours, supervisor and director after working days."""
    story = plain_story().followed_up("high")
    clock = contact(story)
    story.wait(days=14)
    assert climbs(story, clock.id) == [
        ("owner", ("cm-anna",)),
        ("owner", ("cm-anna",)),
        ("senior", ("senior-1",)),
        ("supervisor", ("sup-1",)),
        ("director", ("dir-1",)),
    ]
    planned = [c.planned_at.astimezone(clock.tz) for c in missed(story).climbs]
    assert [f"{p:%a %d %H:%M:%S}" for p in planned] == [
        "Fri 06 09:00:00",
        "Tue 10 00:00:00",
        "Tue 10 13:00:00",
        "Wed 11 13:00:00",
        "Fri 13 13:00:00",
    ]


def test_a_miss_is_an_event_that_completes_nothing_and_suppresses_nothing() -> None:
    """The missed contact stays owed, and the next one is due a week after it."""
    story = plain_story().followed_up("high")
    first = contact(story)
    story.wait(days=16)
    missed_one, following = [c for c in story.known.running if c.kind == "contact"]
    assert (missed_one.id, missed_one.lapses) == (first.id, 1)
    assert following.missed_at is None
    assert story.kinds.count("clock-missed") == 2


def test_a_cadence_that_lapses_again_is_one_escalation_that_begins_higher_each_time() -> None:
    """Three weeks: one escalation with its count; the owner first, then the senior, then the supervisor."""
    story = plain_story().followed_up("high")
    first = contact(story)
    story.wait(days=26)
    assert [c.id for c in story.known.running if c.missed_at is not None] == [first.id]
    assert missed(story).lapses == 2
    ours: list[Any] = [e for e in story.timeline if e.data.get("clock_id") == first.id]
    lapses = [e.seq for e in ours if e.kind == "cadence-lapsed"]
    told = [[e.data["climb"]["tell"] for e in ours if e.kind == "rung-climbed" and e.seq > seq] for seq in lapses]
    begun = [ranks[0] for ranks in told]
    assert begun == ["senior", "supervisor"]
    story.do("acknowledge-escalation", escalation_id=first.escalation_id)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="back")
    assert not [c for c in story.known.running if c.missed_at is not None]


def test_a_contact_logged_late_is_kept_late_and_the_next_counts_from_it() -> None:
    """One contact ends the wait for all that were owed by then; only the missed ones are late."""
    story = plain_story().followed_up("high")
    story.wait(days=9)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="fine")
    kept = [e.data["late_by"] for e in story.timeline if e.kind == "clock-kept"][-2:]
    assert sorted(bool(late) for late in kept) == [False, True]
    assert [c.anchor for c in story.known.running if c.kind == "contact"] == [story.now]


def test_a_contact_made_in_time_but_logged_late_is_not_called_late() -> None:
    """The miss was noticed, for nobody had said otherwise; the record then says it was kept in time."""
    story = plain_story().followed_up("high")
    clock = contact(story)
    story.wait(days=9)
    made = clock.due_at - timedelta(hours=5)
    story.do("log-contact", mode="video", party="patient", reached=True, outcome="x", occurred_at=made.isoformat())
    kept = next(e for e in story.timeline if e.kind == "clock-kept" and e.data["clock_id"] == clock.id)
    assert kept.data["late_by"] == 0
    assert story.kinds.count("clock-missed") == 1


def test_a_reached_caregiver_is_not_a_reached_patient() -> None:
    """Unless the programme says so for the tier; an attempt that failed only counts as one."""
    story = plain_story().followed_up("high")
    story.do("log-contact", mode="telephone", party="caregiver", reached=True, outcome="son answered")
    story.do("log-contact", mode="telephone", party="patient", reached=False, outcome="no answer")
    assert story.known.attempts_since_contact == 1
    assert not [e for e in story.timeline[-2:] if e.kind == "clock-kept"]
    tcm = plain_story("medicaid-tcm").followed_up("low")
    tcm.do("log-contact", mode="telephone", party="caregiver", reached=True, outcome="son answered")
    assert tcm.kinds[-2:] == ["clock-kept", "clock-started"]


def test_an_acknowledgement_rests_the_climb_not_the_promise() -> None:
    """Acknowledged and still not kept, it climbs on after its own working day, in a new round."""
    story = plain_story().followed_up("high")
    story.wait(days=9)
    clock = missed(story)
    story.do("acknowledge-escalation", escalation_id=clock.escalation_id, note="on it")
    assert story.refused("acknowledge-escalation", escalation_id=clock.escalation_id) == "AlreadyAcknowledged"
    before = climbs(story, clock.id)
    story.wait(hours=20)
    assert climbs(story, clock.id) == before
    story.wait(hours=6)
    assert climbs(story, clock.id) == [*before, ("supervisor", ("sup-1",))]
    again = next(c for c in story.known.running if c.id == clock.id)
    assert again.climbs[-1].round == 1
    story.do("acknowledge-escalation", escalation_id=clock.escalation_id)
    assert story.refused("acknowledge-escalation", escalation_id="c999-missed") == "UnknownEscalation"


def test_at_the_top_an_acknowledged_promise_that_is_not_kept_tells_the_top_again() -> None:
    """It never goes silent by being acknowledged."""
    story = plain_story().followed_up("high")
    story.wait(days=40)
    clock = missed(story)
    story.do("acknowledge-escalation", escalation_id=clock.escalation_id)
    story.wait(days=4)
    assert [tell for tell, _ in climbs(story, clock.id)][-2:] == ["director", "director"]


def test_where_nobody_is_found_the_next_rung_is_told_and_the_vacancy_is_on_record() -> None:
    """An absent owner, no senior: the supervisor hears of both at once, and where he has heard, the director."""
    away = MONDAY + timedelta(days=60)
    members = tuple(
        m.changed(absent_until=away) if m.subject == "cm-anna" else m
        for m in STAFF.members
        if m.role is not Role.SENIOR
    )
    story = plain_story(staff=Directory(members=members)).followed_up("high")
    clock = contact(story)
    story.wait(days=9)
    data = [e.data["climb"] for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == clock.id]
    assert {(d["tell"], tuple(d["told"]), tuple(d["vacant"])) for d in data} == {  # type: ignore[index,call-overload,arg-type]
        ("owner", ("sup-1",), ("owner", "senior")),
        ("senior", ("dir-1",), ("senior",)),
    }


def test_with_nobody_at_all_the_climb_is_still_on_record() -> None:
    """An empty directory tells nobody and says so; the escalation stays in the list."""
    story = plain_story().followed_up("high")
    story.staff = Directory()
    story.wait(days=14)
    last = [e.data["climb"] for e in story.timeline if e.kind == "rung-climbed"][-1]
    assert last["told"] == []  # type: ignore[index,call-overload]
    assert missed(story).climbs


def test_after_an_outage_every_rung_that_was_due_is_climbed_once_with_its_planned_time() -> None:
    """A worker that comes back after three weeks climbs all of it in one go."""
    story = plain_story().followed_up("high")
    clock = contact(story)
    story.now += timedelta(days=21)
    story.wait(seconds=0)
    found = climbs(story, clock.id)
    assert [tell for tell, _ in found][:5] == ["owner", "owner", "senior", "supervisor", "director"]
    assert [tell for tell, _ in found][5:] == ["senior", "supervisor", "director"]  # it lapsed again
    ours = next(c for c in story.known.running if c.id == clock.id)
    assert all(c.planned_at < c.at == story.now for c in ours.climbs)
    assert story.kinds.count("clock-missed") == 2  # this one, and the one promised after it
    again = story.kinds.count("rung-climbed")
    story.send("tick", actor=SYSTEM)
    assert story.kinds.count("rung-climbed") == again


def test_a_case_nobody_touches_goes_on_promising_and_holds_one_missed_contact() -> None:
    """Daily contacts and long silence: one escalation with its count, and the next contact."""
    story = plain_story("medicaid-tcm").followed_up("high")
    story.wait(days=40)
    assert len([c for c in story.known.running if c.kind == "contact"]) == 2
    assert missed(story).lapses == 38
    assert story.kinds.count("clock-missed") == 39  # each local day from the third of March to the tenth of April
    assert any(c.kind == "contact" and c.due_at > story.now for c in story.known.running)


def test_nobody_sends_a_tick_but_the_case_itself() -> None:
    """Time is not for people to decide."""
    assert plain_story().accepted().refused("tick") == "NotPermitted"


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 3, 5, 15, tzinfo=UTC), "2026-03-12"),  # over the change to summer time
        (datetime(2026, 10, 29, 14, tzinfo=UTC), "2026-11-05"),  # over the change to winter time
        (datetime(2026, 12, 28, 4, 30, tzinfo=UTC), "2027-01-03"),  # still the 27th in New York
    ],
)
def test_a_weekly_contact_is_due_on_the_local_day(now: datetime, due: str) -> None:
    """Whatever the hour in UTC and whatever the clocks do in between."""
    clock = contact(plain_story(now=now).followed_up("high"))
    assert str(clock.due_at.astimezone(clock.tz).date()) == due
    assert f"{clock.due_at.astimezone(clock.tz):%H:%M:%S}" == "23:59:59"


def test_a_raised_tier_asks_for_the_person_sooner_and_a_lowered_one_later() -> None:
    """At once, from the last contact; what would be overdue by the new cadence is due from now."""
    story = plain_story().followed_up("low")
    monthly = contact(story).due_at
    story.wait(days=3)
    story.do("set-risk-tier", tier="high", reasons=["fell"])
    weekly = contact(story)
    assert weekly.due_at == MONDAY.replace(hour=4, minute=59, second=59) + timedelta(days=8) - timedelta(hours=1)
    story.do("set-risk-tier", tier="low", reasons=["recovered"])
    assert contact(story).due_at == monthly
    story.wait(days=10)
    story.do("set-risk-tier", tier="high", reasons=["fell again"])
    assert story.now < contact(story).due_at < story.now + timedelta(days=8)


def test_a_member_named_as_supervisor_is_told_before_the_teams() -> None:
    """The person above the owner, if there; else whoever supervises the team."""
    other = StaffMember(subject="sup-9", role=Role.SUPERVISOR, team="north")
    staff = Directory(members=(*STAFF.members, other))
    from domain.clocks.clock import Rank

    assert staff.find(Rank.SUPERVISOR, "cm-anna", "north", MONDAY) == ("sup-1",)
    assert staff.find(Rank.SUPERVISOR, "nobody", "north", MONDAY) == ("sup-1", "sup-9")
    assert staff.find(Rank.DIRECTOR, "cm-anna", "north", MONDAY) == ("dir-1",)
    under_senior = tuple(m.changed(supervisor="senior-1") if m.subject == "cm-anna" else m for m in STAFF.members)
    line = Directory(members=under_senior)
    assert line.find(Rank.SUPERVISOR, "cm-anna", "north", MONDAY) == ("sup-1",)
    assert line.find(Rank.DIRECTOR, "cm-anna", "north", MONDAY) == ("dir-1",)
    ring = Directory(members=(StaffMember(subject="a", role=Role.CASE_MANAGER, supervisor="a"),))
    assert ring.find(Rank.SUPERVISOR, "a", None, MONDAY) == ()


def test_a_promise_whose_ladder_was_taken_out_of_the_file_still_tells_somebody() -> None:
    """Somebody edits a published programme: the promises made before must not fail in silence."""
    story = Story().followed_up()
    story.case = story.known.changed(clocks=tuple(c.changed(ladder="gone") for c in story.known.clocks))
    story.wait(days=40)
    climbs: list[Any] = [entry.data["climb"] for entry in story.timeline if entry.kind == "rung-climbed"]
    assert climbs
    assert all(climb["told"] for climb in climbs)


def test_a_supervisor_s_own_case_climbs_to_somebody_else() -> None:
    """Each rung tells somebody who has not heard it in this round, as long as there is anybody."""
    story = plain_story().followed_up("high")
    story.do("reassign-case", actor=SAM, owner="sup-1", reason="mine now")
    clock = contact(story)
    story.wait(days=20)
    climbed = [e.data for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == clock.id]
    climbs: list[Any] = [data["climb"] for data in climbed]
    assert [c["told"] for c in climbs if c["rung"] >= 1][:3] == [["sup-1"], ["senior-1"], ["dir-1"]]


def test_a_cadence_that_lapses_faster_than_its_ladder_still_climbs_to_the_top() -> None:
    """Each lapse is counted and puts nothing off: everybody on the ladder hears of a contact that nobody makes."""
    story = Story("demo").followed_up("high")
    story.wait(minutes=10)
    told = {p for e in story.timeline if e.kind == "rung-climbed" for p in e.data["climb"]["told"]}  # type: ignore[index,call-overload,union-attr]
    assert {"senior-1", "sup-1", "dir-1"} <= told
    lapsed: Any = [e.data for e in story.timeline if e.kind == "cadence-lapsed"]
    assert len(lapsed) > 3
    assert lapsed[-1]["lapses"] == len(lapsed)


@pytest.mark.parametrize("program", ["demo", "complex-care", "medicaid-tcm"])
def test_the_lists_name_whom_the_ladder_tells_next_whatever_lapsed_and_was_taken_up(program: str) -> None:
    """Left alone, taken up in the middle of the climb, and left alone again."""
    story = Story(program).followed_up("high")
    pace = timedelta(seconds=10) if program == "demo" else timedelta(hours=9)
    for step in range(60):
        story.wait(seconds=pace.total_seconds())
        the_lists_name_whom_the_ladder_tells_next(story)
        if step in (20, 40):
            story.do("acknowledge-escalation", escalation_id=missed(story).escalation_id)
            the_lists_name_whom_the_ladder_tells_next(story)
