"""What the record has of a command, and whether it was the same request."""

from sqlalchemy import bindparam
from sqlmodel import col, select

from api.problems import Refusal
from api.system import RecordSilent, System
from domain.command import Envelope, Outcome
from infra.tables import CommandRow

_OUTCOME = select(col(CommandRow.outcome)).where(
    *(col(getattr(CommandRow, name)) == bindparam(name) for name in ("case_id", "command_id", "tenant"))
)


async def recorded(parts: System, tenant: str, case_id: str, command_id: str) -> Outcome | None:
    """The outcome that the record has under this id, however old. Raises `RecordSilent`."""
    row = await parts.look_up(_OUTCOME, {"case_id": case_id, "command_id": command_id, "tenant": tenant})
    return Outcome.model_validate(row.outcome) if row is not None else None


async def recorded_if_it_answers(parts: System, tenant: str, case_id: str, command_id: str) -> Outcome | None:
    """The same where silence does no harm, for the case itself knows its commands."""
    try:
        return await recorded(parts, tenant, case_id, command_id)
    except RecordSilent:
        return None


def same_request(outcome: Outcome, envelope: Envelope) -> Outcome:
    """The engine and the record answer by id alone: see that it was asked the same thing. Raises 422."""
    if outcome.fingerprint != envelope.fingerprint:
        raise key_reused(envelope.command_id)
    return outcome


def key_reused(command: str) -> Refusal:
    return Refusal(
        422, "KeyReused", "this Idempotency-Key was used for another request; take a new one", command_id=command
    )
