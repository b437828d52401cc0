"""Stays: from when to when the person was where, made of messages in any order, number and completeness.

A stay is told apart by its encounter, else by setting and time. Rules about admissions and readmissions look at
stays and at local days, never at messages.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from itertools import groupby, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.case.case import PastEncounter
from domain.case.open_parts import Transition
from domain.programs.policies import Disposition
from domain.values import Day, Instant, Opaque, Slug, Value

ACUTE, EMERGENCY = "inpatient", "emergency"
EVER = datetime(1900, 1, 1, tzinfo=UTC)
SAME_VISIT_DAYS = 1  # an emergency visit without a discharge of its own is over by the next day


class Point(Value):
    """When something was, as precisely as it is known: a local day, and the time where it was given."""

    day: Day
    at: Instant | None = None

    def not_before(self, other: "Point") -> bool:
        """Whether this was at the same time or later, as far as that can be told."""
        if self.at is None or other.at is None:
            return self.day >= other.day
        return self.at >= other.at


class Stay(Value):
    """A time in one setting. Without `started` its beginning is not known, without `ended` it lasts.

    `messages` are the ids of what said so, `begun_by` and `ended_by` those that told of its ends. An `admitted`
    one began with an admission; a visit did not.
    """

    setting: Slug
    started: Point | None = None
    ended: Point | None = None
    encounter: Opaque | None = None
    disposition: Disposition | None = None
    planned: bool = False
    admitted: bool = False
    messages: tuple[Opaque, ...] = ()
    begun_by: Opaque | None = None
    ended_by: Opaque | None = None

    @property
    def since(self) -> Point:
        """Its beginning, or what is known instead."""
        return self.started or self.ended  # type: ignore[return-value]

    @property
    def until(self) -> Point:
        """Its end, or what is known instead."""
        return self.ended or self.started  # type: ignore[return-value]

    def joined(self, other: "Stay") -> "Stay":
        """This stay with what another message says about it; an exact time goes before a day."""
        return self.changed(
            started=_exact(self.started, other.started),
            ended=_exact(self.ended, other.ended),
            encounter=self.encounter or other.encounter,
            disposition=self.disposition or other.disposition,
            planned=self.planned or other.planned,
            admitted=self.admitted or other.admitted,
            messages=(*self.messages, *other.messages),
            begun_by=self.begun_by or other.begun_by,
            ended_by=self.ended_by or other.ended_by,
        )


def _exact(one: Point | None, other: Point | None) -> Point | None:
    if one is None or other is None:
        return one or other
    return other if one.at is None else one


def point_of(transition: Transition, zone: ZoneInfo) -> Point:
    day = transition.occurred_at.astimezone(zone).date()
    return Point(day=day, at=None if transition.whole_day else transition.occurred_at)


def stays_of(
    transitions: Iterable[Transition], zone: ZoneInfo, earlier: Sequence[PastEncounter] = ()
) -> tuple[Stay, ...]:
    """The stays that messages tell of, and those that the referral knew, in the order of time."""
    settings: dict[str, list[Stay]] = {}
    for told in _by_encounter(transitions):
        stay = _told(told, zone)
        settings.setdefault(stay.setting, []).append(stay)
    found = [stay for stays in settings.values() for stay in _paired(stays)]
    for encounter in earlier:
        found = _with_earlier(found, encounter)
    return tuple(sorted(found, key=_order))


def _by_encounter(transitions: Iterable[Transition]) -> list[list[Transition]]:
    """Messages of one encounter together, those without one each for itself."""
    found: dict[str, list[Transition]] = {}
    for transition in transitions:
        found.setdefault(transition.encounter or f"/{transition.id}", []).append(transition)
    return list(found.values())


def _told(messages: list[Transition], zone: ZoneInfo) -> Stay:
    """What the messages of one encounter say. An emergency visit that became an admission is the admission."""
    main = [t for t in messages if t.setting == ACUTE] or messages
    at = {t.event: point_of(t, zone) for t in main}
    visit, last = at.get("visit"), main[-1]
    return Stay(
        setting=last.setting,
        started=at.get("admission") or visit,
        ended=at.get("discharge") or (None if "admission" in at else visit),
        encounter=last.encounter,
        disposition=next((t.disposition for t in main if t.disposition), None),
        planned=any(t.planned for t in main),
        admitted="admission" in at,
        messages=tuple(t.id for t in messages),
        begun_by=next((t.id for t in main if t.event != "discharge"), None),
        ended_by=next((t.id for t in main if t.event != "admission"), None),
    )


def _order(stay: Stay) -> tuple[date, bool, datetime, bool]:
    """By time, a bare day before the times of that day; at one time who is moved leaves first."""
    at = stay.since.at
    return stay.since.day, at is not None, at or EVER, stay.started is not None


def _paired(stays: list[Stay]) -> list[Stay]:
    """Beginnings and ends of one setting put together, in the order of time."""
    found: list[Stay] = []
    for _, on_one_day in groupby(sorted(stays, key=_order), key=lambda stay: stay.since.day):
        for stay in _in_turn(list(on_one_day), lasts=bool(found) and found[-1].ended is None):
            if found and _is_one(found[-1], stay):
                found[-1] = found[-1].joined(stay)
            else:
                found.append(stay)
    return found


def _in_turn(stays: list[Stay], lasts: bool) -> list[Stay]:
    """What is told of one day. An end without a time is that of the stay that lasts, else it closes the day."""
    ends = [stay for stay in stays if stay.started is None and stay.until.at is None]
    others = [stay for stay in stays if stay not in ends]
    first = ends[:1] if lasts else []
    return [*first, *others, *ends[len(first) :]]


def _is_one(last: Stay, stay: Stay) -> bool:
    """Whether what is told next belongs to the stay before it."""
    if last.encounter and stay.encounter:
        return False
    if stay.started is None:  # an end: of the stay that lasts, or told twice
        if last.ended is None:
            return True
        visit = last.setting == EMERGENCY and not last.admitted and last.started is not None
        days = (stay.until.day - last.until.day).days
        return days == 0 or (visit and days <= SAME_VISIT_DAYS)
    if last.started is None or last.admitted != stay.admitted:
        return False
    return last.started == stay.started or (stay.admitted and last.ended is None and _begin_together(last, stay))


def _begin_together(last: Stay, stay: Stay) -> bool:
    return last.since.day == stay.since.day


def _with_earlier(stays: list[Stay], encounter: PastEncounter) -> list[Stay]:
    """The stays with one that the referral knew; one that a message tells of as well is the same."""
    first = Point(day=encounter.started_on)
    visit, name = encounter.setting == EMERGENCY, f"referral-{encounter.setting}-{encounter.started_on}"
    last = Point(day=encounter.ended_on) if encounter.ended_on else (first if visit else None)
    known = Stay(
        setting=encounter.setting,
        started=first,
        ended=last,
        admitted=not visit,
        messages=(name,),
        ended_by=name,
    )
    for place, stay in enumerate(stays):
        if stay.setting == known.setting and _touches(stay, known):
            return [*stays[:place], stay.joined(known), *stays[place + 1 :]]
    return [*stays, known]


def _touches(stay: Stay, known: Stay) -> bool:
    """Whether both are one stay: they begin or end on the same day, or lie in each other."""
    first, last = known.since.day, known.ended.day if known.ended else None
    if stay.started and stay.started.day == first:
        return True
    if stay.started is None:
        return first <= stay.until.day and (last is None or stay.until.day <= last)
    if stay.ended and last == stay.ended.day:
        return True
    return last is not None and first < stay.started.day < last


class Followed(NamedTuple):
    """A stay, the one that followed it, and the local days between."""

    stay: Stay
    next: Stay
    days: int


def episodes(stays: Iterable[Stay], *settings: str) -> list[Stay]:
    """Stays in these settings, joined where the person was moved within a setting on the same day."""
    found: list[Stay] = []
    for stay in (s for s in stays if s.setting in settings and (s.admitted or s.started is None)):
        last = found[-1] if found else None
        if last and stay.started and last.setting == stay.setting and last.ended and _moved(last, stay):
            found[-1] = last.joined(stay).changed(
                ended=stay.ended, disposition=stay.disposition, ended_by=stay.ended_by
            )
        else:
            found.append(stay)
    return found


def _moved(last: Stay, stay: Stay) -> bool:
    return last.until.day == stay.since.day


def following(stays: Iterable[Stay], setting: str) -> list[Followed]:
    """Every stay in a setting that ended at home, as far as is known, and the next one there or in hospital.

    What lies between (a nursing facility, an emergency visit) is looked past.
    """
    counted = episodes(stays, ACUTE, setting)
    return [
        Followed(one, other, (other.started.day - one.ended.day).days)
        for one, other in pairwise(counted)
        if one.setting == setting and one.ended and other.started and one.disposition is not Disposition.DIED
    ]
