"""What the reports on outcomes count: readmissions, goals, scores."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from api.report_queries import SAID, Rows, Scope, events, middle, recorded, share
from domain.case.case import PastEncounter
from domain.case.open_parts import Score, Transition
from domain.case.stays import ACUTE, episodes, following, stays_of
from domain.steps.scores import ScoreChange, change_since
from infra.tables import CaseRow, TimelineRow


@dataclass
class ToldOfStays:
    """What messages and the referral told about one person's stays."""

    program: tuple[str, int]
    earlier: tuple[PastEncounter, ...] = ()
    transitions: dict[str, Transition] = field(default_factory=dict)


async def readmissions(connection: AsyncConnection, scope: Scope) -> Rows:
    """Stays in hospital that ended in the period, and those that an unplanned admission followed."""
    groups: dict[str, list[tuple[str, int, int, int]]] = defaultdict(list)
    for case_id, told in (await told_of_stays(connection, scope)).items():
        program = scope.rulebook.program(*told.program)
        stays = stays_of(told.transitions.values(), program.zone, told.earlier)
        first, after = (edge.astimezone(program.zone).date() for edge in (scope.start, scope.end))
        ended = {s.messages for s in episodes(stays, ACUTE) if s.ended and first <= s.ended.day < after}
        watch = program.transitions.get(f"{ACUTE}-discharge")
        within = watch.watch.amount if watch and watch.watch else 0
        again = [f for f in following(stays, ACUTE) if f.stay.messages in ended and 1 <= f.days <= within]
        if ended:
            unplanned = sum(not f.next.planned for f in again)
            groups[program.program].append((case_id, len(ended), unplanned, len(again) - unplanned))
    return [
        {
            "program": program,
            "people": scope.people(found[0] for found in cases),
            "discharges": (discharges := sum(found[1] for found in cases)),
            "readmitted": (readmitted := sum(found[2] for found in cases)),
            "planned": sum(found[3] for found in cases),
            "share_readmitted": share(readmitted, discharges),
        }
        for program, cases in sorted(groups.items())
    ]


async def told_of_stays(connection: AsyncConnection, scope: Scope) -> dict[str, ToldOfStays]:
    """The transitions of every case as they stand: corrected, and without those that were taken back."""
    kinds = ("case-opened", "transition-recorded", "transition-corrected", "transition-retracted")
    query = recorded(scope, *kinds).add_columns(
        col(TimelineRow.kind), *SAID, col(CaseRow.program), col(CaseRow.program_version)
    )
    found: dict[str, ToldOfStays] = {}
    for case_id, kind, seq, encrypted, *program in (
        await connection.execute(query.order_by(col(TimelineRow.case_id), col(TimelineRow.seq)))
    ).all():
        told, data = found.setdefault(case_id, ToldOfStays(tuple(program))), scope.said(case_id, seq, encrypted)
        if kind == "case-opened":
            encounters = data["referral"]["patient"].get("encounters", ())
            told.earlier = tuple(PastEncounter.model_validate(e) for e in encounters)
        elif kind == "transition-retracted":
            told.transitions.pop(data["event_id"], None)
        else:
            transition = Transition.model_validate(data["transition"])
            told.transitions[transition.id] = transition
    return found


async def goals(connection: AsyncConnection, scope: Scope) -> Rows:
    """The last status that each goal was given in the period."""
    query = (
        events(scope, "goal-progressed")
        .add_columns(col(CaseRow.program), *SAID)
        .order_by(col(TimelineRow.case_id), col(TimelineRow.seq))
    )
    last: dict[tuple[str, str, int], str] = {}
    for case_id, program, *encrypted in (await connection.execute(query)).all():
        said = scope.said(case_id, *encrypted)
        last[program, case_id, said["goal"]] = said["achievement"]
    found = []
    for program in sorted({key[0] for key in last}):
        mine = {key: value for key, value in last.items() if key[0] == program}
        met = sum(value == "achieved" for value in mine.values())
        people = scope.people(key[1] for key in mine)
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
    """Every total on record, by instrument, version and person."""
    query = recorded(scope, "instrument-scored").add_columns(
        *SAID, col(CaseRow.program), col(CaseRow.program_version)
    )
    found: dict[tuple[str, str, str], list[_Scored]] = defaultdict(list)
    for case_id, seq, encrypted, *program in (await connection.execute(query)).all():
        said = scope.said(case_id, seq, encrypted)
        result = said["result"]
        if (total := result.get("total")) is not None:
            at = datetime.fromisoformat(said["scored_at"])
            key = (result["instrument"], result["version"], scope.person_of[case_id])
            found[key].append(_Scored(at, total, tuple(program)))
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
