"""What leads decide on somebody whom a screening has found: once, also where two decide at the same time.

An acceptance is begun before the case is opened, so that nobody declines meanwhile, and ended when the case is
known to be open. One whose opening was refused, or whose request died, leaves her to be decided on again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Response
from sqlalchemy import Connection, bindparam, exists, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.problems import Refusal
from api.submission import CommandResult, answer, command_id, recorded
from api.system import Principal, System
from domain.steps.intake import Open
from infra import row_places
from infra.notices import settled
from infra.screening_tables import ScreenedRow
from infra.tables import CaseRow, CommandRow, QueuedRow

ACCEPTING = "accepting"  # a case is being opened
AT_IT = timedelta(seconds=30)  # longer than a request takes


async def decide(
    parts: System, who: Principal, row: ScreenedRow, decision: str | None, reason: str | None, **more: Any
) -> ScreenedRow:
    """Write down who has decided what; None: she is to be decided on again, as before.

    What was received of her is let go of once a case is open or declined. Raises 409 where she does not stand any
    more as she was seen.
    """
    place = row_places.screened_reason(row.id)
    kept = parts.keys.encrypted_text(reason, place) if reason is not None else None
    said = {"decision": decision, "decided_by": more.pop("by", who.sub) if decision else None}
    said |= {"decided_at": datetime.now(UTC) if decision else None, "reason": kept, **more}
    if decision is None and row.until is not None:  # whoever had put her off, had put her off
        said |= {"decision": "snoozed", "decided_by": row.decided_by, "until": row.until}
    said |= {"sealed": None} if decision in ("accepted", "declined") else {}
    table: Any = ScreenedRow.__table__  # type: ignore[attr-defined]

    def write(connection: Connection) -> ScreenedRow:
        as_seen = [table.c.decision.is_(None)]
        if row.decision is not None:
            as_seen = [table.c.decision == row.decision, table.c.decided_at == row.decided_at]
        own = (table.c.id == row.id, *as_seen)
        if not connection.execute(update(table).where(*own).values(**said)).rowcount:
            raise Refusal(409, "Decided", "somebody else has decided on her meanwhile")
        left = select(ScreenedRow.id).where(
            col(ScreenedRow.screening_id) == row.screening_id,
            col(ScreenedRow.result) == "proposed",
            col(ScreenedRow.decision).is_(None),
        )
        if connection.execute(left.limit(1)).first() is None:
            settled(connection, row.screening_id, datetime.now(UTC))
        now = connection.execute(table.select().where(table.c.id == row.id)).one()
        return ScreenedRow(**now._mapping)

    return await parts.written(write)


async def resolved(parts: System, who: Principal, row: ScreenedRow) -> ScreenedRow:
    """How somebody stands whose acceptance was begun: accepted, or to be decided on again.

    Raises 409 while somebody is at it, 503 while the opening waits to be decided.
    """
    begun = await parts.look_up(_BEGUN, {"case_id": row.case_id, "tenant": who.tenant})
    if begun.opened:
        return await decide(parts, who, row, "accepted", None, by=row.decided_by, case_id=row.case_id)
    if begun.waits:
        detail = "its opening waits to be decided; repeat it in a moment"
        raise Refusal(503, "OpeningQueued", detail, {"Retry-After": "2"})
    if not begun.refused and row.decided_at is not None and datetime.now(UTC) - row.decided_at < AT_IT:
        raise Refusal(409, "BeingDecided", "a case is being opened for her right now; look again in a moment")
    return await decide(parts, who, row, None, None)


async def as_before(parts: System, who: Principal, row: ScreenedRow, response: Response) -> CommandResult:
    """The answer that the acceptance was given. Raises 409 where it was somebody else's."""
    if row.decided_by != who.sub or row.case_id is None:
        raise Refusal(409, "Decided", "somebody else has decided on her meanwhile")
    command = command_id(parts.index_key, who, row.case_id, f"screened/{row.id}")
    known = await recorded(parts, who.tenant, row.case_id, command)
    if known is None:
        raise Refusal(409, "Decided", f"a case was opened for her: {row.case_id}")
    return answer(row.case_id, known, response)


_CASE: Any = bindparam("case_id")
_TENANT: Any = bindparam("tenant")
_OPENING = (
    col(CommandRow.case_id) == _CASE,
    col(CommandRow.tenant) == _TENANT,
    col(CommandRow.kind) == Open.kind,
)
_BEGUN = select_columns(
    exists().where(col(CaseRow.id) == _CASE, col(CaseRow.tenant) == _TENANT).label("opened"),
    exists().where(*_OPENING, col(CommandRow.status) == "refused").label("refused"),
    exists()
    .where(
        col(QueuedRow.case_id) == _CASE,
        ~exists().where(
            col(CommandRow.case_id) == col(QueuedRow.case_id),
            col(CommandRow.command_id) == col(QueuedRow.command_id),
        ),
    )
    .label("waits"),
)
