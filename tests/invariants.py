"""What holds of every case at every moment, whatever people do and however time passes. Each is one function."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from domain.case.case import MOST_OPEN, MOST_OPEN_TASKS, OPEN_WORK
from domain.case.event import Entry
from domain.lines import Lines
from domain.programs.rulebook import ladder_of
from domain.promises.deadlines import MOST_CLOCKS, rests_in_crisis, wake_at
from tests.story import Story

SETTLED = ("clock-kept", "clock-cancelled")


def the_timeline_makes_the_case(story: Story) -> None:
    """`seq` has no gap; folding what was recorded, from its JSON, gives the same case."""
    folded = None
    for n, entry in enumerate(story.timeline, 1):
        assert entry.seq == n
        folded = Entry.model_validate_json(entry.model_dump_json()).apply(folded)
    assert folded == story.case


def come_back(entry: Entry) -> set[str]:
    """The promises that a correction or a reopening says are there: what was settled of them is owed again."""
    data: Any = entry.data
    found = data["left"] if entry.kind == "entered-in-error" else data.get("again", {})
    again = entry.kind in ("entered-in-error", "case-reopened")
    return {clock["id"] for clock in found.get("clocks", ())} if again else set()


def no_clock_is_lost(story: Story) -> None:
    """Every promise that was made is kept, cancelled, or still there; and none is there that was not made."""
    made, settled = set(), set()
    for entry in story.timeline:
        data: Any = entry.data
        if entry.kind == "clock-started":
            made.add(data["clock"]["id"])
        elif entry.kind in SETTLED:
            settled.add(data["clock_id"])
        settled -= come_back(entry)
    assert {c.id for c in story.known.running} == made - settled


def none_is_settled_missed_or_climbed_twice_and_none_early(story: Story) -> None:
    """A promise ends once, is missed once, and one rung of one round tells its people once, never too soon."""
    seen: Counter[tuple[Any, ...]] = Counter()
    for entry in story.timeline:
        data: Any = entry.data
        for clock_id in come_back(entry):
            if seen["settled", clock_id]:
                seen["settled", clock_id] = seen["missed", clock_id] = 0
        if entry.kind in SETTLED:
            seen["settled", data["clock_id"]] += 1
        elif entry.kind == "clock-missed":
            seen["missed", data["clock_id"]] += 1
            assert entry.at.isoformat() > data["due_at"].replace("Z", "+00:00")
        elif entry.kind == "rung-climbed":
            climb = data["climb"]
            seen["climbed", data["clock_id"], climb["round"], climb["rung"]] += 1
            assert climb["planned_at"] <= climb["at"]
    assert not [key for key, count in seen.items() if count > 1]


def nothing_open_is_forgotten(story: Story) -> None:
    """An open case has a clock that asks for it, unless its ladders are climbed or it waits for a person."""
    case = story.known
    if case.sealed:
        return
    waits = any((c.missed_at and c.next_at is None) or (c.pause and c.pause.open_end) for c in case.running)
    assert wake_at(case) is not None or waits


def closed_means_nothing_open(story: Story) -> None:
    """No clock and no task; nothing else that a closure ends."""
    case = story.known
    if not case.closed:
        return
    ended = [work for work in OPEN_WORK if work.ends_with_case]
    assert not [name for work in ended for name in work.named(case)]
    assert not any((case.running, case.open_tasks))


def without_consent_nothing_that_needs_it_runs(story: Story) -> None:
    """No promised contact, no task at work; somebody is asked to decide."""
    case = story.known
    if case.closed or case.consent is None or case.consent.in_force:
        return
    kinds = [c.kind for c in case.running]
    assert "contact" not in kinds
    assert "consent-decision" in kinds
    assert all(task.status == "on-hold" for task in case.open_tasks)


def in_a_crisis_routine_work_rests_and_after_it_nothing_does(story: Story) -> None:
    """Every routine clock stands still, but for what was urgent, missed, or was promised since."""
    case = story.known
    resting = [c for c in case.running if c.pause and c.pause.waits_for == "crisis"]
    if case.crisis is None:
        assert not resting
        return
    for clock in case.running:
        if rests_in_crisis(case, clock) and clock.anchor < case.crisis.since:
            assert clock.pause is not None


def every_open_task_has_its_clock_and_every_deadline_is_derived(story: Story) -> None:
    """A task without a promise would be forgotten; a deadline that is not derived could not be explained."""
    case = story.known
    for task in case.open_tasks:
        clock = case.clock(task.clock_id)
        assert clock is not None
        assert not clock.settled
        waits = [t for t in case.open_tasks if t.id in task.after]
        assert not waits or (clock.pause is not None and clock.pause.open_end)
    for clock in case.running:
        if not clock.pause:
            assert clock.due_at == clock.derived_due(story.rulebook.calendar(clock.calendar))


def what_waits_for_something_has_a_promise(story: Story) -> None:
    """Referrals, approvals, guided records, flags, assistance, corrective actions: each has a running clock."""
    case = story.known
    waiting = [r.clock_id for r in case.referrals]
    waiting += [a.clock_id for a in case.approvals if not a.granted_by]
    parts = (case.guided, case.flags, case.corrective_actions, () if case.closed else case.assistance)
    waiting += [item.clock_id for items in parts for item in items]
    waiting += [case.transfer.clock_id] if case.transfer else []
    running = {c.id for c in case.running}
    assert set(waiting) <= running


def a_case_stays_within_its_limits(story: Story) -> None:
    """Tasks, clocks and everything that is open are bounded."""
    case = story.known
    assert len(case.open_tasks) <= MOST_OPEN_TASKS
    assert len(case.running) <= MOST_CLOCKS
    for collection, most in MOST_OPEN.items():
        assert len(getattr(case, collection)) <= most


def ids_are_given_once(story: Story) -> None:
    """No task, clock or part has the id of another."""
    case = story.known
    parts = (case.tasks, case.clocks, case.referrals, case.approvals, case.guided, case.flags, case.care_team)
    ids = [item.id for items in parts for item in items]
    assert len(ids) == len(set(ids))


def the_record_can_be_told(story: Story) -> None:
    """Whatever happened, the lines of the lists can be made, and say what the case says."""
    lines = Lines().then(story.timeline)
    assert lines.line is not None
    assert lines.line.open_tasks == len(story.known.open_tasks)
    states = {c.id for c in lines.clocks.values() if c.state in ("running", "paused", "missed")}
    assert states == {c.id for c in story.known.running}


def the_lists_name_whom_the_ladder_tells_next(story: Story) -> None:
    """Of a missed promise: from the line alone, without its climbs."""
    program = story.rulebook.program(story.known.program, story.known.program_version)
    lines = Lines().then(story.timeline)
    for clock in story.known.running:
        if not clock.missed_at:
            continue
        ladder, line = ladder_of(clock, program), lines.clocks[clock.id]
        step = clock.next_step(ladder, story.rulebook.calendar(clock.calendar))
        if step is not None:
            assert step.rung is not None
            assert ladder.told_next(False, line.rung, line.raised) is ladder.rungs[step.rung].tell


ALWAYS: tuple[Callable[[Story], None], ...] = (
    the_timeline_makes_the_case,
    no_clock_is_lost,
    none_is_settled_missed_or_climbed_twice_and_none_early,
    nothing_open_is_forgotten,
    closed_means_nothing_open,
    without_consent_nothing_that_needs_it_runs,
    in_a_crisis_routine_work_rests_and_after_it_nothing_does,
    every_open_task_has_its_clock_and_every_deadline_is_derived,
    what_waits_for_something_has_a_promise,
    a_case_stays_within_its_limits,
    ids_are_given_once,
    the_record_can_be_told,
    the_lists_name_whom_the_ladder_tells_next,
)
