"""What happened to a case is read in sentences, by subject, kind and time, and as a list a subject."""

import csv
import io
from typing import Any

import pytest

from api.case_history import LISTS
from tests.api.test_reports import followed
from tests.office import Office
from tests.recorded import put_on_record
from tests.story import Story

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
async def filled(office: Office) -> Office:
    story = followed("case1")
    story.do("add-note", text="Her son has a key")
    put_on_record(office.parts.engine.url, office.parts.settings, "case1", story.timeline)
    return office


async def read(office: Office, path: str, by: str = "cm-anna", **asked: Any) -> list[dict[str, Any]]:
    answer = await office.get(by, f"/cases/case1/{path}", **asked)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    found: list[dict[str, Any]] = said["items"] if isinstance(said, dict) else said
    return found


async def test_a_timeline_is_read_in_sentences_by_subject_kind_and_place(filled: Office) -> None:
    """Newest first, after an event, between two times, in Spanish; as CSV; words that mean nothing are refused."""
    everything = await read(filled, "timeline", limit=200)
    assert all(item["said"] and item["subject"] for item in everything)
    assert not [item["said"] for item in everything if "{" in item["said"] or "[" in item["said"]]
    contacts = await read(filled, "timeline", kind="contact-logged")
    assert contacts[-2]["said"] == "Reached the patient (telephone): ok"
    spanish = await read(filled, "timeline", kind="contact-logged", language="es")
    assert spanish[-2]["said"] == "Contacto con paciente (teléfono): ok"
    missed = await read(filled, "timeline", kind="clock-missed")
    assert any(item["said"].startswith("Contact the person: missed, it was due ") for item in missed)
    newest = await read(filled, "timeline", order="newest", limit=3)
    assert [item["seq"] for item in newest] == [item["seq"] for item in everything[-1:-4:-1]]
    assert {item["subject"] for item in await read(filled, "timeline", subject="plan")} == {"plan"}
    later = await read(filled, "timeline", after_seq=everything[-3]["seq"])
    assert len(later) == 2
    between = {"first": everything[3]["at"], "last": everything[3]["at"]}
    assert {item["at"] for item in await read(filled, "timeline", **between)} == {everything[3]["at"]}
    table = await filled.get("cm-anna", "/cases/case1/timeline", format="csv", limit=5)
    assert [row["said"] for row in csv.DictReader(io.StringIO(table.text))] == [i["said"] for i in everything[:5]]
    refused = await filled.get("cm-anna", "/cases/case1/timeline", subject="gossip")
    assert (refused.status_code, refused.json()["code"]) == (422, "UnknownSubject")
    assert "contacts" in refused.json()["missing"]


async def test_every_subject_has_its_list_with_the_fields_of_its_events(filled: Office) -> None:
    """The last written first; nobody of another team sees any."""
    [latest, *_] = await read(filled, "scores")
    assert (latest["instrument"], latest["total"], latest["since_baseline"]) == ("phq-9", 4, -14)
    [contact, *_] = await read(filled, "contacts")
    assert (contact["mode"], contact["party"], contact["reached"]) == ("telephone", "patient", False)
    [plan] = await read(filled, "plans")
    assert (plan["kind"], plan["version"]) == ("plan-agreed", 1)
    assert plan["plan"]["goals"]
    [goal] = await read(filled, "goals")
    assert (goal["goal"], goal["achievement"]) == ("g1", "achieved")
    [note] = await read(filled, "notes")
    assert (note["text"], note["by"]) == ("Her son has a key", "cm-anna")
    told = await read(filled, "transitions")
    assert [(one["event"], one["setting"]) for one in told] == [
        ("admission", "inpatient"),
        ("discharge", "inpatient"),
    ]
    stays = await read(filled, "stays")
    assert [(stay["setting"], stay["ended_at"] is not None) for stay in stays] == [
        ("inpatient", True),
        ("inpatient", False),
    ]
    for path in (*LISTS, "stays"):
        table = await filled.get("cm-anna", f"/cases/case1/{path}", format="csv")
        assert table.headers["content-type"].startswith("text/csv"), path
        assert (await filled.get("cm-cora", f"/cases/case1/{path}")).status_code == 404, path
        assert (await filled.get("cm-anna", f"/cases/case1/{path}", kind="x")).status_code == 422, path


@ONE
async def test_what_was_entered_in_error_is_marked_and_what_a_label_withholds_says_nothing(office: Office) -> None:
    """A call that was of somebody else; a note about the mind for whoever may read it."""
    case_id = await office.open()
    wrong = await office.do(
        case_id, "log-contact", mode="telephone", party="patient", reached=True, outcome="somebody else"
    )
    seq = next(i["seq"] for i in await timeline(office, case_id) if i["kind"] == "contact-logged")
    await office.do(case_id, "correct-entry", entry=seq, reason="wrong person")
    answer = await office.get("cm-anna", f"/cases/{case_id}/contacts")
    [contact] = answer.json()["items"]
    assert contact["entered_in_error"]["reason"] == "wrong person"
    assert contact["outcome"] == "somebody else"
    assert wrong["status"] == "applied"
    await office.do(case_id, "add-note", text="SECRET", sensitivity="part2")
    [kept] = (await office.get("cm-ben", f"/cases/{case_id}/notes")).json()["items"]
    assert (kept["text"], kept["withheld"]["label"]) == (None, "part2")
    [said] = (await office.get("cm-ben", f"/cases/{case_id}/timeline", kind="note-added")).json()["items"]
    assert (said["said"], said["data"]) == (None, {})
    [hers] = (await office.get("cm-anna", f"/cases/{case_id}/notes")).json()["items"]
    assert hers["text"] == "SECRET"


async def timeline(office: Office, case_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await office.get("cm-anna", f"/cases/{case_id}/timeline")).json()["items"]
    return found


@ONE
async def test_two_versions_of_a_plan_are_held_against_each_other_part_by_part(office: Office) -> None:
    """The last and the one before where none are named; a version that there is not is refused."""
    story = Story().open(case_id="case2")
    story.do("record-consent", form="verbal")
    story.do("complete-screening", accepted=True)
    story.assess().do("agree-plan", **story.plan("education"))
    put_on_record(office.parts.engine.url, office.parts.settings, "case2", story.timeline)
    path = "/cases/case2/plans/changes"
    assert (await office.get("cm-anna", path)).json()["code"] == "NothingToCompare"
    plan = story.known.plan
    assert plan is not None
    body = plan.model_dump(mode="json", exclude={"version", "numbered"}, exclude_none=True)
    body["goals"][0]["target"] = "five"
    body["interventions"] = [{"task": "medication-review"}]
    story.do("revise-plan", **body, reason="She wants more")
    put_on_record(office.parts.engine.url, office.parts.settings, "case2", story.timeline)
    said = (await office.get("cm-anna", path)).json()
    assert (said["before"]["version"], said["after"]["version"]) == (1, 2)
    assert said["after"]["reason"] == "She wants more"
    found = [(one["part"], one["change"], one["fields"]) for one in said["changed"]]
    assert ("goals", "changed", ["target"]) in found
    assert {change for part, change, _ in found if part == "interventions"} == {"removed", "added"}
    assert (await office.get("cm-anna", path, before=7)).json()["code"] == "NothingToCompare"
