"""Every instrument gives what is published; what is missing is never low; safety items never wait."""

import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from domain.programs.condition import said
from domain.programs.instrument import Instrument, Item, Prognosis, Result
from domain.programs.scoring import AnswerOutOfRange, answers_of_codes, score
from domain.values import Invalid
from tests.reference import rows
from tests.story import in_force


def instrument(name: str, version: str) -> Instrument:
    return in_force().instrument(name, version)


def lowest(item: Item) -> Any:
    return min(item.answers, key=item.answers.__getitem__) if item.answers else int(item.low or 0)


def filled(tool: Instrument, **given: Any) -> dict[str, Any]:
    """A whole set of answers: the least of each item, and what is given."""
    asked = [i for i in tool.items if not i.optional]
    return {**{item.key: lowest(item) for item in asked}, **given}


def totalling(tool: Instrument, total: int) -> dict[str, Any]:
    """Answers that come to a total, filled up from the first item on."""
    answers = filled(tool)
    for item in tool.items:
        missing = total - (score(tool, answers).total or 0)
        if not item.optional and missing > 0:
            steps: dict[Any, int] = {**item.answers} or {
                n: n for n in range(int(item.low or 0), int(item.high or 0) + 1)
            }
            worth = {answer: points for answer, points in steps.items() if points - min(steps.values()) <= missing}
            answers[item.key] = max(worth, key=worth.__getitem__)
    assert score(tool, answers).total == total
    return answers


def numbered(values: list[Any]) -> dict[str, Any]:
    return {f"q{n}": value for n, value in enumerate(values, 1)}


@pytest.mark.parametrize("row", rows("phq2-phq9", "items"))
def test_phq_9_rows(row: Any) -> None:
    found, wanted = score(instrument("phq-9", "2001"), numbered(row["inputs"]["items"])), row["expected"]
    assert found.band == wanted["band"].replace("_", "-")
    assert found.total == wanted.get("total", found.total)
    assert ("suicide-risk" in found.alerts) == wanted.get("item9_positive", "suicide-risk" in found.alerts)


def of(name: str, version: str, file: str) -> list[Any]:
    """The rows of a file that give a total, with the instrument they are about."""
    return [pytest.param(name, version, *p.values, id=p.id, marks=p.marks) for p in rows(file, "total")]


@pytest.mark.parametrize(
    ("name", "version", "row"),
    [
        *of("phq-9", "2001", "phq2-phq9"),
        *of("gad-7", "2006", "gad7"),
        *of("dast-10", "1982", "dast-10"),
        *of("braden", "1987", "morse-braden-frailty"),
    ],
)
def test_rows_that_give_a_total_only(name: str, version: str, row: Any) -> None:
    if row["id"].startswith("efs"):
        name, version = "edmonton-frail", "2006"
    tool = instrument(name, version)
    found = score(tool, totalling(tool, row["inputs"]["total"]))
    assert found.band == row["expected"]["band"].replace("_", "-")


@pytest.mark.parametrize("row", rows("gad7", "items"))
def test_gad_7_rows(row: Any) -> None:
    found = score(instrument("gad-7", "2006"), numbered(row["inputs"]["items"]))
    assert (found.total, found.band) == (row["expected"]["total"], row["expected"]["band"])


@pytest.mark.parametrize("row", rows("phq2-phq9", "phq2_items"))
def test_phq_2_rows(row: Any) -> None:
    found = score(instrument("phq-2", "2003"), numbered(row["inputs"]["phq2_items"]))
    assert (found.total, found.positive) == (row["expected"]["total"], row["expected"]["positive_at_3"])


@pytest.mark.parametrize("row", rows("audit-c", "total"))
def test_audit_c_rows(row: Any) -> None:
    tool, inputs = instrument("audit-c", "1998"), row["inputs"]
    found = score(tool, {**totalling(tool, inputs["total"]), "sex": inputs["sex"]})
    assert found.positive == row["expected"]["positive"]
    assert ("brief-counselling" in found.alerts) == row["expected"]["va_brief_counselling_expected"]


