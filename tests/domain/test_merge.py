"""Two cases of one person are merged with their running clocks, and the merge is undone."""

from typing import Any

from tests.domain.test_programs import opened
from tests.story import SAM, Story


def case(case_id: str) -> Story:
    story = opened("complex-care", case_id=case_id).assess("high")
    story.do("agree-plan", **story.plan("education", "arrange-appointment"))
    return story


def merged() -> tuple[Story, Story]:
    target, source = case("case-1"), case("case-2")
    source.do("receive-message", channel="portal", text="hello")
    source.wait(days=2)
    target.wait(days=2)
    source.do("lay-by", actor=SAM, into="case-1", reason="the same person twice")
    target.do("take-in", actor=SAM, case_id="case-2", **kept(source))
    return target, source


def kept(source: Story) -> dict[str, Any]:
    assert source.known.laid_by is not None
    laid = source.known.laid_by.model_dump(mode="json")
    return {"tasks": laid["tasks"], "clocks": laid["clocks"]}


def test_tasks_and_clocks_go_along_as_they_run_and_what_a_case_has_once_stays() -> None:
    """Deadlines, misses and climbs are as they were; no second cadence, no second reassessment."""
    target, source = merged()
    assert source.known.closed
    assert not source.known.running
    (merge,) = target.known.merges
    assert source.known.laid_by is not None
    for old in source.known.laid_by.clocks:
        new = target.known.clock(merge.clocks.get(old.id, "none"))
        if old.kind in ("contact", "reassessment", "plan-review", "signature", "stage") and not old.missed_at:
            assert new is None
        else:
            assert new is not None
            assert (new.due_at, new.anchor, new.missed_at, new.climbs) == (
                old.due_at,
                old.anchor,
                old.missed_at,
                old.climbs,
            )
    for task in target.known.open_tasks:
        assert target.known.clock(task.clock_id) is not None
    assert target.refused("take-in", actor=SAM, case_id="case-2", **kept(source)) == "AlreadyMerged"
    assert source.refused("reopen-case", reason="x") == "MergedAway"


def test_what_was_taken_in_is_worked_on_and_goes_back_as_it_stands() -> None:
    """One of its tasks was completed here, one is given back; its own cadence goes on, late if need be."""
    target, source = merged()
    (merge,) = target.known.merges
    done, _ = list(merge.tasks.values())[:2]
    target.do("complete-task", task_id=done)
    target.do("give-back", actor=SAM, case_id="case-2")
    back: Any = target.timeline[-1].data
    assert target.known.merges == ()
    assert not set(merge.clocks.values()) & {c.id for c in target.known.running}
    source.do("take-up-again", actor=SAM, tasks=back["tasks"], clocks=back["clocks"])
    assert not source.known.closed
    assert {c.kind for c in source.known.running} >= {"contact", "reassessment", "task"}
    assert done not in {t.id for t in source.known.open_tasks}
    source.wait(days=20)
    assert any(c.missed_at for c in source.known.running if c.kind == "contact")
    assert target.refused("give-back", actor=SAM, case_id="case-2") == "UnknownReference"
    assert source.refused("take-up-again", actor=SAM, tasks=[], clocks=[]) == "NotMerged"


def test_a_case_is_not_merged_with_itself_nor_by_a_case_manager() -> None:
    story = case("case-1")
    assert story.refused("lay-by", into="case-1", reason="x") == "NotPermitted"
    assert story.refused("lay-by", actor=SAM, into="case-1", reason="x") == "SamePerson"


def test_what_nobody_could_keep_in_the_other_case_is_settled_first() -> None:
    """A crisis, withdrawn consent, referrals, flags: the refusal lists them, and nothing is laid by."""
    story = case("case-2")
    story.do("raise-flag", message="x")
    referral = {"type": "specialist", "recipient": "x", "reason": "y"}
    story.do("draft-referral", **referral)
    story.do("raise-crisis", description="x")
    outcome = story.send("lay-by", actor=SAM, into="case-1", reason="r").outcome
    assert outcome.error == "NotMergeable"
    assert {line.split()[0] for line in outcome.missing} == {"referrals", "flags", "crisis"}
    held = case("case-2")
    held.do("withdraw-consent")
    assert held.refused("lay-by", actor=SAM, into="case-1", reason="r") == "NotMergeable"


def test_a_task_that_waited_for_one_that_goes_back_waits_no_more() -> None:
    target, _ = merged()
    (merge,) = target.known.merges
    first = next(iter(merge.tasks.values()))
    follower = target.do("add-task", task="education", after=[first]).outcome.created[0]
    target.do("give-back", actor=SAM, case_id="case-2")
    clock = next(c for c in target.known.running if c.about == follower)
    assert clock.pause is None
