"""Case finding finds by the rule by which a case is stratified."""

from typing import Any

import pytest

from domain.case.case import Patient
from domain.case.command import Moment
from domain.case.staff import Directory
from domain.programs.policies import Measure, Tier
from domain.steps.population import Population, Result, Screened
from tests.domain.steps.test_risk import ready
from tests.story import MONDAY, in_force

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
STAYS = [{"setting": "inpatient", "started_on": day} for day in ("2026-01-05", "2025-07-01", "2024-01-01")]
VISITS = [{"setting": "emergency", "started_on": f"2026-0{month}-01"} for month in (1, 2)]


def population(program: str = "complex-care", tier: Tier = Tier.HIGH) -> Population:
    rules = in_force()
    moment = Moment(MONDAY, rules, Directory(known=False))
    return Population(moment, rules.latest(program, MONDAY), "north", tier)


def screened(given: dict[Measure, float] | None = None, tier: Tier = Tier.HIGH, **more: Any) -> Screened:
    patient = Patient.model_validate({"reference": "Patient/1", "birth_date": "1950-05-05", **more}, strict=False)
    return population(tier=tier).screen(patient, given or {}, {})


@pytest.mark.parametrize("codes", [["I50.9"], ["I50.9", "J44.9", "E11.9", "C34.9"], ["I10"]])
@pytest.mark.parametrize("encounters", [STAYS, [*STAYS, *VISITS], VISITS])
@pytest.mark.parametrize("drugs", [1, 7, 12])
def test_somebody_who_is_found_has_the_points_and_the_tier_that_her_case_gets(
    codes: list[str], encounters: list[dict[str, str]], drugs: int
) -> None:
    said: dict[str, Any] = {
        "conditions": [{"code": code, "system": ICD, "display": code} for code in codes],
        "medications": [{"display": f"drug {n}"} for n in range(drugs)],
        "encounters": encounters,
    }
    story = ready(**said)
    story.do("stratify-risk")
    result: Any = next(e for e in story.timeline if e.kind == "risk-stratified").data["result"]
    found = screened(**said)
    assert (found.points, found.tier, found.at_least) == (result["points"], result["tier"], result["at_least"])


def test_what_must_be_known_and_is_not_is_named_and_hinders_nobody_whom_the_rest_already_finds() -> None:
    lacking = screened()
    assert lacking.result is Result.INCOMPLETE
    assert len(lacking.missing) == 4
    counted = {Measure.ADMISSIONS: 3.0, Measure.EMERGENCY_VISITS: 9.0}
    found = screened(given=counted)
    assert (found.result, found.tier, found.points) == (Result.PROPOSED, "high", 7)
    assert found.missing == ("Charlson comorbidity (Quan 2011)", "Number of medications")


def test_a_number_of_a_file_does_not_replace_what_its_codes_and_encounters_say() -> None:
    found = screened(given={Measure.ADMISSIONS: 0}, encounters=STAYS)
    assert next(f.value for f in found.factors if f.name == "admissions") == 2


def test_whom_the_programme_does_not_take_is_left_out_and_what_can_be_asked_is_not_in_the_way() -> None:
    """A year of birth alone, at the border of the ages, is asked for when the case is opened."""
    counted = {Measure.ADMISSIONS: 3.0, Measure.EMERGENCY_VISITS: 9.0}
    assert screened(given=counted, birth_date="2020-01-01").why == "not-eligible"
    assert screened(given=counted, birth_date=str(MONDAY.year - 18)).result is Result.PROPOSED
    assert screened(given=counted, deceased=True).why == "deceased"


def test_a_lower_tier_can_be_looked_for_and_whoever_is_above_it_is_found_too() -> None:
    counted = {Measure.ADMISSIONS: 1.0, Measure.EMERGENCY_VISITS: 3.0}
    assert screened(given=counted).result is Result.INCOMPLETE
    assert screened(given=counted, tier=Tier("moderate")).result is Result.PROPOSED
    ill = {Measure.ADMISSIONS: 3.0, Measure.EMERGENCY_VISITS: 9.0}
    assert screened(given=ill, tier=Tier("moderate")).tier == "high"
    assert screened(given=ill, tier=Tier("moderate")).result is Result.PROPOSED


def test_whoever_nothing_is_known_of_is_not_found_to_be_low() -> None:
    assert screened(tier=Tier("low")).result is Result.INCOMPLETE
    known = {measure: 0.0 for measure in Measure}
    assert screened(given=known, tier=Tier("low")).result is Result.PROPOSED
