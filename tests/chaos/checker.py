"""Reads the operation log, the record and the cases themselves after a run, and says what does not fit."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlmodel import select

from activities.rows import table_of
from benchmarks.stage import decrypted
from deploy.drift import WELL, Comparison
from deploy.rebuild import rebuild
from infra.encryption import KeyRing
from infra.notice_tables import OutboxRow
from infra.tables import (
    CaseRow,
    CommandRow,
    TimelineRow,
)
from infra.timeline import RecordAltered
from tests.chaos.ops import Operation, OperationLog
from tests.chaos.workload import HAPPENED, Workload

OVERDUE_RUNG = timedelta(seconds=90)


class Checker:
    """What must hold after every run, however it went."""

    def __init__(self, engine: Engine, keys: KeyRing, log: OperationLog) -> None:
        self.engine, self.keys, self.log = engine, keys, log
        with engine.connect() as connection:
            rows = connection.execute(table_of(TimelineRow).select().order_by("case_id", "seq")).all()
            known = connection.execute(select(CommandRow.command_id, CommandRow.outcome))
            self.outcomes: dict[str, Any] = {row.command_id: row.outcome for row in known}
            told = connection.execute(table_of(OutboxRow).select()).all()
            self.notices = {(row.case_id, row.key, row.recipient) for row in told}
        self.timelines: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            self.timelines[row.case_id].append(self._decrypted(row))
        self.applied = Counter((row.command_id, row.kind) for row in rows)

    def _decrypted(self, row: Any) -> Any:
        try:
            return decrypted(self.keys, row)
        except RecordAltered:
            return row

    def faults(self) -> Iterator[str]:
        """Every sentence is something that must never be."""
        for operation in self.log.operations.values():
            yield from self._operation(operation)
        for case_id, rows in self.timelines.items():
            yield from self._timeline(case_id, rows)
            yield from self._ladders(case_id, rows)
        for table, cases in rebuild(self.engine, self.keys).items():
            if cases:
                yield f"{table}: rows are not what the timelines say, in {len(cases)} cases"

    def _operation(self, op: Operation) -> Iterator[str]:
        times = self.applied[op.command_id, HAPPENED[op.kind]]
        outcome = self.outcomes.get(op.command_id, {}).get("status")
        said = f"operation {op.number} ({op.kind}) was {op.became}"
        if times > 1:
            yield f"{said} and happened {times} times"
        if op.became == "acknowledged" and times != 1:
            yield f"{said} and is not on record"
        if op.became == "acknowledged" and outcome != "applied":
            yield f"{said} and its outcome on record is {outcome}"
        if op.became == "refused" and times:
            yield f"{said} ({op.code}) and happened all the same"
        if op.became == "queued" and outcome is None:
            yield f"{said} and was never decided"
        if times and outcome != "applied":
            yield f"{said}, happened, and its outcome on record is {outcome}"

    def _timeline(self, case_id: str, rows: list[Any]) -> Iterator[str]:
        previous = ""
        for number, row in enumerate(rows, 1):
            if row.seq != number:
                yield f"case {case_id}: entry {number} is missing"
                return
            if row.previous != previous or not isinstance(row, TimelineRow):
                yield f"case {case_id}: the chain breaks at {number}"
            previous = row.hash

    def _ladders(self, case_id: str, rows: list[Any]) -> Iterator[str]:
        """Every miss once and never early; every rung once, in its own time."""
        seen: set[tuple[str, ...]] = set()
        for row in rows:
            if row.kind == "clock-missed":
                key: tuple[str, ...] = ("missed", row.data["clock_id"])
                planned = row.data["due_at"]
            elif row.kind == "rung-climbed":
                climb = row.data["climb"]
                key = ("rung", row.data["clock_id"], str(climb["round"]), str(climb["rung"]))
                planned = climb["planned_at"]
            else:
                continue
            if key in seen:
                yield f"case {case_id}: {' '.join(key)} happened twice"
            if row.at < datetime.fromisoformat(planned):
                yield f"case {case_id}: {' '.join(key)} happened early"
            seen.add(key)
            if row.kind == "rung-climbed":
                yield from self._told(case_id, row.data)

    def _told(self, case_id: str, data: dict[str, Any]) -> Iterator[str]:
        """Whoever a rung told has a notice of it."""
        climb = data["climb"]
        key = f"{data['clock_id']}-{climb['round']}-{climb['rung']}"
        for person in climb["told"]:
            if (case_id, key, person) not in self.notices:
                yield f"case {case_id}: {person} was told by rung {key} and has no notice"


def asleep(engine: Engine) -> list[str]:
    """Cases that should have climbed by now and have not."""
    late = datetime.now(UTC) - OVERDUE_RUNG
    with engine.connect() as connection:
        rows = connection.execute(select(CaseRow.id, CaseRow.wakes_at)).all()
    return [f"case {row.id} should have woken at {row.wakes_at}" for row in rows if _before(row.wakes_at, late)]


def _before(instant: datetime | None, limit: datetime) -> bool:
    return instant is not None and instant < limit


async def views(comparison: Comparison) -> list[str]:
    """Where a case's run and the record do not agree."""
    return [f"case {f.case_id}: {f.state}" for f in await comparison.run() if f.state not in WELL]


async def unknowns(workload: Workload, log: OperationLog, applied: Counter[tuple[str, str]]) -> list[str]:
    """Whether asking for an operation without an answer tells the truth."""
    faults = []
    for op in log.operations.values():
        if op.became not in ("unknown", "queued"):
            continue
        told, times = await workload.ask(op), applied[op.command_id, HAPPENED[op.kind]]
        if (told == "applied") != (times == 1):
            faults.append(f"operation {op.number} ({op.kind}): asked, it is {told}; it happened {times} times")
    return faults
