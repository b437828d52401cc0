"""A director plays a programme before it is published: what it would promise, and what differs from now."""

from pathlib import Path
from typing import Any

import pytest

from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
FILE = Path(__file__).parents[2] / "catalog/programs/transitions-1.yaml"


async def simulate(office: Office, by: str = "dir-1", **wanted: Any) -> Any:
    return await office.post(by, "/programs/simulate", wanted)


async def test_a_published_programme_is_played_by_the_scenarios_that_are_for_it(office: Office) -> None:
    answer = await simulate(office, program="transitions", scenario="friday-discharge")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["program"], said["version"], said["against"]) == ("transitions", 1, None)
    [result] = said["scenarios"]
    assert result["played"]["unexpected"] == []
    assert {"week": 1, "by": "case-manager"}.items() <= result["load"][0].items()
    told = [h for h in result["played"]["happenings"] if h["what"] == "told"]
    assert ("Outreach within 48 hours", ["case-manager"]) in [(h["title"], h["whom"]) for h in told]


async def test_a_file_that_is_not_published_is_held_against_the_version_in_force(office: Office) -> None:
    text = FILE.read_text().replace("within: 2 business days, attempts: 2", "within: 1 business day, attempts: 2")
    text = text.replace("version: 1", "version: 2", 1)
    said = (await simulate(office, file=text, scenario="friday-discharge")).json()
    assert (said["version"], said["against"]) == (2, 1)
    moved = said["scenarios"][0]["compared"]["moved"]
    assert [(one["title"], one["change"]) for one in moved] == [("Contact within two business days", "earlier")]
    assert all(
        p["version"] == 1 for p in (await office.get("dir-1", "/programs")).json() if p["program"] == "transitions"
    )


async def test_a_broken_file_is_refused_with_its_faults_and_nothing_is_played_for_others(office: Office) -> None:
    broken = await simulate(
        office,
        file=FILE.read_text()
        .replace("calendar: us-federal", "calendar: moon")
        .replace("title: Transitions", "titel: Transitions"),
    )
    assert (broken.status_code, broken.json()["code"]) == (422, "BrokenFile")
    assert any("titel" in fault for fault in broken.json()["missing"])
    assert (await simulate(office, program="moonwalk")).status_code == 404
    assert (await simulate(office, program="transitions", version=9)).status_code == 404
    assert (await simulate(office, program="transitions", against=9)).status_code == 404
    unknown = await simulate(office, program="transitions", scenario="moonrise")
    assert (unknown.status_code, "friday-discharge" in unknown.json()["missing"]) == (422, True)
    assert (await simulate(office)).json()["code"] == "Malformed"
    assert (await simulate(office, by="cm-anna", program="transitions")).status_code == 403
    assert len((await office.get("cm-anna", "/scenarios", program="transitions")).json()) >= 5


async def test_a_file_with_a_day_that_there_is_not_is_refused_like_any_broken_file(office: Office) -> None:
    """The fault names its line; it is the author's to mend, and no failure of the server."""
    text = FILE.read_text()
    broken = await simulate(office, file=text.replace("program: transitions", "program: 2026-99-99"))
    assert (broken.status_code, broken.json()["code"]) == (422, "BrokenFile")
    assert any("2026-99-99" in fault for fault in broken.json()["missing"])
