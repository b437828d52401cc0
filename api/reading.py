"""How one case is read: its state beside its line on record, which is never behind its workflow."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col

from api.problems import Refusal, not_found
from api.scope import looking, may_see
from api.system import Principal, System
from domain.case.case import Case
from infra.tables import CaseRow, StateRow
from infra.temporal import workflow_id
from infra.timeline import decrypted_state, folded
from workflows import messages

LIVE_SECONDS = 1.5
_SAME = col(StateRow.case_id) == col(CaseRow.id)
_READ = looking(col(CaseRow.recorded_at), col(StateRow.state)).outerjoin_from(
    CaseRow, StateRow, _SAME & (col(StateRow.seq) == col(CaseRow.seq))
)


@dataclass(frozen=True)
class OnRecord:
    """A case as the record has it, and when that was last written."""

    case: Case
    as_of: datetime


async def read_case(parts: System, who: Principal, case_id: str) -> OnRecord:
    """The case. Raises 404 unless this person may see it, `RecordSilent` where nobody can tell."""
    row = await parts.look_up(_READ, {"tenant": who.tenant, "case_id": case_id, "sub": who.sub})
    if row is None or not may_see(who, row):
        raise not_found()
    case = decrypted_state(parts.keys, row.state) if row.state else None
    if case is None:  # its state was not kept yet, or not by this release
        async with parts.connection() as connection:
            case = await connection.run_sync(lambda c: folded(c, case_id))
    if case is None:
        raise not_found()
    return OnRecord(case, row.recorded_at)


async def live(parts: System, tenant: str, case_id: str) -> messages.Live:
    """How the case's workflow stands. Raises 503 when it does not answer."""
    handle: Any = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        async with asyncio.timeout(LIVE_SECONDS):
            return await messages.ask(handle, messages.LIVE, messages.Live)
    except messages.SILENT:
        detail = "the case's workflow does not answer; leave out `live` to read the record"
        raise Refusal(503, "CaseSilent", detail, {"Retry-After": "2"}) from None
