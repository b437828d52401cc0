"""Critical pathways of a case: begun on a day, milestone by milestone, each variance with its reason."""

from datetime import datetime, time
from typing import Any, ClassVar

from pydantic import Field

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.dates import TooLongAgo, check_day, happened_at
from domain.case.event import Event
from domain.case.open_parts import OnPathway
from domain.clocks.budget import Budget, Unit
from domain.clocks.clock import Clock, ClockKind
from domain.programs.pathway import Milestone, Pathway
from domain.programs.program import NeedsConsent
from domain.promises.deadlines import Promise, cancel_clock, keep_clock, start_clock
from domain.promises.escalation import miss_if_late
from domain.values import Day, Instant, Invalid, Line, Rejected, Slug, Text


class UnknownPathway(Invalid):
    """The programme has no pathway of this name; the refusal lists those it has."""


class UnknownMilestone(Invalid):
    """The pathway has no milestone of this name that is still ahead; the refusal lists those that are."""


class OnItAlready(Rejected):
    """The person is on this pathway; end it first, if it begins anew."""


class VarianceMissing(Invalid):
    """A milestone that comes later than expected has a reason; the refusal lists the pathway's."""


class PathwayStarted(Event):
    kind: ClassVar[str] = "pathway-started"

    on: OnPathway
    title: Line

    def apply(self, case: Case, at: datetime) -> Case:
        return case.plus("pathways", self.on)


class MilestoneReached(Event):
    """A milestone came on a `day` of the pathway, `late_by` days later than expected; earlier where negative."""

    kind: ClassVar[str] = "milestone-reached"

    pathway_id: Slug
    pathway: Slug
    milestone: Slug
    title: Line
    day: int
    late_by: int
    variance: Slug | None = None
    note: Text | None = None
    reached_at: Instant

    def apply(self, case: Case, at: datetime) -> Case:
        on = next((p for p in case.pathways if p.id == self.pathway_id), None)
        return case.put("pathways", on.changed(reached=(*on.reached, self.milestone))) if on else case


class PathwayEnded(Event):
    """Every milestone came, or the pathway was left for a reason."""

    kind: ClassVar[str] = "pathway-ended"

    pathway_id: Slug
    pathway: Slug
    title: Line
    reason: Text | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.less("pathways", self.pathway_id)


def pathway(draft: Draft, name: str) -> Pathway:
    """Raises `UnknownPathway`."""
    found = draft.program.pathways.get(name)
    if found is None:
        draft.refuse(UnknownPathway, f"choose one of: {', '.join(draft.program.pathways) or 'none'}")
    return found


def _about(pathway_id: str, milestone: str) -> str:
    return f"pathway/{pathway_id}/{milestone}"


def _clock(draft: Draft, on: OnPathway, milestone: str) -> Clock | None:
    return next((c for c in draft.case.running if c.about == _about(on.id, milestone)), None)


class BeforeThePathway(Invalid):
    """A milestone comes on the pathway's first day or later."""


class StartPathway(Command):
    """Begin a critical pathway on a day: each milestone is promised for its own."""

    kind: ClassVar[str] = "start-pathway"
    says: ClassVar[str] = "Begin a critical pathway"
    example: ClassVar[dict[str, Any]] = {"pathway": "thirty-days-home", "started_on": "2026-03-02"}

    pathway: Slug
    started_on: Day | None = Field(default=None, description="Day 0; left out, today")

    def decide(self, draft: Draft) -> None:
        draft.require_consent(NeedsConsent.TASKS)
        policy, started_on = pathway(draft, self.pathway), self.started_on or draft.today
        check_day(draft, started_on, "the pathway")
        if (draft.today - started_on).days > draft.program.look_back_days:
            draft.refuse(TooLongAgo, f"give a day within the last {draft.program.look_back_days} days")
        if any(on.pathway == self.pathway for on in draft.case.pathways):
            draft.refuse(OnItAlready, "send end-pathway with the reason first")
        draft.require_room("pathways")
        on = OnPathway(id=draft.new_id("p"), pathway=self.pathway, started_on=started_on)
        draft.happen(PathwayStarted(on=on, title=policy.title))
        draft.created.append(on.id)
        for milestone in policy.milestones:
            self._promise(draft, policy, on, milestone)

    def _promise(self, draft: Draft, policy: Pathway, on: OnPathway, milestone: Milestone) -> None:
        promise = Promise(kind=ClockKind.MILESTONE, title=milestone.title, about=_about(on.id, milestone.name))
        anchor = datetime.combine(on.started_on, time(0), draft.program.zone)
        within = Budget(amount=milestone.day, unit=Unit.CALENDAR_DAYS)
        started = start_clock(draft, promise, policy.clock, min(anchor, draft.now), within)
        miss_if_late(draft, draft.open_clock(started))


class ReachMilestone(Command):
    """Record that a milestone came, and, where it came later than expected, why."""

    kind: ClassVar[str] = "reach-milestone"
    says: ClassVar[str] = "Record a milestone of a pathway"
    example: ClassVar[dict[str, Any]] = {"pathway_id": "p9", "milestone": "reached-by-phone"}

    pathway_id: Slug
    milestone: Slug
    occurred_at: Instant | None = Field(default=None, description="When it happened; left out: now")
    variance: Slug | None = Field(default=None, description="Why it came later than expected")
    note: Text | None = None

    def decide(self, draft: Draft) -> None:
        on: OnPathway = draft.find("pathways", self.pathway_id)
        policy, at = pathway(draft, on.pathway), happened_at(draft, self.occurred_at)
        ahead = [m.name for m in policy.milestones if m.name not in on.reached]
        milestone = policy.milestone(self.milestone)
        if milestone is None or self.milestone not in ahead:
            draft.refuse(UnknownMilestone, f"still ahead: {', '.join(ahead) or 'none'}")
        day = (draft.program.day_of(at) - on.started_on).days
        if day < 0:
            draft.refuse(BeforeThePathway, f"the pathway began on {on.started_on}; give a time from then on")
        reasons = ", ".join(policy.variances)
        if (day > milestone.day and self.variance is None) or self.variance not in {None, *policy.variances}:
            draft.refuse(
                VarianceMissing, f"give in variance why it came {day - milestone.day} days later: {reasons}"
            )
        draft.happen(
            MilestoneReached(
                pathway_id=on.id,
                pathway=on.pathway,
                milestone=milestone.name,
                title=milestone.title,
                day=day,
                late_by=day - milestone.day,
                variance=self.variance,
                note=self.note,
                reached_at=at,
            )
        )
        if (clock := _clock(draft, on, milestone.name)) is not None:
            keep_clock(draft, clock, at)
        if len(ahead) == 1:
            draft.happen(PathwayEnded(pathway_id=on.id, pathway=on.pathway, title=policy.title))


class EndPathway(Command):
    """Leave a pathway before its last milestone: the person's course is another one."""

    kind: ClassVar[str] = "end-pathway"
    says: ClassVar[str] = "Leave a critical pathway"
    example: ClassVar[dict[str, Any]] = {"pathway_id": "p9", "reason": "Admitted again"}

    pathway_id: Slug
    reason: Text

    def decide(self, draft: Draft) -> None:
        on: OnPathway = draft.find("pathways", self.pathway_id)
        policy = draft.program.pathways.get(on.pathway)
        for clock in draft.case.running:
            if (clock.about or "").startswith(f"pathway/{on.id}/"):
                cancel_clock(draft, clock, "the pathway was left")
        title = policy.title if policy is not None else on.pathway
        draft.happen(PathwayEnded(pathway_id=on.id, pathway=on.pathway, title=title, reason=self.reason))
