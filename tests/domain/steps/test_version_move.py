"""A running case moves to another version of its programme, and back, and nothing that was is rewritten."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.clocks.clock import Terms
from domain.programs.program import Program
from domain.programs.rulebook import Rulebook
from domain.steps.version_move import obstacles, preview_of
from tests.story import SAM, Story, in_force


def with_next_version(**changes: object) -> Rulebook:
    """The rulebook in force and a third version of complex care with another cadence for high risk."""
    said = in_force().program("complex-care", 2).model_dump()
    said["tiers"]["high"]["contact"]["within"] = "3 calendar days"
    third = Program.model_validate({**said, "version": 3, **changes})
    return in_force().changed(programs=(*in_force().programs, third))


def followed_under_two() -> Story:
    story = Story(rulebook=in_force())
    story.followed_up()
    story.rulebook = with_next_version()
    return story


def contact_of(story: Story) -> object:
    return next(c for c in story.known.running if c.kind == "contact")


def test_a_move_gives_running_promises_the_new_terms_and_keeps_the_rest() -> None:
    """The contact falls due earlier; every other deadline stays where it was."""
    story = followed_under_two()
    before = {c.id: c.due_at for c in story.known.running}
    shown = list(preview_of(story.known, story.rulebook, 3, story.now))
    assert [move.title for move in shown] == ["Contact the person"]
    recorded = list(story.timeline)
    story.do("move-to-program-version", actor=SAM, version=3, reason="In force")
    after = {c.id: c.due_at for c in story.known.running}
    assert {i for i in before if before[i] != after[i]} == {shown[0].clock_id}
    assert after[shown[0].clock_id] == shown[0].would_be_due_at < before[shown[0].clock_id]
    assert story.known.program_version == 3
    assert story.timeline[: len(recorded)] == recorded


def test_undoing_gives_every_promise_its_terms_back() -> None:
    """Equal to what it was, but for the number of events."""
    story = followed_under_two()
    before = story.known
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    story.do("undo-program-move", actor=SAM, reason="too early")
    assert story.known.changed(seq=before.seq) == before
    assert story.refused("undo-program-move", actor=SAM, reason="again") == "NotMoved"


def test_a_miss_that_only_the_new_terms_made_is_lifted_by_the_undoing() -> None:
    """What the old terms do not miss either was never owed; the timeline still tells of it."""
    story = followed_under_two()
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    story.wait(days=5)
    assert any(c.missed_at for c in story.known.running if c.kind == "contact")
    story.do("undo-program-move", actor=SAM, reason="x")
    first = min((c for c in story.known.running if c.kind == "contact"), key=lambda c: c.anchor)
    assert first.missed_at is None
    assert first.climbs == ()
    assert first.due_at > story.now
    assert "clock-missed" in story.kinds


def test_what_is_missed_stays_missed_under_new_terms() -> None:
    """A longer time does not take back that nobody came."""
    story = followed_under_two()
    story.wait(days=10)
    missed = {c.id: c.due_at for c in story.known.running if c.missed_at}
    assert missed
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    assert {c.id: c.due_at for c in story.known.running if c.missed_at} == missed


def test_the_first_versions_move_to_the_second() -> None:
    """The first real moves, from screening to follow-up."""
    for program in ("complex-care", "medicaid-tcm"):
        plain = in_force().changed(programs=tuple(p for p in in_force().programs if p.version == 1))
        for stage in ("opened", "assessed", "followed_up"):
            story = Story(program, rulebook=plain)
            story.open() if stage == "opened" else getattr(story, stage)()
            story.rulebook = in_force()
            story.do("move-to-program-version", actor=SAM, version=2, reason="x")
            assert story.known.program_version == 2
            story.wait(days=400)
            story.do("add-note", text="goes on")
            story.do("undo-program-move", actor=SAM, reason="x")
            story.wait(days=30)
            assert story.known.program_version == 1
            assert all(clock.due_at > clock.anchor for clock in story.known.running)


def test_a_version_that_does_not_know_what_the_case_holds_is_refused_by_name() -> None:
    """An open task of a type that the version has dropped."""
    story = Story(rulebook=in_force())
    story.planned("education")
    second = in_force().program("complex-care", 2)
    without = {name: task for name, task in second.tasks.items() if name != "education"}
    story.rulebook = with_next_version(tasks=without, templates={}, alerts={})
    assert story.refused("move-to-program-version", actor=SAM, version=3, reason="x") == "CannotMove"
    assert story.refused("move-to-program-version", actor=SAM, version=9, reason="x") == "UnknownVersion"
    assert story.refused("move-to-program-version", actor=SAM, version=2, reason="x") == "AlreadyUnderIt"
    assert story.refused("move-to-program-version", version=3, reason="x") == "NotPermitted"


@given(days=st.integers(min_value=0, max_value=60))
def test_there_and_back_at_any_time_changes_no_promise(days: int) -> None:
    """Whatever is missed, paused or climbed by then."""
    story = followed_under_two()
    story.wait(days=days)
    before = story.known
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    story.do("undo-program-move", actor=SAM, reason="x")
    assert [Terms.of(c) for c in story.known.running] == [Terms.of(c) for c in before.running]
    assert [c.due_at for c in story.known.running] == [c.due_at for c in before.running]


@pytest.mark.parametrize("kept", ["agreed"])
def test_a_time_that_a_person_agreed_is_not_the_programmes_to_change(kept: str) -> None:
    """A task whose time was agreed keeps it under every version."""
    story = followed_under_two()
    due = story.now.replace(year=story.now.year + 1)
    [task] = story.do("add-task", task="education", due_at=due.isoformat()).outcome.created
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    assert next(c.due_at for c in story.known.running if c.about == task) == due


def test_a_ladder_without_reminders_tells_the_owner_of_the_miss_all_the_same() -> None:
    """Who was reminded under the old ladder was not told of a miss; nobody of the new one is skipped."""
    story = followed_under_two()
    contact = next(c for c in story.known.running if c.kind == "contact")
    while not next(c for c in story.known.running if c.id == contact.id).climbs:
        story.wait(hours=6)
    said = in_force().program("complex-care", 2).model_dump()
    said["tiers"]["high"]["contact"]["ladder"] = "crisis"
    third = Program.model_validate({**said, "version": 3})
    story.rulebook = in_force().changed(programs=(*in_force().programs, third))
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    story.wait(days=4)
    climbs: list[dict[str, str]] = [
        e.model_dump(mode="json")["data"]["climb"] for e in story.timeline if e.kind == "rung-climbed"
    ]
    of_miss = [c["tell"] for c in climbs if c["at"] > contact.due_at.isoformat()]
    assert of_miss[:4] == ["owner", "senior", "supervisor", "director"]
    assert len({c["at"] for c in climbs[-4:]}) == 4


def test_a_miss_after_an_undone_one_is_told_anew() -> None:
    """Its notices have keys of their own."""
    story = followed_under_two()
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    story.wait(days=5)
    story.do("undo-program-move", actor=SAM, reason="x")
    told = {n.key for entry in story.timeline for n in entry.event.notices(story.known) if n.subject != "reminder"}
    mark = len(story.timeline)
    story.wait(days=10)
    later = {n.key for entry in story.timeline[mark:] for n in entry.event.notices(story.known)}
    assert later
    assert not told & later


def edited_in_place(rulebook: Rulebook, version: int, changes: dict[str, Any]) -> Rulebook:
    """The rulebook after somebody has edited a published version of complex care."""
    said = rulebook.program("complex-care", version).model_dump()
    edited = Program.model_validate({**said, **changes})
    others = tuple(p for p in rulebook.programs if (p.program, p.version) != ("complex-care", version))
    return rulebook.changed(programs=(*others, edited))


def renamed(part: Any, old: str, new: str) -> Any:
    """A part of a programme's file with one ladder under another name, defined and used."""
    if isinstance(part, dict):
        found = {new if key == old else key: renamed(value, old, new) for key, value in part.items()}
        return {**found, "ladder": new} if found.get("ladder") == old else found
    return [renamed(item, old, new) for item in part] if isinstance(part, list | tuple) else part


