"""What follows when a task is done: its promise is kept, others go on, and the next one of a series is made."""

from datetime import datetime

from domain.case.case import Task
from domain.case.command import Draft
from domain.case.open_parts import Series
from domain.clocks.budget import ELAPSED, MOST, Budget, deadline
from domain.clocks.clock import Clock, WaitsFor
from domain.promises.deadlines import keep_clock, resume_clock
from domain.steps.stages import leave_implementation_when_done
from domain.steps.tasks import TaskCompleted, add_task, waits_for_task
from domain.steps.unable_to_contact import letter_sent


def finish(draft: Draft, task: Task, result: str | None, done_at: datetime | None = None) -> None:
    """Complete a task: its promise is kept, what waited for it goes on, and a repeated one is made anew.

    One whose type was taken out of the programme's file ends with this round.
    """
    clock = draft.open_clock(task.clock_id)
    keep_clock(draft, clock, done_at or draft.now)  # while it is the assignee's
    draft.happen(TaskCompleted(task_id=task.id, result=result, done_at=done_at))
    let_followers_run(draft, task.id)
    if (trying := draft.program.unable_to_contact) is not None and task.type == trying.letter_task:
        letter_sent(draft, done_at or draft.now)
    if task.repeat is not None and task.type in draft.program.tasks:
        repeat_task(draft, task, clock)
    leave_implementation_when_done(draft)


def repeat_task(draft: Draft, task: Task, clock: Clock) -> None:
    """Make the next task of a series: the first one of its schedule that is due after now, whenever this was done.

    A month that has no such day ends with its last one; the day comes back with the next that has it.
    """
    repeat = task.repeat or clock.budget
    series = task.series or series_of(clock, repeat)
    if series.times == 1:
        return
    series = series.changed(times=series.times and series.times - 1)
    while True:
        series = _step(draft, series, task, repeat, clock)
        due = _due(draft, series, repeat, clock)
        if series.until is not None and draft.program.day_of(due) > series.until:
            return
        if due > draft.now:
            within = repeat.changed(amount=series.amount)
            add_task(
                draft,
                task.type,
                task.title,
                task.assignee,
                within,
                repeat=task.repeat,
                series=series,
                intervention=task.intervention,
            )
            return


def series_of(clock: Clock, repeat: Budget) -> Series:
    """The schedule that the first task of a series begins: from when it was made, or from when it was due."""
    if clock.budget.unit is repeat.unit:
        return Series(anchor=clock.anchor, amount=clock.budget.amount)
    return Series(anchor=clock.due_at, amount=0)


def _step(draft: Draft, series: Series, task: Task, repeat: Budget, clock: Clock) -> Series:
    ahead = [n for n in draft.program.tasks[task.type].on if n > series.amount] if task.repeat == repeat else []
    if ahead:
        return series.changed(amount=ahead[0])
    step = ELAPSED.get(repeat.unit, 0) * repeat.amount  # seconds: what is over is passed in one go
    passed = (draft.now - _due(draft, series, repeat, clock)).total_seconds() // step if step else 0
    amount = series.amount + repeat.amount * max(1, int(passed))
    if amount <= MOST[repeat.unit]:
        return series.changed(amount=amount)
    return series.changed(anchor=_due(draft, series, repeat, clock), amount=repeat.amount)  # after ten years


def _due(draft: Draft, series: Series, repeat: Budget, clock: Clock) -> datetime:
    return deadline(series.anchor, repeat.changed(amount=series.amount), 0, draft.calendar(clock), clock.tz)


def let_followers_run(draft: Draft, task_id: str) -> None:
    """The clocks of tasks that waited for this one, and for no other, begin to run."""
    for task in draft.case.open_tasks:
        if task_id in task.after and not waits_for_task(draft, task):
            run_if_it_waited(draft, draft.open_clock(task.clock_id))


def run_if_it_waited(draft: Draft, clock: Clock) -> None:
    """A clock that stood still for another task runs; one that is held for something else is left alone."""
    if clock.pause is not None and clock.pause.open_end is WaitsFor.TASK:
        resume_clock(draft, clock)