@pytest.mark.parametrize("row", rows("audit-c", "audit10_items"))
def test_the_consumption_items_of_the_whole_audit(row: Any) -> None:
    found = score(instrument("audit-c", "1998"), numbered(row["inputs"]["audit10_items"][:3]))
    assert found.total == row["expected"]["auditc_subscore"]


@pytest.mark.parametrize("row", rows("dast-10", "answers"))
def test_dast_10_rows(row: Any) -> None:
    found = score(instrument("dast-10", "1982"), numbered(row["inputs"]["answers"]))
    assert (found.total, found.band) == (row["expected"]["total"], row["expected"]["band"])


@pytest.mark.parametrize("row", rows("c-ssrs-screener", "q1"))
def test_c_ssrs_rows(row: Any) -> None:
    """The highest answer decides, and items that are not asked are not missing."""
    names = {"lifetime_only": "lifetime", "past_3_months": "past-3-months"}
    given = {k: names.get(v, v) if isinstance(v, str) else v for k, v in row["inputs"].items() if v is not None}
    found = score(instrument("c-ssrs-screener", "2008"), given)
    assert found.band == row["expected"]["risk"]
    assert ("suicide-risk-high" in found.alerts) == (row["expected"]["risk"] == "high")


@pytest.mark.parametrize("row", rows("katz-lawton", "independent"))
def test_katz_rows(row: Any) -> None:
    tool = instrument("katz", "1963")
    found = score(tool, {i.key: i.key in row["inputs"]["independent"] for i in tool.items})
    names = {"not anchored in source": "not-anchored"}
    wanted = row["expected"]["interpretation"]
    assert (found.total, found.band) == (row["expected"]["total"], names.get(wanted, wanted.replace(" ", "-")))


@pytest.mark.parametrize("row", rows("katz-lawton", "able"))
def test_lawton_rows(row: Any) -> None:
    version = "1969-men" if row["inputs"].get("scoring") == "historic_5_item" else "1969"
    tool = instrument("lawton", version)
    able = {key.replace("_", "-") for key in row["inputs"]["able"]}
    found = score(tool, {item.key: item.key in able for item in tool.items})
    assert (found.total, tool.maximum) == (row["expected"]["total"], row["expected"]["max"])


@pytest.mark.parametrize("row", rows("ahc-hrsn", "question"))
def test_ahc_rows(row: Any) -> None:
    tool, key = instrument("ahc-hrsn", "2021"), f"q{row['inputs']['question']}"
    found = score(tool, filled(tool, **{key: row["inputs"]["answer"]}))
    assert bool(found.groups[row["expected"]["domain"]]) == row["expected"]["need"]


def test_an_item_of_which_all_that_applies_is_told_takes_a_list_and_none_of_it_stands_alone() -> None:
    """Pests and mold are one need for housing; nothing together with something is no answer."""
    tool = instrument("ahc-hrsn", "2021")
    found = score(tool, filled(tool, q2=("pests", "mold")))
    assert (found.points["q2"], found.groups["housing"]) == (1, 1)
    for wrong in (("pests", "none of the above"), ("pests", "pests"), ("pests", "ghosts"), ()):
        with pytest.raises(AnswerOutOfRange):
            score(tool, filled(tool, q2=wrong))
    with pytest.raises(AnswerOutOfRange):
        score(tool, filled(tool, q1=("steady place",)))


@pytest.mark.parametrize("row", rows("ahc-hrsn", "hits_items_q7_q10"))
def test_hits_rows(row: Any) -> None:
    tool = instrument("ahc-hrsn", "2021")
    found = score(
        tool,
        filled(tool, **dict(zip(("q7", "q8", "q9", "q10"), row["inputs"]["hits_items_q7_q10"], strict=False))),
    )
    assert sum(found.points[f"q{n}"] for n in range(7, 11)) == row["expected"]["hits_total"]
    assert ("safety-at-home" in found.alerts) == row["expected"]["need"]


