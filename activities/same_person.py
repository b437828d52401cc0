"""Finds the other open cases of a case's person, also those of records that were merged into hers."""

from sqlalchemy import Connection
from sqlalchemy import select as select_columns
from sqlmodel import col

from domain.case.case import Case
from infra.persons import one_person
from infra.tables import CaseRow


def open_cases_of_person(connection: Connection, case: Case) -> tuple[str, ...]:
    """By id, so that two who end the same cases at once lock them in one order."""
    names = one_person(connection, case.tenant, case.referral.patient.reference)
    query = select_columns(col(CaseRow.id)).where(
        col(CaseRow.tenant) == case.tenant,
        col(CaseRow.person_id).in_(names),
        col(CaseRow.status) == "open",
        col(CaseRow.id) != case.id,
    )
    return tuple(connection.execute(query.order_by(col(CaseRow.id))).scalars())