def test_a_case_whose_ladder_was_renamed_in_the_file_is_previewed_moved_and_moved_back() -> None:
    """Its promises carry the old name; nobody is told twice of what is missed, and every deadline comes back."""
    story = followed_under_two()
    story.wait(days=9)
    before = story.known
    [first] = [c for c in before.running if c.missed_at]
    assert (first.ladder, [climb.tell for climb in first.climbs][-2:]) == ("clinical", ["owner", "senior"])
    for version in (2, 3):
        said = renamed(story.rulebook.program("complex-care", version).model_dump(), "clinical", "bedside")
        story.rulebook = edited_in_place(story.rulebook, version, said)
    assert "clinical" not in story.rulebook.program("complex-care", 2).ladders
    assert list(preview_of(story.known, story.rulebook, 3, story.now))
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    assert {c.ladder for c in story.known.running if c.missed_at} == {"bedside"}
    assert [c.climbs for c in story.known.running] == [c.climbs for c in before.running]
    story.do("undo-program-move", actor=SAM, reason="x")
    assert [(c.due_at, c.next_at, c.climbs) for c in story.known.running] == [
        (c.due_at, c.next_at, c.climbs) for c in before.running
    ]
    story.wait(days=30)
    assert next(c.climbs[-1].tell for c in story.known.running if c.id == first.id) == "director"


