"""What another version of a programme would change in a scenario: what falls due, who is told, the load."""

from collections import Counter
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from domain.simulation.play import Played
from domain.values import Instant, Line, Value


class DueChange(Value):
    """A promise that falls due at another time, is new, or is not made any more."""

    title: Line
    change: Literal["earlier", "later", "new", "gone"]
    before: Instant | None = None
    after: Instant | None = None


class Load(Value):
    """How many promises of somebody fall due in a week, counted from the scenario's first day."""

    week: int
    by: Line
    due: int


class ToldMore(Value):
    """How often somebody is told in both versions."""

    who: Line
    before: int
    after: int


class Compared(Value):
    """What differs between two versions in one scenario."""

    moved: tuple[DueChange, ...]
    told: tuple[ToldMore, ...]


def compared(before: Played, after: Played) -> Compared:
    """The same scenario under two versions, promise by promise: the first of a kind is held against the first."""
    old, new = ({p.key: p for p in played.promises} for played in (before, after))
    moved = []
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        if was is None or now is None or was.due_at != now.due_at:
            title = now.title if now is not None else was.title if was is not None else key
            sooner = was is not None and now is not None and now.due_at < was.due_at
            change = "new" if was is None else "gone" if now is None else "earlier" if sooner else "later"
            due = {"before": was.due_at if was else None, "after": now.due_at if now else None}
            moved.append(DueChange.model_validate({"title": title, "change": change, **due}))
    people = sorted({*before.told, *after.told})
    told = [ToldMore(who=who, before=before.told.get(who, 0), after=after.told.get(who, 0)) for who in people]
    return Compared(
        moved=tuple(sorted(moved, key=lambda one: str(one.after or one.before))),
        told=tuple(one for one in told if one.before != one.after),
    )


def load(played: Played, zone: ZoneInfo) -> list[Load]:
    """What falls due by week and person."""
    first = played.starts.astimezone(zone).date()
    due = Counter((_week(p.due_at.astimezone(zone).date(), first), p.by) for p in played.promises)
    return [Load(week=week, by=by, due=number) for (week, by), number in sorted(due.items())]


def _week(day: date, first: date) -> int:
    return (day - first).days // 7 + 1
