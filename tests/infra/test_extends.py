"""A version of a programme may stand on the version before; a calendar names days that somebody knows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.clocks.budget import Budget, Unit
from domain.programs.policies import Tier
from infra.catalog import CATALOG, CatalogError, load, with_file

ROOT = Path(__file__).parents[2]
THIRD = """
version: 3
extends: complex-care-2
summary: The second version with a closer cadence.
tiers:
  high:
    contact: {within: 3 calendar days}
tasks:
  find-a-bike:
    title: Find a bicycle
    category: coordination
    clock: {within: 14 calendar days, ladder: clinical, source: x}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of one's own, in which the third version of a programme is still to be written."""
    copied = Path(shutil.copytree(CATALOG, tmp_path / "catalog"))
    for later in copied.glob("programs/complex-care-*.yaml"):
        if int(later.stem.rpartition("-")[2]) > 2:
            later.unlink()
    return copied


def publish(folder: Path, name: str, text: str) -> Path:
    path = folder / "programs" / f"{name}.yaml"
    path.write_text(text)
    return path


def faults(folder: Path) -> list[str]:
    with pytest.raises(CatalogError) as fault:
        load(folder)
    return str(fault.value).split("\n")


def test_a_new_version_says_only_what_is_new(folder: Path) -> None:
    """Name, clocks and ladders are those of the version before, which stays as it was; and so on in a chain."""
    before = load(folder)
    publish(folder, "complex-care-3", THIRD)
    publish(folder, "complex-care-4", "version: 4\nextends: complex-care-3\nreopen_within: 10 calendar days\n")
    rulebook = load(folder)
    second, third, fourth = (rulebook.program("complex-care", version) for version in (2, 3, 4))
    days = {p.version: p.tiers[Tier.HIGH].contact.within.amount for p in (second, third, fourth)}
    assert days == {2: 7, 3: 3, 4: 3}
    assert third.tiers[Tier.HIGH].contact.source == second.tiers[Tier.HIGH].contact.source
    assert set(third.tasks) == {*second.tasks, "find-a-bike"}
    assert fourth.reopen_within == Budget(amount=10, unit=Unit.CALENDAR_DAYS) != third.reopen_within
    assert before == rulebook.changed(programs=tuple(p for p in rulebook.programs if p not in (third, fourth)))


def test_a_version_that_is_not_published_yet_may_extend_one_that_is(folder: Path, tmp_path: Path) -> None:
    """What `make simulate` plays."""
    draft = tmp_path / "complex-care-3.yaml"
    draft.write_text(THIRD)
    assert with_file(draft, folder)[1].version == 3


def test_a_fault_is_named_where_it_stands_however_deep(folder: Path) -> None:
    """Once, though two versions inherit it."""
    publish(folder, "complex-care-3", THIRD.replace("3 calendar days", "3 fortnights"))
    publish(folder, "complex-care-4", "version: 4\nextends: complex-care-3\n")
    [fault] = faults(folder)
    assert re.match(r"complex-care-3.yaml:7: tiers.high.contact.within", fault)


def test_circles_and_what_is_not_there_are_refused_by_name(folder: Path) -> None:
    """A version that extends itself, two that extend each other, one that nobody has published."""
    publish(folder, "complex-care-3", THIRD.replace("complex-care-2", "complex-care-4"))
    publish(folder, "complex-care-4", "version: 4\nextends: complex-care-3\n")
    publish(folder, "complex-care-5", "version: 5\nextends: complex-care-5\n")
    publish(folder, "complex-care-6", "version: 6\nextends: complex-care-9\n")
    circle = "goes round in a circle: complex-care-"
    assert faults(folder) == [
        f"complex-care-4.yaml:2: extends: {circle}3 extends complex-care-4 extends complex-care-3",
        f"complex-care-3.yaml:3: extends: {circle}4 extends complex-care-3 extends complex-care-4",
        f"complex-care-5.yaml:2: extends: {circle}5 extends complex-care-5",
        "complex-care-6.yaml:2: extends: there is no base complex-care-9, and no version of that name",
    ]


def test_the_catalogue_shows_what_a_new_version_changes(folder: Path) -> None:
    """Path, old and new, in the words of the files; a version on a base, or the whole base, is no difference."""
    publish(folder, "complex-care-3", THIRD)
    command = [sys.executable, "-m", "infra.catalog", str(folder)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    first = next(n for n, line in enumerate(shown) if line.startswith("complex-care version 3"))
    assert shown[first + 1] == "  extends complex-care-2 and differs in"
    lines = shown[first + 2 : first + 5]
    assert "    tiers.high.contact.within: 7 calendar days → 3 calendar days" in lines
    assert any(line.startswith("    tasks.find-a-bike: nothing → {") for line in lines)
    assert any(line.endswith("→ The second version with a closer cadence.") for line in lines)
    assert not shown[first + 5].startswith("  ")
    assert sum("differs in" in line for line in shown) == 1


@pytest.mark.parametrize(
    ("holidays", "field", "says"),
    [
        ("{country: XX}", "holidays.country", "no holidays are known of XX"),
        ("{country: US, subdivision: ZZ}", "holidays.subdivision", "choose one of: AK, AL"),
        ("{country: usa}", "holidays.country", "should match"),
        ("{country: US, dates: [2026-01-02]}", "holidays", "either a country or dates"),
        ("{dates: [soon]}", "holidays.dates.0", "valid date"),
    ],
)
def test_days_off_that_nobody_knows_are_named_with_file_line_and_field(
    folder: Path, holidays: str, field: str, says: str
) -> None:
    """And nothing else is said of the same line."""
    path = folder / "calendars/us-federal.yaml"
    path.write_text(path.read_text().replace("{country: US}", holidays))
    [fault] = faults(folder)
    assert fault.startswith(f"us-federal.yaml:5: {field}: ")
    assert says in fault


def test_the_days_off_of_a_part_of_a_country_and_hours_that_cannot_be(folder: Path) -> None:
    """A state keeps days of its own; a calendar that never opens is refused."""
    path = folder / "calendars/us-federal.yaml"
    text = path.read_text()
    path.write_text(text.replace("{country: US}", "{country: US, subdivision: CA}"))
    assert load(folder).calendar("us-federal").holidays != load().calendar("us-federal").holidays
    path.write_text(text.replace('opens: "09:00"', 'opens: "19:00"'))
    assert faults(folder) == ["us-federal.yaml:3: file: Value error, opens must be before closes"]
