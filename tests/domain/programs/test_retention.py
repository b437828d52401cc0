"""How long the record of a closed case is kept."""

from datetime import date

import pytest

from domain.programs.retention import Retention, RetentionRules, kept_until

TEN = Retention(years=10, until_age=28, source="s")


@pytest.mark.parametrize(
    ("last", "born", "expected"),
    [
        (date(2014, 3, 31), "1950-05-05", date(2024, 3, 31)),
        (date(2016, 2, 29), "1950-05-05", date(2026, 2, 28)),
        (date(2020, 6, 1), "2012-06-02", date(2040, 6, 1)),  # the day before she is 28
        (date(2020, 6, 1), "2012", date(2040, 12, 30)),  # as if she was born on the last day of the year
        (date(2020, 6, 1), None, date(2030, 6, 1)),
    ],
)
def test_years_run_from_the_last_entry_and_a_child_s_record_is_kept_until_she_is_grown(
    last: date, born: str | None, expected: date
) -> None:
    assert kept_until(TEN, last, born) == expected


def test_a_programme_may_keep_longer_and_none_may_keep_less_than_six_years() -> None:
    longer = Retention(years=12, source="s")
    rules = RetentionRules(default=TEN, programs={"behavioral-health": longer})
    assert (rules.of("behavioral-health"), rules.of("complex-care")) == (longer, TEN)
    with pytest.raises(ValueError, match="greater than or equal to 6"):
        Retention(years=5, source="s")
