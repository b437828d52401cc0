"""Who a programme takes: what is met, what is not, and what nobody knows yet, which is neither."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from domain.programs.eligibility import Criterion, Facts, Met, by_record, check
from tests.story import MONDAY, Story, referral

TODAY = date(2026, 3, 2)
TWO: dict[str, Any] = {"conditions": ["E11", "I50", "J44"], "at_least": 2}


def criterion(**kind: Any) -> Criterion:
    return Criterion.model_validate({"name": "c", "title": "C", "source": "ours", **kind})


def met(codes: tuple[str, ...] = (), were: Any = (), **kind: Any) -> Met:
    facts = Facts(codes, tuple((s, date.fromisoformat(d)) for s, d in were), TODAY)
    [found] = check([criterion(**kind)], facts, {})
    return found.met


def test_conditions_are_counted_once_each_and_too_few_leave_it_open() -> None:
    """A referral that names one diagnosis, or another one, does not say that there is no second."""
    assert met(("E11.9", "I50.9"), **TWO) is Met.YES
    assert met(("E11.9", "E11.65"), **TWO) is Met.UNKNOWN, "two codes of one condition are one"
    assert met(("I50.9",), **TWO) is Met.UNKNOWN
    assert met(("Z99",), **TWO) is Met.UNKNOWN
    assert met((), **TWO) is Met.UNKNOWN


def test_use_of_care_is_counted_within_its_months_and_too_few_that_are_known_leave_it_open() -> None:
    """The stays that a referral names are those that the sender knows of."""
    two: dict[str, Any] = {"stays": "emergency", "at_least": 2, "within_months": 6}
    assert met(were=[("emergency", "2025-09-02"), ("emergency", "2026-01-01")], **two) is Met.YES
    assert met(were=[("emergency", "2025-09-01"), ("emergency", "2026-01-01")], **two) is Met.UNKNOWN
    assert met(were=[("inpatient", "2026-01-01"), ("inpatient", "2026-02-01")], **two) is Met.UNKNOWN
    assert met(**two) is Met.UNKNOWN


def test_coverage_and_residence_are_what_the_record_says_or_unknown() -> None:
    criteria = [
        criterion(name="payer", coverage=["Medicaid"]),
        criterion(name="home", postal_codes=["23", "240"]),
        criterion(name="said", confirm=True),
    ]
    assert by_record(criteria, ["Virginia MEDICAID"], ["23 112"]) == {"payer": Met.YES, "home": Met.YES}
    assert by_record(criteria, ["Other"], ["24100"]) == {"payer": Met.NO, "home": Met.NO}
    found = check(criteria, Facts((), (), TODAY), by_record(criteria, [], []))
    assert {one.met for one in found} == {Met.UNKNOWN}


def test_a_criterion_is_of_one_kind() -> None:
    for kind in ({}, {"confirm": True, "coverage": ["x"]}):
        with pytest.raises(ValidationError, match="give one of"):
            criterion(**kind)


def condition(code: str) -> dict[str, str]:
    return {"code": code, "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": code}


def test_a_programme_refuses_whom_it_is_not_for_and_asks_about_what_nobody_knows() -> None:
    """What the record says is not so is refused; a second condition that nobody has named is asked about."""
    body: dict[str, Any] = {"case_id": "c", "tenant": "local", "program": "chronic-care", "team": "north"}
    one = referral(conditions=[condition("E11.9")])
    asking = Story("chronic-care", now=MONDAY)
    asking.open(referral=one)
    assert asking.known.unconfirmed == ("two-conditions", "expected-to-last")
    story = Story("chronic-care", now=MONDAY)
    refused = story.send("open", referral=one, by_record={"two-conditions": "not-met"}, **body).outcome
    assert (refused.error, refused.missing) == ("NotEligible", ("Two or more chronic conditions",))
    story.open(referral=referral(conditions=[condition("E11.9"), condition("I50.9")]))
    assert story.known.unconfirmed == ("expected-to-last",)
    story.do("record-consent", form="verbal")
    asked = story.send("complete-screening", accepted=True).outcome
    assert asked.error == "EligibilityUnknown"
    assert asked.missing == ("expected-to-last: Expected to last twelve months, with a risk of decline",)
    assert story.refused("complete-screening", accepted=True, confirmed={"rich": True}) == "UnknownCriterion"
    no = {"expected-to-last": False}
    assert story.refused("complete-screening", accepted=True, confirmed=no) == "NotEligible"
    story.do("complete-screening", accepted=False, reason="not-eligible")
    assert story.known.closed
    opened = story.timeline[0].data["eligibility"]
    assert isinstance(opened, list)
    assert [one["met"] for one in opened if isinstance(one, dict)] == ["met", "unknown"]
