"""What a clinician's system shows of a case: cards of CDS Hooks 2.0 (cds-hooks.hl7.org)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

LONGEST = 139  # characters of a summary: less than 140
SERVICES = {
    "patient-view": "Whether somebody coordinates this patient's care, who that is, and what is overdue.",
    "encounter-discharge": "Who is to be told of the discharge, and what is overdue when the patient goes home.",
}


@dataclass(frozen=True)
class Standing:
    """What a card tells of one open case; `overdue` are the kinds of promises that were missed."""

    card: str
    programme: str
    opened_on: date
    stage: str
    owner: str | None
    in_crisis: bool
    overdue: Sequence[str]
    address: str


def services() -> dict[str, Any]:
    """What can be asked for, as a client discovers it."""
    return {
        "services": [
            {"hook": hook, "id": hook, "title": "Care coordination", "description": says, "prefetch": PREFETCH}
            for hook, says in SERVICES.items()
        ]
    }


PREFETCH = {"patient": "Patient/{{context.patientId}}"}


def card(hook: str, case: Standing, ours: str) -> dict[str, Any]:
    """One case. A crisis is critical, a missed promise a warning."""
    said = [f"Case manager: {case.owner or 'nobody yet; the team is told'}."]
    if case.overdue:
        kinds = ", ".join(sorted({kind.replace("-", " ") for kind in case.overdue}))
        said.append(f"Overdue: {len(case.overdue)} ({kinds}).")
    if hook == "encounter-discharge":
        said.append("Tell the case manager when and where the patient goes.")
    indicator = "critical" if case.in_crisis else "warning" if case.overdue else "info"
    crisis = " In crisis." if case.in_crisis else ""
    return {
        "uuid": case.card,
        "summary": f"{case.programme}: {case.stage} since {case.opened_on}.{crisis}"[:LONGEST],
        "detail": " ".join(said),
        "indicator": indicator,
        "source": {"label": "Caseloom", "url": ours},
        "links": [{"label": "Open the case", "url": case.address, "type": "absolute"}],
    }