LACE = {"stay": "length_of_stay_days", "ed-visits": "ed_visits_prior_6_months", "acute": "acute_admission"}
OF_WEIGHT = {
    0: [],
    1: ["diabetes"],
    2: ["heart-failure"],
    3: ["dementia"],
    4: ["aids"],
    5: ["aids", "diabetes"],
} | {
    6: ["metastatic-cancer"],
    7: ["metastatic-cancer", "diabetes"],
    8: ["metastatic-cancer", "heart-failure"],
}


@pytest.mark.parametrize("row", [*rows("lace", "length_of_stay_days"), *rows("lace", "lace_charlson")])
def test_lace_rows(row: Any) -> None:
    tool, inputs = instrument("lace", "2010"), row["inputs"]
    given = {key: inputs[name] for key, name in LACE.items() if name in inputs}
    ill = dict.fromkeys(OF_WEIGHT[inputs.get("lace_charlson", 0)], True)
    found, wanted = score(tool, filled(tool, **given, **ill)), row["expected"]
    seen = {"L_points": found.points["stay"], "C_points": found.groups["comorbidity"], "total": found.total}
    assert {**seen, **wanted, "band": found.band} == {**wanted, **seen, "band": wanted.get("band", found.band)}


@pytest.mark.parametrize("row", rows("lace", "ed_visits_prior_6_months"))
def test_lace_emergency_visits(row: Any) -> None:
    tool = instrument("lace", "2010")
    found = score(tool, filled(tool, **{"ed-visits": row["inputs"]["ed_visits_prior_6_months"]}))
    assert found.points["ed-visits"] == row["expected"].get("E_points", found.points["ed-visits"])


HOSPITAL = {
    "hemoglobin": "hemoglobin_g_dl",
    "oncology": "oncology_discharge",
    "sodium": "sodium_mmol_l",
    "procedure": "procedure",
    "urgent": "urgent_admission",
    "admissions": "admissions_prior_12_months",
    "stay": "length_of_stay_days",
}


@pytest.mark.parametrize("row", rows("hospital-score", "version"))
def test_hospital_rows_of_both_versions(row: Any) -> None:
    tool = instrument("hospital", row["inputs"]["version"])
    found = score(tool, {key: row["inputs"][name] for key, name in HOSPITAL.items()})
    assert (found.total, found.band) == (row["expected"]["total"], row["expected"]["band"])


CHARLSON = {
    "myocardial_infarction": "myocardial-infarction",
    "congestive_heart_failure": "heart-failure",
    "peripheral_vascular_disease": "peripheral-vascular",
    "cerebrovascular_disease": "cerebrovascular",
    "dementia": "dementia",
    "chronic_pulmonary_disease": "chronic-pulmonary",
    "connective_tissue_disease": "rheumatic",
    "peptic_ulcer_disease": "peptic-ulcer",
    "mild_liver_disease": "mild-liver",
    "diabetes_uncomplicated": "diabetes",
    "diabetes_with_end_organ_damage": "diabetes-complicated",
    "hemiplegia": "hemiplegia",
    "moderate_severe_renal_disease": "renal",
    "any_malignancy": "cancer",
    "moderate_severe_liver_disease": "severe-liver",
    "metastatic_solid_tumor": "metastatic-cancer",
    "aids": "aids",
}


@pytest.mark.parametrize("row", [*rows("charlson", "include_age_adjustment"), *rows("charlson", "age_years")])
def test_charlson_rows(row: Any) -> None:
    tool, inputs = instrument("charlson", "1987"), row["inputs"]
    ill = {CHARLSON[name]: value for name, value in inputs.items() if name in CHARLSON}
    age = {"age": inputs["age_years"]} if inputs.get("include_age_adjustment", True) else {}
    found = score(tool, filled(tool, **ill, **age))
    assert row["expected"].get("total", found.total) == found.total
    assert row["expected"].get("age_points", found.points.get("age")) == found.points.get("age")


@pytest.mark.parametrize("row", rows("charlson", "icd10_codes"))
def test_charlson_from_codes(row: Any) -> None:
    for version, name in (("1987", "charlson_1987"), ("2011", "quan_2011")):
        tool = instrument("charlson", version)
        assert score(tool, answers_of_codes(tool, row["inputs"]["icd10_codes"])).total == row["expected"][name]


