"""Merging two cases of one person, with their running clocks, and undoing it.

Three steps between two workflows, each a command of its own and safe to repeat: the source lays itself by, the
target takes its work in; to undo, the target gives it back and the source goes on. Only the API sends them.
"""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from domain.case import MOST_OPEN_TASKS, Case, Closure, LaidBy, Task
from domain.clock import Clock, ClockKind
from domain.closure import GOES_ON_IN, NOTHING_OPEN
from domain.command import Command, Draft, UnknownReference
from domain.deadlines import MOST_CLOCKS, TooManyClocks, cancel_clock
from domain.event import Event
from domain.parts import Merge
from domain.program import Stage
from domain.tasks import TaskCancelled, TooManyTasks, let_followers_run
from domain.values import Instant, Opaque, Rejected, Role, Text

MERGED = "merged"
MAY_MERGE = frozenset({Role.SUPERVISOR, Role.DIRECTOR})
ONE_OF_EACH = (
    ClockKind.STAGE,
    ClockKind.CONTACT,
    ClockKind.REASSESSMENT,
    ClockKind.PLAN_REVIEW,
    ClockKind.SIGNATURE,
    ClockKind.CONSENT_DECISION,
    ClockKind.OVERRIDE,
)


class NotMerged(Rejected):
    """The case was not merged, or not with that one."""


class AlreadyMerged(Rejected):
    """The other case is part of this one already."""


class SamePerson(Rejected):
    """Only two cases of one person are merged, and not one with itself."""


class NotMergeable(Rejected):
    """What is open could be kept by nobody in the other case; settle `missing` first."""


def not_mergeable(case: Case) -> list[str]:
    """What would be lost on the way: only tasks, and promises that any case keeps, go along."""
    names = ("referrals", "approvals", "guided", "flags", "corrective_actions", "assistance")
    found = [f"{name.replace('_', ' ')} {item.id}" for name in names for item in getattr(case, name)]
    states = {
        "crisis": case.crisis,
        "offered transfer": case.transfer,
        "unable-to-contact protocol": case.unreached,
        "withdrawn consent": case.consent and not case.consent.in_force,
        "overridden tier": case.risk and case.risk.overridden,
    }
    return found + [name for name, there in states.items() if there]


class CaseLaidBy(Event):
    """The case goes on in another one. What it held is kept here for the undoing."""

    laid_by: LaidBy
    from_stage: Stage
    reopen_until: Instant
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        closure = Closure(reason=MERGED, at=at, from_stage=self.from_stage, reopen_until=self.reopen_until)
        return case.changed(closure=closure, stage=Stage.CLOSURE, laid_by=self.laid_by, **NOTHING_OPEN)


