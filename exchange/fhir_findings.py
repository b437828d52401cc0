"""What was found and done, entry by entry, in FHIR R4: questionnaires answered, values, contacts."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from domain.case.case import Case
from domain.case.event import Entry, label_of
from domain.programs.form import Question, QuestionType, in_language
from domain.programs.rulebook import Rulebook, UnknownForm
from exchange.fhir_codes import (
    ACT_CODE,
    HL7,
    INDICATORS,
    LOINC,
    OURS,
    PANELS,
    UNITS,
    Resource,
    concept,
    reference,
    resource,
    staff,
)

Said = dict[str, Any]
MODES = {"in-person": "AMB", "telephone": "VR", "video": "VR"}


def answers(case: Case, entry: Entry, known: Rulebook) -> Iterator[Resource]:
    """The answers to an instrument, and what they come to."""
    said: Said = entry.data
    result = said["result"]
    label, subject = label_of(said), reference("Patient", case.referral.patient.reference)
    named = f"{result['instrument']}|{result['version']}"
    response = f"{case.id}-e{entry.seq}"
    yield resource(
        "QuestionnaireResponse",
        response,
        label,
        {
            "questionnaire": f"{OURS}/Questionnaire/{named}",
            "status": "completed",
            "subject": subject,
            "authored": said["scored_at"],
            "author": staff(entry.actor.subject),
            "item": [_item(key, answer) for key, answer in said["answers"].items()],
        },
    )
    if result.get("total") is None:
        return
    panel = PANELS.get(result["instrument"])
    coding = ((LOINC, panel),) if panel else ()
    yield resource(
        "Observation",
        f"{case.id}-e{entry.seq}-total",
        label,
        {
            "status": "final",
            "category": [concept("Survey", (f"{HL7}/observation-category", "survey"))],
            "code": concept(f"{result['instrument']} {result['version']}, total", *coding),
            "subject": subject,
            "effectiveDateTime": said["scored_at"],
            "performer": [staff(entry.actor.subject)],
            "valueInteger": result["total"],
            "interpretation": [concept(result["band"])] if result.get("band") else None,
            "derivedFrom": [reference("QuestionnaireResponse", response)],
        },
    )


def section(case: Case, entry: Entry, known: Rulebook) -> Iterator[Resource]:
    """A section of the assessment that was answered by its form, or its answers under a stricter label."""
    said: Said = entry.data
    if not said.get("form"):
        return
    name, _, version = said["form"].rpartition("-")
    questions = _questions(known, said["form"])
    items = [_answered(questions.get(link), link, answer) for link, answer in said.get("answers", {}).items()]
    yield resource(
        "QuestionnaireResponse",
        f"{case.id}-e{entry.seq}",
        label_of(said),
        {
            "questionnaire": f"{OURS}/Questionnaire/{name}|{version}",
            "status": "completed" if said.get("complete", True) else "in-progress",
            "subject": reference("Patient", case.referral.patient.reference),
            "authored": entry.at.isoformat(),
            "author": staff(entry.actor.subject),
            "item": items,
        },
    )


def _questions(known: Rulebook, form: str) -> dict[str, Question]:
    """The questions of a form by their links; of one that the catalogue has lost nothing is known."""
    try:
        return {question.link: question for question in known.form(form).questions}
    except UnknownForm:
        return {}


def _answered(question: Question | None, link: str, answer: Any) -> Said:
    """An answer in the type that the form's Questionnaire has for it."""
    if question is None:
        return _item(link, answer)
    if question.type in (QuestionType.CHOICE, QuestionType.MANY):
        chosen = answer if isinstance(answer, list) else [answer]
        return {"linkId": link, "answer": [{"valueCoding": _option(question, str(code))} for code in chosen]}
    if question.type is QuestionType.NUMBER:
        return {"linkId": link, "answer": [{"valueDecimal": answer}]}
    if question.type is QuestionType.DATE:
        return {"linkId": link, "answer": [{"valueDate": str(answer)}]}
    return _item(link, answer)


def _option(question: Question, code: str) -> Said:
    words = question.options.get(code)
    return {"code": code, **({"display": in_language(words, "en")} if words is not None else {})}


def _item(link: str, answer: Any) -> Said:
    given = answer if isinstance(answer, list) else [answer]
    return {"linkId": link, "answer": [_value(one) for one in given]}


def _value(answer: Any) -> Said:
    if isinstance(answer, bool):
        return {"valueBoolean": answer}
    if isinstance(answer, int):
        return {"valueInteger": answer}
    return {"valueDecimal": answer} if isinstance(answer, float) else {"valueString": str(answer)}


