"""What the reports on the course of cases count: intake, closures, satisfaction, outcomes, who was not reached."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from api.report_queries import DAY, SAID, Rows, Scope, events, middle, share
from domain.values import Role
from infra.tables import CaseRow, StaffRow, TimelineRow

DOMAINS = ("well_being", "finances", "appropriate_care")


async def _said(connection: AsyncConnection, scope: Scope, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What each event of a kind in the period says, with its case and programme."""
    query = events(scope, kind).add_columns(col(CaseRow.program), *SAID)
    rows = (await connection.execute(query)).all()
    return [(case_id, program, scope.said(case_id, *encrypted)) for case_id, program, *encrypted in rows]


async def intake(connection: AsyncConnection, scope: Scope) -> Rows:
    """Who was taken into a programme, and who was not, and why."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case_id, program, said in await _said(connection, scope, "screening-completed"):
        outcome = "accepted" if said["accepted"] else str(said.get("reason") or "declined")
        groups[program, outcome].append(case_id)
    screened: dict[str, int] = defaultdict(int)
    for (program, _), cases in groups.items():
        screened[program] += len(cases)
    return [
        {
            "program": program,
            "outcome": outcome,
            "people": scope.people(cases),
            "cases": len(cases),
            "share": share(len(cases), screened[program]),
        }
        for (program, outcome), cases in sorted(groups.items())
    ]


async def milestones(connection: AsyncConnection, scope: Scope) -> Rows:
    """How many milestones of pathways came, how many later than expected, by how much, and why most of them."""
    groups: dict[tuple[str, str, str], list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for case_id, program, said in await _said(connection, scope, "milestone-reached"):
        groups[program, str(said["pathway"]), str(said["milestone"])].append((case_id, said))
    found = []
    for (program, pathway, milestone), reached in sorted(groups.items()):
        late = [said for _, said in reached if said["late_by"] > 0]
        reasons = Counter(str(said["variance"]) for said in late)
        found.append(
            {
                "program": program,
                "pathway": pathway,
                "milestone": milestone,
                "people": scope.people(case_id for case_id, _ in reached),
                "reached": len(reached),
                "late": len(late),
                "share_late": share(len(late), len(reached)),
                "median_days_late": middle([said["late_by"] for said in late]),
                "most_often_because": reasons.most_common(1)[0][0] if reasons else None,
            }
        )
    return found


async def closures(connection: AsyncConnection, scope: Scope) -> Rows:
    """Closures by reason, and how long the cases were open; one that was closed again counts again."""
    query = events(scope, "case-ended").add_columns(
        col(CaseRow.program), col(CaseRow.opened_at), col(TimelineRow.at), *SAID
    )
    groups: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for case_id, program, opened_at, at, *encrypted in (await connection.execute(query)).all():
        reason = str(scope.said(case_id, *encrypted)["reason"])
        groups[program, reason].append((case_id, _days(opened_at, at)))
    return [
        {
            "program": program,
            "reason": reason,
            "people": scope.people(case_id for case_id, _ in rows),
            "closures": len(rows),
            "median_days_open": middle(days for _, days in rows),
        }
        for (program, reason), rows in sorted(groups.items())
    ]


def _days(since: datetime, until: datetime) -> float:
    return round((until - since).total_seconds() / DAY, 2)


async def satisfaction(connection: AsyncConnection, scope: Scope) -> Rows:
    """What people said of the service, by programme."""
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for case_id, program, said in await _said(connection, scope, "satisfaction-recorded"):
        groups[program].append((case_id, int(said["score"])))
    return [
        {
            "program": program,
            "people": scope.people(case_id for case_id, _ in rows),
            "answers": len(rows),
            "median_score": middle(score for _, score in rows),
        }
        for program, rows in sorted(groups.items())
    ]


async def outcomes(connection: AsyncConnection, scope: Scope) -> Rows:
    """How far the three outcome domains have moved since the baseline, each case by its last evaluation."""
    last = {
        case_id: (program, said["ratings"], said.get("change") or {})
        for case_id, program, said in await _said(connection, scope, "outcome-evaluated")
    }
    found = []
    for program in sorted({program for program, _, _ in last.values()}):
        mine = {case_id: said for case_id, said in last.items() if said[0] == program}
        changes = {name: [_number(change.get(name)) for _, _, change in mine.values()] for name in DOMAINS}
        medians = {f"median_change_{name}": middle(values) for name, values in changes.items()}
        found.append({"program": program, "people": scope.people(mine), "evaluated": len(mine), **medians})
    return found


def _number(said: Any) -> float | None:
    return float(said) if isinstance(said, int | float) else None


async def not_reached(connection: AsyncConnection, scope: Scope) -> Rows:
    """Who could not be reached: attempts, letters, who was reached again, and who was closed for it."""
    kinds = {"attempts": "attempt-counted", "letters": "letter-sent", "reached_again": "reached-again"}
    query = events(scope, *kinds.values(), "case-ended").add_columns(
        col(CaseRow.program), col(TimelineRow.kind), *SAID
    )
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for case_id, program, kind, *encrypted in (await connection.execute(query)).all():
        if kind != "case-ended" or scope.said(case_id, *encrypted)["reason"] == "unreachable":
            groups[program].append((case_id, kind))
    return [
        {
            "program": program,
            "people": scope.people(case_id for case_id, _ in rows),
            **{name: _count(rows, kind) for name, kind in kinds.items()},
            "closed_for_it": _count(rows, "case-ended"),
        }
        for program, rows in sorted(groups.items())
    ]


def _count(rows: Iterable[tuple[str, str]], kind: str) -> int:
    return sum(said == kind for _, said in rows)


async def supervision(connection: AsyncConnection, scope: Scope) -> Rows:
    """For each supervisor the case managers below, and what they carry today."""
    staff = select_columns(col(StaffRow.subject), col(StaffRow.supervisor)).where(
        col(StaffRow.tenant) == scope.tenant,
        col(StaffRow.active),
        col(StaffRow.role).in_((Role.CASE_MANAGER, Role.SENIOR)),
        col(StaffRow.supervisor).is_not(None),
    )
    open_cases = (
        select_columns(col(CaseRow.owner), col(CaseRow.id), func.coalesce(col(CaseRow.weight), 1))
        .where(*scope.cases, col(CaseRow.status) == "open", col(CaseRow.owner).is_not(None))
    )  # fmt: skip
    carried: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for owner, case_id, weight in (await connection.execute(open_cases)).all():
        carried[str(owner)].append((case_id, weight))
    below: dict[str, list[str]] = defaultdict(list)
    for subject, supervisor in (await connection.execute(staff)).all():
        below[str(supervisor)].append(subject)
    found = []
    for supervisor, people in sorted(below.items()):
        theirs = [case for person in people for case in carried[person]]
        found.append(
            {
                "supervisor": supervisor,
                "people": scope.people(case_id for case_id, _ in theirs),
                "case_managers": len(people),
                "open_cases": len(theirs),
                "weight": round(sum(weight for _, weight in theirs), 2),
                "cases_a_case_manager": share(len(theirs), len(people)),
            }
        )
    return [row for row in found if row["open_cases"]]
