"""What a case says in FHIR: valid R4 that another library reads, each resource with its last change."""

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from domain.case.case import Case
from domain.case.event import Entry, label_of
from domain.persons.person import Person
from domain.values import Sensitivity
from exchange.fhir_catalog import of_form, of_instrument
from exchange.fhir_codes import id_in
from exchange.fhir_out import Version, resources
from exchange.fhir_patient import patient, related
from tests.domain.test_programs import NAMES, opened
from tests.story import MONDAY, Story, whole_catalogue


def steps(story: Story) -> Iterator[tuple[Case | None, Entry, Case]]:
    before: Case | None = None
    for entry in story.timeline:
        after = entry.apply(before)
        yield before, entry, after
        before = after


def told(story: Story, hidden: Sensitivity | None = None) -> dict[str, list[Version]]:
    """The resources of a story by type; what stands under `hidden` is not for this reader."""
    found: dict[str, list[Version]] = {}
    book = story.rulebook
    every = resources(steps(story), book, lambda entry: label_of(entry.data) != hidden)
    for version in every:
        found.setdefault(version.kind, []).append(version)
    return found


def whole() -> Story:
    """A case in which something of everything happened."""
    story = opened("complex-care").assess("high")
    body = story.plan("education", "arrange-appointment")
    problems = [{"id": "hf", "description": "Heart failure", "code": "I50.9"}]
    goals = [{**body["goals"][0], "id": "walk", "problems": ["hf"]}]
    story.do("agree-plan", **{**body, "problems": problems, "goals": goals})
    story.do("record-score", instrument="phq-9", version="2001", answers={f"q{n}": 1 for n in range(1, 10)})
    story.do("log-contact", mode="telephone", party="patient", reached=False, outcome="No answer")
    story.do("log-contact", mode="in-person", party="patient", reached=True, outcome="Seen")
    stay = {"event_id": "a", "event": "admission", "setting": "inpatient", "encounter": "enc-1"}
    story.do("record-transition", **stay, occurred_at=(story.now - timedelta(hours=5)).isoformat())
    story.do(
        "record-transition", **{**stay, "event_id": "b", "event": "discharge"}, occurred_at=story.now.isoformat()
    )
    story.do("draft-referral", type="community", recipient="Food bank", reason="Food is short")
    story.do("send-referral", referral_id=story.known.referrals[0].id)
    story.do("join-care-team", role="caregiver", reference="Her daughter", since=str(story.today))
    story.do("raise-flag", message="look at this")
    reconcile(story, "Furosemide", "Lisinopril")
    return story


def reconcile(story: Story, *names: str, hours: int = 0) -> None:
    when = (story.now - timedelta(hours=hours)).isoformat()
    listed = [{"name": name, "dose": "1 tablet"} for name in names]
    story.do("reconcile-medications", medications=listed, sources=["her own list"], occurred_at=when)


def test_what_is_taken_is_the_newest_list_whenever_an_older_one_is_typed_in() -> None:
    """What left the list is stopped; what was entered in error says so."""
    story = whole()
    reconcile(story, "Lisinopril", "Metoprolol")
    reconcile(story, "Aspirin", hours=20)
    listed = (version.content for version in told(story)["MedicationStatement"])
    found = {one["medicationCodeableConcept"]["text"]: one["status"] for one in listed}
    stopped = {"Furosemide": "stopped", "Aspirin": "stopped"}
    assert found == {**stopped, "Lisinopril": "active", "Metoprolol": "active"}


def taken(story: Story) -> dict[str, str]:
    listed = [version.content for version in told(story)["MedicationStatement"]]
    names = [one["medicationCodeableConcept"]["text"] + " " + one["dosage"][0]["text"] for one in listed]
    return dict(zip(names, (one["status"] for one in listed), strict=True))


def test_a_list_that_was_entered_in_error_leaves_what_the_others_say() -> None:
    """Of a drug that another list has too that one's dose holds; what only the wrong list had is in error."""
    for wrong, expected in (
        (
            0,
            {"Lisinopril 20 mg": "active", "Metformin 1 a day": "active", "Aspirin 1 a day": "entered-in-error"},
        ),
        (
            1,
            {"Lisinopril 10 mg": "active", "Metformin 1 a day": "entered-in-error", "Aspirin 1 a day": "active"},
        ),
    ):
        story = opened("complex-care").assess("high")
        for lisinopril, other in (("10 mg", "Aspirin"), ("20 mg", "Metformin")):
            listed = [{"name": "Lisinopril", "dose": lisinopril}, {"name": other, "dose": "1 a day"}]
            when = story.now.isoformat()
            story.do("reconcile-medications", medications=listed, sources=["her own list"], occurred_at=when)
            story.wait(minutes=5)
        lists = [entry.seq for entry in story.timeline if entry.kind == "medications-reconciled"]
        story.do("correct-entry", entry=lists[wrong], reason="of somebody else")
        assert taken(story) == expected, wrong