@pytest.mark.parametrize("row", rows("charlson", "age_adjusted_cci"))
def test_ten_year_survival_rows(row: Any) -> None:
    rule = instrument("charlson", "1987").prognosis
    assert rule is not None
    share = 100 * rule.of(row["inputs"]["age_adjusted_cci"])
    assert share == pytest.approx(row["expected"]["ten_year_survival_pct"], abs=0.06)


MORSE = {
    "history_of_falling": "history-of-falling",
    "secondary_diagnosis": "secondary-diagnosis",
    "ambulatory_aid": "ambulatory-aid",
    "iv_or_heparin_lock": "iv-or-heparin-lock",
    "gait": "gait",
    "overestimates_ability": "overestimates-ability",
}


@pytest.mark.parametrize("row", rows("morse-braden-frailty", "gait"))
def test_morse_rows_with_both_sets_of_cuts(row: Any) -> None:
    given = {key: row["inputs"][name] for name, key in MORSE.items()}
    for version, cuts in (("1989", "band_25_45"), ("1989-51", "band_25_51")):
        found = score(instrument("morse", version), given)
        assert (found.total, found.band) == (row["expected"]["total"], row["expected"][cuts])


@pytest.mark.parametrize("row", rows("morse-braden-frailty", "friction_shear"))
def test_braden_rows(row: Any) -> None:
    found = score(instrument("braden", "1987"), {k.replace("_", "-"): v for k, v in row["inputs"].items()})
    assert (found.total, found.band) == (row["expected"]["total"], row["expected"]["band"])


@pytest.mark.parametrize("row", rows("morse-braden-frailty", "level"))
def test_clinical_frailty_rows(row: Any) -> None:
    found = score(instrument("clinical-frailty", "2020"), row["inputs"])
    assert found.positive == row["expected"]["frail"]


NEWS = {
    "respiration_rate": "respiration",
    "spo2_scale1": "spo2",
    "spo2_scale2": "spo2",
    "on_oxygen": "oxygen",
    "systolic_bp": "systolic",
    "pulse": "pulse",
    "consciousness": "consciousness",
    "temperature_c": "temperature",
}


@pytest.mark.parametrize("row", rows("news2-vitals"))
def test_news2_rows(row: Any) -> None:
    given: dict[str, Any] = {NEWS[name]: value for name, value in row["inputs"].items()}
    if given.get("consciousness") == "A":
        given["consciousness"] = "alert"
    if "spo2_scale2" in row["inputs"]:
        given["spo2-scale"] = 2
    found = score(instrument("news2", "2017"), given)
    if "points" in row["expected"]:
        vital = next(key for key in given if key not in ("oxygen", "spo2-scale") or len(given) == 1)
        assert found.points[vital] == row["expected"]["points"]
        assert found.status == "cannot-score"
    else:
        assert (found.total, found.band) == (row["expected"]["total"], row["expected"]["band"])


@pytest.mark.parametrize("tool", in_force().instruments, ids=lambda tool: f"{tool.name}-{tool.version}")
def test_every_instrument_refuses_to_score_what_is_missing_and_has_a_band_for_every_total(
    tool: Instrument,
) -> None:
    """One item left out is cannot-score with its name; the lowest and the highest totals are in bands."""
    answers = filled(tool)
    first = next(iter(answers))
    without = score(tool, {key: value for key, value in answers.items() if key != first})
    assert (without.status, without.total, without.band) == ("cannot-score", None, None)
    assert first in without.missing
    if tool.bands:
        reached = [band for band in tool.bands if not band.when and not band.if_alert]
        for before, after in itertools.pairwise(reached):
            assert after.low == before.high + 1
        assert score(tool, answers).band is not None


