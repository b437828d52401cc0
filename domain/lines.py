"""What the lists are told of a case: its own line, those of the tasks, promises and other items that changed.

They are derived from the entries of the timeline, written with them, and can be made again from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Self

from domain import items
from domain.case.case import Case, Task
from domain.case.event import Entry, Notice
from domain.clocks.clock import Clock
from domain.items import ItemLine
from domain.promises.deadlines import is_duty, wake_at
from domain.values import Instant, Value


class CaseLine(Value):
    """One case as the lists show it."""

    id: str
    tenant: str
    program: str
    program_version: int
    seq: int
    stage: str
    status: Literal["open", "closed"]
    closure_reason: str | None
    owner: str | None
    team: str
    offered_to: str | None = None
    excluded: str = ""
    glass: str = ""
    tier: str | None
    weight: float = 1
    target_group: str | None = None
    in_crisis: bool = False
    opened_at: Instant
    opened_by: str
    updated_at: Instant
    person_id: str
    next_due_at: Instant | None
    wakes_at: Instant | None = None
    sealed: bool = False
    open_tasks: int
    overdue: int
    escalated: int
    quarantined: int


class TaskLine(Value):
    """One task as the lists show it."""

    id: str
    type: str
    title: str
    category: str
    status: str
    assignee: str | None
    queue: str | None = None
    clock_id: str


class ClockLine(Value):
    """One promise as the lists show it, whoever answers for it.

    `since` is what it counts from, `next_at` when its ladder does something next. `rung` is the one climbed last
    since the ladder began, or began anew, which it did `raised` times. A `duty` is set by law, or a person's
    safety hangs on it.
    """

    id: str
    kind: str
    title: str
    about: str | None = None
    policy: str | None = None
    owner: str | None
    state: Literal["running", "paused", "missed", "kept", "cancelled"]
    due_at: Instant
    paused_until: Instant | None
    missed_at: Instant | None
    told: str | None
    acknowledged_by: str | None
    settled_at: Instant | None
    late_by: int | None
    queue: str | None = None
    lapses: int = 0
    since: Instant | None = None
    next_at: Instant | None = None
    rung: int | None = None
    raised: int = 0
    duty: bool = False


class NoticeLine(Notice):
    """A notice and when its event happened."""

    created_at: Instant


@dataclass(frozen=True)
class Lines:
    """What some entries changed. `case` is the state after them, None before a case was opened."""

    case: Case | None = None
    line: CaseLine | None = None
    tasks: dict[str, TaskLine] = field(default_factory=dict)
    clocks: dict[str, ClockLine] = field(default_factory=dict)
    items: dict[tuple[str, str], ItemLine] = field(default_factory=dict)
    notices: tuple[NoticeLine, ...] = ()

    @classmethod
    def whole(cls, case: Case, at: datetime) -> Self:
        """All that the lists show of a case of which nothing earlier is known."""
        tasks = {task.id: _task_line(task) for task in case.tasks}
        clocks = {clock.id: _clock_line(clock, None, case) for clock in case.clocks}
        return cls(case, case_line(case, at), tasks, clocks, {(i.kind, i.id): i for i in items.whole(case, at)})

    def then(self, entries: Sequence[Entry]) -> Self:
        """These lines with what more entries did to the case."""
        found = self
        for entry in entries:
            found = found._after(entry)
        return replace(found, line=case_line(found.case, entries[-1].at)) if found.case and entries else found

    def _after(self, entry: Entry) -> Self:
        before, case = self.case, entry.apply(self.case)
        return replace(
            self,
            case=case,
            tasks=self.tasks | {line.id: line for line in _changed_tasks(before, case)},
            clocks=self.clocks | {line.id: line for line in _changed_clocks(before, entry, case)},
            items=self._items(items.changed(before, entry, case)),
            notices=(*self.notices, *_notices(entry, case)),
        )

    def _items(self, changed: Iterable[ItemLine]) -> dict[tuple[str, str], ItemLine]:
        found = dict(self.items)
        for line in changed:
            first = found.get((line.kind, line.id), line)
            found[line.kind, line.id] = line.changed(opened_at=first.opened_at, by=first.by)
        return found


def case_line(case: Case, at: datetime) -> CaseLine:
    """The line of a case, as of `at`."""
    overdue = [c for c in case.running if c.missed_at is not None]
    waiting = [c.due_at for c in case.running if c.missed_at is None and c.pause is None]
    return CaseLine(
        id=case.id,
        tenant=case.tenant,
        program=case.program,
        program_version=case.program_version,
        seq=case.seq,
        stage=case.stage,
        status="closed" if case.closed else "open",
        closure_reason=case.closure.reason if case.closure else None,
        owner=case.owner,
        team=case.team,
        offered_to=case.transfer.to if case.transfer else None,
        excluded=f"|{'|'.join(case.excluded)}|" if case.excluded else "",
        glass="".join(f"|{a.by}@{a.until:%Y-%m-%dT%H:%M:%SZ}" for a in case.accesses),
        tier=case.risk.tier if case.risk else None,
        weight=case.risk.weight if case.risk else 1,
        target_group=case.target_group,
        in_crisis=case.crisis is not None,
        opened_at=case.opened_at,
        opened_by=case.opened_by,
        updated_at=at,
        person_id=case.referral.patient.reference,
        next_due_at=min(waiting, default=None),
        wakes_at=wake_at(case),
        sealed=case.sealed,
        open_tasks=len(case.open_tasks),
        overdue=len(overdue),
        escalated=sum(c.acknowledged is None for c in overdue),
        quarantined=case.quarantined,
    )


def _notices(entry: Entry, after: Case) -> list[NoticeLine]:
    """Nobody is told of a case from which she is excluded."""
    notices = (notice for notice in entry.event.notices(after) if notice.recipient not in after.excluded)
    return [NoticeLine(**dict(notice), created_at=entry.at) for notice in notices]


def _changed_tasks(before: Case | None, after: Case) -> list[TaskLine]:
    known = {t.id: t for t in before.tasks} if before else {}
    return [_task_line(t) for t in after.tasks if known.get(t.id) is not t]


def _changed_clocks(before: Case | None, entry: Entry, after: Case) -> list[ClockLine]:
    """The clocks that changed, or that somebody else answers for now."""
    if before is None:
        return [_clock_line(c, entry, after) for c in after.clocks]
    known = {c.id: c for c in before.clocks}
    same = [c.id for c in after.clocks if known.get(c.id) is c and _whose(c, before) == _whose(c, after)]
    return [_clock_line(c, entry, after) for c in after.clocks if c.id not in same]


def _whose(clock: Clock, case: Case) -> tuple[str | None, str | None]:
    return case.responsible_for(clock), _queue(clock, case)


def _task_line(task: Task) -> TaskLine:
    return TaskLine(**{name: getattr(task, name) for name in TaskLine.model_fields})


def _clock_line(clock: Clock, entry: Entry | None, case: Case) -> ClockLine:
    kept = entry.event if entry and clock.settled and entry.kind == "clock-kept" else None
    return ClockLine(
        id=clock.id,
        kind=clock.kind,
        title=clock.title,
        about=clock.about,
        policy=clock.policy,
        owner=case.responsible_for(clock),
        state=_state(clock, kept is not None),
        due_at=clock.due_at,
        paused_until=clock.pause.until if clock.pause else None,
        missed_at=clock.missed_at,
        told=clock.climbs[-1].tell if clock.climbs else None,
        acknowledged_by=clock.acknowledged.by if clock.acknowledged else None,
        settled_at=entry.at if entry and clock.settled else None,
        late_by=getattr(kept, "late_by", None),
        queue=_queue(clock, case),
        lapses=clock.lapses,
        since=clock.anchor,
        next_at=None if clock.settled else clock.next_at,
        rung=clock.climbed[-1].rung if clock.climbed else None,
        raised=0 if clock.acknowledged else clock.begun_anew,
        duty=is_duty(case, clock),
    )


def _queue(clock: Clock, case: Case) -> str | None:
    """The group whose work a promise is, while nobody has claimed its task."""
    task = case.task(clock.about) if clock.about else None
    return task.queue if task is not None and task.assignee is None else None


def _state(clock: Clock, kept: bool) -> Literal["running", "paused", "missed", "kept", "cancelled"]:
    if clock.settled:
        return "kept" if kept else "cancelled"
    if clock.missed_at is not None:
        return "missed"
    return "paused" if clock.pause else "running"
