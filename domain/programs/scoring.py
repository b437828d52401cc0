"""Scoring: what an instrument says of a set of answers."""

import re
from collections.abc import Mapping, Sequence

from domain.programs.condition import Answer, Answers, hold
from domain.programs.instrument import Band, Instrument, Item, Result, Rule, Trigger
from domain.values import Invalid, Slug

ICD_10 = re.compile(r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?")


class UnknownItem(Invalid):
    """The instrument has no item of this key; the refusal lists those it has."""


class AnswerOutOfRange(Invalid):
    """An answer that the instrument does not have; the refusal says which items and what they take."""


class NotIcd10(Invalid):
    """A code that is no ICD-10 code; the refusal lists them. Other systems say nothing about these items."""


def score(instrument: Instrument, answers: Answers) -> Result:
    """Score a set of answers. Raises `UnknownItem`, `AnswerOutOfRange`; what is missing is in the result."""
    _check(instrument, answers)
    points = {i.key: i.points(answers[i.key], answers) for i in instrument.items if i.key in answers and i.scored}
    for stronger, weaker in instrument.suppresses.items():
        if points.get(stronger):
            points |= dict.fromkeys((key for key in weaker if key in points), 0)
    groups = _groups(instrument, points)
    missing = tuple(item.key for item in instrument.items if _is_missing(item, answers))
    total = None if missing else _total(instrument, points, groups)
    alerts = _alerts(instrument, points, *_at_least(instrument, points, answers))
    band = _band(instrument, total, answers, alerts)
    return Result(
        instrument=instrument.name,
        version=instrument.version,
        status="cannot-score" if missing else "scored",
        total=total,
        band=band.name if band else None,
        positive=band is not None and band.positive,
        points=points,
        groups=groups,
        alerts=alerts,
        patterns=tuple(p.name for p in instrument.patterns if hold(p.when, answers)),
        missing=missing,
        prognosis=_prognosis(instrument, total, answers),
    )


def _check(instrument: Instrument, answers: Answers) -> None:
    items = {item.key: item for item in (*instrument.attributes, *instrument.items)}
    unknown = sorted(set(answers) - set(items))
    if unknown:
        raise UnknownItem(f"{instrument.name} has: {', '.join(items)}", tuple(unknown))
    wrong = [key for key, answer in answers.items() if not items[key].accepts(answer)]
    if wrong:
        what = tuple(f"{key}: {items[key].takes}" for key in wrong)
        raise AnswerOutOfRange(f"an answer that {instrument.name} does not have", what)


def _is_missing(item: Item, answers: Answers) -> bool:
    if item.key in answers or item.optional:
        return False
    return all(when.holds(answers) or not answers.keys() >= {*when.items} for when in item.asked)


def _groups(instrument: Instrument, points: Mapping[str, int]) -> dict[Slug, int]:
    sums = {
        group.name: sum(points.get(i.key, 0) for i in instrument.items if i.group == group.name)
        for group in instrument.groups
    }
    return {g.name: g.table.points(sums[g.name]) if g.table else sums[g.name] for g in instrument.groups}


def _total(instrument: Instrument, points: Mapping[str, int], groups: Mapping[str, int]) -> int:
    alone = [points[i.key] for i in instrument.items if i.key in points and i.group is None]
    parts: Sequence[int] = (*alone, *groups.values())
    return max(parts, default=0) if instrument.rule is Rule.HIGHEST else sum(parts)


def _at_least(
    instrument: Instrument, points: Mapping[str, int], answers: Answers
) -> tuple[Mapping[str, int], int | None]:
    """What groups and total are at least, also while items are missing; None where answers can lower it."""
    if instrument.higher_is_better:
        return _groups(instrument, points), None
    asked = (i for i in instrument.items if i.scored and all(when.holds(answers) for when in i.asked))
    least = {i.key: i.least for i in asked if i.key not in answers and not i.optional}
    groups = _groups(instrument, {**least, **points})
    return groups, _total(instrument, {**least, **points}, groups)


def _band(instrument: Instrument, total: int | None, answers: Answers, alerts: tuple[Slug, ...]) -> Band | None:
    """The first band that fits; bands for an attribute stand before those for everybody."""

    def fits(band: Band) -> bool:
        for_her = all(when.holds(answers) for when in band.when)
        return for_her and (band.if_alert is None or band.if_alert in alerts)

    if total is None:
        return None
    return next((b for b in instrument.bands if b.low <= total <= b.high and fits(b)), None)


def _prognosis(instrument: Instrument, total: int | None, answers: Answers) -> float | None:
    rule = instrument.prognosis
    if rule is None or total is None or (rule.needs and rule.needs not in answers):
        return None
    return round(rule.of(total), 4)


def answers_of_codes(instrument: Instrument, codes: Sequence[str]) -> dict[str, Answer]:
    """The answers that ICD-10 codes give to the items that list them: yes or no for each. Raises `NotIcd10`."""
    if wrong := [code for code in codes if not ICD_10.fullmatch(code)]:
        raise NotIcd10("give ICD-10 codes; others say nothing about these items", tuple(wrong))
    plain = [code.replace(".", "").upper() for code in codes]
    return {i.key: any(code.startswith(i.codes) for code in plain) for i in instrument.items if i.codes}


def _alerts(
    instrument: Instrument, points: Mapping[str, int], groups: Mapping[str, int], total: int | None
) -> tuple[Slug, ...]:
    def raised(trigger: Trigger) -> bool:
        seen = {
            "item": [points.get(trigger.item or "", 0)],
            "group": [groups.get(trigger.group or "", 0)],
            "any-item": list(points.values()),
            "total": [total] if total is not None else [],
        }
        return any(value >= trigger.at_least for value in seen[trigger.of])

    return tuple(alert.name for alert in instrument.alerts if any(raised(t) for t in alert.any_of))