def test_who_changed_a_resource_last_is_a_valid_provenance_of_that_version() -> None:
    for version in (one for some in told(whole()).values() for one in some):
        valid(version.provenance)
        name = f"{version.content['id']}/_history/{version.seq}"
        assert version.provenance["target"] == [{"reference": f"{version.kind}/{name}"}]
        assert len(version.provenance["id"]) <= 64


def valid(resource: dict[str, Any]) -> None:
    kind = resource["resourceType"]
    getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind).model_validate(resource)


def test_every_resource_of_a_case_is_valid_and_every_type_is_there() -> None:
    found = told(whole())
    for version in (one for some in found.values() for one in some):
        valid(version.resource)
    assert set(found) == {
        "EpisodeOfCare",
        "CarePlan",
        "Goal",
        "Condition",
        "Task",
        "ServiceRequest",
        "RiskAssessment",
        "Consent",
        "CareTeam",
        "Flag",
        "QuestionnaireResponse",
        "Observation",
        "Encounter",
        "Communication",
        "MedicationStatement",
    }


def test_references_within_a_case_lead_to_resources_that_are_there() -> None:
    found = told(whole())
    there = {f"{v.kind}/{v.content['id']}" for some in found.values() for v in some} | {"Patient/Patient/1"}
    missing = {ref for some in found.values() for v in some for ref in references(v.content)} - there
    assert missing == set()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("reference"), str):
            yield part["reference"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_a_version_is_the_event_that_changed_the_resource_last_and_not_one_that_did_not() -> None:
    story = whole()
    before = {v.content["id"]: v.seq for some in told(story).values() for v in some}
    story.wait(minutes=5)
    story.do("record-goal-progress", goal="walk", achievement="improving")
    after = {v.content["id"]: v for some in told(story).values() for v in some}
    changed = {name for name, version in after.items() if before.get(name) != version.seq}
    assert changed == {"case-1-goal-walk"}
    goal = after["case-1-goal-walk"].resource
    assert goal["achievementStatus"]["coding"][0]["code"] == "improving"
    assert goal["meta"]["versionId"] == str(story.timeline[-1].seq)


def test_two_messages_of_one_stay_are_one_encounter_with_its_beginning_and_its_end() -> None:
    [stay] = [v for v in told(whole())["Encounter"] if "stay" in v.content["id"]]
    assert set(stay.content["period"]) == {"start", "end"}
    assert (stay.content["status"], stay.content["class"]["code"]) == ("finished", "IMP")


def hospital(**stay: Any) -> Story:
    story = opened("complex-care")
    say(story, "a", "admission", hours=9, **stay)
    return story


def say(story: Story, event_id: str, event: str, hours: int, **more: Any) -> None:
    when = (MONDAY - timedelta(hours=hours)).isoformat()
    body = {"event_id": event_id, "event": event, "setting": "inpatient", "occurred_at": when, **more}
    story.do("record-transition", **body)


def encounters(story: Story) -> list[tuple[str, set[str]]]:
    found = told(story).get("Encounter", [])
    return [(v.content["status"], set(v.content["period"])) for v in found if "stay" in v.content["id"]]


def test_a_stay_that_was_taken_back_is_in_error_unless_another_message_tells_it_too() -> None:
    """Also where the message that takes it back does not name the encounter."""
    story = hospital(encounter="enc-1")
    say(story, "a", "admission", hours=9, retracted=True)
    assert encounters(story) == [("entered-in-error", {"start"})]
    twice = hospital(encounter="enc-1")
    say(twice, "b", "admission", hours=9, encounter="enc-1")
    say(twice, "b", "admission", hours=9, encounter="enc-1", retracted=True)
    assert encounters(twice) == [("in-progress", {"start"})]


def test_a_discharge_that_is_taken_back_leaves_the_person_in_hospital() -> None:
    """The end of the stay goes with the message that told it."""
    story = hospital(encounter="enc-1")
    say(story, "b", "discharge", hours=4, encounter="enc-1")
    assert encounters(story) == [("finished", {"start", "end"})]
    say(story, "b", "discharge", hours=4, encounter="enc-1", retracted=True)
    assert encounters(story) == [("in-progress", {"start"})]


def test_who_was_discharged_is_not_in_hospital_though_the_admission_is_told_last() -> None:
    """The status is that of the whole stay, not of the message that came last."""
    story = opened("complex-care")
    say(story, "b", "discharge", hours=4, encounter="enc-1")
    say(story, "a", "admission", hours=9, encounter="enc-1")
    assert encounters(story) == [("finished", {"start", "end"})]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2.16.840.1.113883.19.4.5001", "2.16.840.1.113883.19.4.5002"),
        ("v_1", "v.1"),
        ("e" * 63 + "1", "e" * 63 + "2"),
    ],
)
def test_two_stays_of_similar_names_are_two_and_their_ids_are_fhirs(one: str, other: str) -> None:
    """Ids that differ at the end or in a sign stay apart, under the long id of a real case too."""
    ids = {id_in("c" * 32, f"stay-{name}") for name in (one, other)}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9.-]{1,64}", name) for name in ids)
    assert id_in("c" * 32, "stay-enc-1") == f"{'c' * 32}-stay-enc-1"
    story = hospital(encounter=one)
    say(story, "b", "admission", hours=8, encounter=other)
    assert len(encounters(story)) == 2


