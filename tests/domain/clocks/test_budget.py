"""Deadline arithmetic: month ends, holidays, daylight saving, day zero, pauses."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.clocks.budget import (
    Budget,
    Unit,
    add_months,
    counts_from,
    deadline,
    earlier,
    held_between,
    last_second,
)
from tests.reference import rows
from tests.story import MONDAY, in_force

NEW_YORK = ZoneInfo("America/New_York")
NOT_DEADLINES = {"CCM minutes", "CCM month boundary", "Medicaid TCM institutional transition"}


def budget(text: str) -> Budget:
    return Budget.model_validate(text)


def due_on(anchor: str, text: str, held: int = 0, calendar: str = "us-federal") -> str:
    """The local day on which a budget from the morning of `anchor` ends."""
    start = datetime.combine(date.fromisoformat(anchor), time(9), NEW_YORK).astimezone(UTC)
    due = deadline(start, budget(text), held, in_force().calendar(calendar), NEW_YORK)
    return str(due.astimezone(NEW_YORK).date())


@pytest.mark.parametrize(
    ("anchor", "within", "due"),
    [
        ("2026-03-06", "2 business days", "2026-03-10"),
        ("2026-05-22", "2 business days", "2026-05-27"),
        ("2026-05-23", "2 business days", "2026-05-27"),
        ("2026-07-02", "2 business days", "2026-07-07"),
        ("2026-12-24", "2 business days", "2026-12-29"),
        ("2026-03-02", "0 business days", "2026-03-02"),
        ("2026-03-04", "30 calendar days", "2026-04-03"),
        ("2028-02-29", "12 months", "2029-02-28"),
        ("2028-02-29", "14 months", "2029-04-29"),
        ("2026-01-31", "1 month", "2026-02-28"),
    ],
)
def test_a_day_counted_budget_ends_on_its_last_day(anchor: str, within: str, due: str) -> None:
    """Friday before a holiday weekend, the observed holiday, month ends and leap years."""
    assert due == due_on(anchor, within)


def test_48_hours_and_2_business_days_and_2_calendar_days_are_three_promises() -> None:
    """Over the Memorial Day weekend the three fall on three different days."""
    friday = "2026-05-22"
    assert [due_on(friday, within) for within in ("48 hours", "2 business days", "2 calendar days")] == [
        "2026-05-24",
        "2026-05-27",
        "2026-05-24",
    ]
    assert time(9) == (
        deadline(
            datetime(2026, 5, 22, 13, tzinfo=UTC),
            budget("48 hours"),
            0,
            in_force().calendar("us-federal"),
            NEW_YORK,
        )
        .astimezone(NEW_YORK)
        .time()
    )


def test_elapsed_hours_ignore_daylight_saving_and_days_keep_local_midnight() -> None:
    """The clocks go forward on 8 March 2026: 48 hours later it is an hour later on the wall."""
    start = datetime(2026, 3, 7, 12, tzinfo=NEW_YORK).astimezone(UTC)
    working = in_force().calendar("us-federal")
    assert deadline(start, budget("48 hours"), 0, working, NEW_YORK).astimezone(NEW_YORK).hour == 13
    end = deadline(start, budget("2 calendar days"), 0, working, NEW_YORK).astimezone(NEW_YORK)
    assert (end.hour, end.minute, end.second) == (23, 59, 59)


def test_working_hours_run_only_while_somebody_is_at_work() -> None:
    """Four working hours from Friday 15:00 end on Monday at 11:00."""
    friday = datetime(2026, 3, 6, 15, tzinfo=NEW_YORK).astimezone(UTC)
    due = deadline(friday, budget("4 working hours"), 0, in_force().calendar("us-federal"), NEW_YORK)
    assert datetime(2026, 3, 9, 11, tzinfo=NEW_YORK) == due


def test_day_zero_excluded_refuses_the_same_day_and_moves_no_deadline() -> None:
    """After a psychiatric discharge the same day's visit does not count; after an ED visit it does."""
    anchor = datetime(2026, 3, 4, 15, tzinfo=UTC)
    excluded, counts = budget("7 calendar days, day zero excluded"), budget("7 calendar days")
    assert datetime(2026, 3, 5, tzinfo=NEW_YORK) == counts_from(anchor, excluded, NEW_YORK)
    assert datetime(2026, 3, 4, tzinfo=NEW_YORK) == counts_from(anchor, counts, NEW_YORK)
    assert due_on("2026-03-04", "7 calendar days, day zero excluded") == due_on("2026-03-04", "7 calendar days")


def test_a_reminder_comes_in_the_morning_of_an_earlier_working_day() -> None:
    """One business day before a Tuesday after Memorial Day is the Friday."""
    due = last_second(date(2026, 5, 26), NEW_YORK)
    reminder = earlier(due, budget("1 business day"), in_force().calendar("us-federal"), NEW_YORK)
    assert datetime(2026, 5, 22, 9, tzinfo=NEW_YORK) == reminder


def test_a_budget_is_written_in_words_and_a_wrong_one_says_how() -> None:
    """Units in the singular and plural; anything else is refused with an example."""
    assert Budget(amount=1, unit=Unit.BUSINESS_DAYS) == budget("1 business day")
    for wrong in ("soon", "-1 hours", "2 fortnights", "2 business days, day zero maybe", "9999999 months"):
        with pytest.raises(ValidationError):
            budget(wrong)