class CaseTakenIn(Event):
    """The open tasks and running clocks of another case of the person, under ids of this one."""

    merge: Merge
    tasks: tuple[Task, ...]
    clocks: tuple[Clock, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(
            tasks=(*case.tasks, *self.tasks),
            clocks=(*case.clocks, *self.clocks),
            merges=(*case.merges, self.merge),
            numbered=case.numbered + len(self.merge.tasks) + len(self.merge.clocks),
        )


class CaseGivenBack(Event):
    """The merge was undone: what was taken in goes back as it stands now."""

    case_id: Opaque
    tasks: tuple[Task, ...]
    clocks: tuple[Clock, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("merges", self.case_id)


class CaseTakenUpAgain(Event):
    """The case goes on by itself, with what came back and what had stayed."""

    stage: Stage
    tasks: tuple[Task, ...]
    clocks: tuple[Clock, ...]

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(closure=None, stage=self.stage, laid_by=None, tasks=self.tasks, clocks=self.clocks)


def moves(clock: Clock) -> bool:
    """Whether a clock goes along: what a case has once stays behind, but never a missed promise."""
    return clock.kind not in ONE_OF_EACH or clock.missed_at is not None


class LayBy(Command):
    """Lay the case by: it goes on in another case of the person."""

    kind: ClassVar[str] = "lay-by"
    says: ClassVar[str] = "Merge this case into another"
    roles: ClassVar[frozenset[Role]] = MAY_MERGE

    into: Opaque
    reason: Text

    def decide(self, draft: Draft) -> None:
        case = draft.case
        if self.into == case.id:
            draft.refuse(SamePerson, "a case is not merged with itself")
        if missing := not_mergeable(case):
            draft.refuse(NotMergeable, "settle these in the case that is laid by", missing)
        tasks, clocks = case.open_tasks, case.running
        for clock in clocks:
            cancel_clock(draft, clock, "merged into another case")
        for task in tasks:
            draft.happen(TaskCancelled(task_id=task.id, reason="merged into another case"))
        program = draft.program
        until = draft.deadline_of(program.reopen_within)
        laid_by = LaidBy(into=self.into, tasks=tasks, clocks=clocks)
        draft.happen(CaseLaidBy(laid_by=laid_by, from_stage=case.stage, reopen_until=until, reason=self.reason))


class TakeIn(Command):
    """Take the work of another case of the person in, with its clocks as they run."""

    kind: ClassVar[str] = "take-in"
    says: ClassVar[str] = "Take in another case"
    roles: ClassVar[frozenset[Role]] = MAY_MERGE

    case_id: Opaque
    tasks: tuple[Task, ...] = Field(max_length=MOST_OPEN_TASKS)
    clocks: tuple[Clock, ...] = Field(max_length=MOST_CLOCKS)

    def decide(self, draft: Draft) -> None:
        case = draft.case
        if any(m.id == self.case_id for m in case.merges):
            draft.refuse(AlreadyMerged, "it was taken in before")
        clocks = [c for c in self.clocks if moves(c)]
        if len(case.open_tasks) + len(self.tasks) > MOST_OPEN_TASKS:
            draft.refuse(TooManyTasks, f"a case holds at most {MOST_OPEN_TASKS} open tasks; settle some first")
        if len(case.running) + len(clocks) > MOST_CLOCKS:
            draft.refuse(TooManyClocks, f"a case holds at most {MOST_CLOCKS} running clocks; settle some first")
        number = case.numbered
        task_ids = {task.id: f"t{number + n}" for n, task in enumerate(self.tasks, 1)}
        number += len(task_ids)
        clock_ids = {clock.id: f"c{number + n}" for n, clock in enumerate(clocks, 1)}
        draft.happen(
            CaseTakenIn(
                merge=Merge(id=self.case_id, tasks=task_ids, clocks=clock_ids),
                tasks=tuple(_renamed_task(t, task_ids, clock_ids) for t in self.tasks),
                clocks=tuple(_renamed_clock(c, task_ids, clock_ids) for c in clocks),
            )
        )
        draft.created += [*task_ids.values()]


def _renamed_task(task: Task, tasks: dict[str, str], clocks: dict[str, str]) -> Task:
    after = tuple(tasks[t] for t in task.after if t in tasks)
    return task.changed(id=tasks[task.id], clock_id=clocks[task.clock_id], after=after, from_plan=None)


def _renamed_clock(clock: Clock, tasks: dict[str, str], clocks: dict[str, str]) -> Clock:
    return clock.changed(id=clocks[clock.id], about=tasks.get(clock.about or "", clock.about))


class GiveBack(Command):
    """Undo a merge: give the work of the other case back as it stands now."""

    kind: ClassVar[str] = "give-back"
    says: ClassVar[str] = "Undo a merge"
    roles: ClassVar[frozenset[Role]] = MAY_MERGE

    case_id: Opaque

    def decide(self, draft: Draft) -> None:
        merge = next((m for m in draft.case.merges if m.id == self.case_id), None)
        if merge is None:
            draft.refuse(UnknownReference, "that case was not taken into this one")
        old_tasks = {new: old for old, new in merge.tasks.items()}
        old_clocks = {new: old for old, new in merge.clocks.items()}
        tasks = [t for t in draft.case.open_tasks if t.id in old_tasks]
        clocks = [c for c in draft.case.running if c.id in old_clocks]
        for clock in clocks:
            cancel_clock(draft, clock, "the merge was undone")
        for task in tasks:
            draft.happen(TaskCancelled(task_id=task.id, reason="the merge was undone"))
            let_followers_run(draft, task.id)
        draft.happen(
            CaseGivenBack(
                case_id=self.case_id,
                tasks=tuple(_renamed_task(t, old_tasks, old_clocks) for t in tasks),
                clocks=tuple(_renamed_clock(c, old_tasks, old_clocks) for c in clocks),
            )
        )


class TakeUpAgain(Command):
    """Go on by itself after a merge was undone."""

    kind: ClassVar[str] = "take-up-again"
    says: ClassVar[str] = "Go on after a merge was undone"
    roles: ClassVar[frozenset[Role]] = MAY_MERGE
    when_closed: ClassVar[bool] = True

    tasks: tuple[Task, ...] = Field(max_length=MOST_OPEN_TASKS)
    clocks: tuple[Clock, ...] = Field(max_length=MOST_CLOCKS)

    def decide(self, draft: Draft) -> None:
        laid_by, closure = draft.case.laid_by, draft.case.closure
        if laid_by is None or closure is None:
            draft.refuse(NotMerged, "the case goes on by itself already")
        stayed = tuple(c for c in laid_by.clocks if not moves(c))
        plan_of = {task.id: task.from_plan for task in laid_by.tasks}
        tasks = tuple(task.changed(from_plan=plan_of.get(task.id)) for task in self.tasks)
        stage = closure.from_stage if tasks else GOES_ON_IN.get(closure.from_stage, closure.from_stage)
        draft.happen(CaseTakenUpAgain(stage=stage, tasks=tasks, clocks=(*self.clocks, *stayed)))
