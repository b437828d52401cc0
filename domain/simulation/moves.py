"""What a case manager sends to walk a case through a programme: bodies of commands, made from its own rules.

Everything is plain JSON in and out, so that the demonstration and the tests can use it alike.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

from domain.programs.condition import hold
from domain.programs.form import Form, Question, QuestionType

Move = tuple[str, dict[str, Any]]
BASELINE = {"well_being": 3, "finances": 4, "appropriate_care": 5}
BETTER = {"well_being": 7, "finances": 4, "appropriate_care": 8}
VISIT = {"mode": "in-person", "party": "patient", "reached": True, "outcome": "Seen at home", "minutes": 45}


def assess(
    program: dict[str, Any],
    instruments: Iterable[dict[str, Any]],
    forms: Iterable[dict[str, Any]],
    today: date,
    tier: str,
    reasons: list[str],
) -> Iterator[Move]:
    """Every section, the required instruments with their least answers, a visit where one is needed, the tier."""
    read = {form.id: form for form in map(Form.model_validate, forms)}
    found = [section(s, read.get(s.get("form") or ""), today) for s in program["sections"]]
    yield "record-assessment", {"sections": found, "baseline": BASELINE}
    tools = {(tool["name"], tool["version"]): tool for tool in instruments}
    for use in program.get("instruments", []):
        if use.get("required"):
            answers = least(tools[use["name"], use["version"]])
            yield "record-score", {"instrument": use["name"], "version": use["version"], "answers": answers}
    if "visit" in ((program.get("plan") or {}).get("requires") or []):
        yield "log-contact", VISIT
    rules = program.get("stratification")
    if rules:
        yield "stratify-risk", {"given": values_for(rules, tier), "reason": "As the practice told us"}
    else:
        yield "set-risk-tier", {"tier": tier, "reasons": reasons}


def screen(program: dict[str, Any]) -> dict[str, Any]:
    """The acceptance of somebody who meets every criterion of the programme, known or not."""
    criteria = program["eligibility"].get("criteria", ())
    return {"accepted": True, "confirmed": {criterion["name"]: True for criterion in criteria}}


def section(policy: dict[str, Any], form: Form | None, today: date) -> dict[str, Any]:
    """A section as it is recorded: what its form requires, answered so that nothing is urgent."""
    said: dict[str, Any] = {"name": policy["name"], "assessed_on": str(today), "findings": "As she told us"}
    if form is None:
        return said
    answers: dict[str, Any] = {}
    for question in form.questions:
        wanted = question.required or question.link in policy.get("requires", ())
        if wanted and hold(question.show_if, answers):
            answers[question.link] = _calm(form, question, answers, today)
    skipped = {link: "unknown" for link, answer in answers.items() if answer is None}
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in answers.items() if v is not None}
    return {**said, "answers": given, "skipped": skipped}


def _calm(form: Form, question: Question, answers: dict[str, Any], today: date) -> Any:
    """An answer that raises no alert; None where only a person could give one."""
    offered: dict[QuestionType, list[Any]] = {
        QuestionType.YES_NO: [False, True],
        QuestionType.NUMBER: [int(question.low or 0), int(question.high or 0)],
        QuestionType.DATE: [str(today)],
        QuestionType.CHOICE: list(question.options),
        QuestionType.MANY: [(one,) for one in ((question.none_of,) if question.none_of else question.options)],
        QuestionType.LINE: ["As she told us"],
        QuestionType.TEXT: ["As she told us"],
    }
    for answer in offered.get(question.type, []):
        if not any(hold(alert.when, {**answers, question.link: answer}) for alert in form.alerts):
            return answer
    return None


def least(instrument: dict[str, Any]) -> dict[str, Any]:
    """The least answer to every item that must be answered."""
    asked = [item for item in instrument["items"] if not item.get("optional")]
    return {
        item["key"]: min(item["answers"], key=item["answers"].__getitem__)
        if item.get("answers")
        else int(item.get("low") or 0)
        for item in asked
    }


def values_for(rules: dict[str, Any], tier: str) -> dict[str, float]:
    """Values of the risk's factors that come to a tier."""
    floors = {t["tier"]: t["at_least"] for t in rules["tiers"]}
    picked = {f["name"]: 0 for f in rules["factors"]}
    points = sum(_points(f, 0) for f in rules["factors"])
    for factor in rules["factors"]:
        steps = range(1, len(factor["table"]["steps"]))
        for step in steps:
            if points < floors[tier]:
                points += _points(factor, step) - _points(factor, step - 1)
                picked[factor["name"]] = step
    return {f["name"]: _value(f, picked[f["name"]]) for f in rules["factors"]}


def only(rules: dict[str, Any], body: dict[str, Any], titles: Iterable[str]) -> dict[str, Any]:
    """The body of `stratify-risk` with the values of those factors alone that the record does not know."""
    asked = {f["name"] for f in rules["factors"] if f["title"] in set(titles)}
    return {**body, "given": {name: value for name, value in body["given"].items() if name in asked}}


def _points(factor: dict[str, Any], step: int) -> int:
    return int(factor["table"]["steps"][step]["points"])


def _value(factor: dict[str, Any], step: int) -> float:
    """A value that falls into a step of the factor's table."""
    steps = factor["table"]["steps"]
    upto = steps[step].get("upto")
    return float(upto) if upto is not None else float(steps[step - 1]["upto"]) + 1


def plan(program: dict[str, Any], today: date, tasks: Iterable[str] = ()) -> dict[str, Any]:
    """A plan with one SMART goal and the tasks named, else the programme's first; a referral if one is needed."""
    types = list(tasks) or list(program["tasks"])[:1]
    needs = (program.get("plan") or {}).get("requires") or []
    if "referral" in needs and not any(program["tasks"][t]["category"] == "facilitation" for t in types):
        types.append(next(name for name, t in program["tasks"].items() if t["category"] == "facilitation"))
    goal = {
        "description": "Stay out of hospital",
        "measure": "admissions in 60 days",
        "target": "none",
        "due_on": str(today + timedelta(days=60)),
    }
    return {
        "goals": [goal],
        "interventions": [{"task": name} for name in types],
        "barriers": [{"description": "No car", "response": "Ride service"}],
        "strengths": ["Knows what she wants"],
    }


def leave(program: dict[str, Any], reason: str) -> Iterator[Move]:
    """What a closure for a reason asks the case manager to do first; the supervisor's approval is not hers."""
    needs = program["closure"][reason]["needs"]
    if "signatures" in needs:
        for signer in (program.get("plan") or {}).get("signatures", []):
            yield "sign-plan", {"signer": signer}
    if "outcome" in needs:
        yield "evaluate-outcome", {"ratings": BETTER, "summary": "Goals reached"}
    if "satisfaction" in needs:
        yield "record-satisfaction", {"score": 5}
    if "graduation" in needs:
        yield "review-graduation", {"met": list(program["graduation"])}
    if "notice" in needs:
        yield "give-notice", {"channel": "letter"}
    if "sign-off" in needs:
        yield "request-approval", {"subject": "closure", "reason": reason}
