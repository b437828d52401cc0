"""Medication lists, adherence, side effects, renewals; measurements out of range; minutes of a month."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.programs.scoring import score
from domain.steps.medications import Fill, days_covered, share_covered
from domain.steps.minutes import by_month, month_of, units
from tests.domain.test_programs import opened
from tests.reference import rows
from tests.story import Story, in_force


def fill(drug: str, on: str, days: int) -> Fill:
    return Fill(drug=drug, on=date.fromisoformat(on), days=days)


def test_an_early_refill_of_the_same_drug_is_moved_and_another_drug_is_united() -> None:
    """The rule of the Pharmacy Quality Alliance: thirty and thirty days are sixty for one drug, not for two."""
    first, last = date(2026, 1, 1), date(2026, 3, 31)
    same = [fill("A", "2026-01-01", 30), fill("A", "2026-01-16", 30)]
    assert days_covered(same, first, last) == 60
    other = [fill("A", "2026-01-01", 30), fill("B", "2026-01-16", 30)]
    assert days_covered(other, first, last) == 45
    assert days_covered([fill("A", "2026-03-20", 30)], first, last) == 12
    assert share_covered([fill("A", "2026-02-01", 28)], date(2026, 2, 28)) == (28, 28)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 90), st.integers(1, 60)), min_size=1, max_size=8))
def test_covered_days_lie_between_nothing_and_the_period_in_any_order(fills: list[tuple[str, int, int]]) -> None:
    """The order in which fills are sent does not matter, and more supply never covers less."""
    start = date(2026, 1, 1)
    found = [Fill(drug=d, on=start + timedelta(days=on), days=n) for d, on, n in fills]
    last = date(2026, 4, 30)
    covered = days_covered(found, start, last)
    assert 0 < covered <= (last - start).days + 1
    assert days_covered(found[:-1], start, last) <= covered
    by_drug = {d: [f for f in found if f.drug == d] for d in "AB"}
    assert covered >= max(days_covered(f, start, last) for f in by_drug.values() if f)


@pytest.mark.parametrize("row", rows("clinical-thresholds", "pdc"))
def test_adherent_rows(row: Any) -> None:
    policy = in_force().latest("chronic-care").medication
    assert policy is not None
    assert (row["inputs"]["pdc"] >= policy.adherent) == row["expected"]["adherent"]


@pytest.mark.parametrize("row", rows("clinical-thresholds", "active_medications"))
def test_polypharmacy_rows(row: Any) -> None:
    policy = in_force().latest("chronic-care").medication
    assert policy is not None
    count = row["inputs"]["active_medications"]
    assert (count >= policy.burden) == row["expected"]["polypharmacy"]
    band = score(in_force().instrument("polypharmacy", "2017"), {"medications": count}).band
    assert (band == "hyperpolypharmacy") == row["expected"]["hyperpolypharmacy_ge10"]


@pytest.mark.parametrize("row", rows("clinical-thresholds", "sbp"))
def test_blood_pressure_rows(row: Any) -> None:
    """The higher category of the two numbers wins; controlled is below both limits of the programme."""
    found = score(
        in_force().instrument("blood-pressure", "2017"),
        {"systolic": row["inputs"]["sbp"], "diastolic": row["inputs"]["dbp"]},
    )
    assert found.band == row["expected"]["acc_aha_category"].replace("_", "-")
    limits = in_force().latest("chronic-care").indicators
    high = [
        n
        for n, v in (("systolic", "sbp"), ("diastolic", "dbp"))
        if any(x.below is None and x.crossed(row["inputs"][v]) for x in limits[n].limits)
    ]
    assert (not high) == row["expected"]["hedis_cbp_controlled"]


@pytest.mark.parametrize("row", rows("clinical-thresholds", "a1c_pct"))
def test_a1c_rows(row: Any) -> None:
    value, wanted = row["inputs"]["a1c_pct"], row["expected"]
    found = score(in_force().instrument("a1c", "2025"), {"a1c": value})
    assert found.band == wanted["ada_diagnostic"].replace("_", "-")
    poor = any(limit.crossed(value) for limit in in_force().latest("chronic-care").indicators["a1c"].limits)
    assert poor == wanted["gsd_poor_gt9"]
    assert [value < goal for goal in (7, 8, 8)] == [
        wanted["under_general_goal_7"],
        wanted["under_relaxed_goal_8"],
        wanted["gsd_good_lt8"],
    ]


@pytest.mark.parametrize("row", rows("clinical-thresholds", "glucose_mg_dl"))
def test_hypoglycaemia_rows(row: Any) -> None:
    found = score(in_force().instrument("hypoglycemia", "2025"), {"glucose": row["inputs"]["glucose_mg_dl"]})
    assert found.total == row["expected"]["hypoglycemia_level"]


@pytest.mark.parametrize("row", rows("timeline-deadlines", "clinical_staff_minutes_in_calendar_month"))
def test_chronic_care_minutes_rows(row: Any) -> None:
    minutes, policy = (
        row["inputs"]["clinical_staff_minutes_in_calendar_month"],
        in_force().latest("chronic-care").minutes,
    )
    assert policy is not None
    found = units(policy, minutes)
    assert (found.first, found.further) == (row["expected"]["99490"], row["expected"]["99439_units"])
    assert (minutes >= 60) == row["expected"]["99487_if_complex"]


@pytest.mark.parametrize("row", rows("timeline-deadlines", "activity_started"))
def test_month_boundary_rows(row: Any) -> None:
    zone = ZoneInfo("America/New_York")
    began = datetime.fromisoformat(row["inputs"]["activity_started"]).replace(tzinfo=zone)
    assert month_of(began.astimezone(UTC), zone) == row["expected"]["credited_month"]


def chronic() -> Story:
    story = opened("chronic-care").assess("high")
    story.do("agree-plan", **story.plan("education"))
    return story


def test_five_medications_are_a_burden_and_feed_the_risk() -> None:
    story = chronic()
    listed = [{"name": f"drug {n}"} for n in range(5)]
    wrong = [{"medication": "drug 1", "problem": "too-blue", "action": "x"}]
    body = {"medications": listed, "sources": ["pill bottles"]}
    story.do("reconcile-medications", **body)
    assert story.timeline[-1].data["burden"] is True
    assert story.known.medications == 5
    assert story.refused("reconcile-medications", **body, discrepancies=wrong) == "UnreadableCommand"
    assert story.refused("reconcile-medications", medications=[], sources=[]) == "UnreadableCommand"


def test_who_does_not_take_the_medication_is_talked_to() -> None:
    story = chronic()
    fills = [{"drug": "A", "on": "2026-01-01", "days": 20}, {"drug": " a", "on": "2026-01-11", "days": 10}]
    assert (
        story.refused("record-adherence", drug_class="statin", fills=fills[:1], until="2026-03-01")
        == "TooFewFills"
    )
    story.do("record-adherence", drug_class="statin", fills=fills, until="2026-03-01")
    measured = next(e for e in story.timeline if e.kind == "adherence-measured")
    assert (measured.data["share"], measured.data["adherent"]) == (0.5, False)
    assert "adherence-check" in {t.type for t in story.known.open_tasks}
    assert story.refused("record-adherence", drug_class="statin", fills=fills, until="2026-12-31") == "PeriodWrong"


def test_a_side_effect_tells_the_prescriber_and_a_renewal_comes_with_its_lead_time() -> None:
    """Thirty days before its day the case manager is reminded; renewed, it is due again."""
    story = chronic()
    story.do("report-side-effect", medication="A", effect="cough", severity="mild")
    assert "report-side-effect" in {t.type for t in story.known.open_tasks}
    day = story.today + timedelta(days=90)
    added = story.do("add-assistance", title="Manufacturer's programme", renew_by=str(day)).outcome.created[0]
    clock = next(c for c in story.known.running if c.kind == "renewal")
    assert clock.due_at.astimezone(clock.tz).date() == day
    story.wait(days=62)
    reminded = [e for e in story.timeline if e.kind == "rung-climbed" and e.data["clock_id"] == clock.id]
    assert len(reminded) == 1
    story.do("renew-assistance", assistance_id=added, renew_by=str(day + timedelta(days=365)))
    assert story.refused("renew-assistance", assistance_id="s999", renew_by="2029-01-01") == "UnknownReference"
    assert story.refused("add-assistance", title="x", renew_by=str(story.today)) == "DayInThePast"
    story.do("end-assistance", assistance_id=added, reason="Medicaid now")
    assert not story.known.assistance


@pytest.mark.parametrize(
    ("indicator", "value", "unit", "alert"),
    [
        ("systolic", 139, "mmHg", None),
        ("systolic", 140, "mmHg", "value-out-of-range"),
        ("systolic", 181, "mmHg", "value-dangerous"),
        ("glucose", 70, "mg/dL", None),
        ("glucose", 69, "mg/dL", "value-out-of-range"),
        ("glucose", 2.9, "mmol/L", "value-dangerous"),
        ("a1c", 9, "%", None),
        ("weight", 200, "lb", None),
    ],
)
def test_a_value_out_of_range_opens_its_task_with_its_clock(
    indicator: str, value: float, unit: str, alert: str | None
) -> None:
    story = chronic()
    story.do("record-observation", indicator=indicator, value=value, unit=unit)
    seen = next(e for e in story.timeline if e.kind == "observation-recorded")
    assert seen.data.get("crossed") == alert
    types = {t.type for t in story.known.open_tasks}
    wanted = {"value-out-of-range": "clinical-review", "value-dangerous": "same-day-review"}
    assert types & {*wanted.values()} == ({wanted[alert]} if alert else set())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"indicator": "karma", "value": 1, "unit": "mmHg"}, "UnknownIndicator"),
        ({"indicator": "systolic", "value": 120, "unit": "kPa"}, "UnknownUnit"),
        ({"indicator": "systolic", "value": 20, "unit": "mmHg"}, "Implausible"),
        ({"indicator": "weight", "value": 5000, "unit": "lb"}, "Implausible"),
        (
            {"indicator": "systolic", "value": 120, "unit": "mmHg", "taken_at": "2030-01-01T00:00:00Z"},
            "NotYetHappened",
        ),
        (
            {"indicator": "systolic", "value": 120, "unit": "mmHg", "taken_at": "2020-01-01T00:00:00Z"},
            "TooLongAgo",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(body: dict[str, Any], code: str) -> None:
    assert chronic().refused("record-observation", **body) == code


def test_minutes_count_in_their_month_and_a_contact_without_them_holds_the_closure_up() -> None:
    """The month is that of the beginning, local time."""
    story = chronic()
    seq = story.known.seq + 1
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    assert story.known.unrecorded == (seq,)
    assert f"minutes of contact {seq}" in story.send("close", reason="moved").outcome.missing
    assert story.refused("record-minutes", minutes=5, activity="contact", contact_seq=999) == "UnknownReference"
    story.do("record-minutes", minutes=12, activity="contact", contact_seq=seq)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x", minutes=10)
    assert not story.known.unrecorded
    assert [(m.month, m.minutes) for m in story.known.minutes] == [("2026-03", 67)]
    policy = in_force().latest("chronic-care").minutes
    assert policy is not None
    [month] = by_month(story.known, policy)
    assert (month.month, month.minutes, month.first, month.further) == ("2026-03", 67, True, 2)
    assert story.refused("record-minutes", minutes=0, activity="x") == "UnreadableCommand"
    assert opened("ltac").refused("record-minutes", minutes=5, activity="x") == "NotInProgram"


def test_minutes_written_late_find_their_month_however_many_have_been_counted_since() -> None:
    story = chronic()
    for _ in range(8):
        story.do("record-minutes", minutes=10, activity="care-plan")
        story.wait(days=31)
    first = story.known.minutes[0].month
    story.do("record-minutes", minutes=15, activity="care-plan", began_at=f"{first}-20T15:00:00+00:00")
    assert (story.known.minutes[0].month, story.known.minutes[0].minutes) == (first, 70)


def months(story: Story) -> dict[str, Any]:
    """The promised months of minutes, by their month."""
    return {str(c.about): c for c in story.known.running if c.kind == "minutes"}


def test_a_month_without_its_minutes_is_told_before_it_ends_and_missed_after_it() -> None:
    """From the first whole month on; the next month is promised whatever became of this one."""
    story = chronic()
    [clock] = months(story).values()
    assert clock.about == "minutes/2026-04"
    assert clock.due_at == datetime(2026, 5, 1, 3, 59, 59, tzinfo=UTC)  # the end of April in New York
    story.do("record-minutes", minutes=19, activity="care-plan")  # of March, which asks for nothing
    story.wait(days=40)
    story.do("record-minutes", minutes=19, activity="care-plan")
    assert set(months(story)) == {"minutes/2026-04"}
    story.wait(days=21)
    assert {about: c.missed_at is not None for about, c in months(story).items()} == {
        "minutes/2026-04": True,
        "minutes/2026-05": False,
    }
    late = datetime(2026, 4, 20, 15, tzinfo=UTC)
    story.do("record-minutes", minutes=5, activity="care-plan", began_at=late.isoformat())
    assert set(months(story)) == {"minutes/2026-05"}  # kept by what was done in April, though told late
    story.do("record-minutes", minutes=20, activity="care-plan")
    assert set(months(story)) == {"minutes/2026-06"}


def test_no_minutes_are_owed_without_consent_or_after_the_case_is_closed() -> None:
    story = chronic()
    story.do("withdraw-consent", reason="no more calls")
    assert months(story) == {}
    story.do("record-consent", form="verbal")
    assert set(months(story)) == {"minutes/2026-04"}
    story.do("close", reason="moved")
    story.do("reopen-case", reason="moved back")
    assert set(months(story)) == {"minutes/2026-04"}


def test_a_refill_is_not_missed_while_the_person_has_withdrawn_consent() -> None:
    """Adherence cannot be recorded without it, so its promise waits as well."""
    story = chronic()
    days = [story.today - timedelta(days=40), story.today - timedelta(days=10)]
    fills = [{"drug": "A", "on": str(day), "days": 30} for day in days]
    story.do("record-adherence", drug_class="statin", fills=fills, until=str(story.today))
    story.do("withdraw-consent")
    story.wait(days=60)
    [refill] = [c for c in story.known.running if c.kind == "refill"]
    assert (refill.missed_at, refill.pause is not None) == (None, True)
