"""What two cases know of one person, put together when one is taken into the other."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import JsonValue

from domain.case.case import Case
from domain.case.open_parts import CareTeamMember, Measured, SafetyPlan, Score, Transition
from domain.steps.risk_tier import higher

Known = TypeVar("Known")
FIELDS = (
    "safety_plan",
    "scores",
    "measured",
    "care_team",
    "medications",
    "medications_at",
    "excluded",
    "transitions",
    "taken_back",
    "readmissions",
    "floor",
    "narrowed",
    "limits",
    "last_contact_at",
    "reached_at",
    "visited_at",
)


def taken_over(here: Case, there: Case, number: int) -> dict[str, JsonValue]:
    """The fields of this case that are otherwise with what the other one knows; ids count on from `number`."""
    newer = max(here, there, key=lambda c: (c.medications is not None, c.medications_at or c.opened_at))
    found: dict[str, Any] = {
        "safety_plan": _newer_plan(here.safety_plan, there.safety_plan),
        "scores": tuple(_scores(here.scores, there.scores)),
        "measured": tuple(_latest(here.measured, there.measured)),
        "care_team": (*here.care_team, *_newcomers(here, there, number)),
        "medications": newer.medications,
        "medications_at": newer.medications_at,
        "excluded": tuple(dict.fromkeys((*here.excluded, *there.excluded))),
        "transitions": _transitions(here, there),
        "taken_back": _united(here.taken_back, there.taken_back, lambda t: t.id),
        "readmissions": tuple(dict.fromkeys((*here.readmissions, *there.readmissions))),
        "narrowed": _united(here.narrowed, there.narrowed, lambda n: n.policy),
        "limits": _united(here.limits, there.limits, lambda own: own.indicator),
        **{name: _later(here, there, name) for name in ("last_contact_at", "reached_at", "visited_at")},
        "floor": higher(here.floor, there.floor) if here.floor else there.floor,
    }
    changed = {name for name in FIELDS if found[name] != getattr(here, name)}
    known: dict[str, JsonValue] = here.changed(**found).model_dump(mode="json", include=changed)
    return known


def _transitions(here: Case, there: Case) -> tuple[Transition, ...]:
    """What both were told, once; without what either was told to be taken back."""
    gone = {t.id for t in (*here.taken_back, *there.taken_back)}
    told = [t for t in (*here.transitions, *there.transitions) if t.id not in gone]
    found: dict[Any, Transition] = {}
    for transition in told:
        named = transition.encounter or (transition.setting, transition.occurred_at)
        found.setdefault((transition.event, named), transition)
    return tuple(sorted({t.id: t for t in found.values()}.values(), key=lambda t: (t.occurred_at, t.id)))


def _later(here: Case, there: Case, name: str) -> datetime | None:
    return max((at for at in (getattr(here, name), getattr(there, name)) if at is not None), default=None)


def _newer_plan(one: SafetyPlan | None, other: SafetyPlan | None) -> SafetyPlan | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda plan: plan.reviewed_at)


def _scores(here: Iterable[Score], there: Iterable[Score]) -> list[Score]:
    """Of each instrument the latest result, and the earliest as its baseline."""
    found: dict[tuple[str, str], Score] = {}
    for score in (*here, *there):
        key = (score.instrument, score.version)
        before = found.get(key, score)
        latest = max(before, score, key=lambda s: s.scored_at)
        first = min(before, score, key=lambda s: s.baseline_at)
        found[key] = latest.changed(baseline=first.baseline, baseline_at=first.baseline_at)
    return list(found.values())


def _latest(here: Iterable[Measured], there: Iterable[Measured]) -> list[Measured]:
    found: dict[str, Measured] = {}
    for value in (*here, *there):
        found[value.indicator] = max(found.get(value.indicator, value), value, key=lambda m: m.at)
    return list(found.values())


def _newcomers(here: Case, there: Case, number: int) -> Iterable[CareTeamMember]:
    known = {(member.role, member.reference) for member in here.care_team}
    new = [member for member in there.care_team if (member.role, member.reference) not in known]
    return (member.changed(id=f"m{number + n}") for n, member in enumerate(new, 1))


def _united(here: Iterable[Known], there: Iterable[Known], key: Callable[[Known], Any]) -> tuple[Known, ...]:
    return tuple({key(item): item for item in (*there, *here)}.values())
