"""`make simulate` plays scenarios beside the version in force, as tables or JSON, and says what it lacks."""

import json
from pathlib import Path

import pytest

from tests.deploy.systems import ROOT, tool

DEMO = str(ROOT / "catalog/programs/demo-1.yaml")
TRANSITIONS = ROOT / "catalog/programs/transitions-1.yaml"


def test_a_programme_is_played_in_tables_in_which_nothing_is_cut(tmp_path: Path) -> None:
    found = tool("deploy.simulate", tmp_path, str(TRANSITIONS), "--scenario", "friday-discharge")
    assert found.returncode == 0, found.stdout
    assert "Outreach within 48 hours" in found.stdout
    assert "Sun 24 May 18:30" in found.stdout
    assert "…" not in found.stdout


def test_a_programme_in_seconds_is_played_in_bounds_and_says_where_it_ends(tmp_path: Path) -> None:
    found = tool("deploy.simulate", tmp_path, DEMO, "--scenario", "followed-up-and-forgotten")
    assert "more happens than is played: this ends at 2026-03-0" in found.stdout


def test_another_version_is_held_against_the_one_in_force(tmp_path: Path) -> None:
    """As JSON: a contact within one business day instead of two is due earlier, and nothing else moves."""
    text = TRANSITIONS.read_text().replace(
        "within: 2 business days, attempts: 2", "within: 1 business day, attempts: 2"
    )
    path = tmp_path / "transitions-2.yaml"
    path.write_text(text.replace("version: 1", "version: 2", 1))
    found = tool("deploy.simulate", tmp_path, str(path), "--scenario", "friday-discharge", "--json")
    assert found.returncode == 0, found.stderr
    [said] = json.loads(found.stdout)
    [moved] = said["compared"]["moved"]
    assert (moved["title"], moved["change"]) == ("Contact within two business days", "earlier")
    assert (moved["before"], moved["after"]) == ("2026-05-28T03:59:59Z", "2026-05-27T03:59:59Z")


@pytest.mark.parametrize(
    ("program", "more", "says"),
    [
        ("", (), "give PROGRAM=catalog/programs/name-version.yaml"),
        ("/none/such-1.yaml", (), "/none/such-1.yaml is no file"),
        (DEMO, ("--scenario", "moonrise"), "there is no scenario moonrise for demo"),
    ],
)
def test_what_a_simulation_lacks_is_said_in_a_sentence(
    tmp_path: Path, program: str, more: tuple[str, ...], says: str
) -> None:
    found = tool("deploy.simulate", tmp_path, program, *more)
    assert (found.returncode, found.stdout) == (1, "")
    assert says in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
