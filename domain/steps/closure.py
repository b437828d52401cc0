"""Closure: what became of the person, the end of the case, and the window in which it may be reopened."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from domain.case.case import Case, OutcomeRatings
from domain.case.command import Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.programs.policies import Subject
from domain.programs.program import DIED, ClosureNeeds, Stage
from domain.promises.deadlines import is_duty
from domain.steps.alerts import repeat_measure
from domain.steps.approvals import granted, require_approval, withdraw
from domain.steps.assessment import promise_reassessment
from domain.steps.consent import NARROWED, WITHDRAWN, lapse_if_over, still_lacking, stop_what_needs_consent
from domain.steps.contacts import ensure_contact
from domain.steps.death import DeathReported, end_for_death
from domain.steps.ending import end_case
from domain.steps.medications import promise_renewal_again
from domain.steps.minutes import promise_month
from domain.steps.planning import missing_signatures, promise_what_a_plan_needs
from domain.steps.reopening import before_closure, due_no_later, ended_by_closure, miss_what_is_over, tasks_of
from domain.steps.risk_tier import ask_for_safety_plan
from domain.steps.stages import UNDER_PLAN, enter, start_stage_clock
from domain.steps.stratification import end_override
from domain.steps.unable_to_contact import decision_due
from domain.values import Instant, Invalid, Rejected, Slug, Text, Value

NOT_TRIED = "attempts to reach the person, and the letter's time"
# The tasks of a plan end with the case, so implementation cannot simply go on: the plan is made anew.
GOES_ON_IN = {Stage.CLOSURE: Stage.FOLLOW_UP, Stage.IMPLEMENTATION: Stage.PLANNING}


class NoBaseline(Rejected):
    """Outcomes are held against a baseline, and none was recorded with the assessment."""


class UnknownClosureReason(Invalid):
    """The programme does not close cases for this reason; the refusal lists those it knows."""


class StillOpen(Rejected):
    """The case cannot close for this reason yet; `missing` lists what is open."""


class MergedAway(Rejected):
    """The case was merged into another one."""


class NotClosed(Rejected):
    """Only a closed case is reopened."""


class WindowOver(Rejected):
    """The time for reopening is over; refer the person again."""


class SummaryMissing(Rejected):
    """Closing for this reason needs a summary: send it as `note`."""


class OutcomeChange(Value):
    """Points gained (or lost) in each domain since the baseline."""

    well_being: int
    finances: int
    appropriate_care: int


class OutcomeEvaluated(Event):
    """Where the person stands now in the three domains, against the baseline."""

    kind: ClassVar[str] = "outcome-evaluated"

    ratings: OutcomeRatings
    change: OutcomeChange
    summary: Text

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(outcome=self.ratings)


class CaseReopened(Event):
    """The case goes on where it was closed, with all of its history.

    `again` is what the closure had ended: tasks, promises and other open work, as they stood.
    """

    kind: ClassVar[str] = "case-reopened"

    stage: Stage
    reason: Text
    again: dict[str, JsonValue] = {}

    def apply(self, case: Case, at: datetime) -> Case:
        asked_anew = {"outcome": None, "notice_until": None, "satisfaction": None, "graduated": ()}
        return case.changed(**self.again).changed(closure=None, stage=self.stage, **asked_anew)


def still_open(draft: Draft, needs: tuple[ClosureNeeds, ...]) -> list[str]:
    """What keeps the case from closing for a reason with these needs. A crisis and duties do, but for a death."""
    case, program = draft.case, draft.program
    notice_over = case.notice_until is not None and case.notice_until <= draft.now
    lacking = {
        ClosureNeeds.OUTCOME: [] if case.outcome else ["outcome evaluation"],
        ClosureNeeds.TASKS: [f"task {task.id}" for task in case.open_tasks if task.repeat is None],
        ClosureNeeds.ESCALATIONS: [
            f"escalation {c.escalation_id}" for c in case.running if c.missed_at and not c.acknowledged
        ],
        ClosureNeeds.REFERRALS: [f"referral {r.id}" for r in case.referrals],
        ClosureNeeds.APPROVALS: [f"approval {a.id}" for a in case.approvals if not a.granted_by],
        ClosureNeeds.SIGNATURES: missing_signatures(case, program.plan, draft.now),
        ClosureNeeds.MINUTES: [f"minutes of contact {seq}" for seq in case.unrecorded],
        ClosureNeeds.NOTICE: [] if notice_over else [_notice(case)],
        ClosureNeeds.SATISFACTION: [] if case.satisfaction is not None else ["satisfaction survey"],
        ClosureNeeds.GRADUATION: [f"graduation: {n}" for n in program.graduation if n not in case.graduated],
        ClosureNeeds.ATTEMPTS: [] if decision_due(draft) else [NOT_TRIED],
        ClosureNeeds.SIGN_OFF: [] if granted(case, Subject.CLOSURE) else ["approval of the closure"],
    }
    duties = [t for t in case.open_tasks if is_duty(case, draft.open_clock(t.clock_id))]
    in_danger = (["crisis"] if case.crisis is not None else []) + [f"task {t.id}, a duty" for t in duties]
    return (in_danger if needs else []) + [line for need in needs for line in lacking[need]]


def _notice(case: Case) -> str:
    until = f", until {case.notice_until:%Y-%m-%d}" if case.notice_until is not None else ""
    return f"notice to the person, and its days{until}"


class EvaluateOutcome(Command):
    """Rate the three outcome domains again and hold them against the baseline; closure begins with it."""

    kind: ClassVar[str] = "evaluate-outcome"
    says: ClassVar[str] = "Evaluate the outcome"
    example: ClassVar[dict[str, Any]] = {
        "ratings": {"well_being": 6, "finances": 5, "appropriate_care": 8},
        "summary": "Goals reached",
    }

    ratings: OutcomeRatings
    summary: Text

    def decide(self, draft: Draft) -> None:
        draft.require_stage(*UNDER_PLAN, Stage.CLOSURE)
        before = draft.case.baseline
        if before is None:
            draft.refuse(NoBaseline, "record the baseline with record-assessment first")
        change = OutcomeChange(**{domain: now - getattr(before, domain) for domain, now in self.ratings})
        withdraw(draft, Subject.CLOSURE)  # it was given for another outcome
        draft.happen(OutcomeEvaluated(ratings=self.ratings, change=change, summary=self.summary))
        if draft.case.stage is not Stage.CLOSURE:
            enter(draft, Stage.CLOSURE, "outcome evaluated")


class CloseCase(Command):
    """Close the case for one of the programme's reasons. Refused with a list of what is still open."""

    kind: ClassVar[str] = "close"
    says: ClassVar[str] = "Close the case"
    example: ClassVar[dict[str, Any]] = {"reason": "goals-met"}

    reason: Slug
    note: Text | None = None
    occurred_at: Instant | None = Field(default=None, description="When the person died, moved, declined …")

    def decide(self, draft: Draft) -> None:
        policy = draft.program.closure.get(self.reason)
        if policy is None:
            draft.refuse(UnknownClosureReason, f"give one of: {', '.join(draft.program.closure)}")
        if missing := still_open(draft, policy.needs):
            draft.refuse(StillOpen, f"settle what is open before closing as {self.reason}", missing)
        if ClosureNeeds.OUTCOME in policy.needs and draft.program.notice is not None and self.note is None:
            draft.refuse(SummaryMissing, "say what was reached, what was not, and what goes on without the case")
        if ClosureNeeds.SIGN_OFF in policy.needs:
            require_approval(draft, Subject.CLOSURE, self.reason)
        at = happened_at(draft, self.occurred_at) if self.occurred_at else None
        if self.reason == DIED:
            end_for_death(draft, DeathReported(), self.note, at)
        else:
            end_case(draft, self.reason, self.note, policy.offer_again, at)


