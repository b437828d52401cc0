"""The kinds under which events are stored: years of timelines hold them, so none may change or go."""

import pytest

import domain.case.quarantine
import domain.commands  # noqa: F401 - so that every event is known
from domain.case.event import Event
from domain.promises.deadlines import OfClock

# Only ever added to: a class may be renamed, its kind may not.
STORED = (
    "access-broken",
    "access-ended",
    "access-reviewed",
    "adherence-measured",
    "alert-raised",
    "alert-withdrawn",
    "answers-kept-apart",
    "appointment-cancelled",
    "appointment-kept",
    "appointment-made",
    "appointment-missed",
    "appointment-moved",
    "approval-granted",
    "approval-rejected",
    "approval-requested",
    "approval-used",
    "assignee-allowed",
    "assignee-excluded",
    "assistance-added",
    "assistance-ended",
    "assistance-renewed",
    "attempt-counted",
    "attempts-recounted",
    "avoidable-days-recorded",
    "baseline-rated",
    "cadence-lapsed",
    "care-team-joined",
    "care-team-left",
    "caregiver-needs-recorded",
    "case-ended",
    "case-given-back",
    "case-laid-by",
    "case-opened",
    "case-reassigned",
    "case-reopened",
    "case-restored",
    "case-sealed",
    "case-taken-in",
    "case-taken-up-again",
    "clock-cancelled",
    "clock-kept",
    "clock-missed",
    "clock-paused",
    "clock-rescheduled",
    "clock-resumed",
    "clock-started",
    "closing-stopped",
    "command-quarantined",
    "conference-held",
    "consent-lapsed",
    "consent-recorded",
    "consent-withdrawn",
    "contact-logged",
    "corrective-action-done",
    "corrective-action-opened",
    "crisis-disposed",
    "crisis-ended",
    "crisis-raised",
    "crisis-reported",
    "death-reported",
    "discharge-planned",
    "disclosure-recorded",
    "entered-in-error",
    "escalation-acknowledged",
    "flag-raised",
    "flag-resolved",
    "floor-lifted",
    "goal-progressed",
    "graduation-reviewed",
    "guided-concluded",
    "guided-opened",
    "guided-step-written",
    "instrument-scored",
    "intervention-progressed",
    "letter-sent",
    "licence-lacking",
    "limited-consent-accepted",
    "limits-set",
    "medications-reconciled",
    "message-received",
    "message-unreadable",
    "milestone-reached",
    "minutes-recorded",
    "note-added",
    "notice-given",
    "observation-recorded",
    "outcome-evaluated",
    "override-ended",
    "pathway-ended",
    "pathway-started",
    "people-told",
    "plan-agreed",
    "plan-amended",
    "plan-proposed",
    "plan-reviewed",
    "plan-revised",
    "plan-signed",
    "policy-narrowed",
    "program-version-changed",
    "quality-reviewed",
    "quarantine-dismissed",
    "reached-again",
    "readmission-noticed",
    "readmission-withdrawn",
    "reassessment-opened",
    "referral-accepted",
    "referral-declined",
    "referral-done",
    "referral-drafted",
    "referral-failed",
    "referral-in-progress",
    "referral-loop-closed",
    "referral-on-hold",
    "referral-promised",
    "referral-revoked",
    "referral-sent",
    "referral-unanswered",
    "reoffer-due",
    "risk-stratified",
    "risk-tier-set",
    "rung-climbed",
    "safety-plan-reviewed",
    "safety-plan-written",
    "satisfaction-recorded",
    "screening-completed",
    "section-assessed",
    "side-effect-reported",
    "significant-change-reported",
    "stage-entered",
    "task-added",
    "task-alerted",
    "task-assigned",
    "task-awaits-cosign",
    "task-cancelled",
    "task-claimed",
    "task-completed",
    "task-cosigned",
    "task-held",
    "task-released",
    "task-replanned",
    "task-resumed",
    "task-routed",
    "task-series-set",
    "task-started",
    "tier-overridden",
    "tier-raised",
    "transfer-answered",
    "transfer-offered",
    "transfer-requested",
    "transition-corrected",
    "transition-long-past",
    "transition-promises-dropped",
    "transition-promises-restored",
    "transition-recorded",
    "transition-retracted",
    "trying-goes-on",
)


def test_the_kinds_that_are_stored_stay_what_they_are() -> None:
    """A kind that is gone, or has another name, leaves timelines that nobody can read."""
    ours = {kind for kind, event in Event.kinds.items() if event.__module__.startswith("domain.")}
    assert tuple(sorted(ours)) == STORED


def test_an_event_without_a_kind_of_its_own_is_refused() -> None:
    """Not even one that inherits a kind: two classes would be stored as one."""
    with pytest.raises(TypeError, match="no kind of its own"):
        type("Forgotten", (OfClock,), {"__module__": __name__})
    with pytest.raises(TypeError, match="no kind of its own"):
        type("KeptAgain", (Event.kinds["clock-kept"],), {"__module__": __name__})


def test_two_events_of_one_kind_are_refused() -> None:
    """The second would be read in the place of the first."""
    with pytest.raises(TypeError, match="clock-kept is the kind of ClockKept"):
        type("KeptTwice", (OfClock,), {"__module__": __name__, "kind": "clock-kept"})
    assert Event.kinds["clock-kept"].__name__ == "ClockKept"


def test_what_several_events_share_is_not_stored() -> None:
    """A base has no kind, and no entry of a timeline is one."""
    assert OfClock not in Event.kinds.values()
    assert not hasattr(OfClock, "kind")