def test_a_safety_item_raises_its_alert_without_a_total() -> None:
    """Item 9 alone is enough, whatever is missing."""
    found = score(instrument("phq-9", "2001"), {"q9": 1})
    assert found == Result(
        instrument="phq-9",
        version="2001",
        status="cannot-score",
        points={"q9": 1},
        alerts=("suicide-risk",),
        missing=tuple(f"q{n}" for n in range(1, 9)),
    )


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"q1": 4}, "AnswerOutOfRange"),
        ({"q1": "2"}, "AnswerOutOfRange"),
        ({"q1": True}, "AnswerOutOfRange"),
        ({"q1": 1.5}, "AnswerOutOfRange"),
        ({"q1": -1}, "AnswerOutOfRange"),
        ({"q17": 1}, "UnknownItem"),
    ],
)
def test_an_answer_that_the_instrument_does_not_have_is_refused_by_name(answers: Any, code: str) -> None:
    """Nothing is coerced: a text, a truth value or a fraction is no answer to a whole number."""
    with pytest.raises(Invalid) as refusal:
        score(instrument("phq-9", "2001"), answers)
    assert refusal.value.code == code
    assert refusal.value.missing


def test_answers_are_said_in_the_words_of_the_catalogue() -> None:
    assert [said(x) for x in (True, False, 2, 2.0, 2.5, "male")] == ["yes", "no", "2", "2", "2.5", "male"]


MAJOR = "major-depressive-syndrome"


@pytest.mark.parametrize(
    ("answers", "holds"),
    [
        ((2, 0, 2, 2, 2, 2, 0, 0, 0), True),
        ((0, 3, 2, 2, 2, 0, 0, 0, 1), True),  # item 9 counts from several days on
        ((0, 0, 3, 3, 3, 3, 3, 3, 0), False),  # neither interest nor mood
        ((2, 2, 2, 2, 1, 1, 1, 1, 0), False),  # four
        ((1, 1, 3, 3, 3, 3, 3, 3, 3), False),
    ],
)
def test_five_items_with_interest_or_mood_are_the_pattern_of_major_depression(
    answers: tuple[int, ...], holds: bool
) -> None:
    found = score(instrument("phq-9", "2001"), {f"q{n}": a for n, a in enumerate(answers, 1)})
    assert (MAJOR in found.patterns) == holds


def test_a_pattern_is_found_while_items_are_missing_and_then_there_is_no_total() -> None:
    found = score(instrument("phq-9", "2001"), dict.fromkeys(("q1", "q3", "q4", "q5", "q6"), 2))
    assert (found.status, found.patterns) == ("cannot-score", (MAJOR,))


@pytest.mark.parametrize(("total", "percent"), [(0, 2.0), (5, 5.1), (10, 12.2), (19, 43.7)])
def test_the_expected_risk_of_lace_runs_between_the_ends_that_were_published(total: int, percent: float) -> None:
    rule = instrument("lace", "2010").prognosis
    assert rule is not None
    assert 100 * rule.of(total) == pytest.approx(percent, abs=0.1)


@pytest.mark.parametrize(("answers", "positive"), [((1, 1), False), ((2, 1), True), ((3, 3), True)])
def test_the_gad_2_is_positive_from_three_points_on(answers: tuple[int, int], positive: bool) -> None:
    found = score(instrument("gad-2", "2007"), {"q1": answers[0], "q2": answers[1]})
    assert (found.total, found.positive) == (sum(answers), positive)


@pytest.mark.parametrize(("people", "points"), [(10, 5), (11, 4), (20, 4), (34, 3), (35, 2), (49, 2), (50, 1)])
def test_a_small_caseload_scores_five_and_one_of_fifty_scores_one(people: int, points: int) -> None:
    assert score(instrument("dacts-h1", "2003"), {"people-per-clinician": people}).total == points


def test_a_caseload_is_held_against_the_range_for_whom_the_clinic_serves() -> None:
    tool = instrument("aims-caseload", "2019")
    assert score(tool, {"population": "vulnerable", "people": 90}).band == "above"
    assert score(tool, {"population": "low-acuity", "people": 90}).band == "within"
    assert score(tool, {"people": 90}).band == "whom-unknown"


def test_a_prognosis_is_one_curve() -> None:
    with pytest.raises(ValidationError, match="either base and factor"):
        Prognosis.model_validate({"title": "x", "base": 0.9, "factor": 1, "logit_at_0": -3, "logit_per_point": 1})
    with pytest.raises(ValidationError, match="either base and factor"):
        Prognosis.model_validate({"title": "x", "base": 0.9})