@given(
    start=st.integers(0, 5_000_000).map(lambda minutes: MONDAY + timedelta(minutes=minutes)),
    amount=st.integers(1, 60),
    unit=st.sampled_from([Unit.MINUTES, Unit.WORKING_HOURS, Unit.CALENDAR_DAYS, Unit.BUSINESS_DAYS]),
    pause=st.tuples(st.integers(0, 5000), st.integers(0, 60_000)),
    zone=st.sampled_from(sorted(available_timezones())),
)
@settings(max_examples=80, deadline=None)
def test_a_pause_never_brings_a_deadline_nearer_and_resuming_at_once_leaves_it(
    start: datetime, amount: int, unit: Unit, pause: tuple[int, int], zone: str
) -> None:
    """In any zone of the world, whatever is counted."""
    working, tz = in_force().calendar("us-federal"), ZoneInfo(zone)
    within = Budget(amount=amount, unit=unit)
    paused = start + timedelta(minutes=pause[0])
    held = held_between(unit, paused, paused + timedelta(minutes=pause[1]), working, tz)
    assert held_between(unit, paused, paused, working, tz) == 0
    assert deadline(start, within, held, working, tz) >= deadline(start, within, 0, working, tz)


def test_months_keep_the_day_or_take_the_months_last() -> None:
    """31 January plus a month is the end of February, in leap years too."""
    assert [date(2027, 2, 28), date(2028, 2, 29)] == [
        add_months(date(2027, 1, 31), 1),
        add_months(date(2028, 1, 31), 1),
    ]


DEADLINES = [p for p in rows("timeline-deadlines") if p.values[0]["inputs"]["rule"] not in NOT_DEADLINES]


@pytest.mark.parametrize("row", DEADLINES)
def test_every_reference_deadline_holds(row: dict[str, Any]) -> None:
    """Each row's rule, written as a programme would write it, gives the expected days."""
    given, expected = row["inputs"], row["expected"]
    assert expected == RULES[given["rule"]](given)


def _window(anchor: str, first: int, text: str) -> list[str]:
    start = date.fromisoformat(anchor) + timedelta(days=first)
    return [str(start), due_on(anchor, text)]


def _within(anchor: str, done: str, text: str) -> bool:
    start = datetime.combine(date.fromisoformat(anchor), time(9), NEW_YORK).astimezone(UTC)
    at = datetime.combine(date.fromisoformat(done), time(9), NEW_YORK).astimezone(UTC)
    in_time = done <= due_on(anchor, text)
    return in_time and at >= counts_from(start, budget(text), NEW_YORK)


def _tcm(g: dict[str, Any]) -> dict[str, Any]:
    day = g["discharge_date"]
    return {
        "contact_due": due_on(day, "2 business days"),
        "visit_due_99496_high": due_on(day, "7 calendar days"),
        "visit_due_99495_moderate": due_on(day, "14 calendar days"),
        "period_start": day,
        "period_end": due_on(day, "29 calendar days"),
    }


def _trc(g: dict[str, Any]) -> dict[str, Any]:
    admitted, left = g["admission_date"], g["discharge_date"]
    return {
        "admission_notice_window": _window(admitted, 0, "2 calendar days"),
        "discharge_info_window": _window(left, 0, "2 calendar days"),
        "engagement_window": _window(left, 1, "30 calendar days, day zero excluded"),
        "med_reconciliation_window": _window(left, 0, "30 calendar days"),
    }


def _visit(g: dict[str, Any], rule: str) -> dict[str, Any]:
    anchor = g.get("discharge_date") or g["ed_visit_date"]
    if "visit_date" in g:
        return {f"meets_{n}": _within(anchor, g["visit_date"], f"{n} calendar days{rule}") for n in (7, 30)}
    days = (7,) if g["rule"] == "HEDIS FMC" else (7, 30)
    return {f"window_{n}": _window(anchor, 0, f"{n} calendar days{rule}") for n in days}


def _breach(g: dict[str, Any]) -> dict[str, Any]:
    notice = due_on(g["discovered"], "60 calendar days")
    if g["individuals"] >= 500:
        media = g["individuals"] > 500
        return {"individual_notice_due": notice, "hhs_notice_due": notice, "media_notice_required": media}
    year_end = f"{g['discovered'][:4]}-12-31"
    return {"individual_notice_due": notice, "hhs_notice_due": due_on(year_end, "60 calendar days")}


def _cms2(g: dict[str, Any]) -> dict[str, Any]:
    screened = _within(g["screen_date"], g["encounter_date"], "14 calendar days")
    followed = _within(g["encounter_date"], g["referral_date"], "2 calendar days")
    return {"numerator": screened and followed}


RULES = {
    "TCM": _tcm,
    "HEDIS TRC": _trc,
    "HEDIS FUH": lambda g: _visit(g, ", day zero excluded"),
    "HEDIS FUM": lambda g: _visit(g, ""),
    "HEDIS FUA": lambda g: _visit(g, ""),
    "HEDIS FMC": lambda g: _visit(g, ""),
    "LTSS reassessment/care-plan update after discharge": lambda g: {
        "window": _window(g["discharge_date"], 0, "30 calendar days")
    },
    "SNP HRA": lambda g: {
        "initial_due": due_on(g["enrollment_effective"], "90 calendar days"),
        "annual_due": due_on(g["initial_hra_completed"], "365 calendar days"),
    },
    "HCBS person-centred plan review": lambda g: {"review_due": due_on(g["plan_date"], "12 months")},
    "NCQA PHM 5 CCM": lambda g: {
        "assessment_start_due": due_on(g["eligible_on"], "30 calendar days"),
        "assessment_complete_due": due_on(g["eligible_on"], "60 calendar days"),
    },
    'NCQA "annual"': lambda g: {
        "target": due_on(g["last_done"], "12 months"),
        "latest_with_grace": due_on(g["last_done"], "14 months"),
    },
    "HIPAA breach": _breach,
    "HIPAA documentation retention": lambda g: {
        "retain_until": due_on(max(g["created"], g["last_in_effect"]), "72 months")
    },
    "CMS2 positive adult screen": _cms2,
}
