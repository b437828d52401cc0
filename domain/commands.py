"""The catalogue of commands. A new command is one class in its step's file, and one line here."""

from pydantic import JsonValue, ValidationError

from domain import tick
from domain.case import quarantine
from domain.case.command import Command, UnknownCommand, UnreadableCommand
from domain.promises import deadlines, escalation
from domain.steps import (
    approvals,
    assessment,
    before_closure,
    care_team,
    closure,
    consent,
    contacts,
    crisis,
    discharge,
    goals,
    holds,
    intake,
    medications,
    merge,
    minutes,
    observations,
    ownership,
    planning,
    queues,
    referrals,
    scores,
    stratification,
    supervision,
    task_work,
    transitions,
    unable_to_contact,
    version_move,
)

FROM_PEOPLE: tuple[type[Command], ...] = (
    consent.RecordConsent,
    consent.WithdrawConsent,
    intake.CompleteScreening,
    assessment.RecordAssessment,
    scores.RecordScore,
    assessment.SetRiskTier,
    stratification.StratifyRisk,
    stratification.OverrideRiskTier,
    assessment.ReportSignificantChange,
    planning.AgreePlan,
    goals.AmendPlan,
    planning.RevisePlan,
    goals.SignPlan,
    goals.ReviewPlan,
    goals.RecordGoalProgress,
    task_work.AddTask,
    task_work.AssignTask,
    queues.ClaimTask,
    queues.ReleaseTask,
    task_work.StartTask,
    task_work.CompleteTask,
    queues.CosignTask,
    task_work.CancelTask,
    holds.HoldTask,
    holds.ResumeTask,
    contacts.LogContact,
    contacts.AddNote,
    unable_to_contact.ReceiveMessage,
    unable_to_contact.KeepTrying,
    minutes.RecordMinutes,
    transitions.RecordTransition,
    discharge.PlanDischarge,
    discharge.RecordAvoidableDays,
    crisis.RaiseCrisis,
    crisis.RecordDisposition,
    crisis.EndCrisis,
    crisis.WriteSafetyPlan,
    crisis.ReviewSafetyPlan,
    medications.ReconcileMedications,
    medications.RecordAdherence,
    medications.ReportSideEffect,
    medications.AddAssistance,
    medications.RenewAssistance,
    medications.EndAssistance,
    observations.RecordObservation,
    referrals.DraftReferral,
    referrals.SendReferral,
    referrals.AcceptReferral,
    referrals.DeclineReferral,
    referrals.CompleteReferral,
    referrals.CloseReferralLoop,
    referrals.RevokeReferral,
    care_team.JoinCareTeam,
    care_team.LeaveCareTeam,
    care_team.RecordCaregiverNeeds,
    care_team.HoldConference,
    care_team.OpenGuidedRecord,
    care_team.WriteGuidedStep,
    care_team.ConcludeGuidedRecord,
    approvals.RequestApproval,
    approvals.DecideApproval,
    escalation.AcknowledgeEscalation,
    deadlines.PauseClock,
    deadlines.ResumeClock,
    ownership.ReassignCase,
    ownership.OfferTransfer,
    ownership.RequestTransfer,
    ownership.AnswerTransfer,
    ownership.ExcludeAssignee,
    ownership.AllowAssignee,
    ownership.HandOver,
    version_move.MoveToProgramVersion,
    version_move.UndoProgramMove,
    supervision.RaiseFlag,
    supervision.ResolveFlag,
    supervision.RecordQualityReview,
    supervision.OpenCorrectiveAction,
    supervision.CompleteCorrectiveAction,
    closure.EvaluateOutcome,
    before_closure.GiveNotice,
    before_closure.RecordSatisfaction,
    before_closure.ReviewGraduation,
    closure.CloseCase,
    closure.ReopenCase,
    quarantine.DismissQuarantined,
)
BETWEEN_CASES: tuple[type[Command], ...] = (merge.MergeCase, merge.UndoMerge)
FROM_ITSELF: tuple[type[Command], ...] = (tick.Tick, quarantine.ReportUnreadable)
ALL: tuple[type[Command], ...] = (intake.Open, *FROM_PEOPLE, *BETWEEN_CASES, *FROM_ITSELF)
BY_KIND = {command.kind: command for command in ALL}


def parse(kind: str, body: dict[str, JsonValue]) -> Command:
    """The command of this kind with this body. Raises `UnknownCommand`, `UnreadableCommand`.

    The refusal names fields and faults, never the values that were sent.
    """
    if kind not in BY_KIND:
        raise UnknownCommand(f"there is no command {kind}")
    try:
        return BY_KIND[kind].model_validate(body)
    except ValidationError as fault:
        faults = fault.errors(include_input=False, include_url=False, include_context=False)
        missing = tuple(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)
        raise UnreadableCommand(f"{kind} does not have this form", missing) from None
