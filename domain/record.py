"""What the database is told of a case: the new lines of its timeline, and the latest state of what they touched.

A page grows while events happen and is written in one transaction. Everything but `entries` is derived
from the entries and could be made again from them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from domain.case import Case, Task
from domain.clock import Clock
from domain.command import Outcome
from domain.deadlines import wake_at
from domain.event import Entry, Notice
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
    tier: str | None
    weight: float = 1
    target_group: str | None = None
    in_crisis: bool = False
    opened_at: Instant
    opened_by: str
    updated_at: Instant
    patient_reference: str
    next_due_at: Instant | None
    wakes_at: Instant | None = None
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
    """One promise as the lists show it, whoever answers for it."""

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


class NoticeLine(Notice):
    """A notice and when its event happened."""

    created_at: Instant


MOST_ENTRIES, MOST_BYTES = 1000, 512 * 1024


class Page(Value):
    """All that the record has still to be told of one case.

    `size` is about what its entries weigh, in bytes; `sealed` is the case as it ended, kept beside the timeline.
    """

    case: CaseLine | None = None
    entries: tuple[Entry, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    tasks: tuple[TaskLine, ...] = ()
    clocks: tuple[ClockLine, ...] = ()
    notices: tuple[NoticeLine, ...] = ()
    size: int = 0
    sealed: Case | None = None

    @classmethod
    def of(cls, case: Case, at: datetime) -> Self:
        """What the lists show of a case of which nothing earlier is known."""
        tasks = tuple(_task_line(task) for task in case.tasks)
        clocks = tuple(_clock_line(clock, None, case) for clock in case.clocks)
        return cls(case=case_line(case, at), tasks=tasks, clocks=clocks)

    @property
    def full(self) -> bool:
        """Whether a case must wait for the database before it takes more: all of this is carried along."""
        return len(self.entries) >= MOST_ENTRIES or self.size >= MOST_BYTES

    @property
    def empty(self) -> bool:
        return not self.entries and not self.outcomes

    def followed(self, case: Case | None, entries: Sequence[Entry]) -> tuple[Self, Case | None]:
        """This page with what these entries did to a case, and the case after them."""
        tasks, clocks = {t.id: t for t in self.tasks}, {c.id: c for c in self.clocks}
        notices = list(self.notices)
        for entry in entries:
            before, case = case, entry.apply(case)
            tasks |= {t.id: t for t in _changed_tasks(before, case)}
            clocks |= {c.id: c for c in _changed_clocks(before, entry, case)}
            notices += _notices(entry, case)
        if case is None or not entries:
            return self, case
        page = self.changed(
            case=case_line(case, entries[-1].at),
            entries=(*self.entries, *entries),
            tasks=tuple(tasks.values()),
            clocks=tuple(clocks.values()),
            notices=tuple(notices),
            size=self.size + sum(_weight(entry) for entry in entries),
            sealed=case if case.sealed else None,
        )
        return page, case

    def answered(self, outcome: Outcome) -> Self:
        """This page with the outcome of a command."""
        return self.changed(outcomes=(*self.outcomes, outcome))

    def without(self, written: Self) -> Self:
        """What is left when `written`, an earlier state of this page, is in the database."""
        return self.changed(
            entries=self.entries[len(written.entries) :],
            outcomes=self.outcomes[len(written.outcomes) :],
            notices=self.notices[len(written.notices) :],
            size=self.size - written.size,
            tasks=tuple(t for t in self.tasks if t not in written.tasks),
            clocks=tuple(c for c in self.clocks if c not in written.clocks),
            sealed=self.sealed if self.sealed != written.sealed else None,
        )


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
        tier=case.risk.tier if case.risk else None,
        weight=case.risk.weight if case.risk else 1,
        target_group=case.target_group,
        in_crisis=case.crisis is not None,
        opened_at=case.opened_at,
        opened_by=case.opened_by,
        updated_at=at,
        patient_reference=case.referral.patient.reference,
        next_due_at=min(waiting, default=None),
        wakes_at=wake_at(case),
        open_tasks=len(case.open_tasks),
        overdue=len(overdue),
        escalated=sum(c.acknowledged is None for c in overdue),
        quarantined=case.quarantined,
    )


def _weight(entry: Entry) -> int:
    return len(str(entry.data)) + 200


def _notices(entry: Entry, after: Case) -> list[NoticeLine]:
    return [NoticeLine(**dict(notice), created_at=entry.at) for notice in entry.event.notices(after)]


def _changed_tasks(before: Case | None, after: Case) -> list[TaskLine]:
    known = {t.id: t for t in before.tasks} if before else {}
    return [_task_line(t) for t in after.tasks if known.get(t.id) is not t]


def _changed_clocks(before: Case | None, entry: Entry, after: Case) -> list[ClockLine]:
    """The clocks that changed, or that somebody else answers for now."""
    if before is None:
        return [_clock_line(c, entry, after) for c in after.clocks]
    known = {c.id: c for c in before.clocks}
    moved = before.owner != after.owner or entry.kind in ("task-assigned", "task-claimed", "task-released")
    return [_clock_line(c, entry, after) for c in after.clocks if moved or known.get(c.id) is not c]


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
