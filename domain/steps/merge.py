"""Merging two cases of one person, with their running clocks, and undoing it.

One command about two cases, decided in one transaction: the source is laid by and the target takes its work in, or
neither. To undo, the target gives the work back as it stands now, and the source goes on.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import ClassVar

from pydantic import JsonValue

from domain.case.case import MOST_OPEN_TASKS, NOTHING_OPEN, OPEN_WORK, Case, LaidBy, Task
from domain.case.command import CaseClosed, Command, Draft
from domain.case.event import Event
from domain.case.open_parts import Closure, Merge
from domain.case.plan_parts import InterventionStatus, Plan
from domain.clocks.clock import Clock, ClockKind
from domain.programs.program import Stage
from domain.promises.deadlines import MOST_CLOCKS, TooManyClocks, cancel_clock
from domain.promises.deeds import keep_if_done
from domain.steps.closure import GOES_ON_IN
from domain.steps.consent import NARROWED, let_run, still_lacking, stop
from domain.steps.merged_knowledge import FIELDS, taken_over
from domain.steps.risk_tier import keep_above_floor
from domain.steps.task_completion import let_followers_run
from domain.steps.tasks import TaskCancelled, TaskCompleted, TooManyTasks
from domain.steps.transition_promises import cancel_promises, settle
from domain.values import Instant, Opaque, Rejected, Role, Text

MERGED = "merged"
MAY_MERGE = frozenset({Role.SUPERVISOR, Role.DIRECTOR})
ONE_OF_EACH = (
    ClockKind.STAGE,
    ClockKind.CONTACT,
    ClockKind.REASSESSMENT,
    ClockKind.PLAN_REVIEW,
    ClockKind.SIGNATURE,
    ClockKind.CONSENT,
    ClockKind.CONSENT_DECISION,
    ClockKind.OVERRIDE,
)


class NotMerged(Rejected):
    """The case was not merged, or not with that one."""


class AlreadyMerged(Rejected):
    """The other case is part of this one already."""


class SamePerson(Rejected):
    """Only two cases of one person are merged, and not one with itself."""


class OtherProgram(Rejected):
    """The cases belong to different programmes, or to different versions of one."""


class WindowOver(Rejected):
    """One of the two cases is over for good, or closed."""


class NotMergeable(Rejected):
    """What is open could be kept by nobody in the other case; settle `missing` first."""


def not_mergeable(case: Case) -> list[str]:
    """What would be lost on the way: only tasks, and promises that any case keeps, go along."""
    found = [name for work in OPEN_WORK if work.stays_behind for name in work.named(case)]
    states = {
        "withdrawn consent": case.consent and not case.consent.in_force,
        "overridden tier": case.risk and case.risk.overridden,
    }
    return found + [name for name, there in states.items() if there]


class CaseLaidBy(Event):
    """The case goes on in another one. What it held is kept here for the undoing."""

    kind: ClassVar[str] = "case-laid-by"

    laid_by: LaidBy
    from_stage: Stage
    reopen_until: Instant
    reason: Text

    def apply(self, case: Case, at: datetime) -> Case:
        closure = Closure(reason=MERGED, at=at, from_stage=self.from_stage, reopen_until=self.reopen_until)
        return case.changed(closure=closure, stage=Stage.CLOSURE, laid_by=self.laid_by, **NOTHING_OPEN)


class CaseTakenIn(Event):
    """The open tasks and running clocks of another case of the person, under ids of this one.

    `known` is what of this case is otherwise with what the other one knows of the person.
    """

    kind: ClassVar[str] = "case-taken-in"

    merge: Merge
    tasks: tuple[Task, ...]
    clocks: tuple[Clock, ...]
    known: dict[str, JsonValue] = {}
    numbered: int = 0

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(**self.known).changed(
            tasks=(*case.tasks, *self.tasks),
            clocks=(*case.clocks, *self.clocks),
            merges=(*case.merges, self.merge),
            numbered=max(self.numbered, case.numbered + len(self.merge.tasks) + len(self.merge.clocks)),
        )


class CaseGivenBack(Event):
    """The merge was undone: what was taken in goes back as it stands now, and this case knows its own again."""

    kind: ClassVar[str] = "case-given-back"

    case_id: Opaque
    tasks: tuple[Task, ...]
    clocks: tuple[Clock, ...]
    known: dict[str, JsonValue] = {}

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("merges", self.case_id).changed(**self.known)


class CaseTakenUpAgain(Event):
    """The case goes on by itself, with what came back and what had stayed."""

    kind: ClassVar[str] = "case-taken-up-again"

    stage: Stage
    tasks: tuple[Task, ...]
    clocks: tuple[Clock, ...]
    plan: Plan | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        plan = self.plan or case.plan  # a merge under an earlier release kept none
        return case.changed(
            closure=None, stage=self.stage, laid_by=None, tasks=self.tasks, clocks=self.clocks, plan=plan
        )


def moves(clock: Clock) -> bool:
    """Whether a clock goes along: what a case has once stays behind, but never a missed promise."""
    return clock.kind not in ONE_OF_EACH or clock.missed_at is not None


def require_mergeable(target: Draft, source: Draft) -> None:
    """Raises unless the target can take everything in: nothing may be laid by that nobody takes up."""
    here, there = target.case, source.case
    if here.id == there.id or here.referral.patient.reference != there.referral.patient.reference:
        target.refuse(SamePerson, "only two different cases of one person are merged")
    if there.laid_by is not None:
        target.refuse(AlreadyMerged, "the other case was merged before")
    if here.closed or there.closed:
        target.refuse(CaseClosed, "only open cases are merged")
    if (here.program, here.program_version) != (there.program, there.program_version):
        target.refuse(OtherProgram, "only cases of one programme, in one version, are merged")
    if missing := not_mergeable(there) + not_mergeable(here):
        target.refuse(NotMergeable, "settle what is open in both cases first", missing)


class MergeCase(Command):
    """Take the open tasks and running clocks of another case of the person into this one."""

    kind: ClassVar[str] = "merge-case"
    says: ClassVar[str] = "Merge another case into this one"

    case_id: Opaque
    reason: Text

    def decide(self, draft: Draft) -> None:
        source = draft.other(self.case_id)
        require_mergeable(draft, source)
        before = source.case
        self._lay_by(source, draft.case.id)
        _take_in(draft, before)

    def _lay_by(self, source: Draft, into: str) -> None:
        case = source.case
        tasks, clocks = case.open_tasks, case.running
        for clock in clocks:
            cancel_clock(source, clock, "merged into another case")
        for task in tasks:
            source.happen(TaskCancelled(task_id=task.id, reason="merged into another case"))
        until = source.deadline_of(source.program.reopen_within)
        laid_by = LaidBy(into=into, tasks=tasks, clocks=clocks, plan=case.plan)
        source.happen(CaseLaidBy(laid_by=laid_by, from_stage=case.stage, reopen_until=until, reason=self.reason))


def _take_in(draft: Draft, source: Case) -> None:
    case = draft.case
    promised = {c.about for c in case.running if c.kind is ClockKind.TRANSITION}
    done_here = {(t.type, t.about) for t in case.open_tasks if t.about is not None}
    tasks = [t for t in source.open_tasks if (t.type, t.about) not in done_here]
    left = {t.clock_id for t in source.open_tasks if t not in tasks}
    clocks = [
        c
        for c in source.running
        if moves(c) and c.id not in left and not (c.kind is ClockKind.TRANSITION and c.about in promised)
    ]
    if any(c.kind is ClockKind.CONTACT and c.missed_at for c in case.running):  # one escalation for one person
        clocks = [c for c in clocks if c.kind is not ClockKind.CONTACT]
    if len(case.open_tasks) + len(tasks) > MOST_OPEN_TASKS:
        draft.refuse(TooManyTasks, f"together they have more than {MOST_OPEN_TASKS} open tasks")
    if len(case.running) + len(clocks) > MOST_CLOCKS:
        draft.refuse(
            TooManyClocks, f"together they have more than {MOST_CLOCKS} running clocks; settle some first"
        )
    number = case.numbered
    task_ids = {task.id: f"t{number + n}" for n, task in enumerate(tasks, 1)}
    number += len(task_ids)
    clock_ids = {clock.id: f"c{number + n}" for n, clock in enumerate(clocks, 1)}
    number += len(clock_ids)
    draft.happen(
        CaseTakenIn(
            merge=Merge(id=source.id, tasks=task_ids, clocks=clock_ids),
            tasks=tuple(_renamed_task(t, task_ids, clock_ids) for t in tasks),
            clocks=tuple(_renamed_clock(c, task_ids, clock_ids) for c in clocks),
            known=taken_over(case, source, number),
            numbered=number + len(source.care_team),
        )
    )
    draft.created += [*task_ids.values()]
    _follow_consent(draft)
    _put_stays_together(draft)
    keep_above_floor(draft, "the other case")


def _put_stays_together(draft: Draft) -> None:
    """What the two were told of stays is one now: promises are dropped, kept by what is on record, or not owed."""
    known = {t.id for t in draft.case.transitions}
    for clock in draft.case.running:
        event_id = (clock.about or "").partition("/")[0]
        if clock.kind is ClockKind.TRANSITION and event_id not in known:
            cancel_promises(draft, event_id, "taken back, or told twice")
    settle(draft)
    for clock in draft.case.running:
        if clock.kind is ClockKind.TRANSITION:
            keep_if_done(draft, clock)


def _follow_consent(draft: Draft) -> None:
    """What waited for consent in the other case runs where this one has it; what this one lacks it for waits."""
    if draft.case.consent is None:
        return
    let_run(draft)
    stop(draft, still_lacking(draft), NARROWED)


def _renamed_task(task: Task, tasks: dict[str, str], clocks: dict[str, str]) -> Task:
    after = tuple(tasks[t] for t in task.after if t in tasks)
    own = {"from_plan": None, "intervention": None}  # of the plan that stays behind
    return task.changed(id=tasks[task.id], clock_id=clocks[task.clock_id], after=after, **own)


def _renamed_clock(clock: Clock, tasks: dict[str, str], clocks: dict[str, str]) -> Clock:
    return clock.changed(id=clocks[clock.id], about=tasks.get(clock.about or "", clock.about))


class UndoMerge(Command):
    """Give the other case its work back, as it stands now; it goes on by itself."""

    kind: ClassVar[str] = "undo-merge"
    says: ClassVar[str] = "Undo a merge"
    when_closed: ClassVar[bool] = True

    case_id: Opaque

    def decide(self, draft: Draft) -> None:
        source, merge = draft.other(self.case_id), _merge_of(draft.case, self.case_id)
        laid_by = source.case.laid_by
        if laid_by is None or laid_by.into != draft.case.id:
            draft.refuse(NotMerged, "the other case is not part of this one")
        if source.case.sealed or (merge and draft.case.closed):
            draft.refuse(WindowOver, "the other case is sealed, or this one is closed; refer the person again")
        if merge is None:  # laid by under a release that could be cut in the middle: nobody took it in
            _go_on(source, laid_by.tasks, [clock for clock in laid_by.clocks if moves(clock)])
            draft.happen(CaseGivenBack(case_id=self.case_id, tasks=(), clocks=()))
            return
        done = {e.data["task_id"] for e in draft.timeline.entries if e.kind == TaskCompleted.kind}
        completed = {old for old, new in merge.tasks.items() if new in done}
        _go_on(source, *_given_back(draft, merge), completed)


def _merge_of(case: Case, case_id: str) -> Merge | None:
    return next((merge for merge in case.merges if merge.id == case_id), None)


def _given_back(draft: Draft, merge: Merge) -> tuple[Sequence[Task], Sequence[Clock]]:
    """What was taken in and is open still, under the ids that it had."""
    old_tasks = {new: old for old, new in merge.tasks.items()}
    old_clocks = {new: old for old, new in merge.clocks.items()}
    tasks = [t for t in draft.case.open_tasks if t.id in old_tasks]
    clocks = [c for c in draft.case.running if c.id in old_clocks]
    for clock in clocks:
        cancel_clock(draft, clock, "the merge was undone")
    for task in tasks:
        draft.happen(TaskCancelled(task_id=task.id, reason="the merge was undone"))
        let_followers_run(draft, task.id)
    back = CaseGivenBack(
        case_id=merge.id,
        tasks=tuple(_renamed_task(t, old_tasks, old_clocks) for t in tasks),
        clocks=tuple(_renamed_clock(c, old_tasks, old_clocks) for c in clocks),
        known=_own(draft, merge),
    )
    draft.happen(back)
    return back.tasks, back.clocks


def _own(draft: Draft, merge: Merge) -> dict[str, JsonValue]:
    """What this case knows of itself, with what was added to it since the merge."""
    merged = [e for e in draft.timeline.entries if e.kind == CaseTakenIn.kind]
    command = next((e.command_id for e in reversed(merged) if e.data["merge"]["id"] == merge.id), None)  # type: ignore[index,call-overload]
    alone = draft.timeline.without(command) if command else None
    if alone is None:
        return {}
    changed = {name for name in FIELDS if getattr(alone, name) != getattr(draft.case, name)}
    known: dict[str, JsonValue] = alone.model_dump(mode="json", include=changed)
    return known


def _go_on(source: Draft, tasks: Sequence[Task], clocks: Sequence[Clock], completed: Collection[str] = ()) -> None:
    """The case goes on by itself, with what came back and what had stayed with it."""
    laid_by, closure = source.case.laid_by, source.case.closure
    assert laid_by is not None
    assert closure is not None
    back = {c.id for c in clocks}  # under an earlier release the end of a consent went along, and comes back
    stayed = tuple(c for c in laid_by.clocks if not moves(c) and c.id not in back)
    stood = {task.id: task for task in laid_by.tasks}
    again = tuple(_of_its_plan(task, stood.get(task.id)) for task in tasks)
    stage = closure.from_stage if again else GOES_ON_IN.get(closure.from_stage, closure.from_stage)
    plan = _plan_now(laid_by, {task.id for task in tasks}, completed)
    source.happen(CaseTakenUpAgain(stage=stage, tasks=again, clocks=(*clocks, *stayed), plan=plan))


def _plan_now(laid_by: LaidBy, back: Collection[str], completed: Collection[str]) -> Plan | None:
    """The plan as it was before the merge, with what the other case made of the tasks that do not come back."""
    plan = laid_by.plan
    for task in laid_by.tasks:
        one = plan.part("interventions", task.intervention) if plan else None
        if plan is None or one is None or task.id in back:
            continue
        came = InterventionStatus.ACHIEVED if task.id in completed else InterventionStatus.NOT_ACHIEVED
        status = InterventionStatus.IN_PROGRESS if task.repeat is not None else came
        plan = plan.with_part("interventions", one.changed(status=status))
    return plan


def _of_its_plan(task: Task, before: Task | None) -> Task:
    """A task that came back as the plan of its case has it."""
    if before is None:
        return task.changed(from_plan=None, intervention=None)
    return task.changed(from_plan=before.from_plan, intervention=before.intervention)
