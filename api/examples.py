"""An example body for each command, shown in the OpenAPI page and checked by a test."""

from typing import Any

GOAL = {
    "description": "Walk to the shop and back without help",
    "measure": "days a week",
    "target": "three",
    "due_on": "2030-06-30",
}
PLAN = {
    "goals": [GOAL],
    "interventions": [{"task": "medication-review"}, {"task": "education", "title": "Teach about heart failure"}],
    "barriers": [{"description": "No transport", "response": "Ride service booked by the clinic"}],
    "strengths": ["A daughter nearby"],
}
RATINGS = {"well_being": 6, "finances": 5, "appropriate_care": 8}
EXAMPLES: dict[str, dict[str, Any]] = {
    "record-consent": {"form": "verbal"},
    "withdraw-consent": {"reason": "Wants no more calls"},
    "complete-screening": {"accepted": True},
    "record-assessment": {
        "sections": [
            {"name": "health-status", "assessed_on": "2026-03-02", "findings": "Short of breath on stairs"}
        ],
        "baseline": {"well_being": 3, "finances": 4, "appropriate_care": 5},
    },
    "set-risk-tier": {"tier": "high", "reasons": ["Two admissions in six months"]},
    "report-significant-change": {"description": "Admitted with a stroke"},
    "agree-plan": PLAN,
    "revise-plan": {**PLAN, "reason": "Coverage lost"},
    "add-task": {"task": "follow-up-call", "due_at": "2030-06-30T17:00:00-04:00"},
    "assign-task": {"task_id": "t7", "assignee": "cm-ben"},
    "start-task": {"task_id": "t7"},
    "complete-task": {"task_id": "t7", "result": "Appointment on Thursday"},
    "cancel-task": {"task_id": "t7", "reason": "Done by the clinic"},
    "hold-task": {"task_id": "t7", "reason": "Waiting for the pharmacy", "until": "2030-06-30T17:00:00Z"},
    "resume-task": {"task_id": "t7"},
    "log-contact": {"mode": "telephone", "party": "patient", "reached": True, "outcome": "Feels better"},
    "add-note": {"text": "Prefers to be called in the morning"},
    "acknowledge-escalation": {"escalation_id": "c9-missed", "note": "I call him today"},
    "pause-clock": {"clock_id": "c9", "until": "2030-06-30T17:00:00Z", "reason": "Away for a month"},
    "resume-clock": {"clock_id": "c9", "reason": "Back earlier"},
    "reassign-case": {"owner": "cm-ben", "reason": "Anna is on leave"},
    "evaluate-outcome": {"ratings": RATINGS, "summary": "Goals reached"},
    "close": {"reason": "goals-met"},
    "reopen-case": {"reason": "Back in hospital"},
}
REFERRAL: dict[str, Any] = {
    "program": "complex-care",
    "team": "north",
    "owner": "cm-anna",
    "referral": {
        "source": "primary-care",
        "reason": "Two admissions in six months",
        "patient": {
            "reference": "Patient/4711",
            "birth_date": "1950-05-05",
            "conditions": [
                {"code": "I50.9", "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": "Heart failure"}
            ],
        },
    },
}