def test_a_problem_that_left_the_plan_is_not_active_and_a_resolved_one_stays_resolved() -> None:
    """The list of problems that FHIR shows is that of the plan as it is."""
    story = opened("complex-care").assess("high")
    body = story.plan("education")
    fall, pain = {"id": "fall", "description": "Fall"}, {"id": "p" * 64, "description": "Pain"}
    story.do("agree-plan", **{**body, "problems": [{"id": "hf", "description": "Heart failure"}, fall, pain]})
    for names in ([{**fall, "resolved": True}, pain], [pain]):
        story.do("revise-plan", reason="Seen anew", **{**body, "problems": names})
    assert all(len(version.content["id"]) <= 64 for version in told(story)["Condition"])
    status = {v.content["code"]["text"]: v.content["clinicalStatus"]["text"] for v in told(story)["Condition"]}
    assert status == {"Heart failure": "inactive", "Fall": "resolved", "Pain": "active"}
    for version in told(story)["Condition"]:
        valid(version.resource)


def test_what_is_settled_stays_with_its_last_word_and_what_was_wrong_says_so() -> None:
    """A task that is done, a referral that was taken back, a flag that was resolved, a score of somebody else."""
    story = whole()
    task = next(t for t in story.known.open_tasks if t.type == "education")
    story.do("complete-task", task_id=task.id)
    story.do("revoke-referral", referral_id=story.known.referrals[0].id, reason="Moved")
    story.do("resolve-flag", flag_id=story.known.flags[0].id, resolution="Seen to")
    scored = next(e.seq for e in story.timeline if e.kind == "instrument-scored" and "phq-9" in str(e.data))
    story.do("correct-entry", entry=scored, reason="Somebody else's")
    found = {v.content["id"]: v.content for some in told(story).values() for v in some}
    assert found[f"case-1-{task.id}"]["status"] == "completed"
    assert [c["status"] for c in found.values() if c["resourceType"] == "ServiceRequest"] == ["revoked"]
    assert [c["status"] for c in found.values() if c["resourceType"] == "Flag"] == ["inactive"]
    assert found[f"case-1-e{scored}"]["status"] == "entered-in-error"
    assert found[f"case-1-e{scored}-total"]["status"] == "entered-in-error"


def test_what_stands_under_a_label_is_marked_and_is_not_told_to_who_may_not_read_it() -> None:
    story = Story("behavioral-health").accepted()
    story.do("record-score", instrument="phq-9", version="2001", answers={f"q{n}": 1 for n in range(1, 10)})
    [response] = told(story)["QuestionnaireResponse"]
    assert [coding["code"] for coding in response.resource["meta"]["security"]] == ["PSY", "R"]
    assert "QuestionnaireResponse" not in told(story, hidden=Sensitivity.BEHAVIORAL)


