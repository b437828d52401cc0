"""What each report counts. SQL joins, filters and groups; medians are finished here, for SQLite has none."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, type_coerce
from sqlalchemy import select as select_columns
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased
from sqlmodel import col

from domain.case.event import ENTERED_IN_ERROR
from domain.programs.rulebook import Rulebook
from infra.encryption import KeyRing
from infra.tables import CaseRow, ClockRow, TimelineRow, UtcDateTime
from infra.timeline import data_of

Rows = list[dict[str, Any]]
DAY = 86400
FACTS = col(TimelineRow.facts)
SAID = (col(TimelineRow.seq), col(TimelineRow.encrypted))  # what an entry says, to be decrypted by `Scope.said`


@dataclass(frozen=True)
class Scope:
    """Whose cases, which of them, from when (included) to when (excluded), and the rules in force.

    `person_of` has the person of every one of these cases.
    """

    tenant: str
    cases: tuple[ColumnElement[bool], ...]
    start: datetime
    end: datetime
    rulebook: Rulebook
    keys: KeyRing
    person_of: Mapping[str, str]

    def people(self, case_ids: Iterable[str]) -> int:
        """How many people some cases are about: somebody with two cases is one."""
        return len({self.person_of[case_id] for case_id in case_ids})

    def said(self, case_id: str, seq: int, encrypted: bytes | None) -> dict[str, Any]:
        """What an entry says. Raises `RecordAltered`."""
        return data_of(self.keys, case_id, seq, encrypted)


def recorded(scope: Scope, *kinds: str) -> Select[Any]:
    """The events of these kinds, whenever written, without those that were entered in error.

    Columns are added by the caller.
    """
    correction = aliased(TimelineRow)
    wrong = (
        select_columns(col(correction.seq))
        .where(col(correction.case_id) == col(TimelineRow.case_id), col(correction.kind) == ENTERED_IN_ERROR)
        .where(col(correction.facts)["of_command"].as_string() == col(TimelineRow.command_id))
    )
    return (
        select_columns(col(TimelineRow.case_id))
        .join(CaseRow, col(CaseRow.id) == col(TimelineRow.case_id))
        .where(col(TimelineRow.tenant) == scope.tenant, col(TimelineRow.kind).in_(kinds), *scope.cases)
        .where(~wrong.exists())
    )


def events(scope: Scope, *kinds: str) -> Select[Any]:
    """The same, written within the period."""
    return recorded(scope, *kinds).where(col(TimelineRow.at) >= scope.start, col(TimelineRow.at) < scope.end)


def middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


# -- promises -------------------------------------------------------------------------------------------------


PROMISE = ("people", "due", "in_time", "late", "missed", "share_in_time", "median_days_late")


async def _promises(
    connection: AsyncConnection, scope: Scope, by: Sequence[Any], *where: ColumnElement[bool]
) -> Rows:
    """Promises that fell due in the period and were not cancelled before that: how they went, by some columns."""
    query = (
        select_columns(
            *by, col(ClockRow.case_id), col(ClockRow.state), col(ClockRow.late_by), col(ClockRow.missed_at)
        )
        .join(CaseRow, col(CaseRow.id) == col(ClockRow.case_id))
        .where(col(ClockRow.tenant) == scope.tenant, col(ClockRow.kind) != "override", *scope.cases, *where)
        .where(col(ClockRow.due_at) >= scope.start, col(ClockRow.due_at) < scope.end)
        .where(col(ClockRow.state).in_(("kept", "missed")) | col(ClockRow.missed_at).is_not(None))
    )
    names = [column.key or column.name for column in by]
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in (await connection.execute(query)).all():
        groups[tuple(row[: len(by)])].append(row)
    return [
        {**dict(zip(names, key, strict=True)), **_kept(scope, rows)}
        for key, rows in sorted(groups.items(), key=lambda pair: str(pair[0]))
    ]


def _kept(scope: Scope, rows: list[Any]) -> dict[str, Any]:
    in_time = sum(row.state == "kept" and not row.late_by for row in rows)
    late = [row.late_by / DAY for row in rows if row.state == "kept" and row.late_by]
    return {
        "people": scope.people(row.case_id for row in rows),
        "due": len(rows),
        "in_time": in_time,
        "late": len(late),
        "missed": len(rows) - in_time - len(late),
        "share_in_time": share(in_time, len(rows)),
        "median_days_late": middle(late),
    }


async def timeliness(connection: AsyncConnection, scope: Scope) -> Rows:
    return await _promises(connection, scope, [col(ClockRow.kind), col(ClockRow.policy)])


async def cadence(connection: AsyncConnection, scope: Scope) -> Rows:
    by = [col(CaseRow.program), col(CaseRow.tier)]
    return await _promises(connection, scope, by, col(ClockRow.kind) == "contact")


async def reassessments(connection: AsyncConnection, scope: Scope) -> Rows:
    return await _promises(connection, scope, [col(CaseRow.program)], col(ClockRow.kind) == "reassessment")


def of_policy(ending: str) -> Callable[[AsyncConnection, Scope], Awaitable[Rows]]:
    async def rows(connection: AsyncConnection, scope: Scope) -> Rows:
        where = (col(ClockRow.kind) == "transition", col(ClockRow.policy).endswith(ending))
        return await _promises(connection, scope, [col(CaseRow.program), col(ClockRow.policy)], *where)

    return rows


# -- the course of cases --------------------------------------------------------------------------------------


async def time_in_stage(connection: AsyncConnection, scope: Scope) -> Rows:
    """Each stay in a stage lasts from its beginning to the next one's; the ones that ended in the period count."""
    ends = ("case-ended", "case-laid-by")
    kinds = ("case-opened", "stage-entered", "case-reopened", "case-taken-up-again", *ends)
    following = func.lead(col(TimelineRow.at)).over(
        partition_by=col(TimelineRow.case_id), order_by=col(TimelineRow.seq)
    )
    until = type_coerce(following, UtcDateTime)
    stage = case((col(TimelineRow.kind) == "case-opened", "screening"), else_=FACTS["stage"].as_string())
    stays = (
        select_columns(
            col(TimelineRow.case_id),
            col(TimelineRow.kind),
            stage.label("stage"),
            col(TimelineRow.at).label("since"),
            until.label("until"),
        )
        .join(CaseRow, col(CaseRow.id) == col(TimelineRow.case_id))
        .where(col(TimelineRow.tenant) == scope.tenant, *scope.cases, col(TimelineRow.kind).in_(kinds))
        .subquery()
    )
    query = select_columns(stays).where(
        stays.c.kind.not_in(ends), stays.c.until >= scope.start, stays.c.until < scope.end
    )
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in (await connection.execute(query)).all():
        groups[row.stage].append(row)
    return [
        {
            "stage": name,
            "people": scope.people(row.case_id for row in rows),
            "stays": len(rows),
            "median_days": middle((row.until - row.since).total_seconds() / DAY for row in rows),
            "longest_days": round(max((row.until - row.since).total_seconds() / DAY for row in rows), 2),
        }
        for name, rows in sorted(groups.items())
    ]


