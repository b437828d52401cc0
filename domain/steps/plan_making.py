"""Putting a plan together: parts get ids that last, keep what is known of them, and name only what is there."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from domain.case.command import Draft, require_staff
from domain.case.dates import until_day
from domain.case.plan_parts import KNOWN, PARTS, Barrier, Goal, Intervention, Part, Plan
from domain.clocks.budget import add_months
from domain.programs.plan_template import InterventionKind
from domain.steps.tasks import UnknownTaskType
from domain.values import Invalid

MOST_MONTHS = 120


class GoalNotSmart(Invalid):
    """A goal is due after today; the refusal says which one is not."""


class UnknownGoalTemplate(Invalid):
    """The programme's goal library has no such goal; the refusal lists those it has."""


class BrokenLink(Invalid):
    """A part of the plan names one that is not in it, or an intervention that comes after it."""


class GivenTwice(Invalid):
    """Two parts of the plan have the same id."""


class InterventionIncomplete(Invalid):
    """An intervention says what is to be done: a task of the programme, or in words what she does or needs."""


def put_together(draft: Draft, given: Mapping[str, Any], before: Plan | None, version: int) -> Plan:
    """The plan of these parts. What has the id of a part of the plan before goes on as that.

    Raises `GivenTwice`, `BrokenLink`, `GoalNotSmart`, `UnknownGoalTemplate`, `InterventionIncomplete`,
    `UnknownTaskType`, `DayInThePast`, `UnknownStaff`.
    """
    first = number = before.numbered if before is not None else 0
    parts: dict[str, Any] = {}
    for collection, letter in PARTS.items():
        named = {part.id for part in (*given[collection], *(getattr(before, collection) if before else ()))}
        at, made = first, []
        for part in given[collection]:
            known = before.part(collection, part.id) if before is not None else None
            if part.id is None:
                at = next(n for n in range(at + 1, at + 1000) if f"{letter}{n}" not in named)
                made.append(part.changed(id=f"{letter}{at}"))
            else:
                made.append(_as_known(part, known))
        numbers = [int(str(name)[1:]) for name in named if re.fullmatch(rf"{letter}\d{{1,4}}", str(name))]
        parts[collection], number = tuple(made), max(number, at, *numbers)
    plan = Plan(version=version, preferences=given["preferences"], numbered=number, **parts)
    _check(draft, plan, before)
    return plan


def _as_known(part: Part, known: Part | None) -> Part:
    if known is None:
        return part
    """The part with what is known of it, unless the sender says otherwise."""
    kept = {n: getattr(known, n) for n in KNOWN if n in type(part).model_fields and n not in part.model_fields_set}
    return part.changed(**kept) if kept else part


def _check(draft: Draft, plan: Plan, before: Plan | None) -> None:
    for collection in PARTS:
        ids = [part.id for part in getattr(plan, collection)]
        if twice := sorted({str(one) for one in ids if ids.count(one) > 1}):
            named = [f"{collection} {one}" for one in twice]
            draft.refuse(GivenTwice, "give each part an id of its own, or none", named)
    if lost := list(_lost(plan)):
        draft.refuse(BrokenLink, "name parts of this plan; an intervention comes after earlier ones", lost)
    _check_goals(draft, plan.goals, before)
    _check_interventions(draft, plan.interventions, before)
    for barrier in plan.barriers:
        if barrier.review_on is not None and _is_new(before, "barriers", barrier):
            until_day(draft, barrier.review_on)


def _lost(plan: Plan) -> Iterator[str]:
    """What parts name that is not in the plan."""
    problems, goals = {p.id for p in plan.problems}, {g.id for g in plan.goals}
    earlier: set[str | None] = set()
    for goal in plan.goals:
        yield from (f"goal {goal.id}: problem {name}" for name in goal.problems if name not in problems)
    works: tuple[Intervention | Barrier, ...] = (*plan.interventions, *plan.barriers)
    for one in works:
        yield from (f"{one.id}: goal {name}" for name in one.goals if name not in goals)
    for intervention in plan.interventions:
        yield from (f"{intervention.id}: after {n}" for n in intervention.after if n not in earlier)
        earlier.add(intervention.id)


def _is_new(before: Plan | None, collection: str, part: Goal | Barrier | Intervention) -> bool:
    """Whether a part is new or has another day: what has gone on for a while may be due already."""
    known = before.part(collection, part.id) if before is not None else None
    return known is None or _day(known) != _day(part)


def _day(part: Goal | Barrier | Intervention) -> date | None:
    return part.review_on if isinstance(part, Barrier) else part.due_on


def _check_goals(draft: Draft, goals: tuple[Goal, ...], before: Plan | None) -> None:
    latest = add_months(draft.today, MOST_MONTHS)
    new = [goal for goal in goals if _is_new(before, "goals", goal)]
    wrong = [f"goal {goal.id}" for goal in new if not draft.today < goal.due_on <= latest]
    if wrong:
        draft.refuse(GoalNotSmart, "give each goal a due date after today, within ten years", wrong)
    if unknown := sorted({g.template for g in goals if g.template} - set(draft.program.goals)):
        draft.refuse(UnknownGoalTemplate, f"choose from: {', '.join(draft.program.goals) or 'none'}", unknown)


def _check_interventions(draft: Draft, interventions: tuple[Intervention, ...], before: Plan | None) -> None:
    """Who approves a plan must not be the first who learns that it cannot be carried out."""
    types = draft.program.tasks
    if unknown := sorted({i.task for i in interventions if i.task} - set(types)):
        draft.refuse(UnknownTaskType, f"choose one of: {', '.join(sorted(types))}", unknown)
    for one in interventions:
        lacks_task = one.kind is InterventionKind.TASK and one.task is None
        if lacks_task or (one.task is None and (one.title is None or one.repeat is not None)):
            says = "name a task of the programme, or say self-care or resource, with a title"
            draft.refuse(InterventionIncomplete, says, [f"intervention {one.id}"])
        if one.due_on is not None and _is_new(before, "interventions", one):
            until_day(draft, one.due_on)
    for person in {one.responsible for one in interventions if one.responsible}:
        require_staff(draft, person)
