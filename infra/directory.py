"""Reads from the directory the people that a decision about one case may need."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Row, String, cast, or_
from sqlalchemy import select as select_columns
from sqlmodel import SQLModel, col

from domain.case.case import Case
from domain.case.staff import Directory, StaffMember
from domain.values import Role
from infra.rosters import rosters_of
from infra.tables import StaffRow

LEVELS = 3
_PEOPLE = select_columns(SQLModel.metadata.tables[str(StaffRow.__tablename__)])
NAMING = ("owner", "assignee", "to", "person", "attendee")


def directory(
    connection: Connection, tenant: str, cases: Sequence[Case], body: dict[str, JsonValue], sender: str
) -> Directory:
    """Whom one decision can find: the sender, whoever the cases and the body name, those above and covering them,
    the leads and the licensed of their teams, and who is on duty for them.
    """
    named = {sender, *(str(body[field]) for field in NAMING if body.get(field))}
    if interventions := body.get("interventions"):
        named |= _responsible(interventions)
    for case in cases:
        named |= _in_case(case)
    teams = {case.team for case in cases} | ({str(body["team"])} if body.get("team") else set())
    rosters = rosters_of(connection, tenant, teams) if teams else ()
    named |= {shift.person for roster in rosters for shift in roster.shifts}
    found = {row.subject: row for row in _leads(connection, tenant, teams)}
    for _ in range(LEVELS):
        if missing := named - set(found):
            found |= {row.subject: row for row in _by_subject(connection, tenant, missing)}
        known = [found[name] for name in named if name in found]
        named = {other for row in known for other in (row.supervisor, row.cover) if other}
    return Directory(members=tuple(_member(row) for row in found.values()), rosters=rosters)


def people_of(connection: Connection, tenant: str, subjects: Iterable[str]) -> Directory:
    """Some people, and whoever covers for them."""
    found: dict[str, Row[Any]] = {}
    missing = set(subjects)
    for _ in range(LEVELS):
        found |= {row.subject: row for row in _by_subject(connection, tenant, missing)}
        missing = {row.cover for row in found.values() if row.cover} - set(found)
    return Directory(members=tuple(_member(row) for row in found.values()))


def _in_case(case: Case) -> set[str]:
    """Whoever has something of a case, is asked for something in it, or waits for an answer."""
    asked = {p for a in case.approvals for p in (a.asked, a.requested_by)} | {a.asked for a in case.accesses}
    at_work = {case.owner, *(t.assignee for t in case.open_tasks), *(t.cosigner for t in case.open_tasks)}
    wait = {f.raised_by for f in case.flags} | {a.by for a in case.accesses} | {t.done_by for t in case.open_tasks}
    moving = {case.transfer.to, case.transfer.by, case.transfer.asked} if case.transfer else set()
    return {person for person in asked | at_work | wait | moving if person}


def team_of(connection: Connection, tenant: str, team: str) -> tuple[StaffMember, ...]:
    """Everybody of a team."""
    mine = (col(StaffRow.tenant) == tenant, col(StaffRow.team) == team)
    return tuple(map(_member, connection.execute(_PEOPLE.where(*mine).order_by(col(StaffRow.subject)))))


def leads_of(connection: Connection, tenant: str, team: str | None) -> Directory:
    """The leads of a team, and the directors."""
    return Directory(members=tuple(map(_member, _leads(connection, tenant, {team} if team else set()))))


def _by_subject(connection: Connection, tenant: str, subjects: Iterable[str]) -> Sequence[Row[Any]]:
    where = (col(StaffRow.tenant) == tenant, col(StaffRow.subject).in_(sorted(subjects)))
    return connection.execute(_PEOPLE.where(*where)).all()


def _leads(connection: Connection, tenant: str, teams: set[str]) -> Sequence[Row[Any]]:
    leads = col(StaffRow.role).in_([Role.SENIOR, Role.SUPERVISOR])
    licensed = cast(col(StaffRow.licences), String) != "[]"
    of_team = col(StaffRow.team).in_(sorted(teams)) & (leads | licensed)
    wanted = or_(of_team, col(StaffRow.role) == Role.DIRECTOR)
    mine = col(StaffRow.tenant) == tenant
    return connection.execute(_PEOPLE.where(mine, wanted).order_by(col(StaffRow.subject))).all()


def _member(row: Row[Any]) -> StaffMember:
    return StaffMember(
        subject=row.subject,
        role=Role(row.role),
        team=row.team,
        supervisor=row.supervisor,
        active=row.active,
        absent_until=row.absent_until,
        cover=row.cover,
        licences=tuple(row.licences),
    )


def _responsible(interventions: JsonValue) -> set[str]:
    """Whom a plan makes responsible for its interventions."""
    rows = interventions if isinstance(interventions, list) else []
    return {str(row["responsible"]) for row in rows if isinstance(row, dict) and row.get("responsible")}
