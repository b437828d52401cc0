"""Programmes and calendars are data; a broken file is refused with its name, the line and the field."""

import csv
import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from domain.programs.policies import Tier
from infra.catalog import CATALOG, CatalogError, load
from tests.story import Story, in_force, whole_catalogue

SHARED = Path(__file__).parents[3] / "shared/data/business-days"
FILE = "programs/complex-care-1.yaml"
REINTEGRATION = "programs/reintegration-1.yaml"


def broken(tmp_path: Path, old: str, new: str, file: str = FILE) -> str:
    """Load the catalogue with one text replaced; return the faults."""
    folder = tmp_path / "catalog"
    shutil.copytree(CATALOG, folder)
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CatalogError) as fault:
        load(folder)
    return str(fault.value)


def test_every_programme_of_the_catalogue_has_a_cadence_for_every_tier() -> None:
    """Whoever is seen has a next time."""
    for program in whole_catalogue().programs:
        assert set(program.tiers) == set(Tier), f"{program.program}-{program.version}"


def test_no_text_of_the_catalogue_assumes_who_the_person_is() -> None:
    """Staff read these titles of everybody: neither she nor he."""
    for path in CATALOG.rglob("*.yaml"):
        assert not re.search(r"\b(she|he|her|hers|his|him|herself|himself)\b", path.read_text(), re.I), path.name


def test_a_fault_that_a_programme_inherits_is_named_with_the_bases_file_and_line(tmp_path: Path) -> None:
    """And an own one with its own; a lost instrument, code list or task is named too."""
    base = "bases/common-1.yaml"
    faults = broken(tmp_path / "a", "reply: {within: 1 business day", "reply: {within: 1 fortnight", base)
    assert re.search(r"common-1.yaml:\d+: reply.within", faults)
    faults = broken(tmp_path / "b", 'version: "2010"', 'version: "1066"', "programs/transitions-1.yaml")
    assert "transitions-1.yaml: there is no instrument lace 1066" in faults
    faults = broken(tmp_path / "c", "avoidable_days: va-nonacute", "avoidable_days: none-such", base)
    assert "there is no code list none-such" in faults
    faults = broken(tmp_path / "d", "homeless: {task: shelter-tonight", "homeless: {task: tent", REINTEGRATION)
    assert "alerts.homeless.task: tent" in faults
    faults = broken(tmp_path / "e", "extends: common-1", "extends: common-9", REINTEGRATION)
    assert "reintegration-1.yaml:4: extends: there is no base common-9" in faults


def test_a_new_instrument_programme_or_task_type_is_one_file_and_no_code(tmp_path: Path) -> None:
    """Copied into the catalogue it is there: scored, opened, added."""
    folder = tmp_path / "catalog"
    shutil.copytree(CATALOG, folder)
    tool = (folder / "instruments/cage-aid-1995.yaml").read_text().replace("name: cage-aid", "name: new-screen")
    (folder / "instruments/new-screen-1995.yaml").write_text(tool)
    program = (folder / REINTEGRATION).read_text().replace("program: reintegration", "program: fresh-start")
    program = program.replace('name: prapare, version: "2016"', 'name: new-screen, version: "1995"')
    program = program.replace("  shelter-tonight:", "  find-a-bike:", 1).replace(
        "task: shelter-tonight", "task: find-a-bike"
    )
    (folder / "programs/fresh-start-1.yaml").write_text(program)
    story = Story("fresh-start", rulebook=load(folder)).open()
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    answers = {"cut-down": True, "annoyed": False, "guilty": False, "eye-opener": False}
    story.do("record-score", instrument="new-screen", version="1995", answers=answers)
    story.do("add-task", task="find-a-bike")
    assert story.known.scores[0].band == "positive"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("within: 5 business days", "within: 5 fortnights", "stages.screening.within"),
        ("ladder: operational", "lader: operational", "consent.decision.lader"),
        ("time_zone: America/New_York", "time_zone: America/Gotham", "time_zone"),
        ("minimum_age: 18", "minimum_age: old", "eligibility.minimum_age"),
        ("  moderate:\n", "  middling:\n", "tiers.middling"),
    ],
)
def test_a_broken_programme_names_file_line_and_field(tmp_path: Path, old: str, new: str, field: str) -> None:
    """What an author needs to mend it."""
    faults = broken(tmp_path, old, new)
    number = next(
        n
        for n, text in enumerate((tmp_path / "catalog" / FILE).read_text().split("\n"), 1)
        if new.split("\n", maxsplit=1)[0] in text
    )
    assert f"complex-care-1.yaml:{number}: {field}" in faults


