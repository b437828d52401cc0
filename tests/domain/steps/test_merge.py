"""Two cases of one person are merged with their running clocks, and the merge is undone."""

from datetime import timedelta

from tests.domain.steps.test_crisis import SAFETY_PLAN
from tests.domain.test_programs import opened
from tests.story import SAM, Story, referral


def case(case_id: str) -> Story:
    story = opened("complex-care", case_id=case_id).assess("high")
    story.do("agree-plan", **story.plan("education", "arrange-appointment"))
    return story


def pair() -> tuple[Story, Story]:
    """Two cases of one person; what is sent to the first may be about the second."""
    target, source = case("case-1"), case("case-2")
    target.others = (source,)
    return target, source


def merged() -> tuple[Story, Story]:
    target, source = pair()
    source.do("receive-message", channel="portal", text="hello")
    source.wait(days=2)
    target.wait(days=2)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="the same person twice")
    return target, source


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
    assert target.refused("merge-case", actor=SAM, case_id="case-2", reason="x") == "AlreadyMerged"
    assert source.refused("reopen-case", reason="x") == "MergedAway"


def test_what_was_taken_in_is_worked_on_and_goes_back_as_it_stands() -> None:
    """One of its tasks was completed here, one is given back; its own cadence goes on, late if need be."""
    target, source = merged()
    (merge,) = target.known.merges
    done, _ = list(merge.tasks.values())[:2]
    target.do("complete-task", task_id=done)
    target.do("undo-merge", actor=SAM, case_id="case-2")
    assert target.known.merges == ()
    assert not set(merge.clocks.values()) & {c.id for c in target.known.running}
    assert not source.known.closed
    assert {c.kind for c in source.known.running} >= {"contact", "reassessment", "task"}
    assert done not in {t.id for t in source.known.open_tasks}
    source.wait(days=20)
    assert any(c.missed_at for c in source.known.running if c.kind == "contact")
    assert target.refused("undo-merge", actor=SAM, case_id="case-2") == "NotMerged"


def test_a_case_is_not_merged_with_itself_nor_with_a_stranger_nor_by_a_case_manager() -> None:
    story, other = pair()
    assert story.refused("merge-case", case_id="case-2", reason="x") == "NotPermitted"
    story.others = (story,)
    assert story.refused("merge-case", actor=SAM, case_id="case-1", reason="x") == "SamePerson"
    stranger = Story().open(case_id="case-3", referral=referral(reference="Patient/other"))
    story.others = (stranger, other)
    assert story.refused("merge-case", actor=SAM, case_id="case-3", reason="x") == "SamePerson"


def test_what_nobody_could_keep_in_the_other_case_is_settled_first() -> None:
    """A crisis, withdrawn consent, referrals, flags: the refusal lists them, and nothing is laid by."""
    target, source = pair()
    source.do("raise-flag", message="x")
    source.do("draft-referral", type="specialist", recipient="x", reason="y")
    source.do("raise-crisis", description="x")
    before = source.known
    outcome = target.send("merge-case", actor=SAM, case_id="case-2", reason="r").outcome
    assert outcome.error == "NotMergeable"
    assert {line.split()[0] for line in outcome.missing} == {"referrals", "flags", "crisis"}
    assert source.known == before
    target, held = pair()
    held.do("withdraw-consent")
    assert target.refused("merge-case", actor=SAM, case_id="case-2", reason="r") == "NotMergeable"


def test_a_case_that_an_older_release_laid_by_and_nobody_took_in_comes_back_whole() -> None:
    """Its API was killed between the two steps of that release; undoing needs nothing of the other case."""
    target, source = merged()
    before = source.known
    untouched = case("case-1")
    untouched.others, untouched.now = (source,), target.now
    assert untouched.known.merges == ()
    untouched.do("undo-merge", actor=SAM, case_id="case-2")
    assert before.laid_by is not None
    assert not source.known.closed
    assert {t.id for t in source.known.open_tasks} == {t.id for t in before.laid_by.tasks}
    assert {c.id for c in source.known.running} == {c.id for c in before.laid_by.clocks}


