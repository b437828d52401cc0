"""What one reader may read of a person and her cases, as FHIR: all, what a share names, or referrals alone."""

from sqlmodel import col, select

from api import identity, persons
from api.problems import Refusal
from api.reading import read_case
from api.scope import visible
from api.system import Principal, System
from domain.case.case import Case
from domain.programs.access import Reach
from exchange.fhir_codes import Resource
from exchange.fhir_out import Version
from exchange.fhir_patient import patient, related
from exchange.fhir_readable import READ, Reader, Step, readable
from infra.tables import CaseRow
from infra.timeline import states


async def patient_of(parts: System, who: Principal, person_id: str) -> Resource:
    if not parts.policy.reach_of(who.role, READ):
        raise Refusal(403, "NotPermitted", "who somebody is, is not yours to read")
    row, person = await persons.on_record(parts, who, person_id, READ)
    return patient(row.id, row.version, row.updated_at, person)


async def related_to(parts: System, who: Principal, person_id: str) -> list[Resource]:
    """Those around a person, for whoever may read her."""
    row, person = await persons.on_record(parts, who, person_id, READ)
    return related(row.id, row.version, row.updated_at, person)


async def of_person(parts: System, who: Principal, person_id: str) -> list[Version]:
    """What the cases of a person say, as far as this reader may read them."""
    row, person = await persons.on_record(parts, who, person_id, READ)
    names = await identity.with_persons(
        parts, who.tenant, lambda store: identity.names_of(store, {row.id: person})
    )
    query = select(CaseRow.id).where(visible(parts, who, READ), col(CaseRow.person_id).in_(names))
    async with parts.session() as session:
        cases = list((await session.exec(query.order_by(col(CaseRow.id)))).all())
    return [version for case_id in cases for version in await of_case(parts, who, case_id)]


async def of_case(parts: System, who: Principal, case_id: str, until: int | None = None) -> list[Version]:
    """What one case says, or said after its event `until`. Raises 404 unless this reader may read it."""
    reader, steps = await _steps(parts, who, case_id)
    return readable(steps, parts.rulebook, reader, until)


async def what_shows(parts: System, who: Principal, case_id: str) -> tuple[frozenset[Reach], Case, set[str]]:
    """How a reader reaches a case, the case, and the ids of its promises and crisis that tell of no label.

    What a command brought about that said something under a label which this reader does not read is left out.
    """
    reader, steps = await _steps(parts, who, case_id)
    kept_back = {e.command_id for _, e, _ in steps if not reader.reads(parts.policy, e)}
    shown: set[str] = set()
    for before, entry, after in steps:
        if entry.command_id not in kept_back:
            shown |= _parts_of(after) - (_parts_of(before) if before is not None else set())
    return reader.ways, steps[-1][2], shown


async def _steps(parts: System, who: Principal, case_id: str) -> tuple[Reader, list[Step]]:
    """How somebody reads a case, and all its entries. Raises 404 unless she may."""
    found = await read_case(parts, who, case_id, READ)
    async with parts.connection() as connection:
        steps = await connection.run_sync(lambda c: list(states(c, parts.keys, case_id)))
    return Reader(who.sub, who.role, found.ways), steps


def _parts_of(case: Case) -> set[str]:
    return {clock.id for clock in case.clocks} | ({case.crisis.id} if case.crisis is not None else set())