def test_an_answer_goes_out_in_the_type_that_its_question_has_in_the_questionnaire() -> None:
    """Options as codings with their words, numbers as decimals, days as dates, yes and no as booleans."""
    story = opened("complex-care").assess("high")
    forms = {form.id: form for form in story.rulebook.forms}
    wanted = {"choice": "valueCoding", "many": "valueCoding", "number": "valueDecimal", "date": "valueDate"}
    wanted |= {"yes-no": "valueBoolean", "line": "valueString", "text": "valueString"}
    seen = set()
    for response in told(story)["QuestionnaireResponse"]:
        name = response.content["questionnaire"].rpartition("/")[2].replace("|", "-")
        for item in response.content["item"] if name in forms else ():
            question = next(q for q in forms[name].questions if q.link == item["linkId"])
            for answer in item["answer"]:
                assert list(answer) == [wanted.get(question.type, "valueString")], question
                seen.add(str(question.type))
                if "valueCoding" in answer:
                    assert answer["valueCoding"]["display"]
    assert {"choice", "yes-no"} <= seen, seen


def test_free_text_cannot_become_markup_in_the_narrative() -> None:
    story = opened("complex-care").assess("high")
    body = story.plan("education")
    goals = [{**body["goals"][0], "description": "<script>alert(1)</script>"}]
    story.do("agree-plan", **{**body, "goals": goals})
    [plan] = told(story)["CarePlan"]
    assert "<script>" not in plan.content["text"]["div"]
    assert "&lt;script&gt;" in plan.content["text"]["div"]


def test_a_person_is_a_valid_patient_and_what_is_not_known_is_left_out() -> None:
    person = Person.model_validate(
        {
            "names": [{"given": ["Lucía"], "family": "Nowak"}, {"use": "preferred", "given": ["Lu"]}],
            "birth_date": "1950-05",
            "identifiers": [{"system": "urn:mrn", "value": "4711"}],
            "contacts": [{"kind": "mobile", "value": "+1 555 0100"}],
            "addresses": [{"lines": ["1 Main St"], "city": "Springfield", "postal_code": "12345"}],
            "language": "es",
        }
    )
    found = patient("p1", 3, MONDAY, person)
    valid(found)
    assert (found["birthDate"], found["name"][0]["family"]) == ("1950-05", "Nowak")
    bare = patient("p2", 1, MONDAY, Person())
    valid(bare)
    assert set(bare) == {"resourceType", "id", "meta"}


def test_every_instrument_and_form_is_a_valid_questionnaire_with_its_own_links() -> None:
    book = whole_catalogue()
    made = [of_instrument(tool) for tool in book.instruments] + [of_form(form) for form in book.forms]
    for one in made:
        valid(one)
    assert len({one["id"] for one in made}) == len(made)
    needs = next(one for one in made if one["id"] == "social-needs-1")
    losing = next(item for item in needs["item"] if item["linkId"] == "losing-home")
    assert losing["enableWhen"][0] == {
        "question": "living-situation",
        "operator": "=",
        "answerCoding": {"code": "own-home"},
    }


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_a_case_of_every_programme_is_valid_fhir(name: str) -> None:
    story = opened(name, rules=whole_catalogue()).assess("moderate")
    for some in told(story).values():
        for version in some:
            valid(version.resource)


def test_answers_under_a_stricter_label_are_a_response_of_their_own_for_whom_they_are() -> None:
    story = Story().accepted()
    answers = {"food-short": "often", "safe-at-home": "unsure"}
    found = {"name": "social-determinants", "assessed_on": str(story.today), "complete": False}
    story.do("record-assessment", sections=[{**found, "answers": answers}])
    both = [one.content for one in told(story)["QuestionnaireResponse"]]
    assert sorted(item["linkId"] for one in both for item in one["item"]) == ["food-short", "safe-at-home"]
    assert {one["status"] for one in both} == {"in-progress"}
    marked = [one.resource["meta"].get("security") for one in told(story)["QuestionnaireResponse"]]
    assert [label is not None for label in marked] == [False, True]
    [general] = told(story, hidden=Sensitivity.BEHAVIORAL)["QuestionnaireResponse"]
    assert [item["linkId"] for item in general.content["item"]] == ["food-short"]


def test_who_is_around_a_person_is_valid_and_named_as_she_is_known() -> None:
    relations = [
        {"role": "caregiver", "name": "Mia", "phone": "+1 212 555 0143", "starts_on": "2020-01-01"},
        {"role": "health-care-proxy", "person_id": "p2"},
    ]
    first, second = related("p1", 3, MONDAY, Person.model_validate({"relations": relations}))
    for one in (first, second):
        valid(one)
    assert (first["name"], first["period"]) == ([{"text": "Mia"}], {"start": "2020-01-01"})
    assert (second["identifier"][0]["value"], "name" in second) == ("p2", False)
