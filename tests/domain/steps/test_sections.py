"""Sections of the assessment by their forms: completeness, alerts, stricter answers apart, corrections."""

from typing import Any

from domain.case.event import Timeline
from domain.programs.form import Form
from domain.programs.rulebook import Rulebook
from domain.values import Actor, Role
from tests.story import Story, in_force

SAFE: dict[str, Any] = {
    "living-situation": "own-home",
    "food-short": "never",
    "transport": ["none"],
    "someone-to-call": True,
    "safe-at-home": "yes",
}

BEN = Actor(subject="cm-ben", role=Role.CASE_MANAGER)


def section(story: Story, **more: Any) -> dict[str, Any]:
    return {"name": "social-determinants", "assessed_on": str(story.today), **more}


def record(story: Story, **more: Any) -> list[str]:
    return list(story.do("record-assessment", sections=[section(story, **more)]).outcome.events)


def scoring() -> Rulebook:
    """The catalogue with a form whose answers score an instrument."""
    form = Form.model_validate(
        {
            "name": "mood",
            "version": 1,
            "title": "Mood",
            "source": "ours",
            "questions": [
                {"link": link, "text": link, "type": "number", "whole": True, "low": 0, "high": 3}
                for link in ("interest", "down")
            ],
            "scores": [{"instrument": "phq-2", "version": "2003", "items": {"q1": "interest", "q2": "down"}}],
        }
    )
    book = in_force()
    program = book.latest("complex-care")
    sections = tuple(s.changed(form=form.id) if s.name == "behavioral-health" else s for s in program.sections)
    others = tuple(p for p in book.programs if p is not program)
    return book.changed(
        forms=(*book.forms, form), programs=(*others, program.model_copy(update={"sections": sections}))
    )


def test_a_section_with_a_form_is_complete_with_its_required_answers_or_why_there_is_none() -> None:
    story = Story().accepted()
    body = [section(story, answers={"living-situation": "own-home"}, findings="a good talk")]
    assert story.refused("record-assessment", sections=body) == "QuestionsMissing"
    assert story.refused("record-assessment", sections=[section(story, findings="all well")]) == "QuestionsMissing"
    record(story, answers={"living-situation": "own-home"}, complete=False)
    assert "section social-determinants" in " ".join(missing(story))
    some = {k: v for k, v in SAFE.items() if k != "safe-at-home"}
    record(story, answers=some, skipped={"safe-at-home": "declined"}, answered_by="proxy")
    assert "section social-determinants" not in " ".join(missing(story))


def missing(story: Story) -> tuple[str, ...]:
    return (
        story.send("set-risk-tier", tier="low", reasons=["x"]).outcome.missing
        or story.send("stratify-risk").outcome.missing
    )


def test_answers_without_a_form_and_sections_that_say_nothing_are_refused() -> None:
    story = Story().accepted()
    body = [{"name": "benefits", "assessed_on": str(story.today), "answers": {"x": 1}}]
    assert story.refused("record-assessment", sections=body) == "UnknownQuestion"
    assert story.refused("record-assessment", sections=[section(story)]) == "UnreadableCommand"


def test_an_answer_that_must_not_wait_raises_its_alert_at_once_and_once_a_sitting() -> None:
    """The rest of the section may wait; a new sitting that finds it again tells again."""
    story = Story().accepted()
    record(story, answers={"safe-at-home": "no"}, complete=False)
    [alert] = alerts(story)
    said = ("safety-at-home", "an answer that is kept apart", "behavioral")
    assert (alert["alert"], alert["found_by"], alert["sensitivity"]) == said, "the section would tell the answer"
    record(story, answers={**SAFE, "safe-at-home": "no"})
    assert len(alerts(story)) == 1
    assert [t.type for t in story.known.open_tasks] == ["medication-review", "safety-check"]
    story.wait(days=1)
    record(story, answers={**SAFE, "safe-at-home": "no"})
    assert len(alerts(story)) == 2


