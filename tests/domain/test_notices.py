"""Quiet hours are those of the person's own clock, also on the days on which it is moved."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.addressees.kinds import ADDRESSED
from domain.notices import QuietHours, tried_again
from infra.notice_texts import languages, rendered, words

NIGHT = QuietHours(zone="America/New_York", begins=22 * 60, ends=7 * 60)
NOON = QuietHours(zone="Europe/Berlin", begins=12 * 60, ends=13 * 60)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-29T03:00", "2026-11-29T12:00"),  # ten in the evening: until seven, Eastern time
        ("2026-11-29T02:59", None),
        ("2026-11-29T11:59", "2026-11-29T12:00"),
        ("2026-11-29T12:00", None),
        ("2026-03-08T04:00", "2026-03-08T11:00"),  # the night in which an hour is skipped
        ("2026-11-01T03:00", "2026-11-01T12:00"),  # the night that has an hour twice
    ],
)
def test_a_night_goes_over_midnight_and_ends_by_the_clock_on_the_wall(now: str, until: str | None) -> None:
    found = NIGHT.until(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found.strftime("%Y-%m-%dT%H:%M") if found else None) == until


def test_quiet_within_a_day_is_that_of_the_person_s_zone() -> None:
    assert NOON.until(datetime(2026, 7, 1, 10, 30, tzinfo=UTC)) == datetime(2026, 7, 1, 11, tzinfo=UTC)
    assert NOON.until(datetime(2026, 7, 1, 11, 30, tzinfo=UTC)) is None


def test_an_urgent_one_is_tried_each_minute_and_others_ever_more_rarely() -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    minutes = [(tried_again(n, False, now) - now) // timedelta(minutes=1) for n in range(1, 10)]
    assert minutes == [1, 5, 15, 30, 60, 120, 240, 480, 480]
    assert {tried_again(n, True, now) - now for n in range(1, 11)} == {timedelta(minutes=1)}
    assert {tried_again(n, True, now) - now for n in range(11, 300)} == {timedelta(minutes=5)}


@pytest.mark.parametrize("language", languages())
def test_every_notice_has_words_in_every_language(language: str) -> None:
    """And they name nobody: a line has the kind of thing and since when, no more."""
    told = {rule.subject for rules in ADDRESSED.values() for rule in rules} | {
        "clock-missed",
        "reminder",
        "severe-side-effect",
        "inbound",
        "proposal",
        "screening",
        "subscription-ended",
        "webhook-disabled",
    }
    assert told == set(words(language).subjects)
    at = datetime(2026, 7, 1, 16, tzinfo=UTC)
    head, text = rendered(language, [("alert", at), ("flag", at)], "America/New_York", "https://x.example", False)
    assert "2" in head
    assert text.count("2026-07-01 12:00") == 2
