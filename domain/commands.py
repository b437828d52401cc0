"""The catalogue of commands. A new command is one class in its step's file, and one line here."""

from pydantic import JsonValue, ValidationError

from domain import (
    assessment,
    closure,
    consent,
    contacts,
    deadlines,
    escalation,
    intake,
    ownership,
    planning,
    tasks,
    tick,
)
from domain.command import Command, UnknownCommand, UnreadableCommand

FROM_PEOPLE: tuple[type[Command], ...] = (
    consent.RecordConsent,
    consent.WithdrawConsent,
    intake.CompleteScreening,
    assessment.RecordAssessment,
    assessment.SetRiskTier,
    assessment.ReportSignificantChange,
    planning.AgreePlan,
    planning.RevisePlan,
    tasks.AddTask,
    tasks.AssignTask,
    tasks.StartTask,
    tasks.CompleteTask,
    tasks.CancelTask,
    tasks.HoldTask,
    tasks.ResumeTask,
    contacts.LogContact,
    contacts.AddNote,
    escalation.AcknowledgeEscalation,
    deadlines.PauseClock,
    deadlines.ResumeClock,
    ownership.ReassignCase,
    closure.EvaluateOutcome,
    closure.CloseCase,
    closure.ReopenCase,
)
ALL: tuple[type[Command], ...] = (intake.Open, *FROM_PEOPLE, tick.Tick)
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
