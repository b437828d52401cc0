"""That somebody has died, told to her cases by whoever writes it down with the person."""

from dataclasses import replace

from fastapi import Response
from sqlalchemy import select as select_columns
from sqlmodel import col

from api.scope import Seen
from api.submission import Wish, enveloped, send
from api.system import Principal, System
from domain.case.event import Position
from domain.persons.person import Deceased
from domain.steps.death import ReportDeath
from infra.persons import one_person
from infra.tables import CaseRow


async def tell_cases(parts: System, who: Principal, person_id: str, died: Deceased, wish: Wish) -> None:
    """Tell one open case of a person, which ends all of them; whoever may change her may say so.

    Raises what the case refuses. Told again it changes nothing.
    """
    async with parts.connection() as connection:
        names = await connection.run_sync(lambda plain: one_person(plain, who.tenant, person_id))
        query = select_columns(col(CaseRow.id), col(CaseRow.seq), col(CaseRow.head), col(CaseRow.sealed)).where(
            col(CaseRow.tenant) == who.tenant, col(CaseRow.person_id).in_(names), col(CaseRow.status) == "open"
        )
        row = (await connection.execute(query.order_by(col(CaseRow.id)).limit(1))).first()
    if row is None:
        return
    body = {"source": died.source, **({"died_on": died.on} if died.on else {})}
    once = replace(
        wish, key=f"{wish.key}/death" if wish.key else f"death/{person_id}/{row.seq}", expected_seq=None
    )
    envelope = enveloped(parts, who, row.id, ReportDeath.kind, dict(body), once)
    seen = Seen(Position(seq=row.seq, head=row.head), row.sealed, frozenset())
    await send(parts, who.tenant, row.id, envelope, seen, once, Response())