class ReopenCase(Command):
    """Reopen a closed case while its window lasts. It goes on in its stage, one that was in closure in follow-up.

    What the closure itself ended comes back: tasks, referrals, a crisis. Contacts and reviews count from now, and
    are due no later than what was left of them when it was closed.
    """

    kind: ClassVar[str] = "reopen-case"
    says: ClassVar[str] = "Reopen the case"
    when_closed: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"reason": "Back in hospital"}

    reason: Text

    def decide(self, draft: Draft) -> None:
        closure = draft.case.closure
        if closure is None:
            draft.refuse(NotClosed, "the case is open")
        if draft.case.laid_by is not None:
            draft.refuse(MergedAway, "the case goes on in another one; undo the merge instead")
        if draft.now > closure.reopen_until:
            draft.refuse(WindowOver, f"it ended on {closure.reopen_until:%Y-%m-%d}")
        before = before_closure(draft)
        again = ended_by_closure(draft, before, closure.at) if before is not None else {}
        works_on = closure.from_stage is Stage.IMPLEMENTATION and any(t.from_plan for t in tasks_of(again))
        stage = closure.from_stage if works_on else GOES_ON_IN.get(closure.from_stage, closure.from_stage)
        draft.happen(CaseReopened(stage=stage, reason=self.reason, again=again))
        start_stage_clock(draft)
        ensure_contact(draft)
        if draft.case.risk is not None:
            rules = draft.program.reassessment
            owed = draft.case.reassessing_since is not None
            promise_reassessment(draft, rules.on_change if owed else rules.every)
        self._promise_again(draft, where_it_was=stage is closure.from_stage)
        if before is not None:
            due_no_later(draft, before, closure.at)
        miss_what_is_over(draft)
        lapse_if_over(draft)
        consent = draft.case.consent
        if consent is not None and (not consent.in_force or still_lacking(draft)):
            stop_what_needs_consent(draft, NARROWED if consent.in_force else WITHDRAWN)

    def _promise_again(self, draft: Draft, where_it_was: bool) -> None:
        """What the closure ended besides cadence and reassessment is owed again: plan, renewals, safety plan."""
        end_override(draft)
        for item in draft.case.assistance:
            promise_renewal_again(draft, item)
        if draft.case.plan is not None and (draft.case.stage in UNDER_PLAN or where_it_was):
            promise_what_a_plan_needs(draft, draft.case.plan, None)
            promise_month(draft)
        if draft.case.safety_plan is not None:
            ask_for_safety_plan(draft, draft.now)
        for use in draft.program.instruments:
            if use.every is not None and any(s.instrument == use.name for s in draft.case.scores):
                repeat_measure(draft, use.name, f"Repeat {use.name}", use.every, draft.now)