def test_a_calendar_that_is_gone_is_replaced_by_the_programmes_own() -> None:
    """A promise that was made in another calendar goes on, moves and comes back."""
    story = followed_under_two()
    gone = tuple(c.changed(calendar="gone") for c in story.known.clocks)
    story.case = story.known.changed(clocks=gone)
    due = [c.due_at for c in story.known.running]
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    story.do("undo-program-move", actor=SAM, reason="x")
    assert [c.due_at for c in story.known.running] == due
    story.wait(days=30)
    assert "rung-climbed" in story.kinds


def test_a_case_whose_version_is_gone_from_the_catalogue_can_be_moved_to_one_that_is_there() -> None:
    """Its promises keep their times: nobody knows any more which of them the old version had set."""
    story = followed_under_two()
    due = [c.due_at for c in story.known.running]
    left = tuple(p for p in story.rulebook.programs if (p.program, p.version) != ("complex-care", 2))
    story.rulebook = story.rulebook.changed(programs=left)
    assert list(preview_of(story.known, story.rulebook, 3, story.now)) == []
    story.do("move-to-program-version", actor=SAM, version=3, reason="x")
    assert [c.due_at for c in story.known.running] == due
    assert story.refused("undo-program-move", actor=SAM, reason="x") == "UnknownVersion"
    story.do("add-note", text="goes on")


def test_what_a_case_holds_and_a_version_has_no_rules_for_stands_in_the_way_of_a_move() -> None:
    """Nobody could end the crisis, conclude the consult or renew the assistance there."""
    story = followed_under_two()
    story.do("raise-crisis", description="x", immediate_danger=False)
    [consult] = story.do("open-guided-record", procedure="mediation", concern="x").outcome.created
    soon = str(story.today.replace(year=story.today.year + 1))
    [paid] = story.do("add-assistance", title="Fund", renew_by=soon).outcome.created
    assert obstacles(story.known, story.rulebook.program("complex-care", 3)) == []
    without: dict[str, Any] = {"crisis": None, "procedures": {}, "medication": None}
    story.rulebook = edited_in_place(story.rulebook, 3, without)
    outcome = story.send("move-to-program-version", actor=SAM, version=3, reason="x").outcome
    assert outcome.error == "CannotMove"
    held = (f"guided record {consult}: mediation", f"assistance {paid}: medication", "open crisis")
    assert outcome.missing == held


def test_what_was_begun_can_be_ended_when_the_file_no_longer_has_it() -> None:
    """A task that repeats, an approval, a consult: edited away under the case, each is settled all the same."""
    story = Story(rulebook=in_force()).followed_up()
    monthly = {"amount": 1, "unit": "months"}
    [task] = story.do("add-task", task="education", repeat=monthly).outcome.created
    [consult] = story.do("open-guided-record", procedure="mediation", concern="x").outcome.created
    [approval] = story.do("request-approval", subject="closure", reason="goals-met").outcome.created
    second = story.rulebook.program("complex-care", 2)
    left = {name: policy for name, policy in second.model_dump()["tasks"].items() if name != "education"}
    without = {"tasks": left, "templates": {}, "alerts": {}, "procedures": {}, "approvals": {}}
    story.rulebook = edited_in_place(story.rulebook, 2, without)
    story.do("complete-task", task_id=task)
    assert not story.known.open_tasks
    story.do("conclude-guided-record", guided_id=consult, conclusion="x")
    said = {"approval_id": approval, "approve": True, "comment": "x"}
    assert story.refused("decide-approval", **said) == "NotAnApprover"
    story.do("decide-approval", actor=SAM, **said)


def screening_under(criteria: list[dict[str, Any]]) -> Story:
    """A case of chronic care that is being screened, and a second version that asks for these things."""
    story = Story("chronic-care").open()
    story.do("record-consent", form="verbal")
    said = in_force().latest("chronic-care").model_dump()
    said["eligibility"]["criteria"] = criteria
    second = Program.model_validate({**said, "version": 2})
    story.rulebook = in_force().changed(programs=(*in_force().programs, second))
    return story


def test_screening_asks_for_the_criteria_of_the_version_that_the_case_moved_to() -> None:
    """What the new version dropped is not asked any more, what it added is; undone, it is as before."""
    added = {"name": "lives-alone", "title": "Lives alone", "source": "x", "confirm": True}
    story = screening_under([added])
    before = story.known.unconfirmed
    assert "expected-to-last" in before
    story.do("move-to-program-version", actor=SAM, version=2, reason="x")
    assert story.known.unconfirmed == ("lives-alone",)
    assert story.refused("complete-screening", accepted=True) == "EligibilityUnknown"
    story.do("undo-program-move", actor=SAM, reason="x")
    assert story.known.unconfirmed == before
    story.do("move-to-program-version", actor=SAM, version=2, reason="x")
    story.do("complete-screening", accepted=True, confirmed={"lives-alone": True})
