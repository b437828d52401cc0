"""What the reports on outcomes count: readmissions, goals, scores."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from api.report_queries import DATA, Rows, Scope, events, middle, recorded, share
from domain.case.open_parts import Score
from domain.steps.scores import ScoreChange, change_since
from infra.tables import CaseRow, TimelineRow


async def readmissions(connection: AsyncConnection, scope: Scope) -> Rows:
    """Discharges from hospital in the period, and those of them that an unplanned admission followed."""
    event = ("transition", "event")
    discharges = events(scope, "transition-recorded").add_columns(
        col(CaseRow.program), DATA[("transition", "id")].as_string()
    )
    discharges = discharges.where(
        DATA[event].as_string() == "discharge", DATA[("transition", "setting")].as_string() == "inpatient"
    )
    noticed = (
        select_columns(col(TimelineRow.case_id), col(TimelineRow.kind), DATA["discharge_id"].as_string())
        .join(CaseRow, col(CaseRow.id) == col(TimelineRow.case_id))
        .where(col(TimelineRow.tenant) == scope.tenant, *scope.cases)
        .where(col(TimelineRow.kind).in_(("readmission-noticed", "readmission-withdrawn")))
        .order_by(col(TimelineRow.case_id), col(TimelineRow.seq))
    )
    again: set[tuple[str, str]] = set()
    for case_id, kind, discharge in (await connection.execute(noticed)).all():
        if kind == "readmission-noticed":
            again.add((case_id, discharge))
        else:
            again.discard((case_id, discharge))
    groups: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for case_id, program, event_id in (await connection.execute(discharges)).all():
        groups[program].add((case_id, event_id))
    return [
        {
            "program": program,
            "people": len({case_id for case_id, _ in found}),
            "discharges": len(found),
            "readmitted": len(found & again),
            "share_readmitted": share(len(found & again), len(found)),
        }
        for program, found in sorted(groups.items())
    ]


async def goals(connection: AsyncConnection, scope: Scope) -> Rows:
    """The last status that each goal was given in the period."""
    query = (
        events(scope, "goal-progressed")
        .add_columns(col(CaseRow.program), DATA["goal"].as_integer(), DATA["achievement"].as_string())
        .order_by(col(TimelineRow.case_id), col(TimelineRow.seq))
    )
    last: dict[tuple[str, str, int], str] = {}
    for case_id, program, goal, achievement in (await connection.execute(query)).all():
        last[program, case_id, goal] = achievement
    found = []
    for program in sorted({key[0] for key in last}):
        mine = {key: value for key, value in last.items() if key[0] == program}
        met = sum(value == "achieved" for value in mine.values())
        people = len({key[1] for key in mine})
        found.append(
            {
                "program": program,
                "people": people,
                "goals": len(mine),
                "met": met,
                "share_met": share(met, len(mine)),
            }
        )
    return found


@dataclass(frozen=True)
class _Scored:
    """A total of one person, and under which programme's days it is looked at."""

    at: datetime
    total: int
    program: tuple[str, int]


async def score_changes(connection: AsyncConnection, scope: Scope) -> Rows:
    """Of each person the last result that was taken in the period, held against the earliest one there is."""
    groups: dict[tuple[str, str], list[tuple[ScoreChange, bool]]] = defaultdict(list)
    for (name, version, _), results in (await _totals(connection, scope)).items():
        results.sort(key=lambda scored: scored.at)
        changes = [
            change
            for scored in results[1:]
            if scope.start <= scored.at < scope.end
            and (change := _change(scope, name, version, results[0], scored))
        ]
        if changes:
            in_window = [c.remission_at_window for c in changes if c.remission_at_window is not None]
            groups[name, version].append((changes[-1], bool(in_window and in_window[-1])))
    return [
        {
            "instrument": name,
            "version": version,
            "people": len(mine),
            "median_change": middle(change.points for change, _ in mine),
            "minimal_change": sum(bool(change.minimal) for change, _ in mine),
            "response": sum(bool(change.response) for change, _ in mine),
            "remission": sum(bool(change.remission) for change, _ in mine),
            "remission_12_months": sum(after_a_year for _, after_a_year in mine),
        }
        for (name, version), mine in sorted(groups.items())
    ]


async def _totals(connection: AsyncConnection, scope: Scope) -> dict[tuple[str, str, str], list[_Scored]]:
    """Every total on record, by instrument, version and case."""
    query = recorded(scope, "instrument-scored").add_columns(
        *(DATA[("result", name)].as_string() for name in ("instrument", "version")),
        DATA[("result", "total")].as_integer(),
        DATA["scored_at"].as_string(),
        col(CaseRow.program),
        col(CaseRow.program_version),
    )
    found: dict[tuple[str, str, str], list[_Scored]] = defaultdict(list)
    for case_id, name, version, total, at, *program in (await connection.execute(query)).all():
        if total is not None:
            found[name, version, case_id].append(_Scored(datetime.fromisoformat(at), total, tuple(program)))
    return found


def _change(scope: Scope, name: str, version: str, first: _Scored, scored: _Scored) -> ScoreChange | None:
    before = Score(
        instrument=name,
        version=version,
        total=first.total,
        scored_at=first.at,
        baseline=first.total,
        baseline_at=first.at,
    )
    zone = scope.rulebook.program(*scored.program).zone
    return change_since(scope.rulebook.instrument(name, version), before, scored.total, scored.at, zone)