async def referral_loops(connection: AsyncConnection, scope: Scope) -> Rows:
    kinds = {
        "drafted": "referral-drafted",
        "sent": "referral-sent",
        "accepted": "referral-accepted",
        "declined": "referral-declined",
        "failed": "referral-failed",
        "done": "referral-done",
        "closed": "referral-loop-closed",
        "revoked": "referral-revoked",
    }
    query = events(scope, *kinds.values()).add_columns(col(TimelineRow.kind), *SAID)
    groups: dict[str, list[Any]] = defaultdict(list)
    for case_id, kind, *encrypted in (await connection.execute(query)).all():
        referral = scope.said(case_id, *encrypted)["referral"]
        groups[referral["type"]].append((case_id, kind, referral["type"], referral["id"]))
    found = []
    for name, rows in sorted(groups.items()):
        counts = {key: len({(r[0], r[3]) for r in rows if r[1] == kind}) for key, kind in kinds.items()}
        closed = share(counts["closed"], counts["sent"])
        found.append({"type": name, "people": scope.people(r[0] for r in rows), **counts, "share_closed": closed})
    return found


async def escalations(connection: AsyncConnection, scope: Scope) -> Rows:
    """By rank: how often it was told, and how long until somebody acknowledged after the miss."""
    kinds = ("clock-missed", "rung-climbed", "escalation-acknowledged")
    query = (
        events(scope, *kinds)
        .add_columns(
            col(TimelineRow.kind),
            FACTS["clock_id"].as_string(),
            FACTS["tell"].as_string(),
            col(TimelineRow.at),
        )
        .order_by(col(TimelineRow.case_id), col(TimelineRow.seq))
    )
    missed: dict[tuple[str, str], datetime] = {}
    highest: dict[tuple[str, str], str] = {}
    told: dict[str, list[str]] = defaultdict(list)
    waited: dict[str, list[float]] = defaultdict(list)
    for case_id, kind, clock_id, rank, at in (await connection.execute(query)).all():
        key = (case_id, clock_id)
        if kind == "clock-missed":
            missed[key] = at
        elif kind == "rung-climbed" and key in missed:
            told[rank].append(case_id)
            highest[key] = rank
        elif kind == "escalation-acknowledged" and key in missed:
            waited[highest.get(key, "nobody")].append((at - missed[key]).total_seconds() / 3600)
    ranks = ("owner", "senior", "supervisor", "director", "nobody")
    return [
        {
            "rank": rank,
            "people": scope.people(told[rank]),
            "told": len(told[rank]),
            "acknowledged_at_this_rank": len(waited[rank]),
            "median_hours_to_acknowledge": middle(waited[rank]),
        }
        for rank in ranks
        if told[rank] or waited[rank]
    ]