def alerts(story: Story) -> list[dict[str, Any]]:
    return [dict(e.data) for e in story.timeline if e.kind == "alert-raised"]


def test_an_older_time_of_a_section_that_is_typed_in_later_alarms_nobody() -> None:
    story = Story().accepted()
    record(story, answers=SAFE)
    story.wait(days=2)
    before = {"name": "social-determinants", "assessed_on": "2026-02-20"}
    story.do("record-assessment", sections=[{**before, "answers": {**SAFE, "safe-at-home": "no"}}])
    assert "alert-raised" not in story.kinds


def test_what_is_only_begun_hides_no_danger_that_an_earlier_day_found() -> None:
    story = Story().accepted()
    record(story, answers={"living-situation": "own-home"}, complete=False)
    before = {"name": "social-determinants", "assessed_on": "2026-02-20"}
    story.do("record-assessment", sections=[{**before, "answers": {**SAFE, "safe-at-home": "no"}}])
    assert [a["alert"] for a in alerts(story)] == ["safety-at-home"]


def test_why_a_stricter_question_has_no_answer_stands_under_its_label() -> None:
    story = Story().accepted()
    some = {k: v for k, v in SAFE.items() if k != "safe-at-home"}
    record(story, answers=some, skipped={"safe-at-home": "declined"})
    general, apart = story.timeline[-2:]
    assert (general.data["skipped"], apart.data["skipped"]) == ({}, {"safe-at-home": "declined"})


def test_nobody_replaces_what_a_colleague_has_begun_without_having_read_it() -> None:
    """Whoever goes on says from which entry; the label that it was begun under goes on as well."""
    story = Story().accepted()
    record(story, answers={"food-short": "often"}, complete=False, sensitivity="behavioral")
    begun = story.known.sections[0].entry
    rest = section(story, answers=SAFE)
    assert story.refused("record-assessment", sections=[rest], actor=BEN) == "SectionBegun"
    old = {**rest, "goes_on_from": begun - 1}
    assert story.refused("record-assessment", sections=[old], actor=BEN) == "SectionChanged"
    story.do("record-assessment", sections=[{**rest, "goes_on_from": begun}], actor=BEN)
    [done] = story.known.sections
    assert (done.author, done.complete, done.sensitivity) == (BEN.subject, True, "behavioral")
    again = {**rest, "goes_on_from": begun}
    assert story.refused("record-assessment", sections=[again]) == "SectionChanged", (
        "an old page writes over nothing"
    )


def test_answers_that_a_colleague_kept_apart_go_on_for_whoever_cannot_see_them() -> None:
    story = Story().accepted()
    record(story, answers={"food-short": "often", "safe-at-home": "no"}, complete=False)
    rest = section(story, answers={k: v for k, v in SAFE.items() if k != "safe-at-home"})
    begun = story.known.sections[0].entry
    story.do("record-assessment", sections=[{**rest, "goes_on_from": begun}], actor=BEN)
    apart = story.timeline[-1]
    assert (apart.kind, apart.data["answers"]) == ("answers-kept-apart", {"safe-at-home": "no"})
    assert len(alerts(story)) == 1, "it was told when it was found"


def test_correcting_one_section_leaves_what_the_other_of_the_same_sitting_found() -> None:
    """Its alert, its work and its score are there still; a score is corrected with the section it came from."""
    story = Story(rulebook=scoring()).accepted()
    mood = {"name": "behavioral-health", "assessed_on": str(story.today), "answers": {"interest": 2, "down": 1}}
    other = {"name": "benefits", "assessed_on": str(story.today), "findings": "x", "complete": False}
    story.do("record-assessment", sections=[section(story, answers={**SAFE, "safe-at-home": "no"}), mood, other])
    entries = {e.data.get("name"): e.seq for e in story.timeline if e.kind == "section-assessed"}
    scored = next(e.seq for e in story.timeline if e.kind == "instrument-scored")
    assert story.refused("correct-entry", entry=scored, reason="x") == "NotCorrectable"
    story.do("correct-entry", entry=entries["benefits"], reason="another person's")
    assert {s.name for s in story.known.sections} == {"social-determinants", "behavioral-health"}
    assert [t.type for t in story.known.open_tasks].count("safety-check") == 1
    assert [(s.instrument, s.total) for s in story.known.scores] == [("phq-2", 3)]
    assert story.kinds.count("alert-raised") == 2 * story.kinds.count("alert-withdrawn"), (
        "told again, each of them"
    )


