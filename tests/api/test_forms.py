"""Forms over HTTP: what a section begins with, work in progress taken over, what has changed, who may see it."""

from typing import Any

import pytest

from tests.office import Office
from tests.recorded import put_on_record
from tests.story import Story

PATH = "/cases/case1/forms/social-determinants"
SAFE: dict[str, Any] = {
    "living-situation": "own-home",
    "food-short": "never",
    "transport": ["none"],
    "someone-to-call": True,
    "safe-at-home": "yes",
}


def section(story: Story, **more: Any) -> dict[str, Any]:
    return {"name": "social-determinants", "assessed_on": str(story.today), **more}


async def on_record(office: Office, *times: dict[str, Any]) -> Office:
    """A case whose section was written at these times, a day apart."""
    story = Story().open(case_id="case1")
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    for time in times:
        story.do("record-assessment", sections=[section(story, **time)])
        story.wait(days=1)
    put_on_record(office.parts.engine.url, office.parts.settings, "case1", story.timeline)
    return office


async def test_the_forms_of_the_catalogue_can_be_read_with_their_words_in_each_language(office: Office) -> None:
    forms = (await office.get("cm-anna", "/forms")).json()
    one = (await office.get("cm-anna", "/forms/social-needs-1")).json()
    assert one in forms
    [home] = [q for q in one["questions"] if q["link"] == "living-situation"]
    assert (home["text"]["es"], home["options"]["outside"]["en"]) == (
        "¿Dónde vive la persona?",
        "Outside or in a car",
    )
    unknown = await office.get("cm-anna", "/forms/nothing-1")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "UnknownForm")
    assert "social-needs-1" in unknown.json()["detail"]
    tool = await office.get("cm-anna", "/instruments/phq-9/2001")
    assert tool.json()["scale"]["3"] == "Nearly every day"
    assert (await office.get("cm-anna", "/instruments/phq-9/1901")).status_code == 404


async def test_a_form_that_nobody_has_begun_says_what_it_asks_and_what_it_needs(office: Office) -> None:
    await on_record(office)
    said = (await office.get("cm-anna", PATH)).json()
    assert (said["begun"], said["last"], said["carried"]) == (None, None, {})
    assert said["missing"] == ["living-situation", "food-short", "transport", "someone-to-call", "safe-at-home"]
    assert "losing-home" not in said["asked"], "it is asked of who has a home only"
    assert (await office.get("cm-anna", "/cases/case1/forms/gossip")).json()["code"] == "UnknownSection"
    assert (await office.get("cm-cora", PATH)).status_code == 404


async def test_work_in_progress_is_gone_on_with_by_a_colleague(office: Office) -> None:
    begun = {"answers": {"living-situation": "outside", "safe-at-home": "unsure"}, "complete": False}
    await on_record(office, begun)
    said = (await office.get("cm-ben", PATH)).json()
    assert said["begun"]["author"] == "cm-anna"
    assert said["carried"] == {"living-situation": "outside", "safe-at-home": "unsure"}
    assert said["goes_on_from"] == said["begun"]["seq"]
    assert said["missing"] == ["food-short", "transport", "someone-to-call"]


async def test_a_new_time_begins_with_the_last_answers_but_those_that_are_asked_afresh(office: Office) -> None:
    await on_record(office, {"answers": SAFE, "answered_by": "self"})
    said = (await office.get("cm-anna", PATH)).json()
    assert said["begun"] is None
    assert said["carried"] == {k: v for k, v in SAFE.items() if k != "safe-at-home"}
    assert said["last"]["answers"] == SAFE
    assert said["last"]["answered_by"] == "self"
    assert said["missing"] == ["safe-at-home"]


async def test_two_times_are_compared_question_by_question_in_the_readers_language(office: Office) -> None:
    worse = {**SAFE, "food-short": "often", "money-worry": "very"}
    await on_record(office, {"answers": SAFE}, {"answers": worse})
    path = "/cases/case1/sections/social-determinants/changes"
    said = (await office.get("cm-anna", path, language="es")).json()
    assert [(c["link"], c["before"], c["after"]) for c in said["changed"]] == [
        ("food-short", "never", "often"),
        ("money-worry", None, "very"),
    ]
    assert said["changed"][0]["text"] == "¿Faltó comida en los últimos doce meses?"
    same = await office.get("cm-anna", path, before=said["after"]["seq"], after=said["after"]["seq"])
    assert same.json()["changed"] == []
    assert (await office.get("cm-anna", path, before=1)).json()["code"] == "NothingToCompare"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_answers_under_a_stricter_label_are_not_for_every_reader_of_the_section(office: Office) -> None:
    """An auditor reads the section, and that there is more of it under a label; the list says the same."""
    await on_record(office, {"answers": SAFE})
    last = (await office.get("aud-1", PATH)).json()["last"]
    assert "safe-at-home" not in last["answers"]
    assert last["answers"]["living-situation"] == "own-home"
    assert [one["label"] for one in last["withheld"]] == ["behavioral"]
    items = (await office.get("aud-1", "/cases/case1/sections")).json()["items"]
    assert [item["withheld"] is None for item in items] == [False, True]
    assert "safe-at-home" not in str(items)
