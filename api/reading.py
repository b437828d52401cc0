"""How one case is read: its state beside its line on record, which is never behind its workflow."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col

from api.problems import Refusal, not_found
from api.scope import SEE, WHOLE, looking, may_see, reaches
from api.system import Principal, System
from domain.case.case import Case
from domain.case.outline import outline
from domain.programs.access import Reach
from domain.values import Role
from infra.person_tables import PersonRow
from infra.tables import CaseRow, StateRow
from infra.temporal import workflow_id
from infra.timeline import decrypted_state, folded
from workflows import messages

LIVE_SECONDS = 1.5
_SAME = col(StateRow.case_id) == col(CaseRow.id)
_HER = (col(PersonRow.tenant) == col(CaseRow.tenant)) & (col(PersonRow.id) == col(CaseRow.person_id))
_READ = [
    looking(col(CaseRow.recorded_at), col(StateRow.state), col(PersonRow.sealed).label("person"), outside=outside)
    .outerjoin_from(CaseRow, StateRow, _SAME & (col(StateRow.seq) == col(CaseRow.seq)))
    .outerjoin(PersonRow, _HER & col(PersonRow.merged_into).is_(None))
    for outside in (False, True)
]


@dataclass(frozen=True)
class OnRecord:
    """A case as the record has it, or its outline, when that was last written, and how the reader reaches it.

    `person` is the row of its person, sealed; None of one who was merged, or is known by a reference only.
    """

    case: Case
    as_of: datetime
    whole: bool = True
    ways: frozenset[Reach] = frozenset()
    person: bytes | None = None


async def read_case(parts: System, who: Principal, case_id: str, action: str = SEE) -> OnRecord:
    """The case, or the outline of it that is hers. Raises `RecordSilent` where nobody can tell.

    Raises 404 unless this person may see the case, 403 unless she may do this in it.
    """
    row = await parts.look_up(
        _READ[who.role is Role.INTEGRATOR], {"tenant": who.tenant, "case_id": case_id, "sub": who.sub}
    )
    if row is None:
        raise not_found()
    ways = reaches(who, row)
    may_see(parts, who, ways, action)
    case = decrypted_state(parts.keys, row.state, case_id) if row.state else None
    if case is None:  # its state was not kept yet, or not by this release
        async with parts.connection() as connection:
            case = await connection.run_sync(lambda c: folded(c, parts.keys, case_id))
    if case is None:
        raise not_found()
    whole = parts.policy.may(who.role, WHOLE, ways)
    return OnRecord(case if whole else outline(case, who.sub), row.recorded_at, whole, ways, row.person)


async def live(parts: System, tenant: str, case_id: str) -> messages.Live:
    """How the case's workflow stands. Raises 503 when it does not answer."""
    handle: Any = parts.client.get_workflow_handle(workflow_id(tenant, case_id))
    try:
        async with asyncio.timeout(LIVE_SECONDS):
            return await messages.ask(handle, messages.LIVE, messages.Live)
    except messages.SILENT:
        detail = "the case's workflow does not answer; leave out `live` to read the record"
        raise Refusal(503, "CaseSilent", detail, {"Retry-After": "2"}) from None