def test_a_task_that_waited_for_one_that_goes_back_waits_no_more() -> None:
    target, _ = merged()
    (merge,) = target.known.merges
    first = next(iter(merge.tasks.values()))
    follower = target.do("add-task", task="education", after=[first]).outcome.created[0]
    target.do("undo-merge", actor=SAM, case_id="case-2")
    clock = next(c for c in target.known.running if c.about == follower)
    assert clock.pause is None


def test_what_is_known_of_the_person_goes_along_and_comes_back() -> None:
    """Safety plan, scores, team, medication list, exclusions, readmission watch; undone, each knows its own."""
    target, source = pair()
    low = {f"q{n}": 0 for n in range(1, 10)}
    target.do("record-score", instrument="phq-9", version="2001", answers={**low, "q1": 3})
    before = target.known
    source.do("write-safety-plan", **SAFETY_PLAN)
    earlier = (source.now - timedelta(days=3)).isoformat()
    source.do("record-score", instrument="phq-9", version="2001", answers={**low, "q1": 1}, occurred_at=earlier)
    source.do("join-care-team", role="caregiver", reference="RelatedPerson/9", needs=["a free evening"])
    source.do("reconcile-medications", medications=[{"name": "A"}], sources=["pill box"])
    source.do("exclude-assignee", actor=SAM, person="cm-ben", reason="related")
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient"}
    source.do("record-transition", **home, occurred_at=(source.now - timedelta(days=5)).isoformat())
    target.do("merge-case", actor=SAM, case_id="case-2", reason="the same person twice")
    known = target.known
    assert known.safety_plan == source.known.safety_plan
    assert [(s.total, s.baseline) for s in known.scores if s.instrument == "phq-9"] == [(3, 1)]
    assert [m.reference for m in known.care_team] == ["RelatedPerson/9"]
    assert (known.medications, known.excluded) == (1, ("cm-ben",))
    again = {"event_id": "a1", "event": "admission", "setting": "inpatient"}
    target.do("record-transition", **again, occurred_at=target.now.isoformat())
    assert "readmission-noticed" in target.kinds
    target.do("record-transition", **again, occurred_at=target.now.isoformat(), retracted=True)
    target.do("undo-merge", actor=SAM, case_id="case-2")
    for field in ("safety_plan", "scores", "care_team", "medications", "excluded", "transitions"):
        assert getattr(target.known, field) == getattr(before, field), field
    assert source.known.safety_plan is not None


def test_what_waited_for_consent_in_one_case_runs_in_the_other_that_has_it() -> None:
    """And one discharge that the feed sent to both is one."""
    target = opened("transitions", case_id="case-1").assess("high")
    source = Story("transitions").open(case_id="case-2")
    target.others = (source,)
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": source.now.isoformat()}
    for story in (target, source):
        story.do("record-transition", **home)
    more = {**home, "event_id": "d2", "occurred_at": (source.now - timedelta(days=3)).isoformat()}
    source.do("record-transition", **more)
    assert any(c.pause for c in source.known.running)
    source.do("raise-risk-tier", tier="high", reason="x")
    target.do("merge-case", actor=SAM, case_id="case-2", reason="the same person twice")
    assert not [c for c in target.known.running if c.pause is not None]
    abouts = [c.about for c in target.known.running if c.kind == "transition"]
    assert len(abouts) == len(set(abouts))
    assert "d2/reconciliation" in abouts
    assert [t.about for t in target.known.open_tasks].count("d1") == 1
    assert target.known.floor == "high"


def two() -> tuple[Story, Story]:
    """Two cases of one person in a programme of transitions."""
    target = opened("transitions", case_id="case-1").assess("high")
    source = opened("transitions", case_id="case-2").assess("high")
    target.others = (source,)
    return target, source


def told(story: Story, event_id: str, event: str, days: float, **more: object) -> None:
    at = (story.now - timedelta(days=days)).isoformat()
    story.do("record-transition", event_id=event_id, event=event, setting="inpatient", occurred_at=at, **more)


def owed(story: Story) -> list[str]:
    return sorted(c.about or "" for c in story.known.running if c.kind == "transition")