def test_what_one_file_says_of_another_is_checked_too(tmp_path: Path) -> None:
    """Ladders and calendars that are not there, names that lie, keys given twice, YAML that is none."""
    assert "ladders used but not defined: clincal" in broken(tmp_path / "a", "ladder: clinical", "ladder: clincal")
    assert "there is no calendar moon" in broken(tmp_path / "b", "calendar: us-federal", "calendar: moon")
    assert "name the file complex-care-2.yaml" in broken(tmp_path / "c", "version: 1", "version: 2")
    assert "model is given twice" in broken(tmp_path / "d", "model: clinical", "model: clinical\nmodel: clinical")
    assert "complex-care-1.yaml:6" in broken(tmp_path / "e", "title: Complex", "title: [Complex")
    assert "weekend.0" in broken(tmp_path / "f", "[saturday, sunday]", "[caturday]", "calendars/us-federal.yaml")


def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    """Nobody mends a file one fault a try."""
    faults = broken(tmp_path, "program: complex-care\nversion: 1", "program: Complex Care\nversion: none")
    assert len(faults.split("\n")) == 2


def test_the_federal_calendar_has_the_observed_days() -> None:
    """Independence Day 2026 is a Saturday: the Friday is off. Juneteenth since 2021."""
    federal = in_force().calendar("us-federal")
    off = [d for d in sorted(federal.holidays) if d.year == 2026 and d.isoweekday() < 6]
    assert off == [
        date(2026, *day)
        for day in (
            (1, 1), (1, 19), (2, 16), (5, 25), (6, 19), (7, 3), (9, 7), (10, 12), (11, 11), (11, 26), (12, 25)
        )
    ]  # fmt: skip
    assert not federal.is_working_day(date(2027, 12, 31))  # New Year 2028 is a Saturday
    assert federal.is_working_day(date(2020, 6, 19))


WITH_DATA = pytest.mark.skipif(not SHARED.exists(), reason="the business-day data is not on this machine")


def published(name: str) -> list[dict[str, str]]:
    with (SHARED / name).open(newline="") as file:
        return list(csv.DictReader(file))


@WITH_DATA
def test_the_federal_calendar_has_every_day_that_four_libraries_agree_on_and_opm_publishes() -> None:
    """From 2015 to 2035, on working weekdays; two of the four are wrong in places."""
    agreed = [row["date"] for row in published("us-federal-holidays-observed.csv") if row["n_agree"] == "4"]
    federal = in_force().calendar("us-federal")
    days = {date.fromisoformat(d) for d in [*agreed, *(row["date"] for row in published("opm-2023-anchor.csv"))]}
    assert len(days) > 90
    assert {d for d in days if d.isoweekday() < 6} <= federal.holidays


@WITH_DATA
def test_business_days_count_as_another_library_counts_them() -> None:
    """The n-th working day after a day, also where that is itself a day off."""
    federal = in_force().calendar("us-federal")
    rows = published("business-day-vectors-numpy.csv")
    assert len(rows) > 50
    for row in rows:
        if row["n"] == "0":  # nothing to count; the libraries differ in where a day off then rolls to
            continue
        found = federal.add_working_days(date.fromisoformat(row["start"]), int(row["n"]))
        assert str(found) == row["add_n_federal_backward_roll"], row


def test_an_id_that_two_plan_templates_give_to_different_parts_is_refused(tmp_path: Path) -> None:
    """With both applied the second part would be dropped in silence; file, template and id are named."""
    faults = broken(tmp_path, "{id: look-at-feet,", "{id: weigh-daily,", "programs/chronic-care-1.yaml")
    assert (
        "chronic-care-1.yaml: plan_templates.diabetes: weigh-daily is the id of another part in heart-failure"
        in faults
    )


def test_a_day_that_no_calendar_has_is_a_fault_of_its_line(tmp_path: Path) -> None:
    """YAML takes it for a date, and it is told like any other fault."""
    faults = broken(tmp_path, "program: complex-care", "program: 2026-99-99")
    assert re.search(r"complex-care-1.yaml:\d+: 2026-99-99: month must be in 1..12", faults)