def test_a_section_of_which_only_a_stricter_question_was_left_out_stands_when_another_is_corrected() -> None:
    story = Story().accepted()
    skipped = section(story, skipped={"safe-at-home": "declined"}, complete=False)
    other = {"name": "benefits", "assessed_on": str(story.today), "findings": "x", "complete": False}
    story.do("record-assessment", sections=[skipped, other])
    entry = next(e.seq for e in story.timeline if e.kind == "section-assessed" and e.data["name"] == "benefits")
    story.do("correct-entry", entry=entry, reason="another person's")
    assert [s.name for s in story.known.sections] == ["social-determinants"]
    standing = Timeline(tuple(story.timeline)).standing("answers-kept-apart")
    assert [e.data["skipped"] for e in standing] == [{"safe-at-home": "declined"}]


def test_answers_under_a_stricter_label_are_an_entry_of_their_own() -> None:
    story = Story().accepted()
    assert record(story, answers=SAFE) == ["section-assessed", "answers-kept-apart"]
    general, apart = story.timeline[-2:]
    assert "safe-at-home" not in general.data["answers"]  # type: ignore[operator]
    assert (apart.data["answers"], apart.data["sensitivity"]) == ({"safe-at-home": "yes"}, "behavioral")


def test_answers_score_the_instrument_that_they_fill() -> None:
    story = Story(rulebook=scoring()).accepted()
    found = {"name": "behavioral-health", "assessed_on": str(story.today)}
    story.do("record-assessment", sections=[{**found, "answers": {"interest": 2, "down": 1}}])
    assert [(s.instrument, s.total) for s in story.known.scores] == [("phq-2", 3)]


def test_a_section_entered_in_error_takes_its_stricter_answers_alerts_and_scores_with_it() -> None:
    """What was recorded together with it in other sections stands."""
    story = Story().accepted()
    other = {"name": "benefits", "assessed_on": str(story.today), "findings": "x", "complete": False}
    wrong = section(story, answers={**SAFE, "safe-at-home": "no"})
    story.do("record-assessment", sections=[wrong, other])
    entry = next(e.seq for e in story.timeline if e.kind == "section-assessed")
    story.do(
        "correct-entry", entry=entry, reason="another person's", right={"sections": [section(story, answers=SAFE)]}
    )
    assert [s.name for s in story.known.sections] == ["benefits", "social-determinants"]
    assert "alert-withdrawn" in story.kinds
    assert all(t.type != "safety-check" for t in story.known.open_tasks)
    standing = Timeline(tuple(story.timeline)).standing("answers-kept-apart")
    assert [e.data["answers"] for e in standing] == [{"safe-at-home": "yes"}]


def test_a_baseline_is_sent_by_itself_and_once() -> None:
    """The same again changes nothing; another one is refused, and nothing at all is unreadable."""
    story = Story("complex-care").accepted()
    ratings = {"well_being": 3, "finances": 4, "appropriate_care": 5}
    story.do("record-assessment", sections=[], baseline=ratings)
    assert story.known.baseline is not None
    assert story.do("record-assessment", sections=[], baseline=ratings).entries == ()
    assert story.refused("record-assessment", sections=[], baseline={**ratings, "finances": 1}) == "BaselineKnown"
    assert story.refused("record-assessment", sections=[]) == "UnreadableCommand"