def test_stays_that_two_cases_were_told_of_are_put_together() -> None:
    """Admitted here since the discharge there; kept by a call here; taken back here; told by another id."""
    target, source = two()
    told(target, "a2", "admission", 0.1)
    told(source, "d1", "discharge", 1)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="x")
    assert not [about for about in owed(target) if about.startswith("d1/")]
    assert "readmission-noticed" in target.kinds

    target, source = two()
    told(source, "d1", "discharge", 2)
    at = (target.now - timedelta(days=1)).isoformat()
    call = {"mode": "in-person", "party": "patient", "reached": True, "outcome": "x", "occurred_at": at}
    target.do("log-contact", **call)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="x")
    assert owed(target) == ["d1/reconciliation"]

    target, source = two()
    told(target, "d1", "discharge", 1)
    told(target, "d1", "discharge", 1, retracted=True)
    told(source, "d1", "discharge", 1)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="x")
    assert owed(target) == []

    target, source = two()
    told(target, "x1", "discharge", 1)
    told(source, "d1", "discharge", 1)
    before = owed(target)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="x")
    assert owed(target) == before


def test_after_a_merge_only_that_goes_on_which_the_person_agrees_to_in_the_case_that_is_left() -> None:
    """Without consent to tasks the tasks of both cases wait, and what waits for tasks alone is not let go."""
    target, _ = pair()
    target.do("record-consent", form="written", scopes=["assessment", "planning", "contacts"])
    target.do("merge-case", actor=SAM, case_id="case-2", reason="the same person twice")
    duties = {t.id for t in target.known.open_tasks if t.urgent}
    assert {str(t.status) for t in target.known.open_tasks if t.id not in duties} == {"on-hold"}
    clocks = [target.known.clock(t.clock_id) for t in target.known.open_tasks if t.id not in duties]
    assert all(clock is not None and clock.pause is not None for clock in clocks)
    target.do("record-consent", form="written")
    assert "on-hold" not in {str(t.status) for t in target.known.open_tasks}


def ending(target_until: str, source_until: str) -> tuple[Story, Story]:
    """Two cases whose consents end on different days."""
    target, source = pair()
    target.do("record-consent", form="written", until=target_until)
    source.do("record-consent", form="written", until=source_until)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="the same person twice")
    return target, source


def test_the_consent_of_the_case_that_is_left_holds_as_long_as_it_said() -> None:
    """The last day of the other one's consent ends nothing there, and the merge undone it ends its own."""
    target, source = ending("2027-06-30", "2026-03-20")
    assert len([c for c in target.known.running if c.kind == "consent"]) == 1
    target.wait(days=30)
    assert target.known.consent is not None
    assert target.known.consent.in_force
    source.now = target.now
    target.do("undo-merge", actor=SAM, case_id="case-2")
    assert len([c for c in source.known.running if c.kind == "consent"]) == 1
    source.wait(minutes=1)
    assert "consent-lapsed" in source.kinds


def test_the_last_day_of_another_consent_ends_none() -> None:
    """A case that took in such a clock under an earlier release keeps its own consent."""
    target, source = ending("2027-06-30", "2026-03-20")
    assert source.known.laid_by is not None
    [theirs] = [c for c in source.known.laid_by.clocks if c.kind == "consent"]
    target.case = target.known.changed(clocks=(*target.known.clocks, theirs.changed(id="c999")))
    target.wait(days=30)
    assert "consent-lapsed" not in target.kinds


def statuses(story: Story) -> list[str]:
    assert story.known.plan is not None
    return [str(one.status) for one in story.known.plan.interventions]


def test_a_merge_that_is_undone_leaves_the_plan_as_it_was() -> None:
    """An intervention whose task is open again is planned as before; one done in the other case is achieved."""
    target, source = pair()
    before = statuses(source)
    target.do("merge-case", actor=SAM, case_id="case-2", reason="the same person twice")
    target.do("undo-merge", actor=SAM, case_id="case-2")
    assert statuses(source) == before
    target.do("merge-case", actor=SAM, case_id="case-2", reason="again")
    assert source.known.laid_by is not None
    [first, _] = [t.id for t in source.known.laid_by.tasks if t.intervention is not None]
    target.do("complete-task", task_id=target.known.merges[0].tasks[first])
    target.do("undo-merge", actor=SAM, case_id="case-2")
    assert statuses(source) == ["achieved", *before[1:]]
