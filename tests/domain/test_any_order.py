"""A week of a busy case, typed in at its end in any order, leaves the same promises, counters and baselines."""

import random
from datetime import timedelta
from typing import Any

import pytest

from domain.case.stays import stays_of
from tests.story import Story

PHQ = {f"q{n}": 0 for n in range(1, 10)}


def week(story: Story) -> list[tuple[str, dict[str, Any]]]:
    """What happened, each with its own time, hours before now."""

    def at(hours: float) -> str:
        return (story.now - timedelta(hours=hours)).isoformat()

    def contact(hours: float, reached: bool, mode: str = "telephone") -> tuple[str, dict[str, Any]]:
        body = {"mode": mode, "party": "patient", "reached": reached, "outcome": "x", "occurred_at": at(hours)}
        return "log-contact", body

    def moved(hours: float, event_id: str, event: str, setting: str, **more: Any) -> tuple[str, dict[str, Any]]:
        body = {"event_id": event_id, "event": event, "setting": setting, "occurred_at": at(hours), **more}
        return "record-transition", body

    def scored(hours: float, first: int) -> tuple[str, dict[str, Any]]:
        answers = {**PHQ, "q1": first}
        body = {"instrument": "phq-9", "version": "2001", "answers": answers, "occurred_at": at(hours)}
        return "record-score", body

    drugs = {"medications": [{"name": "A"}, {"name": "B"}], "sources": ["pill box"]}
    return [
        moved(166, "a1", "admission", "inpatient"),
        moved(120, "d1", "discharge", "inpatient", disposition="home"),
        contact(119, False),
        contact(100, False, "video"),
        contact(96, True),
        scored(95, 3),
        ("reconcile-medications", {**drugs, "occurred_at": at(90)}),
        moved(72, "v1", "visit", "emergency"),
        contact(70, False),
        scored(60, 1),
        contact(50, True, "in-person"),
        contact(30, False),
        scored(20, 2),
        contact(10, False, "video"),
        moved(5, "v2", "visit", "emergency"),
    ]


def end(story: Story) -> Any:
    """Promises still owed with their deadlines, counters, baselines and stays."""
    case = story.known
    promises = sorted((c.kind, c.policy or "", c.about or "", c.due_at, c.missed_at is None) for c in case.running)
    of_plan = [p for p in promises if not p[2].startswith("t")]
    tasks = sorted((t.type, t.about) for t in case.open_tasks)
    counters = (
        case.attempts_since_contact,
        case.last_contact_at,
        case.reached_at,
        case.visited_at,
        case.unreached,
    )
    scores = sorted((s.instrument, s.total, s.baseline, s.scored_at, s.baseline_at) for s in case.scores)
    zone = story.rulebook.latest(story.program).zone
    stays = [(s.setting, s.started, s.ended) for s in stays_of(case.transitions, zone)]
    return of_plan, tasks, counters, scores, case.medications, stays, case.readmissions


def played(program: str, order: int | None) -> Any:
    story = Story(program).followed_up()
    story.wait(days=7)
    told = week(story)
    if order is not None:
        random.Random(order).shuffle(told)
    for kind, body in told:
        story.do(kind, **body)
    return end(story)


@pytest.mark.parametrize("program", ["complex-care", "transitions"])
def test_any_order_of_typing_ends_in_the_same_state(program: str) -> None:
    """Thirty orders of fifteen dated entries, against the one in which they happened."""
    expected = played(program, None)
    for order in range(30):
        assert played(program, order) == expected, order
