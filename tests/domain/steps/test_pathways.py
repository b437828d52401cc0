"""A critical pathway promises each milestone for its day, and asks why one came later."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.programs.pathway import Pathway
from domain.programs.program import Program
from domain.simulation.play import alone
from tests.domain.test_programs import opened
from tests.story import Story, in_force


def on(story: Story, **more: Any) -> str:
    [pathway_id] = story.do("start-pathway", pathway="thirty-days-home", **more).outcome.created
    return pathway_id


def due(story: Story) -> list[int]:
    """In how many days each milestone is due, of those that have not come."""
    clocks = [c for c in story.known.running if c.kind == "milestone"]
    return [(c.due_at.astimezone(c.tz).date() - story.today).days for c in clocks]


def reach(story: Story, pathway_id: str, milestone: str, **more: Any) -> dict[str, Any]:
    story.do("reach-milestone", pathway_id=pathway_id, milestone=milestone, **more)
    return dict([e for e in story.timeline if e.kind == "milestone-reached"][-1].data)


def test_each_milestone_is_promised_for_its_day_and_one_in_time_needs_no_reason() -> None:
    story = opened("transitions")
    pathway_id = on(story)
    assert due(story) == [2, 3, 7, 14, 21, 30]
    story.wait(days=1)
    said = reach(story, pathway_id, "reached-by-phone")
    assert (said["day"], said["late_by"]) == (1, -1)
    assert due(story) == [2, 6, 13, 20, 29]
    assert (
        story.refused("reach-milestone", pathway_id=pathway_id, milestone="reached-by-phone") == "UnknownMilestone"
    )


def test_one_that_comes_later_says_why_and_its_promise_has_climbed_meanwhile() -> None:
    story = opened("transitions")
    pathway_id = on(story)
    story.wait(days=5)
    missed = [e for e in story.timeline if e.kind == "clock-missed"]
    assert len(missed) >= 2
    late = {"pathway_id": pathway_id, "milestone": "reached-by-phone"}
    assert story.refused("reach-milestone", **late) == "VarianceMissing"
    early = (story.now - timedelta(days=9)).isoformat()
    assert story.refused("reach-milestone", **late, occurred_at=early) == "BeforeThePathway"
    assert story.refused("reach-milestone", **late, variance="weather") == "VarianceMissing"
    said = reach(story, pathway_id, "reached-by-phone", variance="clinic", note="Closed on Monday")
    assert (said["late_by"], said["variance"]) == (3, "clinic")
    in_time = (story.now - timedelta(days=3)).isoformat()
    assert reach(story, pathway_id, "medicines-clear", occurred_at=in_time)["late_by"] == -1


def test_a_pathway_that_began_before_it_was_written_down_has_its_days_from_then() -> None:
    story = opened("transitions")
    on(story, started_on=str(story.today - timedelta(days=5)))
    assert due(story) == [-3, -2, 2, 9, 16, 25]
    assert story.refused("start-pathway", pathway="thirty-days-home") == "OnItAlready"
    assert story.refused("start-pathway", pathway="moonwalk") == "UnknownPathway"
    tomorrow = str(story.today + timedelta(days=1))
    assert opened("transitions").refused("start-pathway", pathway="thirty-days-home", started_on=tomorrow)


def test_the_last_milestone_ends_the_pathway_and_leaving_it_drops_what_is_ahead() -> None:
    story = opened("transitions")
    pathway_id = on(story)
    for milestone in story.rules["pathways"]["thirty-days-home"]["milestones"]:
        reach(story, pathway_id, milestone["name"])
    assert (story.known.pathways, due(story)) == ((), [])
    again = on(story)
    story.do("end-pathway", pathway_id=again, reason="Admitted again")
    assert (story.known.pathways, due(story)) == ((), [])
    assert story.refused("end-pathway", pathway_id=again, reason="x") == "UnknownReference"


def test_a_pathway_whose_days_are_not_in_order_is_told_so() -> None:
    rules = opened("transitions").rules["pathways"]["thirty-days-home"]
    with pytest.raises(ValidationError, match="in the order of their days"):
        Pathway.model_validate({**rules, "milestones": rules["milestones"][::-1]})


def test_a_pathway_rests_without_the_persons_consent_and_none_begins() -> None:
    """No milestone is missed while consent is withdrawn; given again, each has the time that it had left."""
    story = opened("transitions")
    on(story)
    story.do("withdraw-consent")
    story.wait(days=5)
    milestones = [c for c in story.known.running if c.kind == "milestone"]
    assert len(milestones) == 6
    assert not [c for c in milestones if c.missed_at is not None]
    story.do("record-consent", form="verbal")
    assert due(story) == [2, 3, 7, 14, 21, 30]
    other = opened("transitions")
    other.do("withdraw-consent")
    assert other.refused("start-pathway", pathway="thirty-days-home") == "ConsentMissing"


def test_milestones_whose_long_names_differ_only_at_the_end_have_each_a_promise_of_their_own() -> None:
    """Reaching the second keeps its own promise and leaves that of the first."""
    said = in_force().latest("transitions").model_dump()
    names = [f"{'m' * 63}{last}" for last in "ab"]
    course = {**said["pathways"]["thirty-days-home"]}
    course["milestones"] = [{"name": name, "title": "X", "day": 2} for name in names]
    program = Program.model_validate({**said, "pathways": {"long": course}})
    story = opened("transitions", rules=alone(in_force(), program))
    [pathway_id] = story.do("start-pathway", pathway="long").outcome.created
    story.do("reach-milestone", pathway_id=pathway_id, milestone=names[1])
    assert [c.about for c in story.known.running if c.kind == "milestone"] == [f"pathway/{pathway_id}/{names[0]}"]
