"""What one reader may read of a person and her cases, as FHIR: all, what a share names, or referrals alone."""

from collections.abc import Sequence

from sqlmodel import col, select

from api import identity, persons
from api.problems import Refusal
from api.reading import read_case
from api.scope import visible
from api.system import Principal, System
from domain.case.case import Case
from domain.case.event import Entry, label_of
from domain.programs.access import Reach
from exchange.fhir_codes import Resource, id_in
from exchange.fhir_out import Version, resources
from exchange.fhir_patient import patient, related
from exchange.fhir_referral_task import PART
from infra.tables import CaseRow
from infra.timeline import states

READ = "read-case-resources"


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
    found = await read_case(parts, who, case_id, READ)
    async with parts.connection() as connection:
        steps = await connection.run_sync(lambda c: list(states(c, parts.keys, case_id)))
    told = [step for step in steps if until is None or step[1].seq <= until]
    every = resources(told, parts.rulebook, lambda entry: _reads(parts, who, found.ways, entry))
    if not parts.policy.may(who.role, READ, found.ways - {Reach.SHARED, Reach.REFERRED}):
        every = [version.outside for version in every]
    if parts.policy.may(who.role, READ, found.ways - {Reach.REFERRED}):
        return every
    mine = _referred_to(who.sub, [after for _, _, after in steps])
    return [version for version in every if version.content["id"] in mine]


async def what_shows(parts: System, who: Principal, case_id: str) -> tuple[frozenset[Reach], Case, set[str]]:
    """How a reader reaches a case, the case, and the ids of its promises and crisis that tell of no label.

    What a command brought about that said something under a label which this reader does not read is left out.
    """
    found = await read_case(parts, who, case_id, READ)
    async with parts.connection() as connection:
        steps = await connection.run_sync(lambda c: list(states(c, parts.keys, case_id)))
    kept_back = {e.command_id for _, e, _ in steps if not _reads(parts, who, found.ways, e)}
    shown: set[str] = set()
    for before, entry, after in steps:
        if entry.command_id not in kept_back:
            shown |= _parts_of(after) - (_parts_of(before) if before is not None else set())
    return found.ways, steps[-1][2], shown


def _parts_of(case: Case) -> set[str]:
    return {clock.id for clock in case.clocks} | ({case.crisis.id} if case.crisis is not None else set())


def _reads(parts: System, who: Principal, ways: frozenset[Reach], entry: Entry) -> bool:
    return entry.actor.subject == who.sub or parts.policy.reads(who.role, label_of(entry.data), ways)


def _referred_to(reader: str, cases: Sequence[Case]) -> set[str]:
    """The ids of what tells of the referrals to a recipient whose account reads no more than these."""
    names = {r.with_whom.casefold() for r in cases[-1].readers if r.id == reader}
    to_it = {r.id: r for case in cases for r in case.referrals if r.recipient.casefold() in names}
    return {id_in(cases[-1].id, f"{part}{name}") for name in to_it for part in (PART, "referral-")}
