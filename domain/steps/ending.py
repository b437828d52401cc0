"""The end of a case: what is still open ends with it, and what time brings until it cannot be reopened."""

from datetime import datetime
from typing import ClassVar

from domain.case.case import NOTHING_OPEN, Case
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.case.open_parts import Closure
from domain.programs.program import Stage
from domain.promises.deadlines import cancel_clock, keep_clock
from domain.steps.tasks import TaskCancelled
from domain.values import Instant, Opaque, Slug, Text


class CaseEnded(Event):
    """The case is closed. Until `reopen_until` it may be reopened. `occurred_at` is when its reason came about."""

    kind: ClassVar[str] = "case-ended"

    reason: Slug
    from_stage: Stage
    reopen_until: Instant
    reoffer_at: Instant | None = None
    summary: Text | None = None
    occurred_at: Instant | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        closure = Closure(
            reason=self.reason,
            at=at,
            from_stage=self.from_stage,
            reopen_until=self.reopen_until,
            reoffer_at=self.reoffer_at,
        )
        return case.changed(closure=closure, stage=Stage.CLOSURE, **NOTHING_OPEN)


class ReofferDue(Event):
    """The person declined some time ago: offer case management again."""

    kind: ClassVar[str] = "reoffer-due"

    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        closure = case.closure.changed(reoffer_at=None) if case.closure else None
        return case.changed(closure=closure)

    def notices(self, case: Case) -> tuple[Notice, ...]:
        if self.told is None:
            return ()
        return (Notice(key="reoffer", recipient=self.told, subject="offer-again", about="case"),)


class CaseSealed(Event):
    """The window for reopening is over; nothing happens to this case any more."""

    kind: ClassVar[str] = "case-sealed"

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(sealed=True)


def end_case(
    draft: Draft,
    reason: str,
    summary: str | None = None,
    offer_again: bool = False,
    occurred_at: datetime | None = None,
) -> None:
    """Close the case; what is still open ends with it, and the window for reopening begins."""
    case, program = draft.case, draft.program
    for clock in draft.case.running:
        if clock.about == Stage.CLOSURE:
            keep_clock(draft, clock, draft.now)
        else:
            cancel_clock(draft, clock, f"case closed: {reason}")
    for task in case.open_tasks:
        draft.happen(TaskCancelled(task_id=task.id, reason=f"case closed: {reason}"))
    until, reoffer = draft.deadline_of(program.reopen_within), None
    if offer_again and program.reoffer_after is not None:
        reoffer = draft.deadline_of(program.reoffer_after)
        until = max(until, reoffer)  # who declined may change her mind until she is asked again
    draft.happen(
        CaseEnded(
            reason=reason,
            from_stage=case.stage,
            reopen_until=until,
            reoffer_at=reoffer,
            summary=summary,
            occurred_at=occurred_at,
        )
    )


def end_of_closed_case(draft: Draft, closure: Closure) -> None:
    """What time brings to a closed case: the offer is made again, and the window for reopening ends."""
    if closure.reoffer_at is not None and draft.now >= closure.reoffer_at:
        draft.happen(ReofferDue(told=draft.case.owner))
    if draft.now >= closure.reopen_until and not draft.case.sealed:
        draft.happen(CaseSealed())