async def avoidable_days(connection: AsyncConnection, scope: Scope) -> Rows:
    query = events(scope, "avoidable-days-recorded").add_columns(*SAID)
    people: dict[tuple[str, str], set[str]] = defaultdict(set)
    days: Counter[tuple[str, str]] = Counter()
    for case_id, *encrypted in (await connection.execute(query)).all():
        said = scope.said(case_id, *encrypted)
        key = (said["reason"], said["attributed_to"])
        people[key].add(case_id)
        days[key] += said["days"]
    return [
        {"reason": key[0], "attributed_to": key[1], "people": scope.people(people[key]), "days": days[key]}
        for key in sorted(days, key=lambda key: (-days[key], key))
    ]


async def workload(connection: AsyncConnection, scope: Scope) -> Rows:
    """The people of open cases now, and what each case manager did in the period, by day on which she did any."""
    people = func.count(col(CaseRow.person_id).distinct())
    carried = (
        select_columns(col(CaseRow.owner), people, func.sum(col(CaseRow.weight)))
        .where(*scope.cases, col(CaseRow.status) == "open", col(CaseRow.owner).is_not(None))
        .group_by(col(CaseRow.owner))
    )
    done = events(scope, "task-completed", "contact-logged", "referral-sent", "plan-reviewed").add_columns(
        col(TimelineRow.actor), col(TimelineRow.at)
    )
    rows = (await connection.execute(carried)).all()
    cases: dict[str, tuple[int, float]] = {str(owner): (count, weight) for owner, count, weight in rows}
    deeds: dict[str, list[datetime]] = defaultdict(list)
    for _, actor, at in (await connection.execute(done)).all():
        deeds[actor].append(at)
    found = []
    for person in sorted({*cases, *deeds}):
        days = len({at.date() for at in deeds[person]})
        count, weight = cases.get(person, (0, 0.0))
        found.append(
            {
                "case_manager": person,
                "people": count,
                "weighted_caseload": round(weight, 2),
                "interventions": len(deeds[person]),
                "days_at_work": days,
                "interventions_a_day": share(len(deeds[person]), days),
            }
        )
    return found