def value(case: Case, entry: Entry, known: Rulebook) -> Iterator[Resource]:
    """A measurement in the programme's unit."""
    said: Said = entry.data
    program = known.program(case.program, case.program_version)
    policy = program.indicators.get(said["indicator"])
    code, unit = INDICATORS.get(said["indicator"], (None, None))
    quantity = {"value": said["value"], "unit": said["unit"]}
    yield resource(
        "Observation",
        f"{case.id}-e{entry.seq}",
        program.sensitivity,
        {
            "status": "final",
            "category": [concept("Measured", (f"{HL7}/observation-category", "exam"))],
            "code": concept(policy.title if policy else said["indicator"], *(((LOINC, code),) if code else ())),
            "subject": reference("Patient", case.referral.patient.reference),
            "effectiveDateTime": said["taken_at"],
            "performer": [staff(entry.actor.subject)],
            "valueQuantity": quantity | ({"system": UNITS, "code": unit} if unit else {}),
        },
    )


def contact(case: Case, entry: Entry, known: Rulebook) -> Iterator[Resource]:
    """Somebody was met or spoken to (an encounter), was written to, or could not be reached (communications)."""
    said: Said = entry.data["contact"]  # type: ignore[assignment]
    label, subject = label_of(entry.data), reference("Patient", case.referral.patient.reference)
    name, when = f"{case.id}-e{entry.seq}", said["occurred_at"]
    if said["reached"] and said["mode"] in MODES:
        fields: Said = {
            "status": "finished",
            "class": {"system": ACT_CODE, "code": MODES[said["mode"]]},
            "type": [concept(f"Contact with the {said['party']}")],
            "subject": subject,
            "participant": [{"individual": staff(entry.actor.subject)}],
            "period": {"start": when, "end": when},
            "episodeOfCare": [reference("EpisodeOfCare", f"{case.id}-episode")],
        }
        yield resource("Encounter", name, label, fields)
        return
    reason = None if said["reached"] else concept("Not reached")
    fields = {
        "status": "completed" if said["reached"] else "not-done",
        "statusReason": reason,
        "medium": [concept(said["mode"])],
        "subject": subject,
        "sent": when,
        "sender": staff(entry.actor.subject),
        "payload": [{"contentString": said["outcome"]}] if said.get("outcome") else None,
    }
    yield resource("Communication", name, label, fields)


FindingBuilder = Callable[[Case, Entry, Rulebook], Iterator[Resource]]


RECONCILED = "medications-reconciled"


def medications(case: Case, entry: Entry, known: Rulebook) -> list[Resource]:
    """A list of what the person takes as it was gone through; each drug by its name, in whatever list it is."""
    said: Said = entry.data
    program = known.program(case.program, case.program_version)
    found = []
    for one in said["medications"]:
        name = hashlib.sha256(one["name"].casefold().encode()).hexdigest()[:16]
        how = ", ".join(filter(None, (one.get("dose"), one.get("instructions"))))
        fields = {
            "status": "active",
            "medicationCodeableConcept": concept(one["name"]),
            "subject": reference("Patient", case.referral.patient.reference),
            "dateAsserted": said["occurred_at"],
            "informationSource": staff(entry.actor.subject),
            "dosage": [{"text": how}] if how else None,
        }
        found.append(resource("MedicationStatement", f"{case.id}-med-{name}", program.sensitivity, fields))
    return found


class Lists:
    """The lists of medications of a case, in whatever order they were typed in, and those that were wrong."""

    def __init__(self) -> None:
        self._by_command: dict[str, tuple[datetime, list[Resource]]] = {}
        self._wrong: dict[str, Resource] = {}

    def add(self, command_id: str, asserted: str, made: list[Resource]) -> list[Resource]:
        """What stands after another list."""
        self._by_command[command_id] = (datetime.fromisoformat(asserted), made)
        return self.standing()

    def take_back(self, command_id: str) -> list[Resource]:
        """What stands when a list turns out to have been entered in error: the ones before it hold again."""
        _, made = self._by_command.pop(command_id, (None, []))
        self._wrong |= {one["id"]: {**one, "status": "entered-in-error"} for one in made}
        return self.standing() if made else []

    def standing(self) -> list[Resource]:
        """Each drug as the newest list that has it says, stopped where the newest list of all has it no more."""
        found = dict(self._wrong)
        in_order = [made for _, made in sorted(self._by_command.values(), key=lambda one: one[0])]
        for made in in_order:
            now = {one["id"] for one in made}
            taken = [one for name, one in found.items() if name not in now and one["status"] == "active"]
            found |= {one["id"]: {**one, "status": "stopped"} for one in taken}
            found |= {one["id"]: one for one in made}
        return list(found.values())


BY_KIND: dict[str, FindingBuilder] = {
    "instrument-scored": answers,
    "section-assessed": section,
    "answers-kept-apart": section,
    "observation-recorded": value,
    "contact-logged": contact,
}
