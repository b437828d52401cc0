"""The thresholds and windows of the catalogue, held against the numerators of public quality measures.

Only people who count: in the denominator, not excluded. Which codes make somebody eligible is the measures' own
matter and is not decided here.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from domain.measures import (
    Counted,
    Known,
    Period,
    a1c_poor_control,
    blood_pressure_control,
    emergency_follow_up,
    engaged,
    loop_closed,
    measures,
    reconciled,
    remission,
)
from domain.steps.medications import Fill, days_covered
from tests.reference import rows
from tests.story import in_force

LOINC_PHQ9, SYSTOLIC, DIASTOLIC = "LOINC|44261-6", "LOINC|8480-6", "LOINC|8462-4"
A1C = {"LOINC|17855-8", "LOINC|97506-0", "LOINC|4548-4"}
NOT_FOR_A_MEASURE = {"EMER", "IMP", "ACUTE", "NONAC", "SS", "OBSENC"}


def counting(name: str) -> list[Any]:
    """The rows of a measure whose person is in the denominator and not excluded, with their numerator."""
    groups = [(p, _group(p.values[0])) for p in rows(name)]
    return [p for p, group in groups if group["denominator"] and not group["denominator-exclusion"]]


def _group(row: dict[str, Any]) -> dict[str, Any]:
    expected = row["expected"]
    group: dict[str, Any] = expected[0] if isinstance(expected, list) else expected
    return group


def codes(part: dict[str, Any]) -> set[str]:
    return {concept.get("code", "") for concept in part.get("concept") or []}


def observed(row: dict[str, Any], code: str) -> Iterator[dict[str, Any]]:
    """The final observations of a code with a value."""
    for resource in row["resources"]:
        final = resource["type"] == "Observation" and resource.get("status") in ("final", "amended", "corrected")
        if final and code in codes(resource) and resource.get("value") is not None:
            yield resource


def person(row: dict[str, Any], *codes: str) -> Known:
    """Who a row is about; the decks name sets of codes, so the condition itself is given."""
    return Known(born=row["patient"]["birthDate"][:10], codes=codes)


def period(row: dict[str, Any]) -> Period:
    return Period(date.fromisoformat(row["period"][0][:10]), date.fromisoformat(row["period"][1][:10]))


def day(resource: dict[str, Any]) -> date:
    return date.fromisoformat(str(resource.get("at") or resource["start"])[:10])


@pytest.mark.parametrize("row", counting("ecqm-cms159-depression-remission"))
def test_remission_is_that_of_the_measure(row: Any) -> None:
    """CMS159: index above 9, the last total in the window twelve months later below 5."""
    rule = in_force().instrument("phq-9", "2001").change
    assert rule is not None
    known = person(row)
    known.totals["phq-9"] = [(day(o), o["value"]) for o in observed(row, LOINC_PHQ9)]
    found = remission(rule)(known, period(row))
    assert (found.population, found.met) == (1, int(bool(_group(row)["numerator"])))


@pytest.mark.parametrize("row", counting("ecqm-cms165-bp-control"))
def test_controlled_blood_pressure_is_that_of_the_measure(row: Any) -> None:
    """CMS165: on the latest day outside hospital the lowest of each number is within the limits."""
    known = person(row, "I10")
    inside = {r["ref"] for r in row["resources"] if r.get("class") in NOT_FOR_A_MEASURE and "ref" in r}
    for resource in row["resources"]:
        final = resource["type"] == "Observation" and resource.get("status") in ("final", "amended", "corrected")
        if not final or resource.get("encounter") in inside:
            continue
        for part in resource.get("components") or ():
            for name, code in (("systolic", SYSTOLIC), ("diastolic", DIASTOLIC)):
                if code in codes(part) and part.get("value") is not None:
                    known.values.setdefault(name, []).append((day(resource), part["value"]))
    found = blood_pressure_control(known, period(row))
    assert (found.population, found.met) == (1, int(bool(_group(row)["numerator"])))


@pytest.mark.parametrize("row", counting("ecqm-cms122-a1c-poor-control"))
def test_poor_control_is_that_of_the_measure(row: Any) -> None:
    """CMS122: the last A1c of the year is above 9 per cent, or there is none: missing is not good."""
    known = person(row, "E11.9")
    for o in row["resources"]:
        final = o["type"] == "Observation" and o.get("status") in ("final", "amended", "corrected")
        if final and A1C & codes(o) and isinstance(o.get("value"), int | float):
            known.values.setdefault("a1c", []).append((day(o), o["value"]))
    found = a1c_poor_control(known, period(row))
    assert (found.population, found.met) == (1, int(bool(_group(row)["numerator"])))


YEAR = Period(date(2026, 1, 1), date(2026, 12, 31))


def adult(*codes: str, **known: Any) -> Known:
    return Known(born="1960-05-05", codes=codes, **known)


def test_who_is_in_no_population_counts_nowhere_and_hospice_is_left_out() -> None:
    assert a1c_poor_control(adult("I10"), YEAR) == Counted()
    assert a1c_poor_control(Known(born="1940-01-01", codes=("E11.9",)), YEAR) == Counted()
    assert a1c_poor_control(Known(codes=("E11.9",)), YEAR) == Counted(), "an age that nobody knows is no age"
    assert a1c_poor_control(adult("E11.9", hospice=True), YEAR) == Counted(1, 1)
    assert blood_pressure_control(adult("I10", "N18.6"), YEAR) == Counted(1, 1)


def test_engagement_does_not_count_the_day_of_discharge_and_reconciliation_does() -> None:
    out = date(2026, 3, 2)
    one = adult(discharges=[out], contacts=[out], reconciled=[out])
    assert (engaged(one, YEAR).met, reconciled(one, YEAR).met) == (0, 1)
    one = adult(discharges=[out], contacts=[date(2026, 4, 1)], reconciled=[date(2026, 4, 2)])
    assert (engaged(one, YEAR).met, reconciled(one, YEAR).met) == (1, 0)
    assert engaged(adult(discharges=[date(2026, 12, 2)]), YEAR) == Counted(), "its thirty days go beyond the year"


def test_an_emergency_visit_is_followed_up_within_seven_days_and_visits_close_together_are_one() -> None:
    two = ("I50.9", "J44.9")
    visits = [date(2026, 3, 2), date(2026, 3, 6), date(2026, 3, 20)]
    found = emergency_follow_up(adult(*two, emergency=visits, contacts=[date(2026, 3, 9)]), YEAR)
    assert (found.population, found.met) == (2, 1)
    assert emergency_follow_up(adult("I50.9", emergency=visits), YEAR) == Counted()


def test_a_loop_counts_until_october_and_is_closed_within_the_period() -> None:
    sent = [
        (date(2026, 5, 1), date(2026, 6, 1)),
        (date(2026, 10, 31), None),
        (date(2026, 11, 1), date(2026, 11, 2)),
    ]
    assert loop_closed(adult(referred=sent), YEAR) == Counted(2, 0, 1)


def test_a_measure_is_either_counted_or_says_why_not() -> None:
    rule = in_force().instrument("phq-9", "2001").change
    assert rule is not None
    for measure in measures(rule):
        assert (measure.counted is None) == (measure.because is not None), measure.name


@pytest.mark.parametrize("row", counting("ecqm-cms128-antidepressant-days"))
def test_days_on_antidepressants_are_those_of_the_measure(row: Any) -> None:
    """CMS128: from the first fill on, 84 of 114 days and 180 of 231 have the medication at hand."""
    fills = [
        Fill(drug="antidepressant", on=date.fromisoformat(dispensed["at"][:10]), days=dispensed["daysSupply"])
        for dispensed in row["resources"]
        if dispensed["type"] == "MedicationDispense"
    ]
    first = min(fill.on for fill in fills)
    spans = ((84, 114), (180, 231))
    reached = [days_covered(fills, first, first + timedelta(days=span - 1)) >= needed for needed, span in spans]
    assert reached == [bool(group["numerator"]) for group in row["expected"]]
