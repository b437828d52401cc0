"""The thresholds and windows of the catalogue, held against the numerators of public quality measures.

Only people who count: in the denominator, not excluded. Which codes make somebody eligible is the measures' own
matter and is not decided here.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from domain.steps.medications import Fill, days_covered
from domain.steps.scores import remission_at
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


@pytest.mark.parametrize("row", counting("ecqm-cms159-depression-remission"))
def test_remission_is_that_of_the_measure(row: Any) -> None:
    """CMS159: index above 9, the last total in the window twelve months later below 5."""
    rule = in_force().instrument("phq-9", "2001").change
    assert rule is not None
    totals = sorted((o["at"][:10], o["value"]) for o in observed(row, LOINC_PHQ9))
    start = date.fromisoformat(row["period"][0])
    first, last = (date(start.year - 2, 11, 1), date(start.year - 1, 10, 31))
    index = [(on, value) for on, value in totals if value > 9 and first <= date.fromisoformat(on) <= last]
    found = False
    for on, value in index[:1]:
        after = [(date.fromisoformat(d), v) for d, v in totals]
        answers = [remission_at(rule, value, date.fromisoformat(on), v, d) for d, v in after]
        known = [answer for answer in answers if answer is not None]
        found = bool(known and known[-1])
    assert found == bool(_group(row)["numerator"])


@pytest.mark.parametrize("row", counting("ecqm-cms165-bp-control"))
def test_controlled_blood_pressure_is_that_of_the_measure(row: Any) -> None:
    """CMS165: on the latest day outside hospital the lowest of each number is within the programme's limits."""
    limits = in_force().latest("chronic-care").indicators
    inside = {r["ref"] for r in row["resources"] if r.get("class") in NOT_FOR_A_MEASURE and "ref" in r}
    found: dict[str, dict[str, list[float]]] = {}
    for resource in row["resources"]:
        final = resource["type"] == "Observation" and resource.get("status") in ("final", "amended", "corrected")
        if not final or resource.get("encounter") in inside or not resource.get("components"):
            continue
        day = found.setdefault(str(resource["at"])[:10], {"systolic": [], "diastolic": []})
        for part in resource["components"]:
            for name, code in (("systolic", SYSTOLIC), ("diastolic", DIASTOLIC)):
                if code in codes(part) and part.get("value") is not None:
                    day[name].append(part["value"])
    period = [day for day in found if row["period"][0] <= day <= row["period"][1]]
    values = found[max(period)] if period else {"systolic": [], "diastolic": []}
    high = {name: next(x.at_least for x in limits[name].limits if x.at_least) for name in values}
    controlled = all(numbers and min(numbers) < high[name] for name, numbers in values.items())
    assert controlled == bool(_group(row)["numerator"])


@pytest.mark.parametrize("row", counting("ecqm-cms122-a1c-poor-control"))
def test_poor_control_is_that_of_the_measure(row: Any) -> None:
    """CMS122: the last A1c of the year is above the programme's limit, or there is none: missing is not good."""
    limits = in_force().latest("chronic-care").indicators["a1c"].limits
    values = [
        (str(o.get("at") or o["start"]), o["value"])
        for o in row["resources"]
        if o["type"] == "Observation"
        and A1C & codes(o)
        and o.get("status") in ("final", "amended", "corrected")
        and isinstance(o.get("value"), int | float)
        and row["period"][0] <= str(o.get("at") or o["start"])[:10] <= row["period"][1]
    ]
    poor = not values or any(limit.crossed(max(values)[1]) for limit in limits)
    assert poor == bool(_group(row)["numerator"])


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
