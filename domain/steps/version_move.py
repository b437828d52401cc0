"""Moving a running case to another version of its programme: what its promises become, before and after.

A promise made by the programme follows the new version's policy of the same path; one that a person agreed keeps
its time. What is missed stays missed. Undoing gives back the terms that were, and lifts a miss that only the new
ones made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from domain.case.case import Case
from domain.case.command import Command, Draft
from domain.case.event import Event
from domain.case.open_parts import Moved
from domain.clocks.clock import Climb, Clock, Ladder, Terms
from domain.programs.eligibility import Met, check
from domain.programs.program import Program, Stage
from domain.programs.rulebook import Rulebook, ladder_of
from domain.steps.intake import facts_of
from domain.values import Instant, Invalid, Line, Rejected, Slug, Text, Value


class UnknownVersion(Invalid):
    """The catalogue has no such version of the programme; the refusal lists those it has."""


class AlreadyUnderIt(Rejected):
    """The case runs under this version."""


class CannotMove(Rejected):
    """The case holds something that the other version does not know; `missing` lists it."""


class NotMoved(Rejected):
    """The case was not moved, or what it was moved to has been undone."""


class NewTerms(Value):
    """One promise under its new terms, worked out. `lifted` takes back a miss that only the old terms made."""

    terms: Terms
    due_at: Instant
    next_at: Instant | None = None
    lifted: bool = False
    climbs: tuple[Climb, ...] | None = None

    def onto(self, clock: Clock) -> Clock:
        changed = self.terms.onto(clock).changed(due_at=self.due_at, next_at=self.next_at)
        if self.climbs is not None:
            changed = changed.changed(climbs=self.climbs)
        return without_miss(changed) if self.lifted else changed


class ProgramVersionChanged(Event):
    """The case goes on under another version of its programme, and these promises with it.

    `unconfirmed` are the criteria that screening has to ask about now; None where screening is over.
    """

    kind: ClassVar[str] = "program-version-changed"

    from_version: int
    to_version: int
    reason: Text
    undone: bool = False
    clocks: tuple[NewTerms, ...] = ()
    unconfirmed: tuple[Slug, ...] | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        before = tuple(Terms.of(clock) for clock in case.running)
        kept = None if self.undone else Moved(from_version=self.from_version, at=at, terms=before)
        for new in self.clocks:
            clock = case.clock(new.terms.clock_id)
            if clock is not None:
                case = case.with_clock(new.onto(clock))
        if self.unconfirmed is not None:
            case = case.changed(unconfirmed=self.unconfirmed)
        return case.changed(program_version=self.to_version, moved=kept)


class ClockMove(Value):
    """What a move would do to one promise."""

    clock_id: Slug
    title: Line
    due_at: Instant
    would_be_due_at: Instant
    overdue_at_once: bool


def version_of(rulebook: Rulebook, program: str, version: int) -> Program:
    """That version of the programme. Raises `UnknownVersion`."""
    versions = [p for p in rulebook.programs if p.program == program]
    for found in versions:
        if found.version == version:
            return found
    raise UnknownVersion("choose one of: " + ", ".join(str(p.version) for p in versions))


def obstacles(case: Case, new: Program) -> list[str]:
    """What the case holds and the version does not know."""
    found = [f"task {t.id}: type {t.type}" for t in case.open_tasks if t.type not in new.tasks]
    if case.target_group is not None and case.target_group not in new.target_groups:
        found.append(f"target group {case.target_group}")
    kept = {r.type for r in case.referrals}
    found += [f"referral type {name}" for name in sorted(kept - set(new.referrals))]
    found += [f"guided record {g.id}: {g.procedure}" for g in case.guided if g.procedure not in new.procedures]
    found += [f"assistance {a.id}: medication" for a in case.assistance if new.medication is None]
    if case.crisis is not None and new.crisis is None:
        found.append("open crisis")
    for clock in case.running:
        if (clock.policy is None or clock.policy not in new.policies) and clock.ladder not in new.ladders:
            found.append(f"clock {clock.id}: ladder {clock.ladder}")
    return found


@dataclass(frozen=True)
class VersionMove:
    """The way from one version of the programme to another; `old` is None where its file is gone."""

    rulebook: Rulebook
    old: Program | None
    new: Program

    @classmethod
    def of(cls, case: Case, rulebook: Rulebook, version: int, now: datetime) -> Self:
        """The way from the version that the case runs under, as both hold for its team and person.

        Raises `UnknownVersion`.
        """
        version_of(rulebook, case.program, version)
        there = {p.version for p in rulebook.programs if p.program == case.program}

        def held(number: int) -> Program:
            return rulebook.at(case.program, number, case.team, now.date(), case.narrowed)

        old = held(case.program_version) if case.program_version in there else None
        return cls(rulebook, old, held(version))

    def terms_for(self, clock: Clock) -> Terms:
        """The terms that the new version gives a promise. Its time stays where a person agreed another one, and
        where the promise is missed already."""
        policy = self.new.policies.get(clock.policy or "")
        if policy is None:
            return Terms.of(clock)
        before = self.old.policies.get(clock.policy or "") if self.old else None
        keeps_time = clock.missed_at is not None or before is None or clock.budget != before.within
        return Terms(
            clock_id=clock.id,
            policy=clock.policy,
            budget=clock.budget if keeps_time else policy.within,
            ladder=policy.ladder,
            calendar=clock.calendar if keeps_time else self.new.calendar_of(policy),
            kept_by=policy.kept_by,
            parties=policy.parties,
            modes=policy.modes,
            attempts=policy.attempts,
            statutory=policy.statutory,
        )

    def apply_terms(self, clock: Clock, terms: Terms) -> NewTerms:
        """A promise under these terms, with its deadline and its next step. One that is missed keeps its deadline
        and stays missed, also under terms that give more time."""
        working, ladder = self.rulebook.calendar_of(terms, self.new), ladder_of(terms, self.new)
        climbs = climbs_on(clock, ladder_of(clock, self.old or self.new), ladder)
        moved = terms.onto(clock if climbs is None else clock.changed(climbs=climbs))
        if clock.missed_at is None and clock.pause is None:
            moved = moved.changed(due_at=moved.derived_due(working))
        step = moved.next_step(ladder, working)
        next_at = clock.next_at if clock.pause is not None else step.at if step else None
        return NewTerms(terms=terms, due_at=moved.due_at, next_at=next_at, climbs=climbs)

    def restore_terms(self, clock: Clock, terms: Terms, moved_at: datetime) -> NewTerms:
        """A promise under the terms that it had before `moved_at`. A miss since then is taken back where these
        terms would not have been used up by it."""
        if clock.missed_at is None or clock.missed_at < moved_at:
            return self.apply_terms(clock, terms)
        due = terms.onto(clock).derived_due(self.rulebook.calendar_of(terms, self.new))
        if due <= clock.missed_at:
            return self.apply_terms(clock, terms)
        return self.apply_terms(without_miss(clock), terms).changed(lifted=True, climbs=None)

    def promises(self, case: Case) -> list[NewTerms]:
        """What the move makes of the running promises."""
        return [self.apply_terms(clock, self.terms_for(clock)) for clock in case.running]

    def unconfirmed(self, case: Case, now: datetime) -> tuple[str, ...] | None:
        """The criteria of the new version that whoever screens has to confirm: what is not known to be met.

        Known is what the referral says, and what was known before of a criterion that is the same.
        """
        if case.stage is not Stage.SCREENING:
            return None
        before = self.old.eligibility.criteria if self.old else ()
        known = {criterion.name for criterion in before if criterion.name not in case.unconfirmed}
        same = {criterion.name for criterion in self.new.eligibility.criteria if criterion in before}
        found = check(self.new.eligibility.criteria, facts_of(case.referral, self.new.day_of(now)), {})
        return tuple(one.name for one in found if one.met is not Met.YES and one.name not in known & same)


def without_miss(clock: Clock) -> Clock:
    """The clock as it stood before its deadline passed. A later miss begins another round: its notices get keys
    of their own, so that everybody is told anew."""
    return clock.changed(missed_at=None, climbs=(), acknowledged=None, round=clock.round + 1)


def climbs_on(clock: Clock, old: Ladder, new: Ladder) -> tuple[Climb, ...] | None:
    """Who was told of a miss, by the rungs of another ladder, so that nobody is skipped; None for the same."""
    if old.rungs == new.rungs:
        return None
    after = {rung.tell: n for n, rung in reversed(list(enumerate(new.rungs))) if rung.after is not None}
    told = [climb for climb in clock.climbs if climb.rung >= old.first_after and climb.tell in after]
    return tuple(climb.changed(rung=after[climb.tell]) for climb in told)


def preview_of(case: Case, rulebook: Rulebook, version: int, now: datetime) -> Iterator[ClockMove]:
    """For a person who decides: which promises would move, from when to when."""
    for new in VersionMove.of(case, rulebook, version, now).promises(case):
        clock = case.clock(new.terms.clock_id)
        if clock is None or (clock.due_at == new.due_at and Terms.of(clock) == new.terms):
            continue
        yield ClockMove(
            clock_id=clock.id,
            title=clock.title,
            due_at=clock.due_at,
            would_be_due_at=new.due_at,
            overdue_at_once=clock.missed_at is None and clock.pause is None and new.due_at < now,
        )


class MoveToProgramVersion(Command):
    """Go on under another version of the programme. Look at the preview first: promises may move."""

    kind: ClassVar[str] = "move-to-program-version"
    says: ClassVar[str] = "Move to another version of the programme"
    example: ClassVar[dict[str, Any]] = {"version": 2, "reason": "The second version is in force from July"}

    version: int
    reason: Text

    def decide(self, draft: Draft) -> None:
        case = draft.case
        move = VersionMove.of(case, draft.moment.rulebook, self.version, draft.now)
        if self.version == case.program_version:
            draft.refuse(AlreadyUnderIt, f"it runs under version {self.version}")
        if lost := obstacles(case, move.new):
            draft.refuse(CannotMove, "settle these first, or leave the case where it is", lost)
        draft.happen(
            ProgramVersionChanged(
                from_version=case.program_version,
                to_version=self.version,
                reason=self.reason,
                clocks=tuple(move.promises(case)),
                unconfirmed=move.unconfirmed(case, draft.now),
            )
        )


class UndoProgramMove(Command):
    """Go back to the version that the case was moved from, with the terms that its promises had there."""

    kind: ClassVar[str] = "undo-program-move"
    says: ClassVar[str] = "Undo the last move between versions"
    example: ClassVar[dict[str, Any]] = {"reason": "Moved before the signatures were in"}

    reason: Text

    def decide(self, draft: Draft) -> None:
        case, moved = draft.case, draft.case.moved
        if moved is None:
            draft.refuse(NotMoved, "there is no move to undo")
        back = VersionMove.of(case, draft.moment.rulebook, moved.from_version, draft.now)
        if lost := obstacles(case, back.new):
            draft.refuse(CannotMove, "this was begun since the move; settle it first", lost)
        before = {terms.clock_id: terms for terms in moved.terms}
        terms = {clock.id: before.get(clock.id) or back.terms_for(clock) for clock in case.running}
        draft.happen(
            ProgramVersionChanged(
                from_version=case.program_version,
                to_version=moved.from_version,
                reason=self.reason,
                undone=True,
                clocks=tuple(back.restore_terms(c, terms[c.id], moved.at) for c in case.running),
                unconfirmed=back.unconfirmed(case, draft.now),
            )
        )
